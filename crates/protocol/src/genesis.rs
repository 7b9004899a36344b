//! Genesis: what everybody must agree on before the first message. Its hash is the network's id.
//!
//! ```text
//! version=2 u8 | name | subnet u16 | created ms u64 | parameters | committee n × (key [32] | name | stake) |
//! wallets n × (key [32] | balance)
//! ```
//! One whose wallet parameters are not the defaults has version 3, and they follow the wallets.
//! Stakes and balances are in DCoin; together they are all there ever is (the *supply*).

use crate::codec::{Encode, put_bytes, put_varint};
use crate::keys::{Id, NetworkId, PublicKey};
use crate::limits::{COMMITTEE_MAX, WALLETS_MAX};
use crate::merkle;
use crate::milestone::Milestone;
use crate::parameters::{Parameters, ParametersError};
use crate::topic::{Name, NameError};
use crate::wallet_parameters::{WalletParameters, WalletParametersError};
use alloc::string::ToString;
use alloc::vec::Vec;
use thiserror::Error;

/// The version of a genesis with the default wallet parameters,
const VERSION: u8 = 2;
/// and of one with others.
const WALLETS_VERSION: u8 = 3;
/// Stake, and balance of its own wallet, of each validator in a plain genesis.
const PLAIN_COINS: u64 = 1_000_000;
/// Digits of its key that name a validator of whom the genesis says nothing.
const KEY_NAME_DIGITS: usize = 16;

/// Why a list of validators is not a committee.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitteeError {
    /// Nobody, or more than [`COMMITTEE_MAX`].
    #[error("it has {0} validators, allowed are 1 to {COMMITTEE_MAX}")]
    Size(usize),
    /// Keys not strictly ascending, so one appears twice or the order is ambiguous.
    #[error("the validators' keys are not in strictly ascending order")]
    Order,
    /// A key that is no point of the curve, or of small order.
    #[error("the key {0} is not a sound Ed25519 key")]
    Key(PublicKey),
    /// No name can be made for a key.
    #[error("a validator's name cannot be used: {0}")]
    Name(#[from] NameError),
}

/// A member of the committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// The key it signs with.
    pub key: PublicKey,
    /// What people call it.
    pub name: Name,
}

/// The validators of an epoch, in ascending order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee(Vec<Validator>);

/// How many equal votes of `n` validators decide: `⌊2n/3⌋ + 1`, so that any two such sets share an honest one.
#[must_use]
pub const fn quorum(n: usize) -> usize {
    2 * n / 3 + 1
}

impl Committee {
    /// Checks a list of validators.
    ///
    /// # Errors
    /// [`CommitteeError`] if its size, order or a key is not allowed.
    pub fn new(validators: Vec<Validator>) -> Result<Self, CommitteeError> {
        if validators.is_empty() || validators.len() > COMMITTEE_MAX {
            return Err(CommitteeError::Size(validators.len()));
        }
        if !validators.is_sorted_by(|a, b| a.key < b.key) {
            return Err(CommitteeError::Order);
        }
        match validators.iter().find(|v| !v.key.is_sound()) {
            Some(v) => Err(CommitteeError::Key(v.key)),
            None => Ok(Self(validators)),
        }
    }

    /// The committee of these keys. Whom the genesis names is called so, others by the first digits of their key.
    ///
    /// # Errors
    /// As [`Committee::new`].
    pub fn from_keys(keys: &[PublicKey], genesis: &Genesis) -> Result<Self, CommitteeError> {
        let known = genesis.committee.validators();
        let validator = |key: &PublicKey| match known.binary_search_by(|v| v.key.cmp(key)).ok().and_then(|i| known.get(i)) {
            Some(member) => Ok(member.clone()),
            None => Name::new(key.to_string().get(..KEY_NAME_DIGITS).unwrap_or_default()).map(|name| Validator { key: *key, name }),
        };
        Self::new(keys.iter().map(validator).collect::<Result<Vec<_>, _>>()?)
    }

    /// The members, in order.
    #[must_use]
    pub fn validators(&self) -> &[Validator] {
        &self.0
    }

    /// How many members.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// How many equal votes decide: `⌊2n/3⌋ + 1`, so that any two such sets share an honest validator.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.0.len())
    }
}

/// The agreement a network starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// What people call the network.
    pub name: Name,
    /// The subnet this genesis starts.
    pub subnet: u16,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// What the network agrees on beside its committee.
    pub parameters: Parameters,
    /// The first epoch's committee.
    pub committee: Committee,
    /// What each member of the committee has at stake, in its order.
    pub stakes: Vec<u64>,
    /// Free balances, by strictly ascending keys.
    pub wallets: Vec<(PublicKey, u64)>,
    /// What the network agrees on about requests, votes and rewards.
    pub wallet_parameters: WalletParameters,
}

/// Why the parts of a genesis do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FoundingError {
    /// A number outside its range.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// A number about wallets outside its range.
    #[error(transparent)]
    WalletParameters(#[from] WalletParametersError),
    /// Not one stake for each validator.
    #[error("there are {found} stakes for {validators} validators")]
    Stakes {
        /// Stakes.
        found: usize,
        /// Members of the committee.
        validators: usize,
    },
    /// More than [`WALLETS_MAX`] wallets.
    #[error("there are {0} wallets, the limit is {WALLETS_MAX}")]
    Wallets(usize),
    /// Wallets not strictly ascending by their keys.
    #[error("the wallets' keys are not in strictly ascending order")]
    WalletOrder,
    /// More coins than 64 bits can count.
    #[error("stakes and balances together are over 64 bits")]
    Supply,
}

impl Genesis {
    /// A genesis with default parameters, in which each validator has 1 000 000 DCoin at stake and as many in the
    /// wallet of its own key.
    #[must_use]
    pub fn plain(name: Name, subnet: u16, created_ms: u64, committee: Committee) -> Self {
        let stakes = alloc::vec![PLAIN_COINS; committee.size()];
        let wallets = committee.validators().iter().map(|v| (v.key, PLAIN_COINS)).collect();
        let wallet_parameters = WalletParameters::default();
        Self { name, subnet, created_ms, parameters: Parameters::default(), committee, stakes, wallets, wallet_parameters }
    }

    /// Checks what no single part can: parameters, one stake for each validator, wallets in order, a supply that can
    /// be counted.
    ///
    /// # Errors
    /// [`FoundingError`] naming what does not fit.
    pub fn check(&self) -> Result<(), FoundingError> {
        self.parameters.check()?;
        self.wallet_parameters.check()?;
        let (found, validators) = (self.stakes.len(), self.committee.size());
        if found != validators {
            return Err(FoundingError::Stakes { found, validators });
        }
        if self.wallets.len() > WALLETS_MAX {
            return Err(FoundingError::Wallets(self.wallets.len()));
        }
        if !self.wallets.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(FoundingError::WalletOrder);
        }
        self.supply().map(|_| ()).ok_or(FoundingError::Supply)
    }

    /// All DCoin there is: stakes and balances. `None` if 64 bits cannot count it.
    #[must_use]
    pub fn supply(&self) -> Option<u64> {
        let all = self.stakes.iter().chain(self.wallets.iter().map(|(_, balance)| balance));
        all.copied().try_fold(0u64, u64::checked_add)
    }

    /// The network's id.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        let plain = self.wallet_parameters == WalletParameters::default();
        let mut out = alloc::vec![if plain { VERSION } else { WALLETS_VERSION }];
        put_bytes(&mut out, self.name.as_str().as_bytes());
        out.extend_from_slice(&self.subnet.to_be_bytes());
        out.extend_from_slice(&self.created_ms.to_be_bytes());
        self.parameters.encode_to(&mut out);
        put_varint(&mut out, self.committee.size() as u64);
        for (validator, stake) in self.committee.validators().iter().zip(self.stakes.iter().chain(core::iter::repeat(&0))) {
            validator.key.encode_to(&mut out);
            validator.name.encode_to(&mut out);
            put_varint(&mut out, *stake);
        }
        put_varint(&mut out, self.wallets.len() as u64);
        for (key, balance) in &self.wallets {
            key.encode_to(&mut out);
            put_varint(&mut out, *balance);
        }
        if plain {
            return NetworkId(Id::hash(&[b"wattle/genesis/v2", &out]).0);
        }
        self.wallet_parameters.encode_to(&mut out);
        NetworkId(Id::hash(&[b"wattle/genesis/v3", &out]).0)
    }

    /// The milestone of height 0. Nobody signs it: it follows from the genesis. `state_root` is zero, for
    /// there is no state before it.
    #[must_use]
    pub fn milestone(&self) -> Milestone {
        Milestone {
            subnet: self.subnet,
            parent: Id(self.network().0),
            height: 0,
            epoch: 0,
            time_ms: self.created_ms,
            tips: Vec::new(),
            message_count: 0,
            messages_root: merkle::empty_root(),
            state_root: Id([0; 32]),
            history_root: merkle::empty_root(),
            next_committee: None,
        }
    }
}
