//! Listeners, TLS, HTTP versions, connection limits, drain. Takes the handler as an argument.
