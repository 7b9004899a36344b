//! Every decoder of bytes and text from strangers.

use ledger::{
    Account, Candidates, Coins, Delegation, Device, DeviceKey, Earnings, Epoch, Farewells, Purchase, Purse, Service, Site, Tally, Totals,
    Unbonding, VoidIds, Wallet,
};
use protocol::exchange::{Record, RecordsWriter, records};
use protocol::json::GenesisError;
use protocol::limits::{CERTIFICATES_BYTES_MAX, WALLET_REQUEST_BYTES_MAX};
use protocol::{
    Address, Batch, Body, Certificate, Credential, Decode, DecodeError, DeviceName, DeviceRequest, DeviceTopic, Encode, Evidence,
    Finalization, Genesis, Handover, Head, Id, Message, MessageError, Milestone, Name, NetworkId, Order, Parameters, PublicKey, Reading,
    ReadingName, Receipt, Rejection, Request, SecretKey, Signature, SignedReading, Terms, Topic, Unsigned, Value, WalletParameters,
};
use std::fmt::Display;
use std::str::FromStr;

/// The first byte chooses the decoder, the rest is its input. Whatever is accepted is written again as it was read;
/// whatever is refused is refused with an error that can be shown.
///
/// The numbers are those of `seed.py`: append, never renumber. Returns whether the input was accepted.
///
/// # Panics
/// If a value is not written as it was read.
pub fn decode(data: &[u8]) -> bool {
    let Some((decoder, input)) = data.split_first() else { return false };
    match decoder {
        0 => canonical::<Message>(input).is_some_and(|message| check_message(&message)),
        1 => canonical::<Milestone>(input).is_some(),
        2 => canonical::<Finalization>(input).is_some(),
        3 => canonical::<Batch>(input).is_some_and(|batch| check_batch(&batch)),
        4 => canonical::<Reading>(input).is_some_and(|reading| check_reading(&reading)),
        5 => canonical::<Body>(input).is_some(),
        6 => canonical::<Value>(input).is_some_and(|value| !value.to_string().is_empty()),
        7 => canonical::<Name>(input).is_some_and(|name| check_text(&name)),
        8 => canonical::<DeviceTopic>(input).is_some_and(|topic| check_text(&topic)),
        9 => canonical::<Id>(input).is_some_and(|id| check_text(&id)),
        10 => canonical::<PublicKey>(input).map(|key| key.is_sound()).is_some(),
        11 => canonical::<Signature>(input).is_some_and(|signature| check_text(&signature)),
        12 => canonical::<NetworkId>(input).is_some_and(|network| check_text(&network)),
        13 => canonical::<Account>(input).is_some(),
        14 => canonical::<Totals>(input).is_some(),
        15 => receipt_json(input),
        16 => genesis_json(input),
        17 => spelled::<Topic>(input),
        18 => spelled::<DeviceTopic>(input),
        19 => spelled::<Name>(input),
        20 => spelled::<ReadingName>(input),
        21 => spelled::<Id>(input),
        22 => spelled::<PublicKey>(input),
        23 => spelled::<Signature>(input),
        24 => spelled::<NetworkId>(input),
        25 => canonical::<Head>(input).is_some(),
        26 => canonical::<Order>(input).is_some(),
        27 => canonical::<Evidence>(input).is_some(),
        28 => canonical::<Parameters>(input).is_some(),
        29 => canonical::<Handover>(input).is_some(),
        30 => canonical::<Address>(input).is_some(),
        31 => canonical::<Wallet>(input).is_some(),
        32 => canonical::<ledger::Validator>(input).is_some(),
        33 => canonical::<Candidates>(input).is_some(),
        34 => canonical::<Epoch>(input).is_some(),
        35 => canonical::<Delegation>(input).is_some(),
        36 => canonical::<Unbonding>(input).is_some(),
        37 => canonical::<VoidIds>(input).is_some(),
        38 => canonical::<SignedReading>(input).is_some_and(|signed| check_signed(&signed)),
        39 => canonical::<DeviceName>(input).is_some_and(|name| check_text(&name)),
        40 => canonical::<Credential>(input).is_some(),
        41 => canonical::<Site>(input).is_some(),
        42 => canonical::<Device>(input).is_some(),
        43 => canonical::<DeviceKey>(input).is_some(),
        44 => spelled::<DeviceName>(input),
        45 => thing(input),
        46 => canonical::<DeviceRequest>(input).is_some_and(|request| check_request(&request)),
        47 => canonical::<Record>(input).is_some_and(|record| check_record(&record)),
        48 => canonical::<Request>(input).is_some_and(|request| check_spending(&request)),
        49 => canonical::<Certificate>(input).is_some_and(|certificate| check_certificate(&certificate)),
        50 => canonical::<Rejection>(input).is_some_and(|rejection| !rejection.reason.to_string().is_empty()),
        51 => canonical::<Terms>(input).is_some(),
        52 => canonical::<WalletParameters>(input).is_some(),
        53 => canonical::<Purse>(input).is_some(),
        54 => canonical::<Coins>(input).is_some(),
        55 => canonical::<Tally>(input).is_some(),
        56 => canonical::<Earnings>(input).is_some(),
        57 => canonical::<Service>(input).is_some(),
        58 => canonical::<Purchase>(input).is_some(),
        59 => canonical::<Farewells>(input).is_some(),
        _ => false,
    }
}

/// Decodes bytes; what is accepted encodes to the same bytes, and is refused with any byte less or more.
fn canonical<T: Encode + Decode>(bytes: &[u8]) -> Option<T> {
    match T::decode(bytes) {
        Ok(value) => {
            assert_eq!(value.encode(), bytes, "the encoding is not canonical");
            let longer = [bytes, &[0]].concat();
            assert_eq!(T::decode(&longer).err(), Some(DecodeError::TrailingBytes(1)));
            if let Some((_, shorter)) = bytes.split_last() {
                assert!(T::decode(shorter).is_err(), "a value is the beginning of another");
            }
            Some(value)
        }
        Err(why) => {
            assert!(!why.to_string().is_empty());
            None
        }
    }
}

/// Reads text; what is accepted is shown as the same text.
fn spelled<T: FromStr + Display>(bytes: &[u8]) -> bool
where
    T::Err: Display,
{
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string(), text, "shown otherwise than it was read");
            true
        }
        Err(why) => {
            assert!(!why.to_string().is_empty());
            false
        }
    }
}

/// What a value is shown as is read again.
fn check_text<T: FromStr + Display>(value: &T) -> bool
where
    T::Err: Display,
{
    assert!(spelled::<T>(value.to_string().as_bytes()), "shown, but not read again");
    true
}

/// A message keeps its bytes, so that they come back says little: its fields, signed anew, must give all of them but
/// the signature. Of its own network and subnet, it can only be the signature that is wrong.
fn check_message(message: &Message) -> bool {
    let bytes = message.bytes();
    let mut network = NetworkId([0; 32]);
    network.0[..8].copy_from_slice(&bytes[1..9]);
    assert_eq!(message.id(), Id::hash(&[bytes]));
    assert!(matches!(message.verify(&network, message.subnet), Ok(()) | Err(MessageError::Signature)));
    let unsigned = Unsigned {
        network,
        subnet: message.subnet,
        issuer: message.issuer,
        sequence: message.sequence,
        parents: message.parents.clone(),
        issued_at_ms: message.issued_at_ms,
        votes: message.votes.clone(),
        body: message.body.clone(),
        pow_nonce: message.pow_nonce,
    };
    let signed = unsigned.sign(&SecretKey::from_seed(&[1; 32]));
    let end = bytes.len() - 64;
    assert_eq!(signed.bytes()[..end], bytes[..end], "the fields do not give the bytes");
    true
}

/// A batch's readings have leaves, one each, and each reading an encoding of its own.
fn check_batch(batch: &Batch) -> bool {
    assert_eq!(batch.leaves().len(), batch.readings.len());
    let (first_us, last_us) = batch.span_us();
    assert!(first_us <= last_us);
    for reading in &batch.readings {
        assert_eq!(canonical::<Reading>(&reading.encode()).as_ref(), Some(reading));
    }
    true
}

/// A reading's name is read as it is written.
fn check_reading(reading: &Reading) -> bool {
    check_text(&reading.name())
}

/// What is in an envelope is a reading on any topic, signed by whomever.
fn check_signed(signed: &SignedReading) -> bool {
    let reading = signed.clone().into_reading("plant/meter-1/sense/power".parse().expect("a topic"), PublicKey([3; 32]));
    assert_eq!(canonical::<Reading>(&reading.encode()).as_ref(), Some(&reading));
    true
}

/// Each request has an id and a slot; the slot does not depend on what is asked.
fn check_request(request: &DeviceRequest) -> bool {
    let other = DeviceRequest { value: Value::Boolean(true), ..request.clone() };
    assert_eq!(other.slot(), request.slot());
    assert_eq!(other.id() == request.id(), other == *request);
    check_text(&request.to)
}

/// A request is named by all but its signature, and so is the State that it leads to.
fn check_spending(request: &Request) -> bool {
    let again = Request { signature: Signature([1; 64]), ..request.clone() };
    assert_eq!(again.id(), request.id());
    assert_eq!(again.next_state(), request.next_state());
    let other = Request { nonce: !request.nonce, ..request.clone() };
    assert_ne!(other.id(), request.id());
    assert!(request.encode().len() <= WALLET_REQUEST_BYTES_MAX && request.work() <= 64);
    true
}

/// A certificate is of no committee of strangers, and has a bit for each vote.
fn check_certificate(certificate: &Certificate) -> bool {
    let network = NetworkId([7; 32]);
    let strangers: Vec<PublicKey> = (1..=4u8).map(|n| SecretKey::from_seed(&[n; 32]).public_key()).collect();
    let why = certificate.verify_keys(&network, 0, &strangers, 67).expect_err("nobody signed it");
    assert!(!why.to_string().is_empty());
    let distinct = certificate.votes.iter().filter(|vote| vote.voter < 128).count();
    assert_eq!(certificate.voters().count_ones() as usize, distinct);
    assert!(certificate.encode().len() <= CERTIFICATES_BYTES_MAX);
    true
}

/// Any record has room in a body, and is read back from it.
fn check_record(record: &Record) -> bool {
    let mut writer = RecordsWriter::default();
    assert!(writer.add(record), "a record without room");
    assert_eq!(records(&writer.finish()), Some(Ok(vec![record.clone()])));
    true
}

/// A Thing Description that is accepted is a JSON object with a title; one that is refused is refused in few words.
fn thing(input: &[u8]) -> bool {
    match edge::thing::check(input) {
        Ok(found) => {
            let json: serde_json::Value = serde_json::from_slice(input).expect("what was accepted is JSON");
            assert_eq!(json["title"], found.title.as_str());
            true
        }
        Err(why) => {
            assert!((1..1_000).contains(&why.to_string().len()), "{why}");
            false
        }
    }
}

/// A receipt that is read is written as one that is equal.
fn receipt_json(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match Receipt::from_json(text) {
        Ok(receipt) => {
            let written = receipt.to_json();
            let again = Receipt::from_json(&written);
            assert_eq!(again.as_ref(), Ok(&receipt));
            assert_eq!(again.map(|receipt| receipt.to_json()), Ok(written));
            true
        }
        Err(why) => {
            assert!(!why.to_string().is_empty());
            false
        }
    }
}

/// A genesis that is read is written as one that is equal. No fuzzer finds the hash that a genesis must state, so it
/// is put right where nothing else is wrong.
fn genesis_json(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match Genesis::from_json(text) {
        Ok(genesis) => check_genesis(&genesis),
        Err(GenesisError::Network { computed, .. }) => {
            let mut json: serde_json::Value = serde_json::from_str(text).expect("a genesis whose network alone is wrong is JSON");
            json["network"] = computed.as_str().into();
            let genesis = Genesis::from_json(&json.to_string()).expect("nothing but the network was wrong");
            assert_eq!(genesis.network().to_string(), computed);
            check_genesis(&genesis)
        }
        Err(why) => {
            assert!(!why.to_string().is_empty());
            false
        }
    }
}

fn check_genesis(genesis: &Genesis) -> bool {
    assert_eq!(Genesis::from_json(&genesis.to_json()).as_ref(), Ok(genesis));
    assert!(canonical::<Milestone>(&genesis.milestone().encode()).is_some());
    assert!((1..=genesis.committee.size()).contains(&genesis.committee.quorum()));
    true
}
