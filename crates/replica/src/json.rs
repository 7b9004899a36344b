//! State proofs, heads and what a light node remembers as JSON. Binary fields are lower-case hexadecimal. As with receipts, the JSON holds nothing
//! but what is verified, and a field that is not of the format, missing or written otherwise is refused.

use crate::light::{Head, Trusted};
use crate::proof::StateProof;
use ledger::Key;
use protocol::limits::{COMMITTEE_MAX, HANDOVERS_MAX, PATH_MAX};
use protocol::receipt::Anchor;
use protocol::{Decode, DecodeError, Encode, Genesis, Handover, Id, Milestone, PublicKey};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::str::FromStr;
use thiserror::Error;

/// The `format` field of a state proof.
pub const STATE_FORMAT: &str = "wattle-state-v1";
/// The `format` field of a head.
pub const HEAD_FORMAT: &str = "wattle-head-v1";

/// The `format` field of what a light node remembers.
pub const TRUSTED_FORMAT: &str = "wattle-light-v1";

/// Why a text is not a state proof, a head, or what a light node remembers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JsonError {
    /// Not JSON, or not exactly the fields of the format.
    #[error("it is not written as the format asks: {0}")]
    Format(String),
    /// A field whose content cannot be read.
    #[error("{part} cannot be read: {why}")]
    Part {
        /// Which field.
        part: &'static str,
        /// What is wrong with it.
        why: DecodeError,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateJson {
    format: String,
    key: String,
    value: String,
    proof: String,
    certified: String,
    anchor: Option<AnchorJson>,
    finalization: String,
    handovers: Vec<HandoverJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadJson {
    format: String,
    milestone: String,
    finalization: String,
    handovers: Vec<HandoverJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustedJson {
    format: String,
    network: String,
    epoch: u64,
    committee: Vec<String>,
    milestone: String,
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorJson {
    milestone: String,
    history_path: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverJson {
    milestone: String,
    finalization: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // writing to a String cannot fail
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(part: &'static str, text: &str) -> Result<Vec<u8>, JsonError> {
    let wrong = || JsonError::Part { part, why: DecodeError::Invalid("lower-case hexadecimal") };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    let digit = |c: &u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    pairs.iter().map(|[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect::<Option<_>>().ok_or_else(wrong)
}

fn read<T: Decode>(part: &'static str, text: &str) -> Result<T, JsonError> {
    T::decode(&unhex(part, text)?).map_err(|why| JsonError::Part { part, why })
}

/// Reads `T` and refuses every other way of writing it.
fn strict<T: Serialize + serde::de::DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    let value: T = serde_json::from_str(text).map_err(|e| JsonError::Format(e.to_string()))?;
    let (read, written) = (serde_json::from_str::<serde_json::Value>(text), serde_json::to_value(&value));
    match (read, written) {
        (Ok(read), Ok(written)) if read == written => Ok(value),
        _ => Err(JsonError::Format("a field is missing or written otherwise".to_owned())),
    }
}

fn format(found: &str, known: &str) -> Result<(), JsonError> {
    match found == known {
        true => Ok(()),
        false => Err(JsonError::Format(format!("its format is {found:?}, known is {known:?}"))),
    }
}

fn within(part: &'static str, found: usize, limit: usize) -> Result<(), JsonError> {
    match found <= limit {
        true => Ok(()),
        false => Err(JsonError::Part { part, why: DecodeError::OverLimit { what: part, limit, found: found as u64 } }),
    }
}

fn handovers_json(handovers: &[Handover]) -> Vec<HandoverJson> {
    let json = |h: &Handover| HandoverJson { milestone: hex(&h.milestone.encode()), finalization: hex(&h.finalization.encode()) };
    handovers.iter().map(json).collect()
}

fn handovers(json: &[HandoverJson]) -> Result<Vec<Handover>, JsonError> {
    within("the handovers", json.len(), HANDOVERS_MAX)?;
    let one = |json: &HandoverJson| {
        Ok(Handover {
            milestone: read("a handover's milestone", &json.milestone)?,
            finalization: read("a handover's finalization", &json.finalization)?,
        })
    };
    json.iter().map(one).collect()
}

fn anchor(json: &AnchorJson) -> Result<Anchor, JsonError> {
    within("the history path", json.history_path.len(), PATH_MAX)?;
    let history_path = json.history_path.iter().map(|id| read("the history path", id)).collect::<Result<_, _>>()?;
    Ok(Anchor { milestone: read("the anchor", &json.milestone)?, history_path })
}

/// A key of the state as text: its kind, and the keys or the id it is about.
fn key_text(key: &Key) -> String {
    match key {
        Key::Account(issuer) => format!("account/{issuer}"),
        Key::Totals => "totals".to_owned(),
        Key::Wallet(wallet) => format!("wallet/{wallet}"),
        Key::Validator(validator) => format!("validator/{validator}"),
        Key::Delegation(wallet, validator) => format!("delegation/{wallet}/{validator}"),
        Key::Unbonding(wallet, validator) => format!("unbonding/{wallet}/{validator}"),
        Key::Candidates => "candidates".to_owned(),
        Key::Offence(id) => format!("offence/{id}"),
        Key::Epoch => "epoch".to_owned(),
        Key::Void(issuer, sequence) => format!("void/{issuer}/{sequence}"),
        Key::Site(site) => format!("site/{site}"),
        Key::Device(device) => format!("device/{device}"),
        Key::DeviceKey(key) => format!("device-key/{key}"),
        Key::SiteDevice(site, number) => format!("site-device/{site}/{number}"),
        Key::SiteChange(site, slot) => format!("site-change/{site}/{slot}"),
        Key::Purse(wallet) => format!("purse/{wallet}"),
        Key::Coins => "coins".to_owned(),
        Key::Earnings(wallet) => format!("earnings/{wallet}"),
        Key::Registered(request) => format!("registered/{request}"),
        Key::Place(place) => format!("place/{place}"),
        Key::Waiting(wallet, number) => format!("certified/{wallet}/{number}"),
        Key::Service(service) => format!("service/{service}"),
        Key::Purchase(request) => format!("purchase/{request}"),
        Key::Farewells => "farewells".to_owned(),
    }
}

/// A number in its shortest form.
fn count<T: FromStr + ToString>(text: &str) -> Result<T, JsonError> {
    let number = text.parse::<T>().ok().filter(|number| number.to_string() == text);
    number.ok_or(JsonError::Part { part: "the key", why: DecodeError::Invalid("its number") })
}

fn key(text: &str) -> Result<Key, JsonError> {
    let wrong = |why| JsonError::Part { part: "the key", why };
    let public = |text: &str| text.parse::<PublicKey>().map_err(wrong);
    let parts: Vec<&str> = text.split('/').collect();
    Ok(match parts.as_slice() {
        ["account", issuer] => Key::Account(public(issuer)?),
        ["totals"] => Key::Totals,
        ["wallet", wallet] => Key::Wallet(public(wallet)?),
        ["validator", validator] => Key::Validator(public(validator)?),
        ["delegation", wallet, validator] => Key::Delegation(public(wallet)?, public(validator)?),
        ["unbonding", wallet, validator] => Key::Unbonding(public(wallet)?, public(validator)?),
        ["candidates"] => Key::Candidates,
        ["offence", id] => Key::Offence(id.parse::<Id>().map_err(wrong)?),
        ["epoch"] => Key::Epoch,
        ["void", issuer, sequence] => {
            Key::Void(public(issuer)?, number(sequence).ok_or_else(|| wrong(DecodeError::Invalid("its sequence")))?)
        }
        ["site", site] => Key::Site(site.parse::<Id>().map_err(wrong)?),
        ["device", device] => Key::Device(device.parse::<Id>().map_err(wrong)?),
        ["device-key", key] => Key::DeviceKey(public(key)?),
        ["site-device", site, number] => Key::SiteDevice(site.parse::<Id>().map_err(wrong)?, count(number)?),
        ["site-change", site, slot] => Key::SiteChange(site.parse::<Id>().map_err(wrong)?, count(slot)?),
        ["purse", wallet] => Key::Purse(public(wallet)?),
        ["coins"] => Key::Coins,
        ["earnings", wallet] => Key::Earnings(public(wallet)?),
        ["registered", request] => Key::Registered(request.parse::<Id>().map_err(wrong)?),
        ["place", place] => Key::Place(count(place)?),
        ["certified", wallet, number] => Key::Waiting(public(wallet)?, count(number)?),
        ["service", service] => Key::Service(service.parse::<Id>().map_err(wrong)?),
        ["purchase", request] => Key::Purchase(request.parse::<Id>().map_err(wrong)?),
        ["farewells"] => Key::Farewells,
        _ => return Err(wrong(DecodeError::Invalid("its kind"))),
    })
}

/// A number as this module writes it: no sign, no zeros before it.
fn number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

impl StateProof {
    /// The proof as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let path = |a: &Anchor| a.history_path.iter().map(Id::to_string).collect();
        let json = StateJson {
            format: STATE_FORMAT.to_owned(),
            key: key_text(&self.key),
            value: hex(&self.value),
            proof: hex(&self.proof),
            certified: hex(&self.certified.encode()),
            anchor: self.anchor.as_ref().map(|a| AnchorJson { milestone: hex(&a.milestone.encode()), history_path: path(a) }),
            finalization: hex(&self.finalization.encode()),
            handovers: handovers_json(&self.handovers),
        };
        // a struct of strings always serialises
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }

    /// Reads a proof from JSON.
    ///
    /// # Errors
    /// [`JsonError`] if the text is not an object with exactly a proof's fields, or a field cannot be read.
    pub fn from_json(text: &str) -> Result<Self, JsonError> {
        let json: StateJson = strict(text)?;
        format(&json.format, STATE_FORMAT)?;
        Ok(Self {
            key: key(&json.key)?,
            value: unhex("the value", &json.value)?,
            proof: unhex("the proof", &json.proof)?,
            certified: read("the milestone", &json.certified)?,
            anchor: json.anchor.as_ref().map(anchor).transpose()?,
            finalization: read("the finalization", &json.finalization)?,
            handovers: handovers(&json.handovers)?,
        })
    }
}

impl Head {
    /// The head as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = HeadJson {
            format: HEAD_FORMAT.to_owned(),
            milestone: hex(&self.milestone.encode()),
            finalization: hex(&self.finalization.encode()),
            handovers: handovers_json(&self.handovers),
        };
        // a struct of strings always serialises
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }

    /// Reads a head from JSON.
    ///
    /// # Errors
    /// [`JsonError`] if the text is not an object with exactly a head's fields, or a field cannot be read.
    pub fn from_json(text: &str) -> Result<Self, JsonError> {
        let json: HeadJson = strict(text)?;
        format(&json.format, HEAD_FORMAT)?;
        Ok(Self {
            milestone: read("the milestone", &json.milestone)?,
            finalization: read("the finalization", &json.finalization)?,
            handovers: handovers(&json.handovers)?,
        })
    }
}

impl Trusted {
    /// What is believed, as one JSON object.
    #[must_use]
    pub fn to_json(&self, genesis: &Genesis) -> String {
        let json = TrustedJson {
            format: TRUSTED_FORMAT.to_owned(),
            network: genesis.network().to_string(),
            epoch: self.epoch(),
            committee: self.committee().validators().iter().map(|v| v.key.to_string()).collect(),
            milestone: hex(&self.milestone().encode()),
            digest: self.milestone().digest().to_string(),
        };
        // a struct of strings and a number always serialises
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }

    /// Reads what was believed. Only for a text from where nobody else writes: nothing in it is signed.
    ///
    /// # Errors
    /// [`JsonError`] if the text is not of the format, of another network, or its parts do not fit each other.
    pub fn from_json(text: &str, genesis: &Genesis) -> Result<Self, JsonError> {
        let json: TrustedJson = strict(text)?;
        format(&json.format, TRUSTED_FORMAT)?;
        if json.network != genesis.network().to_string() {
            return Err(JsonError::Format(format!("it is of the network {}, the genesis is of {}", json.network, genesis.network())));
        }
        within("the committee", json.committee.len(), COMMITTEE_MAX)?;
        let keys = json.committee.iter().map(|key| read::<PublicKey>("the committee", key)).collect::<Result<Vec<_>, _>>()?;
        let milestone: Milestone = read("the milestone", &json.milestone)?;
        if milestone.digest().to_string() != json.digest {
            return Err(JsonError::Format("its digest is not the milestone's".to_owned()));
        }
        Self::restore(genesis, json.epoch, &keys, milestone).map_err(|why| JsonError::Format(why.to_string()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_state_has_one_text() {
        let (a, b, id) = (PublicKey([1; 32]), PublicKey([2; 32]), Id([3; 32]));
        let keys = [
            Key::Account(a),
            Key::Totals,
            Key::Wallet(a),
            Key::Validator(a),
            Key::Delegation(a, b),
            Key::Unbonding(a, b),
            Key::Candidates,
            Key::Offence(id),
            Key::Epoch,
            Key::Void(a, 0),
            Key::Void(a, u64::MAX),
            Key::Site(id),
            Key::Device(id),
            Key::DeviceKey(a),
            Key::SiteDevice(id, 0),
            Key::SiteDevice(id, u32::MAX),
            Key::SiteChange(id, 255),
            Key::Purse(a),
            Key::Coins,
            Key::Earnings(a),
            Key::Registered(id),
            Key::Place(u16::MAX),
            Key::Waiting(a, u64::MAX),
            Key::Service(id),
            Key::Purchase(id),
            Key::Farewells,
        ];
        for k in keys {
            assert_eq!(key(&key_text(&k)), Ok(k));
        }
        let void = [format!("void/{a}"), format!("void/{a}/01"), format!("void/{a}/+1")];
        let (two, capital) = (format!("wallet/{a}/{b}"), format!("Wallet/{a}"));
        let numbers = ["", "+1", "01", "-1", "256"].map(|n| format!("site-change/{id}/{n}"));
        let odd = ["", "totals/", "wallet", "wallet/", "wallet/01", "offence/x", "site/plant", "void/", two.as_str(), capital.as_str()];
        for bad in odd.into_iter().chain(numbers.iter().chain(&void).map(String::as_str)) {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hexadecimal_is_read_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex("x", &hex(&bytes)), Ok(bytes));
        for bad in ["0", "0g", "AB", "é"] {
            assert!(unhex("x", bad).is_err(), "{bad}");
        }
    }
}
