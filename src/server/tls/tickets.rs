//! Session tickets: one set of keys for a process, which rotate by themselves, and walls between what may resume what.
//!
//! The keys outlive every configuration, so that a reload costs nobody the resumption. A ticket holds the client's
//! certificates, and resuming it verifies none: it must not lead from a handshake that asked for nothing, or for
//! something else, into a property that asks for a certificate. Each ticket therefore says under which terms it was
//! made, inside of what is encrypted and authenticated, and is good under the same terms alone; elsewhere the client
//! does a full handshake.

use std::fmt;
use std::sync::Arc;

use rustls::server::ProducesTickets;

/// Who may resume a session: those of the same terms.
pub(super) type Terms = [u8; 32];

/// The terms of handshakes that ask for no certificate.
pub(super) const OPEN: Terms = [0; 32];

/// Makes and reads tickets under some terms, with the keys that all share.
pub(super) struct Tickets {
    keys: Arc<dyn ProducesTickets>,
    terms: Terms,
}

impl Tickets {
    pub(super) fn new(keys: Arc<dyn ProducesTickets>, terms: Terms) -> Arc<Self> {
        Arc::new(Self { keys, terms })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(&[&self.terms, plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let mut plain = self.keys.decrypt(cipher)?;
        if !plain.starts_with(&self.terms) {
            return None;
        }
        plain.drain(..self.terms.len());
        Some(plain)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(..)")
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::Ticketer;

    use super::*;

    #[test]
    fn a_ticket_is_good_under_its_own_terms_alone_whoever_reads_it() {
        let keys = Ticketer::new().unwrap();
        let tickets = |terms| Tickets::new(Arc::clone(&keys), terms);
        let ticket = tickets([7; 32]).encrypt(b"a session").unwrap();
        assert_eq!(tickets([7; 32]).decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        assert_eq!(tickets([8; 32]).decrypt(&ticket), None);
        assert_eq!(tickets(OPEN).decrypt(&ticket), None);
        let open = tickets(OPEN).encrypt(b"a session").unwrap();
        assert_eq!(tickets([7; 32]).decrypt(&open), None);
        assert_eq!(Tickets::new(Ticketer::new().unwrap(), OPEN).decrypt(&open), None);
        assert_eq!(tickets(OPEN).decrypt(&keys.encrypt(b"short").unwrap()), None);
    }
}
