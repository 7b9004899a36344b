//! What is not the canonical encoding of a value within its limits is refused, with an error that says why, and
//! never panics: bytes from the network and files from strangers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod sample;

use proptest::prelude::*;
use protocol::codec::{Reader, put_bytes, put_varint};
use protocol::limits::{
    ADDRESS_BYTES_MAX, BATCH_BYTES_MAX, BATCH_READINGS_MAX, COMMITTEE_MAX, CUT_MESSAGES_MAX, DATA_BYTES_MAX, NAME_BYTES_MAX, ORDERS_MAX,
    PARENTS_MAX, SHARES_MAX, TIPS_MAX, UNIT_BYTES_MAX, VALUE_BYTES_MAX, VOTES_MAX,
};
use protocol::{
    Action, Batch, Body, Committee, CommitteeError, Decode, DecodeError, DeviceTopic, Encode, Evidence, Finalization, Handover, Head, Id,
    Message, Milestone, Name, NameError, Order, Parameters, PublicKey, Reading, ReadingName, Share, Signature, SignedReading, Topic,
    TopicError, Validator, Value,
};
use std::fmt::Debug;

/// The longest integer: as a length it must be refused before anything is reserved for it.
const MAX: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

fn varint(n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, n);
    out
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, bytes);
    out
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn error<T: Decode + Debug>(bytes: &[u8]) -> DecodeError {
    T::decode(bytes).expect_err("refused")
}

fn over(what: &'static str, limit: usize, found: u64) -> DecodeError {
    DecodeError::OverLimit { what, limit, found }
}

/// Strictly ascending ids.
fn ids(n: usize) -> Vec<Id> {
    (0..n)
        .map(|i| {
            let mut id = [0xee; 32];
            id[..4].copy_from_slice(&(i as u32).to_be_bytes());
            Id(id)
        })
        .collect()
}

// ---- pieces of encodings, to put wrong ones between

/// A reading up to its first name, and from its time on.
const READING_HEAD: [u8; 1] = [1];

fn reading_topic() -> Vec<u8> {
    concat(&[&prefixed(b"plant"), &prefixed(b"meter"), &[0], &prefixed(b"power")])
}

fn reading_with_value(value: &[u8]) -> Vec<u8> {
    concat(&[&READING_HEAD, &reading_topic(), &[0; 8], &[0], &[0], value])
}

/// A message up to its sequence.
fn message_head() -> Vec<u8> {
    concat(&[&[2], &[7; 8], &[0, 7], &[9; 32]])
}

fn message_with(sequence: &[u8], parents: &[u8], votes: &[u8], body: &[u8]) -> Vec<u8> {
    concat(&[&message_head(), sequence, parents, &[0; 8], votes, body, &[0; 8], &[0; 64]])
}

fn one_parent() -> Vec<u8> {
    concat(&[&[1], &[5; 32]])
}

const NO_VOTES: [u8; 1] = [0];
const EMPTY_DATA: [u8; 2] = [1, 0];

fn body_with(count: &[u8], bytes: &[u8], span: (u64, u64), shares: &[u8]) -> Vec<u8> {
    concat(&[&[0], &[3; 32], count, bytes, &span.0.to_be_bytes(), &span.1.to_be_bytes(), &[4; 32], shares])
}

fn milestone_with(height: &[u8], tips: &[u8], count: &[u8], next: &[u8]) -> Vec<u8> {
    concat(&[&[1, 0, 7], &[8; 32], height, &[0], &[0; 8], tips, count, &[0; 96], next])
}

fn finalization_with(epoch: &[u8], votes: &[u8]) -> Vec<u8> {
    concat(&[epoch, &[2], &[1], &[6; 32], votes])
}

fn batch_with(offset: &[u8], topics: &[u8], units: &[u8], rows: &[u8]) -> Vec<u8> {
    concat(&[&[1], &[0; 32], offset, topics, units, rows])
}

fn one_topic() -> Vec<u8> {
    concat(&[&[1], &reading_topic()])
}

/// One row: the first topic, time 0, no unit, no sequence, true.
const ROW: [u8; 6] = [0, 0, 0, 0, 1, 1];

#[test]
fn the_pieces_above_are_right() {
    assert!(Reading::decode(&reading_with_value(&[1, 1])).is_ok());
    assert!(Message::decode(&message_with(&[0], &one_parent(), &NO_VOTES, &EMPTY_DATA)).is_ok());
    assert!(Body::decode(&body_with(&[1], &[1], (1, 1), &[0])).is_ok());
    assert!(Milestone::decode(&milestone_with(&[1], &[0], &[0], &[0])).is_ok());
    assert!(Finalization::decode(&finalization_with(&[0], &[0])).is_ok());
    assert!(Batch::decode(&batch_with(&[0], &one_topic(), &[0], &concat(&[&[1], &ROW]))).is_ok());
}

fn truncated<T: Encode + Decode + Debug>(value: &T) {
    let bytes = value.encode();
    assert!(T::decode(&bytes).is_ok());
    for n in 0..bytes.len() {
        let error = error::<T>(&bytes[..n]);
        assert!(matches!(error, DecodeError::UnexpectedEnd(_)), "{n} of {} bytes: {error}", bytes.len());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(error::<T>(&longer), DecodeError::TrailingBytes(1));
    let twice = [bytes.as_slice(), &bytes].concat();
    assert_eq!(error::<T>(&twice), DecodeError::TrailingBytes(bytes.len()));
}

#[test]
fn truncation_at_every_byte_and_trailing_bytes() {
    sample::readings().iter().for_each(truncated);
    sample::milestones().iter().for_each(truncated);
    truncated(&sample::batch());
    truncated(&sample::message());
    truncated(&sample::data_message());
    truncated(&sample::last_of_epoch());
    truncated(&sample::orders_message());
    truncated(&sample::evidence_message());
    truncated(&sample::message().head());
    truncated(&sample::handover());
    truncated(&sample::genesis().parameters);
    sample::orders().iter().for_each(truncated);
    sample::device_orders().iter().for_each(truncated);
    sample::signed_readings().iter().for_each(truncated);
    sample::envelopes().iter().for_each(truncated);
    truncated(&sample::signed_batch());
    sample::evidence().iter().for_each(truncated);
    truncated(&sample::finalization(Id([1; 32]), &[0, 1, 2, 3]));
}

#[test]
fn integers_longer_than_needed() {
    let read = |bytes: &[u8]| Reader::new(bytes).varint("n");
    let bad = Err(DecodeError::NonCanonical("n"));
    assert_eq!(read(&[0x80, 0x00]), bad);
    assert_eq!(read(&[0xff, 0x00]), bad);
    assert_eq!(read(&[0x80, 0x80, 0x00]), bad);
    assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), bad);
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), bad, "65 bits");
    assert_eq!(read(&[0xff; 10]), bad, "no end in sight");
    assert_eq!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 0x00]), bad, "eleven bytes");
    assert_eq!(read(&[0xff; 9]), Err(DecodeError::UnexpectedEnd("n")));
    assert_eq!(read(&[]), Err(DecodeError::UnexpectedEnd("n")));
    assert_eq!(read(&MAX), Ok(u64::MAX));

    let one: &[u8] = &[0x81, 0x00];
    let canonical = |error: DecodeError| assert!(matches!(error, DecodeError::NonCanonical(_)), "{error}");
    canonical(error::<Reading>(&concat(&[&READING_HEAD, one, b"a"])));
    canonical(error::<Reading>(&reading_with_value(&concat(&[&[2], one, b"a"]))));
    canonical(error::<Message>(&message_with(one, &one_parent(), &NO_VOTES, &EMPTY_DATA)));
    canonical(error::<Message>(&message_with(&[0], &concat(&[one, &[5; 32]]), &NO_VOTES, &EMPTY_DATA)));
    canonical(error::<Message>(&message_with(&[0], &one_parent(), &concat(&[one, &[5; 32]]), &EMPTY_DATA)));
    canonical(error::<Message>(&message_with(&[0], &one_parent(), &NO_VOTES, &concat(&[&[1], one, b"a"]))));
    canonical(error::<Body>(&body_with(one, &[1], (1, 1), &[0])));
    canonical(error::<Body>(&body_with(&[1], one, (1, 1), &[0])));
    canonical(error::<Milestone>(&milestone_with(one, &[0], &[0], &[0])));
    canonical(error::<Milestone>(&milestone_with(&[1], &[0], one, &[0])));
    canonical(error::<Finalization>(&finalization_with(one, &[0])));
    canonical(error::<Batch>(&batch_with(one, &one_topic(), &[0], &concat(&[&[1], &ROW]))));
}

#[test]
fn lengths_over_their_limit_are_refused_before_anything_is_reserved() {
    let max = u64::MAX;
    assert_eq!(error::<Reading>(&concat(&[&READING_HEAD, &MAX])), over("a name", NAME_BYTES_MAX, max));
    let unit = concat(&[&READING_HEAD, &reading_topic(), &[0; 8], &[0], &[1], &MAX]);
    assert_eq!(error::<Reading>(&unit), over("a unit", UNIT_BYTES_MAX, max));
    assert_eq!(error::<Reading>(&reading_with_value(&concat(&[&[2], &MAX]))), over("a text value", VALUE_BYTES_MAX, max));
    assert_eq!(error::<Reading>(&reading_with_value(&concat(&[&[3], &MAX]))), over("a byte value", VALUE_BYTES_MAX, max));

    let parents = message_with(&[0], &MAX, &NO_VOTES, &EMPTY_DATA);
    assert_eq!(error::<Message>(&parents), over("a message's parents", PARENTS_MAX, max));
    let votes = message_with(&[0], &one_parent(), &MAX, &EMPTY_DATA);
    assert_eq!(error::<Message>(&votes), over("a message's votes", VOTES_MAX, max));
    assert_eq!(error::<Body>(&concat(&[&[1], &MAX])), over("a data body", DATA_BYTES_MAX, max));
    assert_eq!(error::<Body>(&concat(&[&[2], &MAX])), over("a message's orders", ORDERS_MAX, max));
    assert_eq!(error::<Action>(&concat(&[&[0], &prefixed(b"n"), &[1], &MAX])), over("an address", ADDRESS_BYTES_MAX, max));
    assert_eq!(error::<Body>(&body_with(&MAX, &[1], (1, 1), &[0])), over("a batch's count", BATCH_READINGS_MAX, max));
    assert_eq!(error::<Body>(&body_with(&[1], &MAX, (1, 1), &[0])), over("a batch's size", BATCH_BYTES_MAX, max));
    assert_eq!(error::<Body>(&body_with(&[1], &[1], (1, 1), &MAX)), over("a message's shares", SHARES_MAX, max));
    let share = concat(&[&[1], &[2; 32], &MAX]);
    assert_eq!(error::<Body>(&body_with(&[1], &[1], (1, 1), &share)), over("a share", BATCH_READINGS_MAX, max));

    assert_eq!(error::<Milestone>(&milestone_with(&[1], &MAX, &[0], &[0])), over("a milestone's tips", TIPS_MAX, max));
    assert_eq!(error::<Milestone>(&milestone_with(&[1], &[0], &MAX, &[0])), over("a milestone's message count", CUT_MESSAGES_MAX, max));
    let next = milestone_with(&[1], &[0], &[0], &concat(&[&[1], &MAX]));
    assert_eq!(error::<Milestone>(&next), over("a next committee", COMMITTEE_MAX, max));
    assert_eq!(error::<Finalization>(&finalization_with(&[0], &MAX)), over("a finalization's votes", COMMITTEE_MAX, max));

    assert_eq!(error::<Batch>(&batch_with(&[0], &MAX, &[0], &[0])), over("a batch's topics", BATCH_READINGS_MAX, max));
    assert_eq!(error::<Batch>(&batch_with(&[0], &[0], &MAX, &[0])), over("a batch's units", BATCH_READINGS_MAX, max));
    assert_eq!(error::<Batch>(&batch_with(&[0], &[0], &[0], &MAX)), over("a batch's readings", BATCH_READINGS_MAX, max));
}

#[test]
fn lengths_within_their_limit_but_beyond_the_bytes() {
    let end = |error: DecodeError| assert!(matches!(error, DecodeError::UnexpectedEnd(_)), "{error}");
    end(error::<Reading>(&reading_with_value(&concat(&[&[3], &varint(VALUE_BYTES_MAX as u64), &[0; 10]]))));
    end(error::<Message>(&message_with(&[0], &one_parent(), &varint(VOTES_MAX as u64), &EMPTY_DATA)));
    end(error::<Milestone>(&milestone_with(&[1], &varint(TIPS_MAX as u64), &[0], &[0])));
    end(error::<Finalization>(&finalization_with(&[0], &varint(COMMITTEE_MAX as u64))));
    end(error::<Batch>(&batch_with(&[0], &varint(BATCH_READINGS_MAX as u64), &[0], &[0])));
    end(error::<Batch>(&batch_with(&[0], &[0], &[0], &varint(BATCH_READINGS_MAX as u64))));
}

#[test]
fn one_more_than_the_limit() {
    let sign = |parents: Vec<Id>, votes: Vec<Id>, body: Body| {
        let mut unsigned = sample::unsigned(body);
        (unsigned.parents, unsigned.votes) = (parents, votes);
        unsigned.sign(&sample::issuer()).bytes().to_vec()
    };
    let data = |n: usize| Body::Data(vec![0; n]);
    assert!(Message::decode(&sign(ids(PARENTS_MAX), ids(VOTES_MAX), data(DATA_BYTES_MAX))).is_ok());
    let bytes = sign(ids(PARENTS_MAX + 1), Vec::new(), data(0));
    assert_eq!(error::<Message>(&bytes), over("a message's parents", PARENTS_MAX, PARENTS_MAX as u64 + 1));
    let bytes = sign(ids(1), ids(VOTES_MAX + 1), data(0));
    assert_eq!(error::<Message>(&bytes), over("a message's votes", VOTES_MAX, VOTES_MAX as u64 + 1));
    let bytes = sign(ids(1), Vec::new(), data(DATA_BYTES_MAX + 1));
    assert_eq!(error::<Message>(&bytes), over("a data body", DATA_BYTES_MAX, DATA_BYTES_MAX as u64 + 1));

    let Body::Readings { root, bytes, span_us, blob, .. } = sample::readings_body() else { panic!("readings") };
    let share = Share { wallet: sample::key(12).public_key(), count: 1 };
    let full = |n| Body::Readings { root, count: 1, bytes, span_us, blob, shares: vec![share.clone(); n] };
    assert!(Body::decode(&full(SHARES_MAX).encode()).is_ok());
    assert_eq!(error::<Body>(&full(SHARES_MAX + 1).encode()), over("a message's shares", SHARES_MAX, SHARES_MAX as u64 + 1));

    let many = |n: usize| sign(ids(1), Vec::new(), Body::Orders(vec![sample::orders().swap_remove(0); n]));
    assert!(Message::decode(&many(ORDERS_MAX)).is_ok());
    assert_eq!(error::<Message>(&many(ORDERS_MAX + 1)), over("a message's orders", ORDERS_MAX, ORDERS_MAX as u64 + 1));

    let mut milestone = sample::last_of_epoch();
    (milestone.tips, milestone.message_count) = (ids(TIPS_MAX), CUT_MESSAGES_MAX as u64);
    assert!(Milestone::decode(&milestone.encode()).is_ok());
    milestone.message_count += 1;
    let expected = over("a milestone's message count", CUT_MESSAGES_MAX, CUT_MESSAGES_MAX as u64 + 1);
    assert_eq!(error::<Milestone>(&milestone.encode()), expected);
    milestone.tips = ids(TIPS_MAX + 1);
    assert_eq!(error::<Milestone>(&milestone.encode()), over("a milestone's tips", TIPS_MAX, TIPS_MAX as u64 + 1));
}

#[test]
fn numbers_that_are_none_or_have_two_forms() {
    let number = |n: f64| error::<Value>(&concat(&[&[0], &n.to_be_bytes()]));
    for bad in [-0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(number(bad), DecodeError::NonCanonical("a number"), "{bad}");
    }
    // a NaN with a payload
    let bytes = concat(&[&[0], &0x7ff0_0000_dead_beef_u64.to_be_bytes()]);
    assert_eq!(error::<Value>(&bytes), DecodeError::NonCanonical("a number"));
    for good in [0.0, f64::MIN_POSITIVE, -5e-324, f64::MAX] {
        assert_eq!(Value::decode(&concat(&[&[0], &f64::to_be_bytes(good)])), Ok(Value::Number(good)));
    }
}

#[test]
fn lists_out_of_order_or_with_one_twice() {
    let [a, b, c] = [Id([1; 32]), Id([2; 32]), Id([3; 32])];
    let message = |parents: &[Id], votes: &[Id]| {
        let mut unsigned = sample::unsigned(Body::Data(Vec::new()));
        (unsigned.parents, unsigned.votes) = (parents.to_vec(), votes.to_vec());
        Message::decode(unsigned.sign(&sample::issuer()).bytes()).map(|_| ())
    };
    let parents = Err(DecodeError::NonCanonical("a message's parents"));
    assert_eq!(message(&[c, a, b], &[]), Ok(()), "the first is the issuer's own: it has no order with the others");
    assert_eq!(message(&[a, c, b], &[]), parents);
    assert_eq!(message(&[a, b, b], &[]), parents);
    assert_eq!(message(&[b, a, b], &[]), parents);
    assert_eq!(message(&[a, a], &[]), parents);
    assert_eq!(message(&[], &[]), Err(DecodeError::Invalid("a message's parents")));
    let votes = Err(DecodeError::NonCanonical("a message's votes"));
    assert_eq!(message(&[a], &[a, b]), Ok(()));
    assert_eq!(message(&[a], &[b, a]), votes);
    assert_eq!(message(&[a], &[a, a]), votes);

    let milestone = |tips: &[Id], next: Option<Vec<PublicKey>>| {
        let mut milestone = sample::last_of_epoch();
        (milestone.tips, milestone.next_committee) = (tips.to_vec(), next);
        Milestone::decode(&milestone.encode()).map(|_| ())
    };
    assert_eq!(milestone(&[a, b], None), Ok(()));
    assert_eq!(milestone(&[b, a], None), Err(DecodeError::NonCanonical("a milestone's tips")));
    assert_eq!(milestone(&[a, a], None), Err(DecodeError::NonCanonical("a milestone's tips")));
    let (x, y) = (PublicKey([1; 32]), PublicKey([2; 32]));
    let next = Err(DecodeError::NonCanonical("a next committee"));
    assert_eq!(milestone(&[], Some(vec![x, y])), Ok(()));
    assert_eq!(milestone(&[], Some(vec![y, x])), next);
    assert_eq!(milestone(&[], Some(vec![x, x])), next);
    assert_eq!(milestone(&[], Some(Vec::new())), next);

    // evidence stands in one order, and its two sides differ
    let pair = Err(DecodeError::NonCanonical("evidence"));
    for evidence in sample::evidence() {
        let (swapped, twice) = match evidence.clone() {
            Evidence::Messages { first, second } => {
                let twice = Evidence::Messages { first: first.clone(), second: first.clone() };
                (Evidence::Messages { first: second, second: first }, twice)
            }
            Evidence::Votes { validator, phase, epoch, view, first, second } => {
                let twice = Evidence::Votes { validator, phase, epoch, view, first: first.clone(), second: first.clone() };
                (Evidence::Votes { validator, phase, epoch, view, first: second, second: first }, twice)
            }
        };
        assert!(Evidence::decode(&evidence.encode()).is_ok());
        assert_eq!(Evidence::decode(&swapped.encode()), pair);
        assert_eq!(Evidence::decode(&twice.encode()), pair);
    }

    let finalization = |signers: &[u8]| Finalization::decode(&sample::finalization(a, signers).encode()).map(|_| ());
    let votes = Err(DecodeError::NonCanonical("a finalization's votes"));
    assert_eq!(finalization(&[0, 3]), Ok(()));
    assert_eq!(finalization(&[3, 0]), votes);
    assert_eq!(finalization(&[1, 1]), votes);
}

#[test]
fn tags_and_versions_of_another_time() {
    let unknown = |what, tag| DecodeError::UnknownTag { what, tag };
    assert_eq!(error::<Reading>(&[3]), unknown("a reading's version", 3));
    assert_eq!(error::<Batch>(&[0]), unknown("a batch's version", 0));
    assert_eq!(error::<Message>(&[1]), unknown("a message's version", 1));
    assert_eq!(error::<Head>(&[4]), unknown("a head's version", 4));
    assert_eq!(error::<Order>(&[2]), unknown("an order's version", 2));
    assert_eq!(error::<Action>(&[13]), unknown("an order's action", 13));
    let role = concat(&[&[6], &prefixed(b"plant"), &prefixed(b"meter"), &[4]]);
    assert_eq!(error::<Action>(&role), unknown("a device's role", 4));
    assert_eq!(error::<SignedReading>(&[0xf7, b'w', b'r', 2]), unknown("an envelope's version", 2));
    assert_eq!(error::<Evidence>(&[2]), unknown("evidence", 2));
    assert_eq!(error::<Evidence>(&concat(&[&[1], &[0; 32], &[2]])), unknown("a phase", 2));
    assert_eq!(error::<Milestone>(&[0xff]), unknown("a milestone's version", 0xff));
    assert_eq!(error::<Body>(&[7]), unknown("a body", 7));
    assert_eq!(error::<Value>(&[4]), unknown("a value", 4));
    let direction = concat(&[&READING_HEAD, &prefixed(b"a"), &prefixed(b"b"), &[2]]);
    assert_eq!(error::<Reading>(&direction), unknown("a direction", 2));
    // markers of options and truth values
    assert_eq!(error::<Value>(&[1, 2]), DecodeError::NonCanonical("a truth value"));
    let sequence = concat(&[&READING_HEAD, &reading_topic(), &[0; 8], &[2]]);
    assert_eq!(error::<Reading>(&sequence), DecodeError::NonCanonical("a reading's sequence"));
    let unit = concat(&[&READING_HEAD, &reading_topic(), &[0; 8], &[0], &[9]]);
    assert_eq!(error::<Reading>(&unit), DecodeError::NonCanonical("a unit"));
    assert_eq!(error::<Milestone>(&milestone_with(&[1], &[0], &[0], &[2])), DecodeError::NonCanonical("a next committee"));
}

#[test]
fn values_that_are_not_allowed() {
    assert_eq!(error::<Body>(&body_with(&[0], &[1], (1, 1), &[0])), DecodeError::Invalid("a batch's count"));
    assert_eq!(error::<Body>(&[2, 0]), DecodeError::Invalid("a message's orders"), "no orders");
    for tag in [2, 3] {
        let action = concat(&[&[tag], &[7; 32], &[0]]);
        assert_eq!(error::<Action>(&action), DecodeError::Invalid("an order's amount"), "an amount of 0");
    }
    let address = concat(&[&[0], &prefixed(b"n"), &[1], &prefixed(b"host")]);
    assert_eq!(error::<Action>(&address), DecodeError::Invalid("an address"), "no port");
    let parameters = Parameters { epoch_milestones: 1, ..Parameters::default() };
    assert_eq!(error::<Parameters>(&parameters.encode()), DecodeError::Invalid("a genesis' parameters"));
    assert_eq!(error::<Body>(&body_with(&[1], &[0], (1, 1), &[0])), DecodeError::Invalid("a batch's size"));
    assert_eq!(error::<Body>(&body_with(&[1], &[1], (2, 1), &[0])), DecodeError::Invalid("a batch's span"));
    let share = concat(&[&[1], &[2; 32], &[0]]);
    assert_eq!(error::<Body>(&body_with(&[1], &[1], (1, 1), &share)), DecodeError::Invalid("a share"));
    assert_eq!(error::<Value>(&[2, 1, 0xff]), DecodeError::Invalid("a text value"));
    assert_eq!(error::<Value>(&[2, 3, 0xed, 0xa0, 0x80]), DecodeError::Invalid("a text value"), "half a surrogate pair");
    for bad in [b"".as_slice(), b"a/b", b"+", b"#", b"a@b", b"$a", b"a\nb", b"\x7f", b"\xc2\x85", b"\xff"] {
        let bytes = concat(&[&READING_HEAD, &prefixed(bad), &[0; 40]]);
        assert_eq!(error::<Reading>(&bytes), DecodeError::Invalid("a name"), "{bad:?}");
    }
}

#[test]
fn batches_with_tables_in_another_form() {
    let unit = |text: &[u8]| concat(&[&[1], &prefixed(text)]);
    let rows = |rows: &[&[u8]]| concat(&[&varint(rows.len() as u64), &rows.concat()]);
    let two_topics = concat(&[&[2], &reading_topic(), &prefixed(b"plant"), &prefixed(b"valve"), &[1], &prefixed(b"open")]);
    let same_topic_twice = concat(&[&[2], &reading_topic(), &reading_topic()]);
    let tables = DecodeError::NonCanonical("a batch's tables");
    let refused = |topics: &[u8], units: &[u8], rows: &[u8]| error::<Batch>(&batch_with(&[0], topics, units, rows));

    assert_eq!(refused(&two_topics, &[0], &rows(&[&ROW])), tables, "a topic that no reading has");
    assert_eq!(refused(&two_topics, &[0], &rows(&[&[1, 0, 0, 0, 1, 1], &ROW])), tables, "topics in another order");
    assert_eq!(refused(&same_topic_twice, &[0], &rows(&[&ROW, &[1, 0, 0, 0, 1, 1]])), tables, "one topic under two numbers");
    assert_eq!(refused(&one_topic(), &unit(b"W"), &rows(&[&ROW])), tables, "a unit that no reading has");
    assert_eq!(refused(&one_topic(), &[0], &rows(&[&[1, 0, 0, 0, 1, 1]])), DecodeError::Invalid("a topic's index"));
    assert_eq!(refused(&one_topic(), &unit(b"W"), &rows(&[&[0, 0, 2, 0, 1, 1]])), DecodeError::Invalid("a unit's index"));
    let far = concat(&[&MAX, &[0, 0, 0, 1, 1]]);
    assert_eq!(refused(&one_topic(), &[0], &rows(&[&far])), DecodeError::Invalid("a topic's index"));
    let far = concat(&[&[0, 0], &MAX, &[0, 1, 1]]);
    assert_eq!(refused(&one_topic(), &[0], &rows(&[&far])), DecodeError::Invalid("a unit's index"));
}

/// A signed reading has a number, and the keys of a batch's devices stand in one form.
#[test]
fn signed_readings_in_another_form() {
    let unnumbered = concat(&[&[2], &reading_topic(), &[0; 8], &[0], &[0], &[1, 1], &[7; 96]]);
    assert_eq!(error::<Reading>(&unnumbered), DecodeError::Invalid("a signed reading's sequence"));
    assert_eq!(error::<SignedReading>(&[0; 80]), DecodeError::Invalid("an envelope's beginning"));
    let batch =
        |rows: &[&[u8]]| Batch::decode(&batch_with(&[0], &one_topic(), &[0], &concat(&[&varint(rows.len() as u64), &rows.concat()])));
    let row = |device: &[u8]| concat(&[&[0, 0, 0, 2, 9, 1, 1], device, &[6; 64]]);
    let (one, other) = (concat(&[&[0], &[7; 32]]), concat(&[&[1], &[8; 32]]));
    assert_eq!(batch(&[&row(&one), &row(&[0]), &row(&other), &row(&[1])]).map(|b| b.readings.len()), Ok(4));
    assert_eq!(batch(&[&row(&[1])]), Err(DecodeError::Invalid("a device key's index")), "none came before");
    assert_eq!(batch(&[&row(&other)]), Err(DecodeError::Invalid("a device key's index")), "a number is left out");
    let again = concat(&[&[1], &[7; 32]]);
    assert_eq!(batch(&[&row(&one), &row(&again)]), Err(DecodeError::NonCanonical("a batch's device keys")), "one key, two numbers");
    assert_eq!(batch(&[&concat(&[&[0, 0, 0, 3, 9, 1, 1]])]), Err(DecodeError::NonCanonical("a sequence")));
}

/// R-10, TIER-1: a site may have several levels; a topic is read from its end, and written as it was read.
#[test]
fn sites_of_several_levels() {
    for site in ["agg2/loc1", "a/b/c/d", "sense", "x"] {
        assert_eq!(Name::site(site).unwrap().as_str(), site);
        let topics =
            ["device/S/ID1/sense/type1", "fog/S/ID1/act/rejected", "fog/S/rejected", "node/S/tangle", "node/S/active", "cache/S/pending"];
        for topic in topics.map(|t| format!("root/{}", t.replace('S', site))) {
            assert_eq!(topic.parse::<Topic>().unwrap().to_string(), topic);
        }
    }
    let topic: DeviceTopic = "agg2/loc1/ID1/sense/type1".parse().unwrap();
    assert_eq!((topic.site.as_str(), topic.device.as_str()), ("agg2/loc1", "ID1"));
    assert_eq!(DeviceTopic::decode(&topic.encode()).unwrap(), topic);
    let claim = Action::Site { site: topic.site.clone(), gateways: vec![] };
    assert_eq!(Action::decode(&claim.encode()), Ok(claim));
    let order = |site: &[u8]| concat(&[&[5], &prefixed(site), &[0]]);
    assert_eq!(error::<Action>(&order(b"a/sense")), DecodeError::Invalid("a name"));
    // other names have one level
    let named = Action::Register { name: topic.site, address: None };
    assert_eq!(error::<Action>(&named.encode()), DecodeError::Invalid("a name"));
    assert_eq!(Name::site("a/b/c/d/e"), Err(NameError::TooManyLevels(5)));
    assert_eq!(Name::site("a/sense"), Err(NameError::Reserved));
    assert_eq!(Name::site("a//b"), Err(NameError::Empty));
    assert_eq!(Name::site("/a"), Err(NameError::Empty));
    assert_eq!(Name::site("a/#"), Err(NameError::Character('#')));
    assert_eq!(Name::site(&format!("a/{}", "b".repeat(63))), Err(NameError::TooLong(65)));
}

#[test]
fn names_and_topics() {
    assert_eq!(Name::new(""), Err(NameError::Empty));
    assert!(Name::new(&"é".repeat(32)).is_ok());
    assert_eq!(Name::new(&"é".repeat(33)), Err(NameError::TooLong(66)));
    for (text, c) in [("a/b", '/'), ("a+", '+'), ("#", '#'), ("a@b", '@'), ("$a", '$'), ("a\u{0}", '\0'), ("a\u{85}", '\u{85}')] {
        assert_eq!(Name::new(text), Err(NameError::Character(c)));
    }
    assert!(Name::new("a$").is_ok());

    for shape in [
        "",
        "root",
        "root/",
        "root/device",
        "root/device/",
        "root/device/a/b/sense",
        "Root/device/a/b/sense/t",
        "/root/device/a/b/sense/t",
        "root/node/a",
        "root/node/a/other",
        "root/cache/a/tangle",
        "root/other/a/b/sense/t",
    ] {
        assert_eq!(shape.parse::<Topic>(), Err(TopicError::Shape), "{shape}");
    }
    for direction in ["root/device/a/b/smell/t", "root/device/a/b/sense/t/x"] {
        assert_eq!(direction.parse::<Topic>(), Err(TopicError::Direction), "{direction}");
    }
    let name = |level, why| Err(TopicError::Name { level, why });
    assert_eq!("root/device//b/sense/t".parse::<Topic>(), name("site", NameError::Empty));
    assert_eq!("root/device/a/+/sense/t".parse::<Topic>(), name("device ID", NameError::Character('+')));
    assert_eq!("root/fog/a/b/act/#".parse::<Topic>(), name("data type", NameError::Character('#')));
    assert_eq!("root/node//tangle".parse::<Topic>(), name("site", NameError::Empty));
    assert_eq!("root/fog/$x/rejected".parse::<Topic>(), name("site", NameError::Character('$')));

    for bad in ["", "@1", "a/b/sense/t", "a/b/sense/t@", "a/b/sense/t@-1", "a/b/sense/t@1.5", "a/b/sense/t@18446744073709551616", "a@1"] {
        assert!(bad.parse::<ReadingName>().is_err(), "{bad}");
    }
}

#[test]
fn hexadecimal_in_its_one_form() {
    let good = "0123456789abcdef".repeat(4);
    assert!(good.parse::<Id>().is_ok());
    for bad in
        [good.to_uppercase(), good[1..].to_string(), good[2..].to_string(), format!("{good}00"), good.replace('f', "g"), String::new()]
    {
        assert!(matches!(bad.parse::<Id>(), Err(DecodeError::Invalid(_))), "{bad}");
        assert!(bad.parse::<PublicKey>().is_err());
    }
    assert!(good.parse::<Signature>().is_err());
    assert!(good.repeat(2).parse::<Signature>().is_ok());
}

#[test]
fn committees() {
    let validators = |keys: &[PublicKey]| keys.iter().map(|key| Validator { key: *key, name: sample::name("v") }).collect::<Vec<_>>();
    let mut keys: Vec<PublicKey> = (1..=COMMITTEE_MAX as u8 + 1).map(|seed| sample::key(seed).public_key()).collect();
    keys.sort();
    assert_eq!(Committee::new(Vec::new()), Err(CommitteeError::Size(0)));
    assert!(Committee::new(validators(&keys[..COMMITTEE_MAX])).is_ok());
    assert_eq!(Committee::new(validators(&keys)), Err(CommitteeError::Size(COMMITTEE_MAX + 1)));
    assert_eq!(Committee::new(validators(&[keys[1], keys[0]])), Err(CommitteeError::Order));
    assert_eq!(Committee::new(validators(&[keys[0], keys[0]])), Err(CommitteeError::Order));
    // the neutral element: it would sign everything
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert_eq!(Committee::new(validators(&[PublicKey(neutral)])), Err(CommitteeError::Key(PublicKey(neutral))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), version in prop::option::of(1u8..4)) {
        let mut bytes = bytes;
        if let (Some(version), Some(first)) = (version, bytes.first_mut()) {
            *first = version;
        }
        let _ = Reading::decode(&bytes);
        let _ = Value::decode(&bytes);
        let _ = Batch::decode(&bytes);
        let _ = Body::decode(&bytes);
        let _ = Message::decode(&bytes);
        let _ = Milestone::decode(&bytes);
        let _ = Finalization::decode(&bytes);
        let _ = Order::decode(&bytes);
        let _ = Evidence::decode(&bytes);
        let _ = Head::decode(&bytes);
        let _ = Handover::decode(&bytes);
        let _ = Parameters::decode(&bytes);
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = text.parse::<Topic>();
        let _ = text.parse::<DeviceTopic>();
        let _ = text.parse::<ReadingName>();
        let _ = text.parse::<Id>();
        let _ = Name::new(&text);
        let _ = format!("root/device/{text}").parse::<Topic>();
    }
}
