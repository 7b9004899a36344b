//! A purse, as its owner follows it: each request is signed in the State that the one before leaves behind.
//!
//! ```text
//! Position { number, state, epoch } ─transfer─▶ Request 0 ─▶ State 1 ─buy─▶ Request 1 ─▶ State 2 ─▶ …
//! ```
//! # Rules
//! - The rules of requests are WAL-5 to WAL-8 of `docs/spec/wallet.md`.
//! - A chain may be signed, and sent, before any of it is voted for.
//! - Two requests of one State that are both sent can lock the purse until the epoch ends: after a power cut ask a node for the
//!   position and [`Spender::move_to`] it, and send again what was signed rather than something else.
//! - A request is good for one epoch. In the next one the position is that of the requests that were executed.

use alloc::vec::Vec;
use protocol::{DecodeError, Draft, Id, NetworkId, Operation, PublicKey, Request, SecretKey, UNITS_PER_COIN};
use thiserror::Error;

/// How long after it is signed a request may be voted for, in milliseconds.
pub const WINDOW_MS: u64 = 60_000;
/// Attempts at the work, in multiples of what it takes on average: that all fail has a chance of e⁻⁶⁴.
const ATTEMPTS_FACTOR: u64 = 64;
/// Values of a nibble.
const NIBBLE_VALUES: u64 = 16;

/// Where a purse stands: what its next request must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Requests of the purse before the next one.
    pub number: u64,
    /// The State they left behind.
    pub state: Id,
    /// The epoch in which the next one may be voted for.
    pub epoch: u64,
}

/// Why a request was not signed. The position stays where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpendError {
    /// Nobody would decode it: a price of 0, or an argument that is too long.
    #[error("the request cannot be signed: {0}")]
    Request(DecodeError),
    /// More than 64 bits of sub-units.
    #[error("{0} DCoin are more than a purse can hold")]
    Amount(u64),
    /// No nonce was found; with the difficulties that a network may ask for this does not happen.
    #[error("no proof of work was found: sign it again at another time")]
    Work,
    /// Every number was used.
    #[error("the purse has used all its numbers")]
    Exhausted,
}

/// Signs the requests of one purse, one after another.
#[derive(Clone, Debug)]
pub struct Spender {
    network: NetworkId,
    key: SecretKey,
    difficulty: u8,
    at: Position,
}

impl Spender {
    /// A spender whose next request has the position `at`. `difficulty` is the network's, in zero nibbles.
    #[must_use]
    pub const fn new(network: NetworkId, key: SecretKey, difficulty: u8, at: Position) -> Self {
        Self { network, key, difficulty, at }
    }

    /// The wallet's ID.
    #[must_use]
    pub fn wallet(&self) -> PublicKey {
        self.key.public_key()
    }

    /// What the next request will name.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.at
    }

    /// Goes on from another position: in another epoch, or after requests that came to nothing.
    pub const fn move_to(&mut self, at: Position) {
        self.at = at;
    }

    /// Pays `price` sub-units to the purse of another wallet. `now_ms` is the time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`SpendError`] if the price is 0 or the numbers are used up.
    pub fn transfer(&mut self, to: PublicKey, price: u64, now_ms: u64) -> Result<Request, SpendError> {
        self.sign(Operation::Transfer { to }, price, now_ms)
    }

    /// Buys a service for `price` sub-units, and tells it `argument`. `now_ms` is the time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`SpendError`] if the price is 0, the argument longer than [`protocol::limits::ARGUMENT_BYTES_MAX`], or the numbers are
    /// used up.
    pub fn buy(&mut self, service: Id, price: u64, argument: Vec<u8>, now_ms: u64) -> Result<Request, SpendError> {
        self.sign(Operation::Buy { service, argument }, price, now_ms)
    }

    /// Moves whole DCoin from the purse back to the wallet's account. `now_ms` is the time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`SpendError`] if there are no coins or more than a purse can hold, or the numbers are used up.
    pub fn redeem(&mut self, coins: u64, now_ms: u64) -> Result<Request, SpendError> {
        let price = coins.checked_mul(UNITS_PER_COIN).ok_or(SpendError::Amount(coins))?;
        self.sign(Operation::Redeem, price, now_ms)
    }

    fn sign(&mut self, operation: Operation, price: u64, now_ms: u64) -> Result<Request, SpendError> {
        let Position { number, state, epoch } = self.at;
        let next = number.checked_add(1).ok_or(SpendError::Exhausted)?;
        let draft = Draft { state, number, epoch, operation, price, from_ms: now_ms, until_ms: now_ms.saturating_add(WINDOW_MS) };
        let signed = draft.sign(&self.network, &self.key, self.difficulty, attempts(self.difficulty));
        let request = signed.map_err(SpendError::Request)?.ok_or(SpendError::Work)?;
        self.at = Position { number: next, state: request.next_state(), epoch };
        Ok(request)
    }
}

/// How many nonces to try.
const fn attempts(difficulty: u8) -> u64 {
    ATTEMPTS_FACTOR.saturating_mul(NIBBLE_VALUES.saturating_pow(difficulty as u32))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloc::vec;
    use protocol::limits::ARGUMENT_BYTES_MAX;
    use protocol::request::first_state;
    use protocol::{Decode, Encode};

    const NETWORK: NetworkId = NetworkId([7; 32]);
    const OTHER: PublicKey = PublicKey([2; 32]);
    const NOW_MS: u64 = 1_750_000_000_000;

    fn spender(difficulty: u8) -> Spender {
        let key = SecretKey::from_seed(&[3; 32]);
        let at = Position { number: 0, state: first_state(&NETWORK, &key.public_key()), epoch: 4 };
        Spender::new(NETWORK, key, difficulty, at)
    }

    #[test]
    fn each_request_is_made_in_the_state_that_the_one_before_leaves() {
        let mut spender = spender(1);
        let first = spender.transfer(OTHER, 300, NOW_MS).unwrap();
        let second = spender.buy(Id([4; 32]), 1, b"double".to_vec(), NOW_MS).unwrap();
        let third = spender.redeem(2, NOW_MS).unwrap();
        assert_eq!([first.number, second.number, third.number], [0, 1, 2]);
        assert_eq!(first.state, first_state(&NETWORK, &spender.wallet()));
        assert_eq!((second.state, third.state), (first.next_state(), second.next_state()));
        assert_eq!(spender.position(), Position { number: 3, state: third.next_state(), epoch: 4 });
        assert_eq!((third.operation.clone(), third.price), (Operation::Redeem, 2 * UNITS_PER_COIN));
        for request in [first, second, third] {
            assert!(request.verify(&NETWORK) && request.work() >= 1 && request.epoch == 4);
            assert_eq!((request.from_ms, request.until_ms), (NOW_MS, NOW_MS + WINDOW_MS));
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn what_nobody_would_take_is_not_signed_and_moves_nothing() {
        let mut spender = spender(0);
        let before = spender.position();
        assert_eq!(spender.transfer(OTHER, 0, NOW_MS), Err(SpendError::Request(DecodeError::Invalid("a request's price"))));
        assert_eq!(spender.redeem(0, NOW_MS), Err(SpendError::Request(DecodeError::Invalid("a request's price"))));
        assert_eq!(spender.redeem(u64::MAX, NOW_MS), Err(SpendError::Amount(u64::MAX)));
        let long = spender.buy(Id([4; 32]), 1, vec![0; ARGUMENT_BYTES_MAX + 1], NOW_MS);
        assert!(matches!(long, Err(SpendError::Request(DecodeError::OverLimit { .. }))), "{long:?}");
        assert_eq!(spender.position(), before);
        spender.move_to(Position { number: u64::MAX, ..before });
        assert_eq!(spender.transfer(OTHER, 1, NOW_MS), Err(SpendError::Exhausted));
        spender.move_to(before);
        assert_eq!(spender.transfer(OTHER, 1, NOW_MS).unwrap().number, 0);
    }

    #[test]
    fn the_work_is_what_the_network_asks_for() {
        for difficulty in 0..4 {
            assert!(spender(difficulty).transfer(OTHER, 1, NOW_MS).unwrap().work() >= difficulty);
        }
        assert_eq!((attempts(0), attempts(2), attempts(16)), (64, 64 * 256, u64::MAX));
    }

    #[test]
    fn a_clock_at_its_end_makes_no_window_that_ends_before_it_begins() {
        let request = spender(0).transfer(OTHER, 1, u64::MAX).unwrap();
        assert_eq!((request.from_ms, request.until_ms), (u64::MAX, u64::MAX));
    }
}
