//! Minting a session, and renewing one in a cookie.

use std::time::Duration;

use super::text::{Claims, Session};
use super::{Life, Sessions};
use crate::domain::token::address;
use crate::domain::token::grant::{Clients, Grant, Scope, UnixTime};
use crate::domain::token::key::{Algorithm, Signer};

const MINUTE_SECONDS: u64 = 60;

impl Sessions {
    /// The session for an access token that has just verified. The same grant gives the same text within one minute.
    pub fn mint(&self, grant: &Grant, life: Life, salt: &[u8], now: UnixTime) -> Session {
        self.mint_viewing(grant, None, life, salt, now)
    }

    /// As [`Sessions::mint`], for a property that counts viewings: the text names the one it belongs to.
    pub fn mint_viewing(
        &self,
        grant: &Grant,
        viewing: Option<u64>,
        life: Life,
        salt: &[u8],
        now: UnixTime,
    ) -> Session {
        let carry = self.settings.carry;
        let minute = minute_of(now);
        let ttl_max = ceiling_seconds(self.settings.ttl_max);
        let (life_seconds, first_mint) = match life {
            Life::Fixed { media_duration: Some(duration) } => {
                (ceiling_seconds(duration).saturating_add(MINUTE_SECONDS).min(ttl_max), None)
            }
            Life::Fixed { media_duration: None } => (ttl_max, None),
            Life::Renewable => (ttl_max, Some(minute)),
        };
        let pause = ceiling_seconds(self.settings.pause_allowance);
        let claims = Claims {
            ip: if carry.ip { bound_to(&grant.clients) } else { None },
            first_mint,
            expires: bounded(minute.saturating_add(life_seconds).saturating_add(pause)),
            acl: match &grant.scope {
                // A field may not be empty. Like an empty ACL, a lone separator matches nothing.
                Scope::Acl(acl) if carry.acl && acl.is_empty() => "!",
                Scope::Acl(acl) if carry.acl => acl,
                Scope::Acl(_) | Scope::Url | Scope::Condition => "/*",
            },
            id: grant.session_id.as_deref().filter(|id| carry.id && !id.is_empty()),
            name: &self.settings.name,
            viewing,
            payload: grant.payload.as_deref().filter(|payload| carry.data && !payload.is_empty()),
        };
        let keys = self.keys.load();
        let signing = keys.signing(now, Duration::from_secs(claims.expires));
        Session::signed(&claims.signed_part(), &self.settings.name, &signing.name, |signed| {
            sign(&signing.key, signed, salt)
        })
    }

    /// A successor for a session in a cookie: in the last half of its life, and never past `age_max` since the first mint.
    pub fn renewed(&self, session: &Session, salt: &[u8], now: UnixTime) -> Option<Session> {
        if !self.settings.renew {
            return None;
        }
        let first_mint = session.first_mint()?;
        let life = ceiling_seconds(self.settings.ttl_max)
            .saturating_add(ceiling_seconds(self.settings.pause_allowance));
        let left = session.expires().checked_sub(now.as_secs())?;
        if left > life / 2 {
            return None;
        }
        let oldest = first_mint.saturating_add(self.settings.age_max.as_secs());
        let expires = bounded(minute_of(now).saturating_add(life).min(oldest));
        if expires <= session.expires() {
            return None;
        }
        let keys = self.keys.load();
        let signing = keys.signing(now, Duration::from_secs(expires));
        let successor = session.signed_part_until(expires);
        Some(Session::signed(&successor, &self.settings.name, &signing.name, |signed| {
            sign(&signing.key, signed, salt)
        }))
    }
}

/// The text of a session's `ip`: an address, or networks with a comma between them.
fn bound_to(clients: &Clients) -> Option<String> {
    match clients {
        Clients::Any => None,
        Clients::Address(text) => address::parse(text).map(|address| address.to_string()),
        Clients::Networks(networks) => {
            let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
            // A field may not be empty. No network at all admits nobody, and a lone comma names none.
            Some(if texts.is_empty() { ",".to_owned() } else { texts.join(",") })
        }
    }
}

pub(super) fn sign(signer: &Signer, text: &str, salt: &[u8]) -> String {
    let salted: &[u8] = if salt.is_empty() { b"" } else { b"~salt=" };
    let mut hex = String::with_capacity(Algorithm::Sha256.hex_digits());
    signer.sign(&[text.as_bytes(), salted, salt]).write_hex(&mut hex);
    hex
}

fn minute_of(now: UnixTime) -> u64 {
    let now = bounded(now.as_secs());
    now - now % MINUTE_SECONDS
}

fn ceiling_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// A time that is still written with at most 19 digits.
fn bounded(seconds: u64) -> u64 {
    seconds.min(9_999_999_999_999_999_999)
}
