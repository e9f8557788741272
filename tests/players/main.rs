//! Real players before the real program: each test starts it and lets a player of the outside world play, or be refused.
//!
//! A test whose player is missing fails, unless `SLUICEGATE_SKIP_PLAYERS` names the player; then it says that it did not run.

mod browser;
mod curl;
mod encryption;
mod ffmpeg;
mod gstreamer;
mod nginx;
mod operators;
mod program;
mod quic;
mod s3;
mod tool;
