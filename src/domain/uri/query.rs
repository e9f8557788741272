//! Reading and removing query parameters without touching the bytes of the others.
