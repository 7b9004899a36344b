//! The payloads of services: the command that an actuator gets, and what it reports.
//!
//! ```text
//! root/fog/<site>/<ID>/act/<type>   [{SenML record, "from", "price", "service", "request", "certificate",
//!                                      "handovers_from", "handovers"}]
//! root/device/<site>/<ID>/report    {"request": …, "state": "delivered" | "failed", "reason": …?}
//! ```
//! Rules: SRV-4, SRV-5 and SRV-8 of `docs/spec/services.md`. Whoever gets a command needs nobody's word: [`Command::verify`]
//! asks for the genesis, and what was learned from it.

use super::committees::Committees;
use crate::hex::{hex, unhex};
use protocol::certificate::CertificateError;
use protocol::handover::HandoverError;
use protocol::{Certificate, Committee, Decode as _, DeviceTopic, Encode as _, Genesis, Handover, Id, Operation, Reading, Value};
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;

/// Bytes of handovers that a command carries: the last ones. Its receiver must know the committee at which they begin.
pub(crate) const HANDOVERS_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a command that is read at all.
const COMMAND_BYTES_MAX: usize = 1 << 20;
/// Bytes of a reason in a report.
const REASON_BYTES_MAX: usize = 200;

/// The command for a purchase: `argument` of the request as SenML, and the proof beside it: the first of `handovers` closes epoch
/// `from_epoch`.
pub(crate) fn command(topic: &DeviceTopic, certificate: &Certificate, from_epoch: u64, handovers: &[Handover], now_us: u64) -> Vec<u8> {
    let request = &certificate.request;
    let (service, argument) = match &request.operation {
        Operation::Buy { service, argument } => (Some(*service), argument.as_slice()),
        Operation::Transfer { .. } | Operation::Redeem => (None, &[] as &[u8]),
    };
    let reading = Reading { topic: topic.clone(), time_us: now_us, sequence: None, unit: None, value: value(argument), signed: None };
    let mut record = crate::site::record(&reading);
    if let serde_json::Value::Object(members) = &mut record {
        members.insert("from".to_owned(), request.wallet.to_string().into());
        members.insert("price".to_owned(), request.price.into());
        members.insert("service".to_owned(), service.map(|id| id.to_string()).into());
        members.insert("request".to_owned(), request.id().to_string().into());
        members.insert("certificate".to_owned(), hex(&certificate.encode()).into());
        members.insert("handovers_from".to_owned(), from_epoch.into());
        let handovers: Vec<String> = handovers.iter().map(|handover| hex(&handover.encode())).collect();
        members.insert("handovers".to_owned(), handovers.into());
    }
    json!([record]).to_string().into_bytes()
}

/// An argument as a value: text if it is text, `true` if there is none.
fn value(argument: &[u8]) -> Value {
    match std::str::from_utf8(argument) {
        Ok("") => Value::Boolean(true),
        Ok(text) if !text.chars().any(char::is_control) => Value::Text(text.to_owned()),
        _ => Value::Bytes(argument.to_vec()),
    }
}

/// Why a command is not to be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CommandError {
    /// Not a command.
    #[error("it is no command: {0}")]
    Shape(String),
    /// Nothing shows that it was paid for.
    #[error("it has no certificate")]
    Unpaid,
    /// The certificate is of another request than the one it names.
    #[error("its certificate is of the request {certified}, not of the one that it names")]
    Other {
        /// Of which.
        certified: Id,
    },
    /// The handovers do not lead to the committee of the request's epoch.
    #[error("its handovers do not lead to the committee of epoch {epoch}: {why}")]
    Handovers {
        /// The request's epoch.
        epoch: u64,
        /// What is wrong with them.
        why: HandoverError,
    },
    /// The handovers begin too late.
    #[error(
        "its handovers begin at epoch {from}, and the last committee before that is known for epoch {known}: say what \
         `wattle light follow --state` wrote down"
    )]
    Gap {
        /// The epoch that the first of them closes.
        from: u64,
        /// The last epoch before, whose committee is known.
        known: u64,
    },
    /// The certificate proves nothing.
    #[error("its certificate does not hold: {0}")]
    Certificate(#[from] CertificateError),
}

/// A command as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// The request that it names.
    pub(crate) request: Id,
    /// The votes for it.
    pub(crate) certificate: Certificate,
    /// The epoch that the first handover closes.
    pub(crate) handovers_from: u64,
    /// What leads from there to the committee that voted.
    pub(crate) handovers: Vec<Handover>,
}

#[derive(Deserialize)]
struct Record {
    request: Option<String>,
    certificate: Option<String>,
    #[serde(default)]
    handovers_from: u64,
    #[serde(default)]
    handovers: Vec<String>,
}

impl Command {
    /// Reads a payload. Nothing is verified.
    ///
    /// # Errors
    /// [`CommandError`] if it has not that form.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, CommandError> {
        let shape = |why: &str| CommandError::Shape(why.to_owned());
        if payload.len() > COMMAND_BYTES_MAX {
            return Err(shape("it is too long"));
        }
        let mut pack: Vec<Record> = serde_json::from_slice(payload).map_err(|why| CommandError::Shape(why.to_string()))?;
        let (Some(record), None) = (pack.pop(), pack.pop()) else { return Err(shape("it is not a pack of one record")) };
        let request = record.request.ok_or(CommandError::Unpaid)?;
        let request = request.parse::<Id>().map_err(|_| shape("request is no id"))?;
        let certificate = unhex(&record.certificate.ok_or(CommandError::Unpaid)?).ok_or_else(|| shape("certificate is no hexadecimal"))?;
        let certificate = Certificate::decode(&certificate).map_err(|why| CommandError::Shape(format!("its certificate: {why}")))?;
        let mut handovers = Vec::with_capacity(record.handovers.len());
        for text in &record.handovers {
            let bytes = unhex(text).ok_or_else(|| shape("a handover is no hexadecimal"))?;
            handovers.push(Handover::decode(&bytes).map_err(|why| CommandError::Shape(format!("a handover: {why}")))?);
        }
        Ok(Self { request, certificate, handovers_from: record.handovers_from, handovers })
    }

    /// Checks that more than two thirds of the committee of the request's epoch voted for it, by what is known of committees. What
    /// the handovers say beyond is known afterwards.
    ///
    /// # Errors
    /// [`CommandError`] for the first thing that does not hold.
    pub(crate) fn verify(&self, committees: &mut Committees) -> Result<(), CommandError> {
        let certified = self.certificate.request.id();
        if certified != self.request {
            return Err(CommandError::Other { certified });
        }
        let committee = committees.lead(self.handovers_from, self.certificate.request.epoch, &self.handovers)?;
        check(committees.genesis(), &self.certificate, &committee)
    }
}

/// Checks a certificate by the committee of its epoch.
///
/// # Errors
/// [`CommandError`] if it does not hold.
pub(super) fn check(genesis: &Genesis, certificate: &Certificate, committee: &Committee) -> Result<(), CommandError> {
    certificate.verify(&genesis.network(), genesis.subnet, committee, genesis.wallet_parameters.threshold_percent)?;
    Ok(())
}

/// What a device says of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The request.
    pub(crate) request: Id,
    /// Whether it did what was bought.
    pub(crate) delivered: bool,
    /// Why not.
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportObject {
    request: String,
    state: String,
    #[serde(default)]
    reason: String,
}

impl Report {
    /// Reads a payload.
    ///
    /// # Errors
    /// What is wrong with it, for the device's owner.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, String> {
        let object: ReportObject = serde_json::from_slice(payload)
            .map_err(|why| format!("it is no report: {why}; a report has \"request\", \"state\" and, if it likes, \"reason\""))?;
        let request = object.request.parse::<Id>().map_err(|_| "request is not 64 lower-case hexadecimal digits".to_owned())?;
        let delivered = match object.state.as_str() {
            "delivered" => true,
            "failed" => false,
            _ => return Err("state must be \"delivered\" or \"failed\"".to_owned()),
        };
        let mut reason: String = object.reason.chars().filter(|c| !c.is_control()).collect();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Ok(Self { request, delivered, reason })
    }

    /// As it is published.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let state = if self.delivered { "delivered" } else { "failed" };
        let mut object = json!({ "request": self.request.to_string(), "state": state });
        if let (false, serde_json::Value::Object(members)) = (self.reason.is_empty(), &mut object) {
            members.insert("reason".to_owned(), self.reason.clone().into());
        }
        object.to_string().into_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::*;
    use protocol::finalization::consensus_namespace;
    use protocol::{Body, Draft, Finalization, Milestone, Name, SecretKey, Unsigned, Validator, Vote};

    /// A network of four, with the keys of its members.
    pub(crate) fn network() -> (Genesis, Vec<SecretKey>) {
        let mut keys: Vec<SecretKey> = (1..=4u8).map(|seed| SecretKey::from_seed(&[seed; 32])).collect();
        keys.sort_by_key(SecretKey::public_key);
        let validators = keys.iter().zip(["n1", "n2", "n3", "n4"]);
        let validators = validators.map(|(k, n)| Validator { key: k.public_key(), name: Name::new(n).unwrap() }).collect();
        (Genesis::plain(Name::new("net").unwrap(), 0, 7, Committee::new(validators).unwrap()), keys)
    }

    /// The same with epochs of four milestones.
    pub(crate) fn epochs() -> (Genesis, Vec<SecretKey>) {
        let (mut genesis, keys) = network();
        genesis.parameters.epoch_milestones = 4;
        (genesis, keys)
    }

    /// The milestone that closes `epoch`, after which the same committee goes on.
    pub(crate) fn handover(genesis: &Genesis, keys: &[SecretKey], epoch: u64) -> Handover {
        let milestone = Milestone {
            subnet: genesis.subnet,
            parent: Id([1; 32]),
            height: genesis.parameters.closing_height(epoch).unwrap(),
            epoch,
            time_ms: 1_750_000_000_000,
            tips: Vec::new(),
            message_count: 0,
            messages_root: Id([2; 32]),
            state_root: Id([3; 32]),
            history_root: Id([4; 32]),
            next_committee: Some(keys.iter().map(SecretKey::public_key).collect()),
        };
        let mut finalization = Finalization { epoch, view: 1, parent_view: 0, digest: milestone.digest(), votes: Vec::new() };
        let namespace = [consensus_namespace(&genesis.network()).as_slice(), b"_FINALIZE"].concat();
        for (validator, key) in (0u8..).zip(keys).take(genesis.committee.quorum()) {
            finalization.votes.push(Vote { validator, signature: key.sign(&namespace, &finalization.proposal()) });
        }
        Handover { milestone, finalization }
    }

    /// A purchase of `service`, with the votes of the first `votes` members.
    pub(crate) fn certified(genesis: &Genesis, keys: &[SecretKey], service: Id, price: u64, votes: usize) -> Certificate {
        certified_in(genesis, keys, service, price, votes, 0)
    }

    /// The same in an epoch.
    pub(crate) fn certified_in(genesis: &Genesis, keys: &[SecretKey], service: Id, price: u64, votes: usize, epoch: u64) -> Certificate {
        let wallet = SecretKey::from_seed(&[9; 32]);
        let network = genesis.network();
        let operation = Operation::Buy { service, argument: b"lungo".to_vec() };
        let state = protocol::request::first_state(&network, &wallet.public_key());
        let draft = Draft { state, number: 0, epoch, operation, price, from_ms: 1_750_000_000_000, until_ms: 1_750_000_060_000 };
        let request = draft.sign(&network, &wallet, 0, 1).unwrap().unwrap();
        let cast = keys.iter().take(votes).zip(0u8..).map(|(key, voter)| {
            let unsigned = Unsigned {
                network,
                subnet: genesis.subnet,
                issuer: key.public_key(),
                sequence: 1,
                parents: vec![Unsigned::root(network)],
                issued_at_ms: 8,
                votes: vec![request.id()],
                body: Body::Data(Vec::new()),
                pow_nonce: 0,
            };
            unsigned.sign(key).cast_vote(&request.id(), voter).unwrap()
        });
        Certificate::assemble(request.clone(), cast.collect::<Vec<_>>(), votes).unwrap()
    }

    /// SRV-4, SRV-5: what is published is read back, and holds by the genesis alone.
    #[test]
    fn a_command_proves_that_it_was_paid_for() {
        let (genesis, keys) = network();
        let certificate = certified(&genesis, &keys, Id([5; 32]), 2, 3);
        let topic: DeviceTopic = "z1/espresso/act/brew".parse().unwrap();
        let payload = command(&topic, &certificate, 0, &[], 1_750_000_000_000_000);
        let read = Command::read(&payload).unwrap();
        assert_eq!((read.request, &read.certificate), (certificate.request.id(), &certificate));
        assert_eq!(read.verify(&mut Committees::new(genesis)), Ok(()));
        // it is SenML as every command is
        let readings = edge::payload::decode(&topic, &payload, 1_750_000_000_000_000).unwrap();
        assert_eq!(readings.first().map(|r| r.value.clone()), Some(Value::Text("lungo".into())));
    }

    /// SRV-4, SRV-5: the handovers of a command begin where its text says.
    #[test]
    fn a_command_of_a_later_epoch_leads_there() {
        let (genesis, keys) = epochs();
        let topic: DeviceTopic = "z1/espresso/act/brew".parse().unwrap();
        let handovers: Vec<Handover> = (0..3).map(|epoch| handover(&genesis, &keys, epoch)).collect();
        let certificate = certified_in(&genesis, &keys, Id([5; 32]), 2, 3, 3);
        let mut fresh = Committees::new(genesis);
        let late = Command::read(&command(&topic, &certificate, 2, handovers.get(2..).unwrap(), 1)).unwrap();
        assert_eq!(late.verify(&mut fresh), Err(CommandError::Gap { from: 2, known: 0 }));
        let whole = Command::read(&command(&topic, &certificate, 0, &handovers, 1)).unwrap();
        assert_eq!(whole.verify(&mut fresh), Ok(()));
        assert_eq!((late.verify(&mut fresh), fresh.last()), (Ok(()), 3));
    }

    /// SRV-5
    #[test]
    fn what_proves_nothing_is_refused() {
        let (genesis, keys) = network();
        let good = certified(&genesis, &keys, Id([5; 32]), 2, 3);
        let other = certified(&genesis, &keys, Id([6; 32]), 2, 3);
        let read =
            |certificate: Certificate| Command { request: certificate.request.id(), certificate, handovers_from: 0, handovers: Vec::new() };
        let refusal = |command: &Command| command.verify(&mut Committees::new(genesis.clone())).unwrap_err().to_string();
        let short = Certificate { votes: good.votes.iter().take(2).cloned().collect(), ..good.clone() };
        assert!(refusal(&read(short)).contains("it has 2 votes, 3 are needed"));
        let replayed = Certificate { request: other.request.clone(), votes: good.votes.clone() };
        assert!(refusal(&read(replayed)).contains("did not sign a message with this vote"));
        let renamed = Command { request: Id([7; 32]), ..read(good.clone()) };
        assert!(refusal(&renamed).contains("not of the one that it names"));
        let mut strangers: Vec<SecretKey> = (21..=24u8).map(|seed| SecretKey::from_seed(&[seed; 32])).collect();
        strangers.sort_by_key(SecretKey::public_key);
        assert!(refusal(&read(certified(&genesis, &strangers, Id([5; 32]), 2, 3))).contains("did not sign"));
        let mut later = good;
        later.request.epoch = 1;
        assert!(refusal(&read(later)).contains("committee of epoch 1"));
        for bad in ["", "{}", "[]", "[{}]", "[{\"request\":\"x\"}]", "[{},{}]"] {
            assert!(Command::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    /// SRV-8
    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = Report { request: Id([3; 32]), delivered: false, reason: "no water".into() };
        assert_eq!(Report::read(&report.payload()), Ok(report.clone()));
        let good = Report { delivered: true, reason: String::new(), ..report };
        assert_eq!(Report::read(&good.payload()), Ok(good));
        let id = "03".repeat(32);
        for (text, says) in [
            ("".to_owned(), "no report"),
            (format!("{{\"request\":\"{id}\"}}"), "no report"),
            (format!("{{\"request\":\"{id}\",\"state\":\"perhaps\"}}"), "state must be"),
            ("{\"request\":\"03\",\"state\":\"failed\"}".to_owned(), "request is not"),
        ] {
            assert!(Report::read(text.as_bytes()).unwrap_err().contains(says), "{text}");
        }
    }
}
