//! Payloads of devices.

use crate::draw::Draw;
use edge::payload::{PAYLOAD_BYTES_MAX, TIME_US_MAX, decode, fog_json};
use protocol::limits::READING_BYTES_MAX;
use protocol::{Batch, Decode, DeviceTopic, Encode, Reading};

/// Times of arrival to choose from: the first moments, the edge of relative times in SenML, a usual time, the last.
const ARRIVALS_US: [u64; 4] = [0, (1 << 28) * 1_000_000, 1_750_000_000_123_456, TIME_US_MAX - 1];
/// Topics to choose from: the usual, the longest data type, letters beyond ASCII.
const TOPICS: [&str; 3] =
    ["plant/meter-1/sense/power", "s/d/act/0123456789012345678901234567890123456789012345678901234567890123", "süd/门-1/sense/temperatur"];

/// Bytes of an error's text: it may quote a name of 1 024 bytes with every character escaped, and no more.
const COMPLAINT_BYTES_MAX: usize = 10 * 1024;

/// The first byte chooses the topic, the second the time of arrival, the rest is the payload. What is accepted is at
/// least one reading; each is a reading that its decoder takes, says the same when it is published in the fog's form,
/// and all of them fit a batch. What is refused is refused with an error of bounded
/// length.
///
/// Returns whether the payload was accepted.
///
/// # Panics
/// If that does not hold.
pub fn edge_payload(data: &[u8]) -> bool {
    let mut draw = Draw::new(data);
    let topic: DeviceTopic = TOPICS[draw.below(TOPICS.len())].parse().expect("a topic");
    let arrival_us = ARRIVALS_US[draw.below(ARRIVALS_US.len())];
    let readings = match decode(&topic, draw.rest(), arrival_us) {
        Ok(readings) => readings,
        Err(why) => {
            assert!((1..=COMPLAINT_BYTES_MAX).contains(&why.to_string().len()), "{why}");
            return false;
        }
    };
    assert!(!readings.is_empty());
    for reading in &readings {
        let bytes = reading.encode();
        assert!(bytes.len() <= READING_BYTES_MAX);
        assert_eq!(Reading::decode(&bytes).as_ref(), Ok(reading));
        let published = fog_json(reading);
        assert!(published.len() <= PAYLOAD_BYTES_MAX);
        assert_eq!(decode(&reading.topic, &published, reading.time_us).as_deref(), Ok(std::slice::from_ref(reading)));
    }
    let batch = Batch { secret: [7; 32], first_offset: 0, readings };
    assert_eq!(Batch::decode(&batch.encode()), Ok(batch));
    true
}
