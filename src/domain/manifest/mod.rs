//! HLS playlists and their JSON side documents: lexed once into a template, personalised per session.
