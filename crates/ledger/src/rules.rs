//! What applying depends on beside the state, and what a message is told when something in it is refused.

use protocol::{CertificateError, DeviceName, EvidenceError, Id, NetworkId, Parameters, PublicKey, WalletParameters};
use thiserror::Error;

/// The circumstances of a message: the same on every node.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The network.
    pub network: &'a NetworkId,
    /// The subnet within it.
    pub subnet: u16,
    /// The epoch of the milestone that confirms the message.
    pub epoch: u64,
    /// The height of that milestone.
    pub height: u64,
    /// The time of that milestone, in milliseconds since 1970.
    pub time_ms: u64,
    /// What the genesis says.
    pub parameters: &'a Parameters,
    /// What it says about wallets.
    pub wallets: &'a WalletParameters,
}

/// Why a request, a certificate, shares, a service or the end of a purchase have no effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// It is of another epoch.
    #[error("the epoch is {now}: sign it again for that")]
    Epoch {
        /// The present epoch.
        now: u64,
    },
    /// It was executed already, or another request of its State was.
    #[error("the purse has number {number} and State {expected}: this request, or another of its State, was executed")]
    State {
        /// The purse's number.
        number: u64,
        /// The purse's State.
        expected: Id,
    },
    /// Its number is too far ahead.
    #[error("the purse has number {number}: wait until requests before this one are executed")]
    Ahead {
        /// The purse's number.
        number: u64,
    },
    /// Too little work: it is not registered.
    #[error("its work is too little: {needed} zero nibbles are needed; sign it again")]
    Work {
        /// Zero nibbles that are needed.
        needed: u8,
    },
    /// The certificate proves nothing.
    #[error("the certificate does not hold: {0}")]
    Certificate(#[from] CertificateError),
    /// More shares than readings.
    #[error("{claimed} shares are claimed for {readings} readings: none is paid")]
    Shares {
        /// Shares.
        claimed: u64,
        /// The batch's readings.
        readings: u32,
    },
    /// The batch's shares were paid.
    #[error("the shares of this batch were paid before")]
    PaidBefore,
    /// No such service.
    #[error("there is no service {0} of this wallet")]
    NoService(Id),
    /// No such purchase, or it has ended.
    #[error("there is no purchase {0}, or it has ended")]
    NoPurchase(Id),
    /// Only the provider can say so.
    #[error("only the provider, {provider}, can say how it went")]
    Provider {
        /// Who provides it.
        provider: PublicKey,
    },
    /// The provider reports too late.
    #[error("the time to report ended at {due_ms} ms since 1970: it ends as due")]
    Late {
        /// When.
        due_ms: u64,
    },
    /// The provider may still report.
    #[error("the provider may report until {due_ms} ms since 1970")]
    Early {
        /// Until when.
        due_ms: u64,
    },
    /// The issuer is no member of the committee, or has said so before.
    #[error("the issuer is no member of the committee, or ended the epoch before")]
    NoMember,
}

/// Why an order, or evidence, has no effect. The message that carries it counts all the same.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// The signature is not the wallet's.
    #[error("the signature is not the wallet's: sign it for this network")]
    Signature,
    /// The order was made in another State: it was executed already, or another came first.
    #[error("the wallet's State is {expected}: read it and sign the order again")]
    State {
        /// The wallet's State.
        expected: Id,
    },
    /// A key that signs everything cannot be a validator's.
    #[error("the wallet's key is not a sound Ed25519 key: register another")]
    Key,
    /// Nobody registered under this key.
    #[error("{0} is not a validator")]
    Stranger(PublicKey),
    /// The validator retired.
    #[error("{0} has retired and takes no stake")]
    Retired(PublicKey),
    /// The validator was slashed to almost nothing.
    #[error("{0} has been slashed to almost nothing and takes no stake")]
    Ruined(PublicKey),
    /// The validator would stand for election, and there is no room.
    #[error("there are as many candidates as there can be: try again when one has left")]
    CandidatesFull,
    /// The wallet has less.
    #[error("the wallet has {available} DCoin for this, the order needs {needed}")]
    Funds {
        /// What it has.
        available: u64,
        /// What the order needs.
        needed: u64,
    },
    /// Too many amounts wait to be released.
    #[error("too many amounts are unbonding from this validator: withdraw what is released first")]
    UnbondingFull,
    /// Nothing is released.
    #[error("nothing is released by epoch {epoch}")]
    NothingReleased {
        /// The present epoch.
        epoch: u64,
    },
    /// A sum over 64 bits, which no genesis that was checked can lead to.
    #[error("the amount is over 64 bits")]
    Overflow,
    /// The evidence proves nothing.
    #[error("the evidence does not hold: {0}")]
    Evidence(#[from] EvidenceError),
    /// The offence was punished before.
    #[error("this offence was punished before")]
    Punished,
    /// The site belongs to another wallet.
    #[error("the site is the wallet's {owner}: order with its key, or choose another name")]
    SiteTaken {
        /// Whose it is.
        owner: PublicKey,
    },
    /// The site has as many devices as there can be.
    #[error("the site has had as many devices as it can have: choose another site")]
    SiteFull,
    /// Gateways out of order, or too many.
    #[error("the gateways must be at most 8 keys, ascending, each once")]
    Gateways,
    /// Nobody registered the device.
    #[error("{0} is not registered")]
    NoDevice(DeviceName),
    /// The device is another wallet's.
    #[error("the device was registered by the wallet {owner}: order with its key")]
    DeviceOwner {
        /// Whose it is.
        owner: PublicKey,
    },
    /// The device is there already.
    #[error("{0} is registered: rotate its key, or revoke it first")]
    DeviceTaken(DeviceName),
    /// The device was revoked.
    #[error("{0} was revoked: register it again with another key")]
    DeviceRevoked(DeviceName),
    /// A key for a role that has none, or none for one that has.
    #[error("a device of role 1 has no key, one of role 2 or 3 has one")]
    DeviceRole,
    /// The key is, or was, a device's.
    #[error("the key {0} was registered before: make the device a new one")]
    DeviceKeyUsed(PublicKey),
    /// A key that signs everything cannot be a device's.
    #[error("the device's key is not a sound Ed25519 key: make it another")]
    DeviceKeyUnsound,
    /// The device's key did not sign.
    #[error("the proof that somebody holds the device's key does not hold: sign for this network, device and wallet")]
    Possession,
    /// A request, or what goes with requests.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Something in a message that had no effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("order {index}: {why}")]
pub struct Refusal {
    /// Its place in the message, from 0.
    pub index: usize,
    /// Why.
    pub why: OrderError,
}
