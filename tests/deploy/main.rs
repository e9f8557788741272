//! What `docker/` and `kubernetes/` hold: judged by schemas, linters and the program itself, and the compose file's topology run as
//! processes, since not every machine has an engine.

mod documents;
mod files;
mod packages;
mod running;
mod support;
mod watching;
