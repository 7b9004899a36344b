//! Values of the state, as JSON shows them: the same words in the HTTP interface and in `wattle light`.

use ledger::{Account, Key, RETAINED_FULL, Validator, Wallet};
use protocol::{Decode as _, DecodeError, PublicKey};
use serde_json::{Value, json};

/// What can be asked for by one public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Balance and State of a wallet.
    Wallet,
    /// A validator's name, address, stake and standing.
    Validator,
    /// What an issuer's messages did.
    Account,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Wallet, Self::Validator, Self::Account];

    /// Its name in paths.
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Wallet => "wallets",
            Self::Validator => "validators",
            Self::Account => "accounts",
        }
    }

    /// The key of the state.
    pub(crate) const fn key(self, of: PublicKey) -> Key {
        match self {
            Self::Wallet => Key::Wallet(of),
            Self::Validator => Key::Validator(of),
            Self::Account => Key::Account(of),
        }
    }

    /// A value of this kind.
    ///
    /// # Errors
    /// [`DecodeError`] if the value is of another kind, or a later version's.
    pub(crate) fn show(self, value: &[u8]) -> Result<Value, DecodeError> {
        Ok(match self {
            Self::Wallet => {
                let Wallet { state, balance } = Wallet::decode(value)?;
                json!({ "balance": balance, "state": state.to_string() })
            }
            Self::Validator => {
                let validator = Validator::decode(value)?;
                json!({
                    "name": validator.name.as_str(),
                    "address": validator.address.as_ref().map(|a| a.as_str().to_owned()),
                    "stake": validator.stake,
                    "unbonding": validator.unbonding,
                    "slashed": validator.retained != RETAINED_FULL,
                    "jailed_until": validator.jailed_until,
                    "registered": validator.registered,
                })
            }
            Self::Account => {
                let Account { next_sequence, last, messages, readings, meter_us, epoch, voids } = Account::decode(value)?;
                json!({
                    "next_sequence": next_sequence,
                    "last": last.to_string(),
                    "messages": messages,
                    "readings": readings,
                    "meter_us": meter_us,
                    "epoch": epoch,
                    "voids": voids,
                })
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::{Encode as _, Id, Name};

    #[test]
    fn every_kind_is_shown() {
        let wallet = Wallet { state: Id([1; 32]), balance: 7 };
        assert_eq!(Kind::Wallet.show(&wallet.encode()).unwrap()["balance"], 7);
        let validator = Validator { stake: 9, ..Validator::new(Name::new("n1").unwrap(), None) };
        let shown = Kind::Validator.show(&validator.encode()).unwrap();
        assert_eq!((&shown["name"], &shown["stake"], &shown["slashed"]), (&json!("n1"), &json!(9), &json!(false)));
        let account = Account { next_sequence: 3, last: Id([2; 32]), messages: 3, readings: 30, meter_us: 5, epoch: 1, voids: 0 };
        assert_eq!(Kind::Account.show(&account.encode()).unwrap()["readings"], 30);
        for kind in Kind::ALL {
            assert!(kind.show(&[]).is_err());
        }
    }
}
