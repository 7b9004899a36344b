//! Lightweight proof of work, as in Wallance: a hash that begins with zero nibbles.
//!
//! ```text
//! prefix = SHA-256(a message's encoding before its nonce)
//! hash   = SHA-256(prefix ‖ nonce u64)          work = leading zero nibbles of hash
//! ```
//! # Rules
//! - Each nibble costs sixteen times the attempts: `d` nibbles take `16^d` on average (Wallance, Table III).
//! - The prefix covers everything but the nonce and the signature, so work can not be carried to another message.
//! - The signature covers the nonce: work is done first, then the message is signed.
//! - How much work a message needs is said in [`crate::rate`].

use crate::keys::Id;
use crate::message::{Message, Unsigned};

/// Nibbles of a hash: no work is greater.
pub const NIBBLES_MAX: u8 = 64;
/// Bytes of a message's encoding from its nonce to its end: nonce and signature.
const TAIL_BYTES: usize = 8 + 64;

/// The hash that a nonce gives: `SHA-256(prefix ‖ nonce)`, the nonce big-endian.
#[must_use]
pub fn hash(prefix: &Id, nonce: u64) -> Id {
    Id::hash(&[prefix.as_bytes(), &nonce.to_be_bytes()])
}

/// How many nibbles at the beginning of a hash are zero: 0 to [`NIBBLES_MAX`].
#[must_use]
pub fn leading_zero_nibbles(hash: &Id) -> u8 {
    let mut zeros = 0;
    for byte in hash.0 {
        match byte {
            0 => zeros += 2,
            1..=15 => return zeros + 1,
            _ => return zeros,
        }
    }
    zeros
}

/// Looks for a nonce whose hash begins with at least `difficulty` zero nibbles among the `attempts` nonces from
/// `start` on (after the last one comes 0). `None` if there is none among them.
#[must_use]
pub fn solve(prefix: &Id, difficulty: u8, start: u64, attempts: u64) -> Option<u64> {
    if difficulty > NIBBLES_MAX {
        return None;
    }
    let mut nonces = (0..attempts).map(|attempt| start.wrapping_add(attempt));
    nonces.find(|nonce| leading_zero_nibbles(&hash(prefix, *nonce)) >= difficulty)
}

impl Message {
    /// The work that its nonce shows, in zero nibbles.
    #[must_use]
    pub fn work(&self) -> u8 {
        let end = self.bytes().len().saturating_sub(TAIL_BYTES);
        let prefix = Id::hash(&[self.bytes().get(..end).unwrap_or_default()]);
        leading_zero_nibbles(&hash(&prefix, self.pow_nonce))
    }
}

impl Unsigned {
    /// Does `difficulty` nibbles of work and sets `pow_nonce`. Gives whether `attempts` were enough; if not,
    /// nothing is changed. What is changed in the message afterwards makes the work void.
    #[must_use]
    pub fn prove(&mut self, difficulty: u8, attempts: u64) -> bool {
        let prefix = Id::hash(&[&self.before_nonce()]);
        let nonce = solve(&prefix, difficulty, 0, attempts);
        if let Some(nonce) = nonce {
            self.pow_nonce = nonce;
        }
        nonce.is_some()
    }
}
