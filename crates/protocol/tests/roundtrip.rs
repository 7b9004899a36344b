//! Encoding and decoding are each other's inverse, for arbitrary values of every type: what is encoded decodes to
//! the same value, and bytes that decode at all encode to the same bytes (R-2 of `docs/spec/receipt.md`: one encoding per value).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;
use protocol::codec::{Reader, put_varint, unzigzag, zigzag};
use protocol::limits::CUT_MESSAGES_MAX;
use protocol::{
    Action, Ballot, Batch, Body, Credential, Decode, DeviceName, DeviceSignature, DeviceTopic, Direction, Encode, Evidence, Finalization,
    Handover, Head, Id, Message, Milestone, Name, NetworkId, Order, Parameters, Phase, PublicKey, Reading, ReadingName, Role, SecretKey,
    Share, Signature, SignedReading, Topic, Unsigned, Value, Vote,
};
use std::fmt::Debug;

fn id() -> impl Strategy<Value = Id> {
    any::<[u8; 32]>().prop_map(Id)
}

fn public_key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(PublicKey)
}

fn signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 64]>().prop_map(Signature)
}

fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9éß☃._ -][A-Za-z0-9éß☃$._ -]{0,15}".prop_map(|text| Name::new(&text).unwrap())
}

fn topic() -> impl Strategy<Value = DeviceTopic> {
    let direction = prop_oneof![Just(Direction::Sense), Just(Direction::Act)];
    let any_topic = (name(), name(), direction, name()).prop_map(|(site, device, direction, data_type)| DeviceTopic {
        site,
        device,
        direction,
        data_type,
    });
    // some topics come again, as they do in a batch
    let known = prop_oneof![Just("plant/meter/sense/power"), Just("plant/valve/act/open")].prop_map(|t| t.parse::<DeviceTopic>().unwrap());
    prop_oneof![any_topic, known]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_filter_map("a finite number", |bits| Value::number(f64::from_bits(bits))),
        Just(Value::number(-0.0).unwrap()),
        any::<bool>().prop_map(Value::Boolean),
        any::<String>().prop_map(Value::Text),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
    ]
}

fn reading() -> impl Strategy<Value = Reading> {
    let unit = option::of(prop_oneof![Just("W".to_string()), "\\PC{0,4}"]);
    // some keys come again, as those of a batch's devices do
    let key = prop_oneof![Just(PublicKey([1; 32])), Just(PublicKey([2; 32])), public_key()];
    let signed = option::of((key, signature()).prop_map(|(key, signature)| DeviceSignature { key, signature }));
    (topic(), any::<u64>(), option::of(any::<u64>()), unit, value(), signed).prop_map(|(topic, time_us, sequence, unit, value, signed)| {
        // what is signed has a sequence
        let signed = signed.filter(|_| sequence.is_some());
        Reading { topic, time_us, sequence, unit, value, signed }
    })
}

fn batch() -> impl Strategy<Value = Batch> {
    (any::<[u8; 32]>(), any::<u64>(), vec(reading(), 0..30)).prop_map(|(secret, first_offset, readings)| Batch {
        secret,
        first_offset,
        readings,
    })
}

fn body() -> impl Strategy<Value = Body> {
    let share = (public_key(), 1u32..=4096).prop_map(|(wallet, count)| Share { wallet, count });
    let readings = (id(), 1u32..=4096, 1u32..=1 << 20, any::<(u64, u64)>(), id(), vec(share, 0..5)).prop_map(
        |(root, count, bytes, (a, b), blob, shares)| Body::Readings { root, count, bytes, span_us: (a.min(b), a.max(b)), blob, shares },
    );
    prop_oneof![
        readings,
        vec(any::<u8>(), 0..100).prop_map(Body::Data),
        vec(order(), 1..=16).prop_map(Body::Orders),
        evidence().prop_map(|evidence| Body::Evidence(Box::new(evidence))),
        any::<u64>().prop_map(|epoch| Body::EndOfEpoch { epoch }),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let address = option::of(prop_oneof![Just("10.0.0.1:7700"), Just("node.example:1"), Just("[::1]:65535")]);
    let action = prop_oneof![
        (name(), address).prop_map(|(name, address)| Action::Register { name, address: address.map(|a| a.parse().unwrap()) }),
        Just(Action::Retire),
        (public_key(), 1u64..).prop_map(|(validator, amount)| Action::Delegate { validator, amount }),
        (public_key(), 1u64..).prop_map(|(validator, amount)| Action::Undelegate { validator, amount }),
        public_key().prop_map(|validator| Action::Withdraw { validator }),
        (name(), btree_set(public_key(), 0..=8))
            .prop_map(|(site, gateways)| Action::Site { site, gateways: gateways.into_iter().collect() }),
        (device_name(), prop::sample::select(Role::ALL.to_vec()), option::of(credential()), option::of(id()))
            .prop_map(|(device, role, credential, thing)| Action::RegisterDevice { device, role, credential, thing }),
        (device_name(), credential()).prop_map(|(device, credential)| Action::RotateDevice { device, credential }),
        (device_name(), option::of(id())).prop_map(|(device, thing)| Action::DescribeDevice { device, thing }),
        device_name().prop_map(|device| Action::RevokeDevice { device }),
    ];
    (public_key(), id(), action, signature()).prop_map(|(wallet, state, action, signature)| Order { wallet, state, action, signature })
}

fn device_name() -> impl Strategy<Value = DeviceName> {
    (name(), name()).prop_map(|(site, device)| DeviceName { site, device })
}

fn credential() -> impl Strategy<Value = Credential> {
    (public_key(), signature()).prop_map(|(key, possession)| Credential { key, possession })
}

fn envelope() -> impl Strategy<Value = SignedReading> {
    let unit = option::of(prop_oneof![Just("W".to_string()), "\\PC{0,4}"]);
    (any::<u64>(), any::<u64>(), unit, value(), signature()).prop_map(|(time_us, sequence, unit, value, signature)| SignedReading {
        time_us,
        sequence,
        unit,
        value,
        signature,
    })
}

fn head() -> impl Strategy<Value = Head> {
    (2u8..=3, any::<[u8; 8]>(), any::<u16>(), public_key(), any::<u64>(), id(), signature()).prop_map(
        |(version, network_tag, subnet, issuer, sequence, rest, signature)| Head {
            version,
            network_tag,
            subnet,
            issuer,
            sequence,
            rest,
            signature,
        },
    )
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let ballot =
        || (any::<u64>(), id(), signature()).prop_map(|(parent_view, digest, signature)| Ballot { parent_view, digest, signature });
    let phase = prop_oneof![Just(Phase::Notarize), Just(Phase::Finalize)];
    prop_oneof![
        (head(), head()).prop_map(|(one, other)| Evidence::messages(one, other)),
        (public_key(), phase, any::<u64>(), any::<u64>(), ballot(), ballot())
            .prop_map(|(validator, phase, epoch, view, one, other)| Evidence::votes(validator, phase, epoch, view, one, other)),
    ]
}

fn parameters() -> impl Strategy<Value = Parameters> {
    let counts = (2u64.., 1u16..=128, any::<u64>(), any::<u64>());
    (counts, 0u8..=100, 1u32.., 0u8..=16).prop_map(
        |((epoch_milestones, committee_max, stake_min, unbonding_epochs), slash_percent, share_per_second, pow_difficulty)| Parameters {
            epoch_milestones,
            committee_max,
            stake_min,
            unbonding_epochs,
            slash_percent,
            share_per_second,
            pow_difficulty,
        },
    )
}

fn handover() -> impl Strategy<Value = Handover> {
    (milestone(), finalization()).prop_map(|(milestone, finalization)| Handover { milestone, finalization })
}

fn message() -> impl Strategy<Value = Message> {
    let head = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u16>(), any::<u64>(), any::<u64>(), any::<u64>());
    let lists = (id(), btree_set(id(), 0..8), btree_set(id(), 0..20));
    (head, lists, body()).prop_map(|((seed, network, subnet, sequence, issued_at_ms, pow_nonce), (own, mut others, votes), body)| {
        let key = SecretKey::from_seed(&seed);
        others.remove(&own);
        let parents = std::iter::once(own).chain(others).collect();
        let (network, issuer, votes) = (NetworkId(network), key.public_key(), votes.into_iter().collect());
        Unsigned { network, subnet, issuer, sequence, parents, issued_at_ms, votes, body, pow_nonce }.sign(&key)
    })
}

fn milestone() -> impl Strategy<Value = Milestone> {
    let head = (any::<u16>(), id(), any::<u64>(), any::<u64>(), any::<u64>());
    let lists = (btree_set(id(), 0..10), 0..=CUT_MESSAGES_MAX as u64, option::of(btree_set(public_key(), 1..10)));
    (head, lists, (id(), id(), id())).prop_map(
        |((subnet, parent, height, epoch, time_ms), (tips, message_count, next), (messages_root, state_root, history_root))| {
            let tips = tips.into_iter().collect();
            let next_committee = next.map(|n| n.into_iter().collect());
            Milestone {
                subnet,
                parent,
                height,
                epoch,
                time_ms,
                tips,
                message_count,
                messages_root,
                state_root,
                history_root,
                next_committee,
            }
        },
    )
}

fn finalization() -> impl Strategy<Value = Finalization> {
    (any::<u64>(), any::<u64>(), any::<u64>(), id(), btree_map(any::<u8>(), signature(), 0..10)).prop_map(
        |(epoch, view, parent_view, digest, votes)| {
            let votes = votes.into_iter().map(|(validator, signature)| Vote { validator, signature }).collect();
            Finalization { epoch, view, parent_view, digest, votes }
        },
    )
}

/// Small damages: a changed, an added or a removed byte.
fn edits() -> impl Strategy<Value = Vec<(u8, Index, u8)>> {
    vec((0u8..3, any::<Index>(), any::<u8>()), 1..4)
}

fn damaged(mut bytes: Vec<u8>, edits: &[(u8, Index, u8)]) -> Vec<u8> {
    for (kind, at, byte) in edits {
        let at = at.index(bytes.len().max(1));
        match *kind {
            0 if !bytes.is_empty() => bytes[at] ^= byte,
            1 if !bytes.is_empty() => {
                bytes.remove(at);
            }
            _ => bytes.insert(at, *byte),
        }
    }
    bytes
}

/// Both directions, and the second one also for damaged bytes that happen to decode.
fn both_ways<T: Encode + Decode + PartialEq + Debug>(value: &T, edits: &[(u8, Index, u8)]) -> TestCaseResult {
    let bytes = value.encode();
    let decoded = T::decode(&bytes).map_err(|why| TestCaseError::fail(why.to_string()))?;
    prop_assert_eq!(&decoded, value);
    prop_assert_eq!(decoded.encode(), bytes.clone());
    let bytes = damaged(bytes, edits);
    if let Ok(other) = T::decode(&bytes) {
        prop_assert_eq!(&other.encode(), &bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_reading(reading in reading(), edits in edits()) {
        both_ways(&reading, &edits)?;
    }

    #[test]
    fn a_batch(batch in batch(), edits in edits()) {
        both_ways(&batch, &edits)?;
    }

    #[test]
    fn a_message(message in message(), edits in edits()) {
        both_ways(&message, &edits)?;
        let decoded = Message::decode(message.bytes()).unwrap();
        prop_assert_eq!(decoded.id(), message.id());
        prop_assert_eq!(decoded.id(), Id::hash(&[message.bytes()]));
        // the head says which bytes were signed, whether the message was built or read
        let head = decoded.head();
        prop_assert_eq!(&head, &message.head());
        let (signed, bytes) = (head.signed(), message.bytes());
        let up_to_sequence = signed.len() - 32;
        prop_assert_eq!(&signed[..up_to_sequence], &bytes[..up_to_sequence]);
        let rest = &bytes[up_to_sequence..bytes.len() - 64];
        let expected = match decoded.votes.as_slice() {
            [] => Id::hash(&[rest]),
            // WAL-12: the votes by their root, and the rest without them
            votes => {
                let before = 1 + 32 * decoded.parents.len() + 8;
                let mut listed = Vec::new();
                put_varint(&mut listed, votes.len() as u64);
                let after = before + listed.len() + 32 * votes.len();
                let content = Id::hash(&[&rest[..before], &rest[after..]]);
                let leaves: Vec<Id> = votes.iter().map(|id| Id::hash(&[&[0], &id.0])).collect();
                Id::hash(&[b"wattle/message/v3", &protocol::merkle::root(&leaves).0, &content.0])
            }
        };
        prop_assert_eq!(&signed[up_to_sequence..], &expected.0[..]);
    }

    #[test]
    fn an_envelope(envelope in envelope(), edits in edits()) {
        both_ways(&envelope, &edits)?;
    }

    #[test]
    fn a_head(head in head(), edits in edits()) {
        both_ways(&head, &edits)?;
    }

    #[test]
    fn an_order(order in order(), edits in edits()) {
        both_ways(&order, &edits)?;
    }

    #[test]
    fn a_piece_of_evidence(evidence in evidence(), edits in edits()) {
        both_ways(&evidence, &edits)?;
    }

    #[test]
    fn parameters_of_a_genesis(parameters in parameters(), edits in edits()) {
        both_ways(&parameters, &edits)?;
    }

    #[test]
    fn a_handover(handover in handover(), edits in edits()) {
        both_ways(&handover, &edits)?;
    }

    #[test]
    fn a_milestone(milestone in milestone(), edits in edits()) {
        both_ways(&milestone, &edits)?;
    }

    #[test]
    fn a_finalization(finalization in finalization(), edits in edits()) {
        both_ways(&finalization, &edits)?;
    }

    #[test]
    fn an_integer(n in any::<u64>(), shift in 0u32..64) {
        let n = n >> shift;
        let mut bytes = Vec::new();
        put_varint(&mut bytes, n);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.varint("an integer"), Ok(n));
        prop_assert_eq!(reader.remaining(), 0);
        let bits = 64 - (n | 1).leading_zeros() as usize;
        prop_assert_eq!(bytes.len(), bits.div_ceil(7), "the shortest form");
    }

    #[test]
    fn a_signed_integer(n in any::<i64>()) {
        prop_assert_eq!(unzigzag(zigzag(n)), n);
        prop_assert_eq!(zigzag(n), if n < 0 { (!(n as u64) << 1) | 1 } else { (n as u64) << 1 });
    }

    #[test]
    fn topics_and_names_as_text(topic in topic(), site in name(), time_us in any::<u64>()) {
        let text = topic.to_string();
        prop_assert_eq!(text.parse::<DeviceTopic>().unwrap(), topic.clone());
        let reading = ReadingName { topic: topic.clone(), time_us };
        prop_assert_eq!(reading.to_string().parse::<ReadingName>().unwrap(), reading);
        let device = protocol::DeviceName::of(&topic);
        let all = [
            Topic::Device(topic.clone()), Topic::Fog(topic), Topic::Rejected(site.clone()),
            Topic::Tangle(site.clone()), Topic::Active(site.clone()), Topic::Pending(site),
            Topic::Requested(device.clone()), Topic::Report(device.clone()), Topic::Confirmed(device),
        ];
        for topic in all {
            prop_assert_eq!(topic.to_string().parse::<Topic>().unwrap(), topic);
        }
    }

    #[test]
    fn hashes_and_keys_as_text(bytes in any::<[u8; 32]>(), signature in signature()) {
        prop_assert_eq!(Id(bytes).to_string().parse::<Id>().unwrap(), Id(bytes));
        prop_assert_eq!(PublicKey(bytes).to_string().parse::<PublicKey>().unwrap(), PublicKey(bytes));
        prop_assert_eq!(NetworkId(bytes).to_string().parse::<NetworkId>().unwrap(), NetworkId(bytes));
        prop_assert_eq!(signature.to_string().parse::<Signature>().unwrap(), signature);
    }
}

/// SRV-8: also where the word is a data type, or the site has several levels.
#[test]
fn reports_have_a_topic_of_their_own() {
    let read = |text: &str| text.parse::<Topic>().unwrap();
    let report = read("root/device/z1/espresso/report");
    assert_eq!(report, Topic::Report("z1/espresso".parse().unwrap()));
    assert_eq!(report.publisher().unwrap().to_string(), "z1/espresso");
    assert!(matches!(read("root/device/z1/espresso/act/report"), Topic::Device(_)));
    assert_eq!(read("root/device/a/z1/espresso/report"), Topic::Report("a/z1/espresso".parse().unwrap()));
    assert!("root/device/report".parse::<Topic>().is_err());
}

#[test]
fn zero_has_one_form() {
    let Value::Number(zero) = Value::number(-0.0).unwrap() else { panic!("a number") };
    assert!(zero.is_sign_positive());
    assert_eq!(Value::number(-0.0).unwrap().encode(), Value::number(0.0).unwrap().encode());
    assert_eq!(Value::number(f64::NAN), None);
    assert_eq!(Value::number(f64::NEG_INFINITY), None);
}

#[test]
fn values_may_stand_one_after_another() {
    let bytes = [Value::Boolean(true).encode(), Value::Text("x".to_string()).encode()].concat();
    let mut reader = Reader::new(&bytes);
    assert_eq!(Value::decode_from(&mut reader), Ok(Value::Boolean(true)));
    assert_eq!(Value::decode_from(&mut reader), Ok(Value::Text("x".to_string())));
    assert_eq!(reader.finish(), Ok(()));
}

#[cfg(feature = "json")]
mod json {
    use super::*;
    use protocol::receipt::{Anchor, Receipt};
    use protocol::{Committee, Genesis, Validator, WalletParameters};

    fn genesis() -> impl Strategy<Value = Genesis> {
        let validator =
            (any::<[u8; 32]>(), name()).prop_map(|(seed, name)| Validator { key: SecretKey::from_seed(&seed).public_key(), name });
        let wallets = btree_map(public_key(), 0..=u64::from(u32::MAX), 0..8);
        let head = (name(), any::<u16>(), any::<u64>(), parameters());
        (head, vec((validator, 0..=u64::from(u32::MAX)), 1..8), wallets).prop_map(|(head, mut members, wallets)| {
            members.sort_by_key(|(v, _)| v.key);
            members.dedup_by_key(|(v, _)| v.key);
            let (validators, stakes): (Vec<_>, Vec<u64>) = members.into_iter().unzip();
            let (name, subnet, created_ms, parameters) = head;
            let committee = Committee::new(validators).unwrap();
            let wallet_parameters = WalletParameters { threshold_percent: 67 + (subnet % 34) as u8, ..WalletParameters::default() };
            let wallets = wallets.into_iter().collect();
            Genesis { name, subnet, created_ms, parameters, committee, stakes, wallets, wallet_parameters }
        })
    }

    fn receipt() -> impl Strategy<Value = Receipt> {
        let path = || vec(id(), 0..20);
        let anchor = option::of((milestone(), path()).prop_map(|(milestone, history_path)| Anchor { milestone, history_path }));
        let batch = (reading(), any::<[u8; 32]>(), any::<u32>(), path());
        let cut = (message(), any::<u64>(), path(), milestone());
        (batch, cut, anchor, finalization(), vec(handover(), 0..3)).prop_map(|(batch, cut, anchor, finalization, handovers)| {
            let (reading, salt, leaf_index, batch_path) = batch;
            let (message, message_index, message_path, milestone) = cut;
            Receipt {
                reading,
                salt,
                leaf_index,
                batch_path,
                message,
                message_index,
                message_path,
                milestone,
                anchor,
                finalization,
                handovers,
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_receipt_file(receipt in receipt()) {
            let text = receipt.to_json();
            let read = Receipt::from_json(&text).map_err(|why| TestCaseError::fail(why.to_string()))?;
            prop_assert_eq!(&read, &receipt);
            prop_assert_eq!(read.to_json(), text);
        }

        #[test]
        fn a_genesis_file(genesis in genesis()) {
            let text = genesis.to_json();
            let read = Genesis::from_json(&text).map_err(|why| TestCaseError::fail(why.to_string()))?;
            prop_assert_eq!(read.network(), genesis.network());
            prop_assert_eq!(&read, &genesis);
            prop_assert_eq!(read.to_json(), text);
        }
    }
}
