//! A request: what a wallet spends from its purse, and for what.
//!
//! ```text
//! version=1 u8 | wallet [32] | state [32] | number | epoch | operation | price | from ms u64 | until ms u64 | nonce u64 |
//! signature [64]
//! operation: 0 Transfer: to [32]
//!            1 Buy:      service [32] | argument ≤ 256 bytes
//!            2 Redeem
//! ```
//! # Rules
//! - They are WAL-5 to WAL-8 of `docs/spec/wallet.md`.
//! - The signature is the wallet's, over everything before it, under `"wattle/request/v1/" ‖ network id`.
//! - The id does not cover the signature: a request signed twice is one request.
//! - A request names the purse's State and number, so it is executed at most once, and the epoch in which it may be voted for,
//!   so that no vote can be carried into another epoch.
//! ```text
//! first State = SHA-256("wattle/purse/v1" ‖ network id ‖ wallet)          number 0
//! next State  = SHA-256("wattle/purse/v1" ‖ State ‖ request id)           number + 1
//! ```

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_varint};
use crate::keys::{Id, NetworkId, PublicKey, SecretKey, Signature, verify_batch};
use crate::limits::{ARGUMENT_BYTES_MAX, WINDOW_MS_MAX};
use crate::pow::{hash, leading_zero_nibbles, solve};
use alloc::vec::Vec;

const VERSION: u8 = 1;
const ID_DOMAIN: &[u8] = b"wattle/request/v1";
const NAMESPACE: &[u8] = b"wattle/request/v1/";
const STATE_DOMAIN: &[u8] = b"wattle/purse/v1";

/// Sub-units of a DCoin: what purses, prices and rewards are counted in.
pub const UNITS_PER_COIN: u64 = 1_000_000;

/// A wallet's ID is its key: whoever cannot sign cannot spend.
pub type WalletId = PublicKey;

/// What the price is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Another wallet gets it.
    Transfer {
        /// Whose purse it goes to.
        to: WalletId,
    },
    /// A service is bought.
    Buy {
        /// The service ([`crate::service::service_id`]).
        service: Id,
        /// What the service is told: at most [`ARGUMENT_BYTES_MAX`] bytes.
        argument: Vec<u8>,
    },
    /// It goes back to the wallet's account, in whole DCoin.
    Redeem,
}

impl Encode for Operation {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Transfer { to } => {
                out.push(0);
                to.encode_to(out);
            }
            Self::Buy { service, argument } => {
                out.push(1);
                service.encode_to(out);
                put_bytes(out, argument);
            }
            Self::Redeem => out.push(2),
        }
    }
}

impl Decode for Operation {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("a request's operation")? {
            0 => Ok(Self::Transfer { to: PublicKey::decode_from(reader)? }),
            1 => Ok(Self::Buy {
                service: Id::decode_from(reader)?,
                argument: reader.bytes(ARGUMENT_BYTES_MAX, "a request's argument")?.to_vec(),
            }),
            2 => Ok(Self::Redeem),
            tag => Err(DecodeError::UnknownTag { what: "a request's operation", tag }),
        }
    }
}

/// A request before its work is done and it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The purse's State.
    pub state: Id,
    /// The purse's number: requests of it that were executed before.
    pub number: u64,
    /// The epoch in which it may be voted for.
    pub epoch: u64,
    /// What the price is for.
    pub operation: Operation,
    /// The price, in sub-units; at least 1.
    pub price: u64,
    /// From when on it may be voted for, in milliseconds since 1970.
    pub from_ms: u64,
    /// Until when, at most [`WINDOW_MS_MAX`] later.
    pub until_ms: u64,
}

/// What a wallet spends, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who spends.
    pub wallet: WalletId,
    /// The purse's State.
    pub state: Id,
    /// The purse's number: requests of it that were executed before.
    pub number: u64,
    /// The epoch in which it may be voted for.
    pub epoch: u64,
    /// What the price is for.
    pub operation: Operation,
    /// The price, in sub-units; at least 1.
    pub price: u64,
    /// From when on it may be voted for, in milliseconds since 1970.
    pub from_ms: u64,
    /// Until when.
    pub until_ms: u64,
    /// Proof of work.
    pub nonce: u64,
    /// The wallet's signature.
    pub signature: Signature,
}

/// A purse's State before its first request.
#[must_use]
pub fn first_state(network: &NetworkId, wallet: &WalletId) -> Id {
    Id::hash(&[STATE_DOMAIN, &network.0, &wallet.0])
}

/// A purse's State after a request that was executed.
#[must_use]
pub fn next_state(previous: &Id, request: &Id) -> Id {
    Id::hash(&[STATE_DOMAIN, &previous.0, &request.0])
}

/// The namespace under which the wallets of a network sign their requests.
#[must_use]
pub fn namespace(network: &NetworkId) -> Vec<u8> {
    [NAMESPACE, &network.0].concat()
}

impl Draft {
    fn check(&self) -> Result<(), DecodeError> {
        if self.price == 0 || (self.operation == Operation::Redeem && !self.price.is_multiple_of(UNITS_PER_COIN)) {
            return Err(DecodeError::Invalid("a request's price"));
        }
        match self.until_ms.checked_sub(self.from_ms) {
            Some(window_ms) if window_ms <= WINDOW_MS_MAX => {}
            _ => return Err(DecodeError::Invalid("a request's window")),
        }
        match &self.operation {
            Operation::Buy { argument, .. } if argument.len() > ARGUMENT_BYTES_MAX => {
                let (limit, found) = (ARGUMENT_BYTES_MAX, argument.len() as u64);
                Err(DecodeError::OverLimit { what: "a request's argument", limit, found })
            }
            _ => Ok(()),
        }
    }

    fn before_nonce(&self, wallet: &WalletId) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.push(VERSION);
        wallet.encode_to(&mut out);
        self.state.encode_to(&mut out);
        put_varint(&mut out, self.number);
        put_varint(&mut out, self.epoch);
        self.operation.encode_to(&mut out);
        put_varint(&mut out, self.price);
        out.extend_from_slice(&self.from_ms.to_be_bytes());
        out.extend_from_slice(&self.until_ms.to_be_bytes());
        out
    }

    /// The request of the wallet that `key` belongs to, with `difficulty` nibbles of work; `None` if `attempts` nonces were
    /// not enough.
    ///
    /// # Errors
    /// [`DecodeError`] if nobody would decode it: a price of 0 or not in whole DCoin for [`Operation::Redeem`], a window that
    /// is too long or ends before it begins, an argument over its limit.
    pub fn sign(self, network: &NetworkId, key: &SecretKey, difficulty: u8, attempts: u64) -> Result<Option<Request>, DecodeError> {
        self.check()?;
        let wallet = key.public_key();
        let mut content = self.before_nonce(&wallet);
        let Some(nonce) = solve(&Id::hash(&[&content]), difficulty, 0, attempts) else { return Ok(None) };
        content.extend_from_slice(&nonce.to_be_bytes());
        let signature = key.sign(&namespace(network), &content);
        let Self { state, number, epoch, operation, price, from_ms, until_ms } = self;
        Ok(Some(Request { wallet, state, number, epoch, operation, price, from_ms, until_ms, nonce, signature }))
    }
}

impl Request {
    fn draft(&self) -> Draft {
        let Self { state, number, epoch, ref operation, price, from_ms, until_ms, .. } = *self;
        Draft { state, number, epoch, operation: operation.clone(), price, from_ms, until_ms }
    }

    /// The bytes that the wallet signs under [`namespace`].
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let mut out = self.draft().before_nonce(&self.wallet);
        out.extend_from_slice(&self.nonce.to_be_bytes());
        out
    }

    /// The hash that names the request: what votes list.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::hash(&[ID_DOMAIN, &self.content()])
    }

    /// The purse's State once it is executed.
    #[must_use]
    pub fn next_state(&self) -> Id {
        next_state(&self.state, &self.id())
    }

    /// Whether the signature is the wallet's, for this network.
    #[must_use]
    pub fn verify(&self, network: &NetworkId) -> bool {
        self.wallet.verify(&namespace(network), &self.content(), &self.signature)
    }

    /// Whether [`Self::verify`] holds for every one of them, in about half the time. If not, verify them one by one.
    /// `seed`: see [`verify_batch`].
    #[must_use]
    pub fn verify_all(requests: &[&Self], network: &NetworkId, seed: [u8; 32]) -> bool {
        let namespace = namespace(network);
        let signed: Vec<Vec<u8>> = requests.iter().map(|r| r.content()).collect();
        let items: Vec<_> =
            requests.iter().zip(&signed).map(|(r, bytes)| (r.wallet, namespace.as_slice(), bytes.as_slice(), r.signature)).collect();
        verify_batch(&items, seed)
    }

    /// The work that its nonce shows, in zero nibbles.
    #[must_use]
    pub fn work(&self) -> u8 {
        let prefix = Id::hash(&[&self.draft().before_nonce(&self.wallet)]);
        leading_zero_nibbles(&hash(&prefix, self.nonce))
    }
}

impl Encode for Request {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.content());
        self.signature.encode_to(out);
    }
}

impl Decode for Request {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION, "a request's version")?;
        let wallet = PublicKey::decode_from(reader)?;
        let draft = Draft {
            state: Id::decode_from(reader)?,
            number: reader.varint("a request's number")?,
            epoch: reader.varint("a request's epoch")?,
            operation: Operation::decode_from(reader)?,
            price: reader.varint("a request's price")?,
            from_ms: reader.u64("a request's window")?,
            until_ms: reader.u64("a request's window")?,
        };
        draft.check()?;
        let (nonce, signature) = (reader.u64("a request's nonce")?, Signature::decode_from(reader)?);
        let Draft { state, number, epoch, operation, price, from_ms, until_ms } = draft;
        Ok(Self { wallet, state, number, epoch, operation, price, from_ms, until_ms, nonce, signature })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use alloc::vec;

    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn draft(operation: Operation, price: u64) -> Draft {
        Draft { state: Id([1; 32]), number: 300, epoch: 2, operation, price, from_ms: 5, until_ms: 6 }
    }

    fn signed(operation: Operation, price: u64) -> Result<Option<Request>, DecodeError> {
        draft(operation, price).sign(&NETWORK, &SecretKey::from_seed(&[3; 32]), 1, 10_000)
    }

    #[test]
    fn a_request_is_its_wallets_and_of_one_network() {
        let request = signed(Operation::Transfer { to: PublicKey([2; 32]) }, 9).unwrap().unwrap();
        assert_eq!(Request::decode(&request.encode()).as_ref(), Ok(&request));
        assert!(request.verify(&NETWORK) && !request.verify(&NetworkId([8; 32])));
        assert!(request.work() >= 1);
        let dearer = Request { price: 10, ..request.clone() };
        assert!(!dearer.verify(&NETWORK) && dearer.id() != request.id());
        let unsigned = Request { signature: Signature([0; 64]), ..request.clone() };
        assert_eq!(unsigned.id(), request.id(), "the signature is no part of it");
        assert!(!unsigned.verify(&NETWORK));
        assert_ne!(request.next_state(), request.state);
    }

    #[test]
    fn requests_are_verified_together() {
        let one = signed(Operation::Transfer { to: PublicKey([2; 32]) }, 9).unwrap().unwrap();
        let two = signed(Operation::Transfer { to: PublicKey([2; 32]) }, 8).unwrap().unwrap();
        assert!(Request::verify_all(&[&one, &two], &NETWORK, [1; 32]));
        let forged = Request { price: 7, ..two };
        assert!(!Request::verify_all(&[&one, &forged], &NETWORK, [1; 32]));
        assert!(!Request::verify_all(&[&one], &NetworkId([8; 32]), [1; 32]), "another network's");
    }

    #[test]
    fn prices_and_windows_that_nobody_may_have_are_refused() {
        assert_eq!(signed(Operation::Redeem, 0), Err(DecodeError::Invalid("a request's price")));
        assert_eq!(signed(Operation::Redeem, 1), Err(DecodeError::Invalid("a request's price")), "not whole");
        assert!(signed(Operation::Redeem, UNITS_PER_COIN).is_ok());
        let long = Operation::Buy { service: Id([4; 32]), argument: vec![0; ARGUMENT_BYTES_MAX + 1] };
        assert!(matches!(signed(long, 1), Err(DecodeError::OverLimit { .. })));
        for (from_ms, until_ms) in [(6, 5), (0, WINDOW_MS_MAX + 1), (u64::MAX, 0)] {
            let draft = Draft { from_ms, until_ms, ..draft(Operation::Redeem, UNITS_PER_COIN) };
            let refused = draft.sign(&NETWORK, &SecretKey::from_seed(&[3; 32]), 0, 1);
            assert_eq!(refused, Err(DecodeError::Invalid("a request's window")));
        }
        // and so they are by who reads them
        let mut bytes = signed(Operation::Redeem, UNITS_PER_COIN).unwrap().unwrap().encode();
        let price_at = bytes.len() - 64 - 24 - 3;
        drop(bytes.splice(price_at..price_at + 3, [0]));
        assert_eq!(Request::decode(&bytes), Err(DecodeError::Invalid("a request's price")));
    }

    #[test]
    fn the_largest_request_has_room() {
        let operation = Operation::Buy { service: Id([4; 32]), argument: vec![0; ARGUMENT_BYTES_MAX] };
        let draft = Draft { number: u64::MAX, epoch: u64::MAX, ..draft(operation, u64::MAX) };
        let request = draft.sign(&NETWORK, &SecretKey::from_seed(&[3; 32]), 0, 1).unwrap().unwrap();
        assert_eq!(request.encode().len(), crate::limits::WALLET_REQUEST_BYTES_MAX);
    }
}
