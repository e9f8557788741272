//! Playlists as the origin sent them.
