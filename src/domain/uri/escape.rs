//! Percent-escapes: decoding once, and encoding with lower-case hex as Akamai does.
