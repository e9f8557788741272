//! The normal form of a path: what is checked is what is used.
