//! What sites tell each other over the ledger: records in the `Data` body of a message, which every node holds in full.
//!
//! ```text
//! F7 'w' 'x' | version=1 u8 | records n × record, 1 ≤ n ≤ 32
//! record: 0 u8 | request                                                                          (device_request.rs)
//!         1 u8 | request id [32] | verdict u8 | reason                                            answer
//!         2 u8 | device | key [32] | at: site | time µs u64                                       visit
//!         3 u8 | visit id [32] | device | key [32] | greatest u64 | taken u64 | filters n × (filter | qos u8) |
//!              parcels u16 | left                                                                 handover
//!         4 u8 | visit id [32] | index u16 | qos u8 | topic | payload                             parcel
//! ```
//! The ledger gives them no meaning: it orders them and makes them final. What a site makes of them is REQ-1 and following
//! of `docs/spec/requests.md` and ROAM-1 and following of `docs/spec/roaming.md`. Other bytes in a `Data` body are an
//! application's own.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes, put_varint};
use crate::device::DeviceName;
use crate::device_request::DeviceRequest;
use crate::keys::{Id, PublicKey};
use crate::limits::{
    ANSWER_REASON_BYTES_MAX, DATA_BYTES_MAX, HANDOVER_FILTERS_MAX, PARCEL_PAYLOAD_BYTES_MAX, RECORDS_MAX, ROAMING_TOPIC_BYTES_MAX,
};
use crate::topic::Name;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What the records of a `Data` body begin with. `0xF7` begins no UTF-8 text.
pub const RECORDS_MAGIC: [u8; 3] = [0xf7, b'w', b'x'];
const VERSION: u8 = 1;
const VISIT_DOMAIN: &[u8] = b"wattle/visit/v1";
/// Bytes before the first record.
const HEADER_BYTES: usize = 5;
const _: () = assert!(RECORDS_MAX < 128, "their count is one byte");

/// What became of a request at the site of the device that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The command was handed to the broker, and somebody has subscribed to it.
    Delivered,
    /// The site does not take it.
    Refused,
    /// Nobody subscribed to it in time.
    Expired,
}

impl Verdict {
    /// Every verdict, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Refused, Self::Expired];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Delivered => 0,
            Self::Refused => 1,
            Self::Expired => 2,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }
}

/// What the site of the device that a request is for says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub request: Id,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, if it was refused; at most [`ANSWER_REASON_BYTES_MAX`] bytes, without control characters.
    pub reason: String,
}

/// A site says that a device of another site is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The device, by the name of its home.
    pub device: DeviceName,
    /// The key that it signs with there.
    pub key: PublicKey,
    /// The site where it is; its own, if it has come home.
    pub at: Name,
    /// When it came, by that site's clock, in microseconds since 1970.
    pub time_us: u64,
}

impl Visit {
    /// The hash that names this visit.
    #[must_use]
    pub fn id(&self) -> Id {
        let mut out = Vec::new();
        self.put(&mut out);
        Id::hash(&[VISIT_DOMAIN, &out])
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.device.encode_to(out);
        self.key.encode_to(out);
        self.at.encode_to(out);
        out.extend_from_slice(&self.time_us.to_be_bytes());
    }
}

/// A site that a device has left hands over what it holds for it. From then on it takes nothing of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The visit that it answers.
    pub visit: Id,
    /// The device.
    pub device: DeviceName,
    /// Its key.
    pub key: PublicKey,
    /// The greatest number of this key that any site has taken, as far as this one knows.
    pub greatest: u64,
    /// Bit `i`: whether `greatest − i` was taken. 0: none was.
    pub taken: u64,
    /// What the device has subscribed to, each with its quality of service.
    pub filters: Vec<(String, u8)>,
    /// How many parcels belong to it.
    pub parcels: u16,
    /// Messages that waited for the device and are handed over to nobody.
    pub left: u64,
}

/// A message that waited for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The visit.
    pub visit: Id,
    /// Which of the handover's parcels, from 0: their order is that in which they waited.
    pub index: u16,
    /// The quality of service that it waits with: 1 or 2.
    pub qos: u8,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// One of the things that sites tell each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A device asks another for something. Boxed: it is larger than the rest.
    Request(Box<DeviceRequest>),
    /// What became of it.
    Answer(Answer),
    /// A device is elsewhere.
    Visit(Visit),
    /// What it is handed over with.
    Handover(Departure),
    /// A message that waited for it.
    Parcel(Parcel),
}

impl Encode for Record {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request(request) => {
                out.push(0);
                request.encode_to(out);
            }
            Self::Answer(Answer { request, verdict, reason }) => {
                out.push(1);
                request.encode_to(out);
                out.push(verdict.number());
                put_bytes(out, reason.as_bytes());
            }
            Self::Visit(visit) => {
                out.push(2);
                visit.put(out);
            }
            Self::Handover(Departure { visit, device, key, greatest, taken, filters, parcels, left }) => {
                out.push(3);
                visit.encode_to(out);
                device.encode_to(out);
                key.encode_to(out);
                out.extend_from_slice(&greatest.to_be_bytes());
                out.extend_from_slice(&taken.to_be_bytes());
                put_varint(out, filters.len() as u64);
                for (filter, qos) in filters {
                    put_bytes(out, filter.as_bytes());
                    out.push(*qos);
                }
                out.extend_from_slice(&parcels.to_be_bytes());
                put_varint(out, *left);
            }
            Self::Parcel(Parcel { visit, index, qos, topic, payload }) => {
                out.push(4);
                visit.encode_to(out);
                out.extend_from_slice(&index.to_be_bytes());
                out.push(*qos);
                put_bytes(out, topic.as_bytes());
                put_bytes(out, payload);
            }
        }
    }
}

/// Takes text without control characters, so that it can be shown as it is.
fn plain_text(reader: &mut Reader<'_>, limit: usize, what: &'static str) -> Result<String, DecodeError> {
    let text = reader.text(limit, what)?;
    match text.chars().any(char::is_control) {
        true => Err(DecodeError::Invalid(what)),
        false => Ok(text.to_string()),
    }
}

/// Takes a quality of service of at most `most`.
fn quality(reader: &mut Reader<'_>, most: u8) -> Result<u8, DecodeError> {
    match reader.byte("a quality of service")? {
        qos if qos <= most => Ok(qos),
        tag => Err(DecodeError::UnknownTag { what: "a quality of service", tag }),
    }
}

impl Decode for Record {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte("a record")? {
            0 => Ok(Self::Request(Box::new(DeviceRequest::decode_from(reader)?))),
            1 => {
                let request = Id::decode_from(reader)?;
                let tag = reader.byte("a verdict")?;
                let verdict = Verdict::ALL.into_iter().find(|v| v.number() == tag);
                let verdict = verdict.ok_or(DecodeError::UnknownTag { what: "a verdict", tag })?;
                Ok(Self::Answer(Answer { request, verdict, reason: plain_text(reader, ANSWER_REASON_BYTES_MAX, "a reason")? }))
            }
            2 => Ok(Self::Visit(Visit {
                device: DeviceName::decode_from(reader)?,
                key: PublicKey::decode_from(reader)?,
                at: Name::decode_site(reader)?,
                time_us: reader.u64("a visit's time")?,
            })),
            3 => {
                let (visit, device, key) = (Id::decode_from(reader)?, DeviceName::decode_from(reader)?, PublicKey::decode_from(reader)?);
                let (greatest, taken) = (reader.u64("a device's number")?, reader.u64("a device's numbers")?);
                if (taken == 0 && greatest != 0) || (taken != 0 && taken & 1 == 0) {
                    return Err(DecodeError::NonCanonical("a device's numbers"));
                }
                let mut filters = Vec::new();
                for _ in 0..reader.length(HANDOVER_FILTERS_MAX, 2, "a device's filters")? {
                    filters.push((plain_text(reader, ROAMING_TOPIC_BYTES_MAX, "a filter")?, quality(reader, 2)?));
                }
                let (parcels, left) = (reader.u16("a handover's parcels")?, reader.varint("a handover's messages")?);
                Ok(Self::Handover(Departure { visit, device, key, greatest, taken, filters, parcels, left }))
            }
            4 => Ok(Self::Parcel(Parcel {
                visit: Id::decode_from(reader)?,
                index: reader.u16("a parcel's index")?,
                qos: quality(reader, 2)?,
                topic: plain_text(reader, ROAMING_TOPIC_BYTES_MAX, "a topic")?,
                payload: reader.bytes(PARCEL_PAYLOAD_BYTES_MAX, "a parcel's payload")?.to_vec(),
            })),
            tag => Err(DecodeError::UnknownTag { what: "a record", tag }),
        }
    }
}

/// The records of a `Data` body; `None` if it is not one of ours.
#[must_use]
pub fn records(data: &[u8]) -> Option<Result<Vec<Record>, DecodeError>> {
    data.starts_with(&RECORDS_MAGIC).then(|| read(data))
}

fn read(data: &[u8]) -> Result<Vec<Record>, DecodeError> {
    let mut reader = Reader::new(data);
    reader.array::<3>("records")?;
    reader.version(VERSION, "the version of records")?;
    let n = reader.length(RECORDS_MAX, 1, "records")?;
    if n == 0 {
        return Err(DecodeError::Invalid("records"));
    }
    let records = (0..n).map(|_| Record::decode_from(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(records)
}

/// Collects records for one `Data` body, as many as fit.
#[derive(Clone, Debug, Default)]
pub struct RecordsWriter {
    records: Vec<u8>,
    count: usize,
}

impl RecordsWriter {
    /// Takes a record if there is room for it. Any single record has room in an empty one.
    #[must_use]
    pub fn add(&mut self, record: &Record) -> bool {
        let bytes = record.encode();
        if self.count >= RECORDS_MAX || HEADER_BYTES + self.records.len() + bytes.len() > DATA_BYTES_MAX {
            return false;
        }
        self.records.extend_from_slice(&bytes);
        self.count += 1;
        true
    }

    /// Whether nothing was taken.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The body. Without a record it is none: see [`RecordsWriter::is_empty`].
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.records.len());
        out.extend_from_slice(&RECORDS_MAGIC);
        out.push(VERSION);
        put_varint(&mut out, self.count as u64);
        out.extend_from_slice(&self.records);
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::limits::REQUEST_VALUE_BYTES_MAX;
    use crate::reading::Value;
    use alloc::vec;

    fn longest(letter: &str) -> String {
        letter.repeat(64)
    }

    /// A record of each kind, each as long as it may be.
    fn all() -> Vec<Record> {
        let device: DeviceName = alloc::format!("{}/{}", longest("s"), longest("d")).parse().unwrap();
        let request = DeviceRequest {
            from: device.clone(),
            to: alloc::format!("{device}/act/{}", longest("t")).parse().unwrap(),
            time_us: u64::MAX,
            number: u64::MAX,
            unit: Some("0123456789abcdef".into()),
            value: Value::Bytes(vec![7; REQUEST_VALUE_BYTES_MAX]),
            signed: None,
        };
        let request = request.sign(&crate::keys::NetworkId([7; 32]), &crate::keys::SecretKey::from_seed(&[3; 32])).unwrap();
        let (visit, key) = (Id([1; 32]), PublicKey([2; 32]));
        let topic = "x".repeat(ROAMING_TOPIC_BYTES_MAX);
        vec![
            Record::Request(Box::new(request)),
            Record::Answer(Answer { request: visit, verdict: Verdict::Refused, reason: "r".repeat(ANSWER_REASON_BYTES_MAX) }),
            Record::Visit(Visit { device: device.clone(), key, at: device.site.clone(), time_us: 5 }),
            Record::Handover(Departure {
                visit,
                device,
                key,
                greatest: u64::MAX,
                taken: u64::MAX,
                filters: vec![(topic.clone(), 2); HANDOVER_FILTERS_MAX],
                parcels: u16::MAX,
                left: u64::MAX,
            }),
            Record::Parcel(Parcel { visit, index: 3, qos: 1, topic, payload: vec![9; PARCEL_PAYLOAD_BYTES_MAX] }),
        ]
    }

    #[test]
    fn every_record_fits_into_a_body_and_is_read_back() {
        for record in all() {
            let mut writer = RecordsWriter::default();
            assert!(writer.is_empty() && writer.add(&record), "{record:?}");
            let body = writer.finish();
            assert!(body.len() <= DATA_BYTES_MAX);
            assert_eq!(records(&body), Some(Ok(vec![record])));
        }
    }

    #[test]
    fn a_body_takes_as_many_as_fit() {
        let answer = Record::Answer(Answer { request: Id([1; 32]), verdict: Verdict::Delivered, reason: String::new() });
        let mut writer = RecordsWriter::default();
        let taken = (0..RECORDS_MAX + 5).filter(|_| writer.add(&answer)).count();
        assert_eq!(taken, RECORDS_MAX);
        assert_eq!(records(&writer.finish()).unwrap().unwrap().len(), RECORDS_MAX);
        let mut writer = RecordsWriter::default();
        let request = all().swap_remove(0);
        let taken = (0..RECORDS_MAX).filter(|_| writer.add(&request)).count();
        assert!((2..RECORDS_MAX).contains(&taken), "{taken}");
        assert!(writer.finish().len() <= DATA_BYTES_MAX);
    }

    #[test]
    fn other_bodies_are_nobody_s_records_and_broken_ones_are_errors() {
        for data in [b"".as_slice(), b"hello", &[0xf7, b'w'], &[0xf7, b'w', b'r', 1, 1]] {
            assert_eq!(records(data), None, "{data:?}");
        }
        assert!(matches!(records(&[0xf7, b'w', b'x', 1, 0]), Some(Err(DecodeError::Invalid(_)))), "no records");
        assert!(matches!(records(&[0xf7, b'w', b'x', 2, 1]), Some(Err(DecodeError::UnknownTag { .. }))));
        assert!(matches!(records(&[0xf7, b'w', b'x', 1, 33]), Some(Err(DecodeError::OverLimit { .. }))));
        for record in all() {
            let mut writer = RecordsWriter::default();
            assert!(writer.add(&record));
            let body = writer.finish();
            for length in 3..body.len() {
                assert!(matches!(records(body.get(..length).unwrap()), Some(Err(_))), "{length} bytes of {record:?}");
            }
            let longer = [body.as_slice(), &[0]].concat();
            assert_eq!(records(&longer), Some(Err(DecodeError::TrailingBytes(1))));
        }
    }

    #[test]
    fn numbers_of_a_handover_have_one_form() {
        let record = |greatest, taken| {
            let mut writer = RecordsWriter::default();
            let device = "z1/m1".parse().unwrap();
            let (visit, key, filters) = (Id([1; 32]), PublicKey([2; 32]), Vec::new());
            let departure = Departure { visit, device, key, greatest, taken, filters, parcels: 0, left: 0 };
            assert!(writer.add(&Record::Handover(departure)));
            records(&writer.finish()).unwrap().is_ok()
        };
        assert!(record(0, 0) && record(0, 1) && record(9, 0b101));
        assert!(!record(9, 0) && !record(9, 0b100));
    }

    #[test]
    fn a_visit_is_named_by_all_that_it_says() {
        let visit = Visit { device: "z1/m1".parse().unwrap(), key: PublicKey([2; 32]), at: Name::new("z2").unwrap(), time_us: 5 };
        assert_ne!(visit.id(), Visit { time_us: 6, ..visit.clone() }.id());
        assert_ne!(visit.id(), Visit { at: Name::new("z3").unwrap(), ..visit.clone() }.id());
    }
}
