//! What the HTTP API says of purses, requests and services. Amounts are in sub-units, except the balance of an account.

use crate::cli::amount::coins;
use crate::cli::output::short;
use serde::Deserialize;

/// `GET /api/v1/wallets/{key}`, as far as spending goes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Holder {
    /// What the account has, in DCoin.
    pub(crate) balance: u64,
    /// The purse.
    pub(crate) purse: Purse,
}

/// A purse.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Purse {
    /// The present epoch.
    pub(crate) epoch: u64,
    /// Requests that were executed.
    pub(crate) number: u64,
    /// What a milestone has left in it.
    pub(crate) balance: u64,
    /// The number that the next request must name.
    pub(crate) next_number: u64,
    /// The State that the next request must name.
    pub(crate) next_state: String,
    /// What is not spent by requests on their way.
    pub(crate) available: u64,
}

/// `GET /api/v1/parameters`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Parameters {
    /// Percent of the committee that must vote.
    pub(crate) threshold_percent: u8,
    /// Votes that are.
    pub(crate) needed: u64,
    /// Members of the committee.
    pub(crate) members: u64,
    /// Zero nibbles of work.
    pub(crate) difficulty: u8,
    /// Shares that earn a DCoin.
    pub(crate) shares_per_coin: u32,
    /// What one earns.
    pub(crate) share_units: u64,
    /// What a vote earns.
    pub(crate) vote_reward: u64,
    /// What an issuer's shares earn an epoch, in DCoin.
    pub(crate) share_cap: u64,
    /// What a member's votes earn an epoch, in DCoin.
    pub(crate) reward_cap: u64,
    /// What the genesis gave out, in DCoin.
    pub(crate) supply: u64,
    /// Milestones of an epoch.
    pub(crate) epoch_milestones: u64,
}

/// `POST /api/v1/spends`, and the list of `GET /api/v1/spends`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Spends {
    /// The requests.
    pub(crate) spends: Vec<Spend>,
}

/// A request as a node has it. One that the node does not carry has an id, a status and a reason.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Spend {
    /// Its id.
    pub(crate) id: String,
    /// How far it is.
    pub(crate) status: String,
    /// Why the node does not carry it.
    pub(crate) reason: Option<Reason>,
    /// Who spends.
    pub(crate) wallet: String,
    /// Which request of the purse it is.
    pub(crate) number: u64,
    /// The epoch in which it may be voted for.
    pub(crate) epoch: u64,
    /// What the price is for.
    pub(crate) operation: Option<Operation>,
    /// The price.
    pub(crate) price: u64,
    /// The milestone that executed it.
    pub(crate) height: Option<u64>,
    /// Votes known.
    pub(crate) votes: u64,
    /// Votes needed.
    pub(crate) needed: u64,
    /// The message that carries it.
    pub(crate) carrier: Option<String>,
    /// What validators have against it.
    pub(crate) rejections: Vec<Rejection>,
}

/// Why a node does not carry a request.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reason {
    /// One word.
    pub(crate) kind: String,
    /// A sentence.
    pub(crate) text: String,
}

/// Why a validator is not for a request.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rejection {
    /// Which.
    pub(crate) validator: String,
    /// A sentence.
    pub(crate) text: String,
}

/// What a price is for.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Operation {
    /// Another wallet.
    Transfer {
        /// Whose.
        to: String,
    },
    /// A service.
    Buy {
        /// Which.
        service: String,
    },
    /// The wallet's own account.
    Redeem,
}

impl Operation {
    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Transfer { to } => format!("transfer to {}", short(to)),
            Self::Buy { service } => format!("buy {}", short(service)),
            Self::Redeem => "redeem".to_owned(),
        }
    }
}

/// `GET /api/v1/spends/{id}/certificate`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Certified {
    /// The certificate in hexadecimal.
    pub(crate) certificate: String,
}

/// `GET /api/v1/services`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Services {
    /// The services.
    pub(crate) services: Vec<Service>,
}

/// A service.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Service {
    /// Its id.
    pub(crate) id: String,
    /// Who provides it.
    pub(crate) provider: String,
    /// What the provider calls it.
    pub(crate) name: String,
    /// Whether it can be bought.
    pub(crate) open: bool,
    /// What it costs.
    pub(crate) price: u64,
    /// What it does.
    pub(crate) kind: ServiceKind,
    /// How long the provider may take to report.
    pub(crate) report_ms: u64,
    /// What happens if it does not.
    pub(crate) silence: String,
}

/// What a service does.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum ServiceKind {
    /// Drives an actuator.
    Actuate {
        /// Where it listens.
        topic: String,
    },
    /// Opens data.
    Data {
        /// The channel.
        channel: String,
    },
    /// Calls a contract.
    Contract {
        /// Which.
        contract: String,
    },
}

impl ServiceKind {
    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Actuate { topic } => format!("actuate {topic}"),
            Self::Data { channel } => format!("data {}", short(channel)),
            Self::Contract { contract } => format!("contract {}", short(contract)),
        }
    }
}

impl Spend {
    /// Whether nothing more will become of it.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.status.as_str(), "final" | "refused" | "locked" | "lapsed")
    }

    /// Every distinct reason, and how many validators gave it; the commonest first.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let mut counted: Vec<(&str, Vec<&str>)> = Vec::new();
        for Rejection { validator, text } in &self.rejections {
            match counted.iter_mut().find(|(known, _)| known == text) {
                Some((_, who)) if who.contains(&validator.as_str()) => {}
                Some((_, who)) => who.push(validator.as_str()),
                None => counted.push((text.as_str(), vec![validator.as_str()])),
            }
        }
        counted.sort_by_key(|(_, who)| std::cmp::Reverse(who.len()));
        let said = counted.iter().map(|(text, who)| match who.len() {
            1 => format!("1 validator says: {text}"),
            n => format!("{n} validators say: {text}"),
        });
        self.reason.iter().map(|reason| reason.text.clone()).chain(said).collect()
    }

    /// What people want to know of it, in rows.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let height = self.height.map(|height| format!(" in milestone {height}")).unwrap_or_default();
        let mut rows = vec![
            vec!["status".into(), format!("{}{height}", self.status)],
            vec!["wallet".into(), self.wallet.clone()],
            vec!["number".into(), format!("{} of epoch {}", self.number, self.epoch)],
            vec!["for".into(), self.operation.as_ref().map(Operation::shown).unwrap_or_default()],
            vec!["price".into(), coins(self.price)],
            vec!["votes".into(), format!("{}, {} are needed", self.votes, self.needed)],
        ];
        rows.extend(self.carrier.iter().map(|message| vec!["carried by".into(), message.clone()]));
        rows.extend(self.reasons().into_iter().map(|reason| vec!["against it".into(), reason]));
        rows
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_node_s_answer_is_understood() {
        let text = r#"{"spends":[{"id":"aa","wallet":"bb","number":7,"epoch":3,"operation":{"kind":"transfer","to":"0123456789abcdef"},
            "price":500000,"from_ms":1,"until_ms":2,"status":"final","height":9,"votes":3,"needed":3,"carrier":"cc","rejections":[]},
            {"id":"dd","status":"refused","reason":{"kind":"funds","text":"the purse has less"}}]}"#;
        let Spends { spends } = serde_json::from_str(text).unwrap();
        let rows = spends[0].rows().concat().join("|");
        for part in ["final in milestone 9", "7 of epoch 3", "transfer to 0123456789ab", "0.5 DCoin", "3, 3 are needed", "cc"] {
            assert!(rows.contains(part), "{part} is missing in {rows}");
        }
        assert!(spends[0].ended() && spends[1].ended());
        assert_eq!(spends[1].reasons(), ["the purse has less"]);
        let services = r#"{"services":[{"id":"aa","provider":"bb","name":"espresso","open":true,"price":2,"report_ms":60000,"silence":"refund",
            "kind":{"kind":"actuate","topic":"z1/espresso/act/brew"}}]}"#;
        let Services { services } = serde_json::from_str(services).unwrap();
        assert_eq!(services[0].kind.shown(), "actuate z1/espresso/act/brew");
        let redeem: Operation = serde_json::from_str(r#"{"kind":"redeem"}"#).unwrap();
        assert_eq!(redeem.shown(), "redeem");
    }

    #[test]
    fn reasons_are_counted_by_validator() {
        let said = |validator: &str, text: &str| Rejection { validator: validator.into(), text: text.into() };
        let rejections = vec![said("a", "late"), said("b", "poor"), said("c", "poor"), said("c", "poor")];
        let spend = Spend { rejections, ..Spend::default() };
        assert_eq!(spend.reasons(), ["2 validators say: poor", "1 validator says: late"]);
    }
}
