//! Receipts, genesis files and certificates as JSON. Binary fields are base64url without padding (RFC 4648 §5), keys are
//! hexadecimal. A receipt's JSON holds nothing but what is verified: no field can be changed unnoticed, and a
//! field that is not of the format is refused.

mod certificate;

use crate::codec::{DecodeError, Encode};
use crate::genesis::{Committee, CommitteeError, FoundingError, Genesis, Validator};
use crate::handover::Handover;
use crate::keys::{Id, PublicKey};
use crate::limits::{HANDOVERS_MAX, PATH_MAX};
use crate::parameters::Parameters;
use crate::receipt::{Anchor, Receipt, ReceiptError, part};
use crate::topic::Name;
use crate::wallet_parameters::WalletParameters;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
pub use certificate::CERTIFICATE_FORMAT;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The `format` field of a receipt.
pub const RECEIPT_FORMAT: &str = "wattle-receipt-v2";
/// The `format` field of a genesis file.
pub const GENESIS_FORMAT: &str = "wattle-genesis-v2";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptJson {
    format: String,
    reading: String,
    salt: String,
    leaf_index: u32,
    batch_path: Vec<String>,
    message: String,
    message_index: u64,
    message_path: Vec<String>,
    milestone: String,
    anchor: Option<AnchorJson>,
    finalization: String,
    handovers: Vec<HandoverJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverJson {
    milestone: String,
    finalization: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorJson {
    milestone: String,
    history_path: Vec<String>,
}

/// Reads `T` and refuses every other way of writing it that a lenient reader would take: a list for an
/// object, a field left out.
fn strict<T: Serialize + serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value: T = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let (read, written) = (serde_json::from_str::<serde_json::Value>(text), serde_json::to_value(&value));
    match (read, written) {
        (Ok(read), Ok(written)) if read == written => Ok(value),
        _ => Err("its fields are not written as the format asks".to_string()),
    }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unb64(what: &'static str, text: &str) -> Result<Vec<u8>, ReceiptError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| ReceiptError::Decode { part: what, why: DecodeError::Invalid("base64url") })
}

fn unpath(what: &'static str, path: &[String]) -> Result<Vec<Id>, ReceiptError> {
    if path.len() > PATH_MAX {
        let why = DecodeError::OverLimit { what, limit: PATH_MAX, found: path.len() as u64 };
        return Err(ReceiptError::Decode { part: what, why });
    }
    path.iter().map(|p| part::<Id>(what, &unb64(what, p)?)).collect()
}

fn to_handover_json(handover: &Handover) -> HandoverJson {
    HandoverJson { milestone: b64(handover.milestone.encode()), finalization: b64(handover.finalization.encode()) }
}

fn unhandover(json: &HandoverJson) -> Result<Handover, ReceiptError> {
    Ok(Handover {
        milestone: part("a handover's milestone", &unb64("a handover's milestone", &json.milestone)?)?,
        finalization: part("a handover's finalization", &unb64("a handover's finalization", &json.finalization)?)?,
    })
}

impl Receipt {
    /// The receipt as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let path = |path: &[Id]| path.iter().map(|p| b64(p.as_bytes())).collect();
        let json = ReceiptJson {
            format: RECEIPT_FORMAT.to_string(),
            reading: b64(self.reading.encode()),
            salt: b64(self.salt),
            leaf_index: self.leaf_index,
            batch_path: path(&self.batch_path),
            message: b64(self.message.bytes()),
            message_index: self.message_index,
            message_path: path(&self.message_path),
            milestone: b64(self.milestone.encode()),
            anchor: self.anchor.as_ref().map(|a| AnchorJson { milestone: b64(a.milestone.encode()), history_path: path(&a.history_path) }),
            finalization: b64(self.finalization.encode()),
            handovers: self.handovers.iter().map(to_handover_json).collect(),
        };
        // a struct of strings and numbers always serialises
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }

    /// Reads a receipt from JSON.
    ///
    /// # Errors
    /// [`ReceiptError::Json`] if the text is not an object with exactly a receipt's fields,
    /// [`ReceiptError::Decode`] if a field is not in canonical form.
    pub fn from_json(text: &str) -> Result<Self, ReceiptError> {
        let json: ReceiptJson = strict(text).map_err(ReceiptError::Json)?;
        if json.format != RECEIPT_FORMAT {
            return Err(ReceiptError::Json(format!("its format is {:?}, known is {RECEIPT_FORMAT:?}", json.format)));
        }
        if json.handovers.len() > HANDOVERS_MAX {
            let why = DecodeError::OverLimit { what: "the handovers", limit: HANDOVERS_MAX, found: json.handovers.len() as u64 };
            return Err(ReceiptError::Decode { part: "the handovers", why });
        }
        let salt = unb64("the salt", &json.salt)?;
        let anchor = match json.anchor {
            None => None,
            Some(a) => Some(Anchor {
                milestone: part("the anchor", &unb64("the anchor", &a.milestone)?)?,
                history_path: unpath("the history path", &a.history_path)?,
            }),
        };
        Ok(Self {
            reading: part("the reading", &unb64("the reading", &json.reading)?)?,
            salt: salt.try_into().map_err(|_| ReceiptError::Decode { part: "the salt", why: DecodeError::Invalid("its length") })?,
            leaf_index: json.leaf_index,
            batch_path: unpath("the batch path", &json.batch_path)?,
            message: part("the message", &unb64("the message", &json.message)?)?,
            message_index: json.message_index,
            message_path: unpath("the message path", &json.message_path)?,
            milestone: part("the milestone", &unb64("the milestone", &json.milestone)?)?,
            anchor,
            finalization: part("the finalization", &unb64("the finalization", &json.finalization)?)?,
            handovers: json.handovers.iter().map(unhandover).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisJson {
    format: String,
    network: String,
    name: String,
    subnet: u16,
    created_ms: u64,
    parameters: ParametersJson,
    committee: Vec<ValidatorJson>,
    wallets: Vec<WalletJson>,
    /// Left out where they are the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wallet_parameters: Option<WalletParametersJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalletParametersJson {
    threshold_percent: u8,
    difficulty: u8,
    shares_per_coin: u32,
    vote_reward: u64,
    share_cap: u64,
    reward_cap: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParametersJson {
    epoch_milestones: u64,
    committee_max: u16,
    stake_min: u64,
    unbonding_epochs: u64,
    slash_percent: u8,
    share_per_second: u32,
    pow_difficulty: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidatorJson {
    name: String,
    key: String,
    stake: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalletJson {
    key: String,
    balance: u64,
}

/// Why a file is not a genesis.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// Not JSON, or not the fields of a genesis.
    #[error("the file is not a genesis: {0}")]
    Json(String),
    /// The committee is not one.
    #[error("the committee is not valid: {0}")]
    Committee(#[from] CommitteeError),
    /// Parameters, stakes or balances are not allowed.
    #[error("the genesis does not hold: {0}")]
    Founding(#[from] FoundingError),
    /// The network id in the file is not the hash of the rest: somebody changed it.
    #[error(
        "the network id does not fit: the file says {stated}, its content gives {computed}; get the genesis again from an operator you trust"
    )]
    Network {
        /// What the file says.
        stated: String,
        /// What its content hashes to.
        computed: String,
    },
}

impl ParametersJson {
    fn of(parameters: &Parameters) -> Self {
        let Parameters { epoch_milestones, committee_max, stake_min, unbonding_epochs, slash_percent, share_per_second, pow_difficulty } =
            *parameters;
        Self { epoch_milestones, committee_max, stake_min, unbonding_epochs, slash_percent, share_per_second, pow_difficulty }
    }

    fn read(&self) -> Parameters {
        let Self { epoch_milestones, committee_max, stake_min, unbonding_epochs, slash_percent, share_per_second, pow_difficulty } = *self;
        Parameters { epoch_milestones, committee_max, stake_min, unbonding_epochs, slash_percent, share_per_second, pow_difficulty }
    }
}

impl WalletParametersJson {
    fn of(parameters: &WalletParameters) -> Option<Self> {
        let WalletParameters { threshold_percent, difficulty, shares_per_coin, vote_reward, share_cap, reward_cap } = *parameters;
        let json = Self { threshold_percent, difficulty, shares_per_coin, vote_reward, share_cap, reward_cap };
        (*parameters != WalletParameters::default()).then_some(json)
    }

    fn read(&self) -> WalletParameters {
        let Self { threshold_percent, difficulty, shares_per_coin, vote_reward, share_cap, reward_cap } = *self;
        WalletParameters { threshold_percent, difficulty, shares_per_coin, vote_reward, share_cap, reward_cap }
    }
}

impl Genesis {
    /// The genesis as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let validator = |(v, stake): (&Validator, &u64)| ValidatorJson { name: v.name.to_string(), key: v.key.to_string(), stake: *stake };
        let stakes = self.stakes.iter().chain(core::iter::repeat(&0));
        let wallet = |(key, balance): &(PublicKey, u64)| WalletJson { key: key.to_string(), balance: *balance };
        let json = GenesisJson {
            format: GENESIS_FORMAT.to_string(),
            network: self.network().to_string(),
            name: self.name.to_string(),
            subnet: self.subnet,
            created_ms: self.created_ms,
            parameters: ParametersJson::of(&self.parameters),
            committee: self.committee.validators().iter().zip(stakes).map(validator).collect(),
            wallets: self.wallets.iter().map(wallet).collect(),
            wallet_parameters: WalletParametersJson::of(&self.wallet_parameters),
        };
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }

    /// Reads a genesis from JSON and checks that its stated network id is the hash of its content.
    ///
    /// # Errors
    /// [`GenesisError`] if the text is not a genesis, or was changed.
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        let json: GenesisJson = strict(text).map_err(GenesisError::Json)?;
        if json.format != GENESIS_FORMAT {
            return Err(GenesisError::Json(format!("its format is {:?}, known is {GENESIS_FORMAT:?}", json.format)));
        }
        let name = |what: &str, text: &str| Name::new(text).map_err(|why| GenesisError::Json(format!("{what} {text:?}: {why}")));
        let key = |text: &str| text.parse::<PublicKey>().map_err(|why| GenesisError::Json(why.to_string()));
        let validator = |v: &ValidatorJson| Ok(Validator { key: key(&v.key)?, name: name("the validator's name", &v.name)? });
        let wallet = |w: &WalletJson| Ok((key(&w.key)?, w.balance));
        let validators = json.committee.iter().map(validator).collect::<Result<Vec<_>, GenesisError>>()?;
        let genesis = Self {
            name: name("the network's name", &json.name)?,
            subnet: json.subnet,
            created_ms: json.created_ms,
            parameters: json.parameters.read(),
            committee: Committee::new(validators)?,
            stakes: json.committee.iter().map(|v| v.stake).collect(),
            wallets: json.wallets.iter().map(wallet).collect::<Result<_, GenesisError>>()?,
            wallet_parameters: json.wallet_parameters.as_ref().map(WalletParametersJson::read).unwrap_or_default(),
        };
        genesis.check()?;
        let computed = genesis.network().to_string();
        match computed == json.network {
            true => Ok(genesis),
            false => Err(GenesisError::Network { stated: json.network, computed }),
        }
    }
}
