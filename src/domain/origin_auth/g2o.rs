//! Akamai's "ghost to origin" authentication (G2O, in its documents Signature Header Authentication), versions 3 to 5.
//!
//! The edge adds two header fields to each request:
//!
//! ```text
//! X-Akamai-G2O-Auth-Data: version, edge-ip, client-ip, time, unique-id, nonce
//! X-Akamai-G2O-Auth-Sign: base64(HMAC(key, data + sign-string))
//! ```
//!
//! `sign-string` is path and query of the request as the origin gets it. The hash is MD5 (3), SHA-1 (4) or SHA-256
//! (5); versions 1 and 2 hash without HMAC and are not offered. The nonce names the key. The origin refuses a time that
//! is far from its own (30 s is usual) and may remember unique ids: that keeps a request that was overheard from being
//! sent again. The scheme is described in the README and the tests of `AkamaiOPEN-edgegrid-java`'s G2O library and of
//! `nginx_mod_akamai_g2o`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::domain::token::key::{Algorithm, Secret, Signer};

use super::base64;

pub const DATA_FIELD: &str = "x-akamai-g2o-auth-data";
pub const SIGN_FIELD: &str = "x-akamai-g2o-auth-sign";

/// The hash that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    HmacMd5,
    HmacSha1,
    HmacSha256,
}

/// A key that an origin knows by its nonce.
#[derive(Clone, Debug)]
pub struct G2o {
    version: Version,
    nonce: String,
    signer: Signer,
}

/// The values of the two header fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub data: String,
    pub sign: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum G2oError {
    #[error("there is no G2O version {0}")]
    Version(u8),
    #[error("the nonce is empty or has a comma, a blank or a character beyond ASCII")]
    Nonce,
}

impl Version {
    pub const fn from_number(number: u8) -> Result<Self, G2oError> {
        match number {
            3 => Ok(Self::HmacMd5),
            4 => Ok(Self::HmacSha1),
            5 => Ok(Self::HmacSha256),
            other => Err(G2oError::Version(other)),
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::HmacMd5 => 3,
            Self::HmacSha1 => 4,
            Self::HmacSha256 => 5,
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::HmacMd5 => Algorithm::Md5,
            Self::HmacSha1 => Algorithm::Sha1,
            Self::HmacSha256 => Algorithm::Sha256,
        }
    }
}

impl G2o {
    pub fn new(version: Version, key: &Secret, nonce: &str) -> Result<Self, G2oError> {
        let is_name = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if !is_name {
            return Err(G2oError::Nonce);
        }
        Ok(Self { version, nonce: nonce.to_owned(), signer: Signer::new(key, version.algorithm()) })
    }

    /// Signs one request. The addresses of edge and viewer are written as `0.0.0.0`: the origin learns of the viewer by
    /// the forwarding fields, and no origin can check the edge's address behind a NAT.
    pub fn sign(&self, path_and_query: &str, unique_id: &str, now: Duration) -> Signed {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.signed(path_and_query, [nobody, nobody], unique_id, now)
    }

    fn signed(
        &self,
        path_and_query: &str,
        [edge, client]: [IpAddr; 2],
        unique_id: &str,
        now: Duration,
    ) -> Signed {
        let (version, time, nonce) = (self.version.number(), now.as_secs(), &self.nonce);
        let data = format!("{version}, {edge}, {client}, {time}, {unique_id}, {nonce}");
        let digest = self.signer.sign(&[data.as_bytes(), path_and_query.as_bytes()]);
        Signed { data, sign: base64::encode(digest.as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        version: u8,
        key: &'static str,
        addresses: [&'static str; 2],
        time: u64,
        unique_id: &'static str,
        nonce: &'static str,
        path: &'static str,
        sign: &'static str,
    }

    fn holds(vector: &Vector) {
        let version = Version::from_number(vector.version).unwrap();
        let g2o = G2o::new(version, &Secret::from_text(vector.key).unwrap(), vector.nonce).unwrap();
        let addresses = vector.addresses.map(|address| address.parse().unwrap());
        let now = Duration::from_secs(vector.time);
        let signed = g2o.signed(vector.path, addresses, vector.unique_id, now);
        assert_eq!(signed.sign, vector.sign, "version {}", vector.version);
    }

    /// The test data of `AkamaiOPEN-edgegrid-java`, as IBM's `akamai-g2o` has them (`TestG2OSigner`).
    #[test]
    fn the_vectors_of_the_java_library_hold() {
        for (version, sign) in [
            (3, "D2+ASTlqs3WfCC5EBIhtjA=="),
            (4, "OLU/4N3Sc5gvy7Ta/e1rzMgPb2g="),
            (5, "d/8DhQppXfD8WvbEP5TU3UVrPxgifX4LumVfadVPxgk="),
        ] {
            holds(&Vector {
                version,
                key: "s3cr3tk3y",
                addresses: ["1.2.3.4", "3.4.5.6"],
                time: 1_471_524_574,
                unique_id: "2805760.691583751",
                nonce: "v1",
                path: "/abc",
                sign,
            });
        }
    }

    /// Headers that Akamai's edges sent, as recorded in the tests of `G2O2AzureBlobStorage` (`G2OCryptoUnitTest`).
    #[test]
    fn headers_that_akamai_sent_are_made_again() {
        let vector = |version, edge, time, unique_id, path, sign| Vector {
            version,
            key: "07bf84629be85d68a3ef343d",
            addresses: [edge, "91.52.154.64"],
            time,
            unique_id,
            nonce: "193565",
            path,
            sign,
        };
        holds(&vector(
            3,
            "88.221.93.12",
            1_425_914_629,
            "13587203.1988984900",
            "/version3/portalvhdsdll14kvm02ts7/private/Bg5eMRyIIAAuAKC.jpg",
            "RghQKaP2+Am00Qo3b3OBpA==",
        ));
        holds(&vector(
            4,
            "88.221.93.34",
            1_425_914_666,
            "138246305.315416849",
            "/version4/chgeuerwe123/public/BgsslfBCIAAjERn.jpg",
            "yPhp1SKho6ChHYbJ2h28roruI2A=",
        ));
        holds(&vector(
            5,
            "88.221.93.12",
            1_425_914_708,
            "13634961.563907161",
            "/version5/portalvhdsdll14kvm02ts7/private/Bg5eMRyIIAAuAKC.jpg",
            "ywlg2wx5naj+stk1mJvz3zpcrkX5UNjt+0B04EwrlhU=",
        ));
    }

    #[test]
    fn what_is_signed_is_what_is_sent() {
        let key = Secret::from_text("k").unwrap();
        let g2o = G2o::new(Version::HmacSha256, &key, "n1").unwrap();
        let signed = g2o.sign("/a?b=c", "7.1", Duration::from_secs(12));
        assert_eq!(signed.data, "5, 0.0.0.0, 0.0.0.0, 12, 7.1, n1");
        assert_ne!(signed.sign, g2o.sign("/a", "7.1", Duration::from_secs(12)).sign, "the query is signed");
    }

    #[test]
    fn versions_without_hmac_and_nonces_that_break_the_list_are_refused() {
        assert_eq!(Version::from_number(2), Err(G2oError::Version(2)));
        assert_eq!(Version::from_number(6), Err(G2oError::Version(6)));
        let key = Secret::from_text("k").unwrap();
        for nonce in ["", "a,b", "a b", "é", "a\r\nb"] {
            assert_eq!(G2o::new(Version::HmacMd5, &key, nonce).unwrap_err(), G2oError::Nonce);
        }
    }
}
