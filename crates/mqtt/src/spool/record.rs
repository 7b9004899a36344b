//! One spooled publish and its bytes in the file.
//!
//! ```text
//! version(1) = 1 │ sequence(8) │ topic │ origin │ count(2) │ count × (key │ value) │ payload to the end
//! text: length(2) bytes; integers are big-endian
//! ```

use super::error::SpoolError;

/// The version of the encoding.
const VERSION: u8 = 1;
/// Bytes that topic and properties may take in the packet that carries a record.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of a payload: with its head it must fit into a packet.
const PAYLOAD_BYTES_MAX: usize = crate::broker::PACKET_BYTES_MAX - HEAD_BYTES_MAX;

/// A publish in a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Who published it first; with the sequence it names the publish for ever.
    pub origin: String,
    /// The number that the origin gave it.
    pub sequence: u64,
    /// What else travels with it.
    pub properties: Vec<(String, String)>,
}

impl Record {
    /// Its bytes in the file.
    ///
    /// # Errors
    /// [`SpoolError::Invalid`] if a text has more than 65 535 bytes, there are more properties than that, or the payload is
    /// larger than a packet.
    pub(super) fn encode(&self) -> Result<Vec<u8>, SpoolError> {
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SpoolError::Invalid("its payload is larger than a packet"));
        }
        let mut out = Vec::with_capacity(64 + self.topic.len() + self.payload.len());
        out.push(VERSION);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        put(&mut out, &self.topic)?;
        put(&mut out, &self.origin)?;
        let count = u16::try_from(self.properties.len()).map_err(|_| SpoolError::Invalid("it has too many properties"))?;
        out.extend_from_slice(&count.to_be_bytes());
        for (key, value) in &self.properties {
            put(&mut out, key)?;
            put(&mut out, value)?;
        }
        out.extend_from_slice(&self.payload);
        Ok(out)
    }

    /// The record in `bytes`; `None` if they are not one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (sequence, mut rest) = rest.split_first_chunk::<8>()?;
        let topic = take(&mut rest)?;
        let origin = take(&mut rest)?;
        let (count, mut rest) = rest.split_first_chunk::<2>()?;
        let mut properties = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            properties.push((take(&mut rest)?, take(&mut rest)?));
        }
        Some(Self { topic, payload: rest.to_vec(), origin, sequence: u64::from_be_bytes(*sequence), properties })
    }
}

fn put(out: &mut Vec<u8>, text: &str) -> Result<(), SpoolError> {
    let length = u16::try_from(text.len()).map_err(|_| SpoolError::Invalid("a text of it is too long"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn take(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            topic in "[a-z/é]{0,40}",
            origin in "[0-9a-f]{0,16}",
            sequence: u64,
            payload: Vec<u8>,
            properties in prop::collection::vec(("[a-z]{0,8}", ".{0,20}"), 0..4),
            cut in 1usize..20,
        ) {
            let record = Record { topic, payload: payload.clone(), origin, sequence, properties };
            let bytes = record.encode().unwrap();
            prop_assert_eq!(Record::decode(&bytes), Some(record.clone()));
            // What is cut short is refused, unless the cut only shortens the payload.
            if cut > payload.len() {
                let short = bytes.get(..bytes.len().saturating_sub(cut)).unwrap();
                prop_assert_ne!(Record::decode(short), Some(record));
            }
        }

        #[test]
        fn strange_bytes_are_no_record_and_no_panic(bytes: Vec<u8>) {
            if let Some(record) = Record::decode(&bytes) {
                prop_assert_eq!(record.encode().unwrap(), bytes);
            }
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let fine = Record { topic: "t".into(), payload: vec![], origin: "o".into(), sequence: 1, properties: vec![] };
        assert!(fine.encode().is_ok());
        let long = "x".repeat(65_536);
        for record in [
            Record { topic: long.clone(), ..fine.clone() },
            Record { properties: vec![("k".into(), long)], ..fine.clone() },
            Record { payload: vec![0; PAYLOAD_BYTES_MAX + 1], ..fine },
        ] {
            assert!(matches!(record.encode(), Err(SpoolError::Invalid(_))));
        }
    }
}
