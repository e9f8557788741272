//! AES-128 in CBC mode with PKCS#7 padding over a body that arrives in pieces.

use aws_lc_rs::cipher::{AES_128, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::Seal;

const BLOCK_BYTES: usize = 16;

/// The cipher failed; it does so only where memory is wanting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a segment could not be encrypted")]
pub struct CipherError;

/// A body on its way through the cipher.
pub struct Encryptor(StreamingEncryptingKey);

impl std::fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encryptor(..)")
    }
}

impl Encryptor {
    pub fn new(seal: &Seal) -> Result<Self, CipherError> {
        let key = UnboundCipherKey::new(&AES_128, &seal.key).map_err(|_| CipherError)?;
        // The IV is derived from the path and stands in the playlist, which the interface for fixed IVs is named for.
        let context = EncryptionContext::Iv128(FixedLength::from(seal.iv));
        StreamingEncryptingKey::less_safe_cbc_pkcs7(key, context).map(Self).map_err(|_| CipherError)
    }

    /// The ciphertext of `clear` as far as it fills blocks; the rest waits for what follows.
    pub fn update(&mut self, clear: &[u8]) -> Result<Vec<u8>, CipherError> {
        let mut sealed = vec![0; clear.len() + BLOCK_BYTES];
        let written = self.0.update(clear, &mut sealed).map_err(|_| CipherError)?.written().len();
        sealed.truncate(written);
        Ok(sealed)
    }

    /// The last block, with its padding.
    pub fn finish(self) -> Result<Vec<u8>, CipherError> {
        let mut sealed = vec![0; BLOCK_BYTES];
        let (_, last) = self.0.finish(&mut sealed).map_err(|_| CipherError)?;
        let written = last.written().len();
        sealed.truncate(written);
        Ok(sealed)
    }
}

/// The length of the ciphertext of so many clear bytes: padding is always there.
pub const fn sealed_bytes(clear_bytes: u64) -> u64 {
    (clear_bytes / BLOCK_BYTES as u64 + 1) * BLOCK_BYTES as u64
}
