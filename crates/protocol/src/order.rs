//! An order: what a wallet tells the ledger to do with its stake, its site and its devices.
//!
//! ```text
//! version=1 u8 | wallet [32] | state [32] | action | signature [64]
//! action: 0 Register:   name | address?
//!         1 Retire
//!         2 Delegate:   validator [32] | amount
//!         3 Undelegate: validator [32] | amount
//!         4 Withdraw:   validator [32]
//!         5 Site:       name | gateways n ≤ 8 × [32]
//!         6 RegisterDevice: device | role u8 | credential? | thing [32]?
//!         7 RotateDevice:   device | credential
//!         8 DescribeDevice: device | thing [32]?
//!         9 RevokeDevice:   device
//!        10 Fund:       amount
//!        11 Service:    name | terms?                       (service.rs)
//!        12 Settle:     request [32] | outcome u8
//! device: site | ID      credential: key [32] | possession [64]      (device.rs)
//! ```
//! - The signature is the wallet's, over everything before it, under `"wattle/order/v1/" ‖ network id`.
//! - The id is `SHA-256("wattle/order/v1" ‖ everything before the signature)`.
//! - `state` is the wallet's State: a chain of hashes over what it ordered (the lattice of Wallance). An order names
//!   the State it was made in, so it is executed at most once, and in the order its wallet meant.
//! ```text
//! first State = SHA-256("wattle/wallet/v1" ‖ network id ‖ wallet)
//! next State  = SHA-256("wattle/wallet/v1" ‖ State ‖ order id)
//! ```

use crate::address::Address;
use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::device::{Credential, DeviceName, Role, gateways, put_gateways};
use crate::keys::{Id, NetworkId, PublicKey, SecretKey, Signature};
use crate::service::{Outcome, Terms};
use crate::topic::Name;
use alloc::vec::Vec;

const VERSION: u8 = 1;
const ID_DOMAIN: &[u8] = b"wattle/order/v1";
const NAMESPACE: &[u8] = b"wattle/order/v1/";
const STATE_DOMAIN: &[u8] = b"wattle/wallet/v1";

/// What a wallet orders. Amounts are in DCoin and above 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The wallet's key becomes a validator, or says something else about itself.
    Register {
        /// What people call it.
        name: Name,
        /// Where its node can be reached.
        address: Option<Address>,
    },
    /// The wallet's validator is not to be elected any more.
    Retire,
    /// Moves balance of the wallet into the stake of a validator.
    Delegate {
        /// Whose stake grows.
        validator: PublicKey,
        /// By how much.
        amount: u64,
    },
    /// Takes stake of the wallet from a validator; it is paid out later, by [`Action::Withdraw`].
    Undelegate {
        /// Whose stake shrinks.
        validator: PublicKey,
        /// By how much.
        amount: u64,
    },
    /// Pays what was undelegated, and is released, into the wallet's balance.
    Withdraw {
        /// From whom it was undelegated.
        validator: PublicKey,
    },
    /// Claims a site that nobody has, or says something else about the wallet's own.
    Site {
        /// The site.
        site: Name,
        /// The nodes that anchor its devices' readings, strictly ascending, at most [`crate::limits::GATEWAYS_MAX`]; none
        /// says nothing about them.
        gateways: Vec<PublicKey>,
    },
    /// Enters a device of the wallet's site into the registry. A site that nobody has becomes the wallet's.
    RegisterDevice {
        /// The device.
        device: DeviceName,
        /// What it does for itself.
        role: Role,
        /// Its key; none for [`Role::Unsigned`].
        credential: Option<Credential>,
        /// The hash of its Thing Description ([`crate::device::thing_hash`]).
        thing: Option<Id>,
    },
    /// Gives a device another key.
    RotateDevice {
        /// The device.
        device: DeviceName,
        /// The new key.
        credential: Credential,
    },
    /// Says what a device's Thing Description is.
    DescribeDevice {
        /// The device.
        device: DeviceName,
        /// The hash of it; none if it has none any more.
        thing: Option<Id>,
    },
    /// Ends a device's registration and its key, for good.
    RevokeDevice {
        /// The device.
        device: DeviceName,
    },
    /// Moves balance of the wallet into its purse, where requests spend it.
    Fund {
        /// How much.
        amount: u64,
    },
    /// Offers a service, says something else about it, or closes it.
    Service {
        /// What the wallet calls it.
        name: Name,
        /// What it does and costs; none closes it.
        terms: Option<Terms>,
    },
    /// Ends a purchase.
    Settle {
        /// The request that made it.
        purchase: Id,
        /// How it ends.
        outcome: Outcome,
    },
}

impl Encode for Action {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Register { name, address } => {
                out.push(0);
                name.encode_to(out);
                match address {
                    None => out.push(0),
                    Some(address) => {
                        out.push(1);
                        address.encode_to(out);
                    }
                }
            }
            Self::Retire => out.push(1),
            Self::Delegate { validator, amount } => {
                out.push(2);
                validator.encode_to(out);
                put_varint(out, *amount);
            }
            Self::Undelegate { validator, amount } => {
                out.push(3);
                validator.encode_to(out);
                put_varint(out, *amount);
            }
            Self::Withdraw { validator } => {
                out.push(4);
                validator.encode_to(out);
            }
            Self::Site { site, gateways } => {
                out.push(5);
                site.encode_to(out);
                put_gateways(out, gateways);
            }
            Self::RegisterDevice { device, role, credential, thing } => {
                out.push(6);
                device.encode_to(out);
                role.encode_to(out);
                put_option(out, credential.as_ref());
                put_option(out, thing.as_ref());
            }
            Self::RotateDevice { device, credential } => {
                out.push(7);
                device.encode_to(out);
                credential.encode_to(out);
            }
            Self::DescribeDevice { device, thing } => {
                out.push(8);
                device.encode_to(out);
                put_option(out, thing.as_ref());
            }
            Self::RevokeDevice { device } => {
                out.push(9);
                device.encode_to(out);
            }
            Self::Fund { amount } => {
                out.push(10);
                put_varint(out, *amount);
            }
            Self::Service { name, terms } => {
                out.push(11);
                name.encode_to(out);
                put_option(out, terms.as_ref());
            }
            Self::Settle { purchase, outcome } => {
                out.push(12);
                purchase.encode_to(out);
                outcome.encode_to(out);
            }
        }
    }
}

fn put_option(out: &mut Vec<u8>, value: Option<&impl Encode>) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            value.encode_to(out);
        }
    }
}

fn option<T: Decode>(reader: &mut Reader<'_>, what: &'static str) -> Result<Option<T>, DecodeError> {
    if reader.flag(what)? { Ok(Some(T::decode_from(reader)?)) } else { Ok(None) }
}

/// Takes an amount above 0.
fn amount(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    match reader.varint("an order's amount")? {
        0 => Err(DecodeError::Invalid("an order's amount")),
        amount => Ok(amount),
    }
}

impl Decode for Action {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("an order's action")? {
            0 => {
                let name = Name::decode_from(reader)?;
                let address = if reader.flag("an address")? { Some(Address::decode_from(reader)?) } else { None };
                Ok(Self::Register { name, address })
            }
            1 => Ok(Self::Retire),
            2 => Ok(Self::Delegate { validator: PublicKey::decode_from(reader)?, amount: amount(reader)? }),
            3 => Ok(Self::Undelegate { validator: PublicKey::decode_from(reader)?, amount: amount(reader)? }),
            4 => Ok(Self::Withdraw { validator: PublicKey::decode_from(reader)? }),
            5 => Ok(Self::Site { site: Name::decode_site(reader)?, gateways: gateways(reader)? }),
            6 => Ok(Self::RegisterDevice {
                device: DeviceName::decode_from(reader)?,
                role: Role::decode_from(reader)?,
                credential: option(reader, "a device's key")?,
                thing: option(reader, "a Thing Description's hash")?,
            }),
            7 => Ok(Self::RotateDevice { device: DeviceName::decode_from(reader)?, credential: Credential::decode_from(reader)? }),
            8 => {
                Ok(Self::DescribeDevice { device: DeviceName::decode_from(reader)?, thing: option(reader, "a Thing Description's hash")? })
            }
            9 => Ok(Self::RevokeDevice { device: DeviceName::decode_from(reader)? }),
            10 => Ok(Self::Fund { amount: amount(reader)? }),
            11 => Ok(Self::Service { name: Name::decode_from(reader)?, terms: option(reader, "a service's terms")? }),
            12 => Ok(Self::Settle { purchase: Id::decode_from(reader)?, outcome: Outcome::decode_from(reader)? }),
            tag => Err(DecodeError::UnknownTag { what: "an order's action", tag }),
        }
    }
}

/// A signed order of a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who orders.
    pub wallet: PublicKey,
    /// The State it was made in.
    pub state: Id,
    /// What is to be done.
    pub action: Action,
    /// The wallet's signature.
    pub signature: Signature,
}

/// A wallet's State before its first order.
#[must_use]
pub fn first_state(network: &NetworkId, wallet: &PublicKey) -> Id {
    Id::hash(&[STATE_DOMAIN, &network.0, &wallet.0])
}

/// A wallet's State after an order that was executed.
#[must_use]
pub fn next_state(previous: &Id, order: &Id) -> Id {
    Id::hash(&[STATE_DOMAIN, &previous.0, &order.0])
}

fn unsigned(wallet: &PublicKey, state: &Id, action: &Action) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.push(VERSION);
    wallet.encode_to(&mut out);
    state.encode_to(&mut out);
    action.encode_to(&mut out);
    out
}

fn namespace(network: &NetworkId) -> Vec<u8> {
    [NAMESPACE, &network.0].concat()
}

impl Order {
    /// An order of the wallet that `key` belongs to.
    #[must_use]
    pub fn sign(network: &NetworkId, key: &SecretKey, state: Id, action: Action) -> Self {
        let wallet = key.public_key();
        let signature = key.sign(&namespace(network), &unsigned(&wallet, &state, &action));
        Self { wallet, state, action, signature }
    }

    /// Whether the signature is the wallet's, for this network.
    #[must_use]
    pub fn verify(&self, network: &NetworkId) -> bool {
        self.wallet.verify(&namespace(network), &unsigned(&self.wallet, &self.state, &self.action), &self.signature)
    }

    /// The hash that names the order. The signature is no part of it: an order signed twice is one order.
    #[must_use]
    pub fn id(&self) -> Id {
        Id::hash(&[ID_DOMAIN, &unsigned(&self.wallet, &self.state, &self.action)])
    }
}

impl Encode for Order {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&unsigned(&self.wallet, &self.state, &self.action));
        self.signature.encode_to(out);
    }
}

impl Decode for Order {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION, "an order's version")?;
        Ok(Self {
            wallet: PublicKey::decode_from(reader)?,
            state: Id::decode_from(reader)?,
            action: Action::decode_from(reader)?,
            signature: Signature::decode_from(reader)?,
        })
    }
}
