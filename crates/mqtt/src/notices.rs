//! What the ledger node tells on `root/node/<site>/tangle`: which readings it published (M13, M24).
//!
//! A notice is a JSON list of pairs, topic and time, as in the paper's Table 3:
//! ```text
//! [["site/ID/sense/<dataType>", microseconds since 1970], …]
//! ```
//! A list has at most [`NOTICE_PAIRS_MAX`] pairs; more readings take more notices.
//!
//! A device may be told of its own readings alone, on `root/node/<site>/<ID>/confirmed`, in lists short enough for a small one:
//! ```text
//! [["sense/<dataType>", microseconds since 1970, "the reading's id"], …]
//! ```

use protocol::{DeviceName, DeviceTopic, Id, TopicError};
use std::collections::BTreeMap;
use thiserror::Error;

/// Pairs in one notice.
pub const NOTICE_PAIRS_MAX: usize = 256;
/// Bytes of one notice: four names of 64 bytes, escaped at worst as `\u0000`, and a number for each pair.
pub const NOTICE_BYTES_MAX: usize = NOTICE_PAIRS_MAX * 2048;

/// Readings in one confirmation to a device.
pub const CONFIRMED_READINGS_MAX: usize = 8;
/// Bytes of one such confirmation: a data type of 64 bytes, escaped at worst, a number and an id for each reading.
pub const CONFIRMED_BYTES_MAX: usize = CONFIRMED_READINGS_MAX * 512;

/// Why a payload is not a notice.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoticeError {
    /// Too many bytes.
    #[error("the notice has {0} bytes, the limit is {NOTICE_BYTES_MAX}")]
    TooLarge(usize),
    /// Not a JSON list of pairs.
    #[error("the notice is not a JSON list of [topic, microseconds] pairs: {0}")]
    Json(String),
    /// Too many pairs.
    #[error("the notice has {0} pairs, the limit is {NOTICE_PAIRS_MAX}")]
    TooMany(usize),
    /// A pair's topic is not one of a device.
    #[error("the topic of pair {index} is not site/ID/sense|act/<dataType>: {why}")]
    Topic {
        /// Which pair, from 0.
        index: usize,
        /// What is wrong with its topic.
        why: TopicError,
    },
}

/// The notices for `published`: topics and times in microseconds since 1970. None if it is empty.
#[must_use]
pub fn notices(published: &[(DeviceTopic, u64)]) -> Vec<Vec<u8>> {
    let notice = |pairs: &[(DeviceTopic, u64)]| {
        let pairs: Vec<(String, u64)> = pairs.iter().map(|(topic, time_us)| (topic.to_string(), *time_us)).collect();
        // Strings and integers always have a JSON form.
        serde_json::to_vec(&pairs).unwrap_or_default()
    };
    published.chunks(NOTICE_PAIRS_MAX).map(notice).collect()
}

/// A reading that is confirmed: its topic, its time in microseconds since 1970, its id.
pub type ConfirmedReading = (DeviceTopic, u64, Id);

/// What each device is told of its own readings: the device, and a payload for its topic. A device's readings keep their order.
#[must_use]
pub fn confirmations(readings: &[ConfirmedReading]) -> Vec<(DeviceName, Vec<u8>)> {
    let mut by_device: BTreeMap<DeviceName, Vec<(String, u64, String)>> = BTreeMap::new();
    for (topic, time_us, id) in readings {
        let row = (format!("{}/{}", topic.direction.as_str(), topic.data_type), *time_us, id.to_string());
        by_device.entry(DeviceName::of(topic)).or_default().push(row);
    }
    let mut told = Vec::new();
    for (device, rows) in by_device {
        for rows in rows.chunks(CONFIRMED_READINGS_MAX) {
            // Strings and integers always have a JSON form.
            told.push((device.clone(), serde_json::to_vec(rows).unwrap_or_default()));
        }
    }
    told
}

/// The pairs of a notice.
///
/// # Errors
/// [`NoticeError`] if `payload` is not one.
pub fn parse(payload: &[u8]) -> Result<Vec<(DeviceTopic, u64)>, NoticeError> {
    if payload.len() > NOTICE_BYTES_MAX {
        return Err(NoticeError::TooLarge(payload.len()));
    }
    let pairs: Vec<(String, u64)> = serde_json::from_slice(payload).map_err(|e| NoticeError::Json(e.to_string()))?;
    if pairs.len() > NOTICE_PAIRS_MAX {
        return Err(NoticeError::TooMany(pairs.len()));
    }
    let pair = |(index, (topic, time_us)): (usize, (String, u64))| {
        topic.parse().map(|topic| (topic, time_us)).map_err(|why| NoticeError::Topic { index, why })
    };
    pairs.into_iter().enumerate().map(pair).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::{
        CONFIRMED_BYTES_MAX, CONFIRMED_READINGS_MAX, NOTICE_BYTES_MAX, NOTICE_PAIRS_MAX, NoticeError, confirmations, notices, parse,
    };
    use protocol::{DeviceTopic, Id};

    fn topic(n: usize) -> DeviceTopic {
        format!("site/meter \"{n}\"/sense/power").parse().unwrap()
    }

    #[test]
    fn a_notice_is_a_list_of_pairs() {
        let one = notices(&[("s/d/act/valve".parse().unwrap(), 1_700_000_000_000_001)]);
        assert_eq!(one, [br#"[["s/d/act/valve",1700000000000001]]"#.to_vec()]);
        assert!(notices(&[]).is_empty());
    }

    #[test]
    fn each_device_is_told_of_its_own_readings() {
        let reading = |text: &str, time_us: u64| (text.parse::<DeviceTopic>().unwrap(), time_us, Id([7; 32]));
        let told = confirmations(&[reading("s/b/sense/power", 5), reading("s/a/act/valve", 6), reading("s/b/sense/power", 4)]);
        let id = "07".repeat(32);
        assert_eq!(told.iter().map(|(device, _)| device.to_string()).collect::<Vec<_>>(), ["s/a", "s/b"]);
        assert_eq!(told[0].1, format!(r#"[["act/valve",6,"{id}"]]"#).into_bytes());
        assert_eq!(told[1].1, format!(r#"[["sense/power",5,"{id}"],["sense/power",4,"{id}"]]"#).into_bytes());
        assert!(confirmations(&[]).is_empty());
    }

    #[test]
    fn a_confirmation_is_short() {
        let longest = format!("s/d/sense/{}", "\"".repeat(64));
        let many: Vec<_> =
            (0..2 * CONFIRMED_READINGS_MAX + 1).map(|_| (longest.parse::<DeviceTopic>().unwrap(), u64::MAX, Id([255; 32]))).collect();
        let told = confirmations(&many);
        assert_eq!(told.len(), 3);
        assert!(told.iter().all(|(_, payload)| payload.len() <= CONFIRMED_BYTES_MAX));
    }

    #[test]
    fn many_pairs_take_several_notices() {
        let published: Vec<_> = (0..2 * NOTICE_PAIRS_MAX + 1).map(|n| (topic(n), n as u64)).collect();
        let all = notices(&published);
        assert_eq!(all.len(), 3);
        let again: Vec<_> = all.iter().flat_map(|notice| parse(notice).unwrap()).collect();
        assert_eq!(again, published);
    }

    #[test]
    fn the_longest_notice_fits() {
        let name = "\"".repeat(64);
        let longest: DeviceTopic = format!("{name}/{name}/sense/{name}").parse().unwrap();
        let all = notices(&vec![(longest, u64::MAX); NOTICE_PAIRS_MAX]);
        assert!(all[0].len() <= NOTICE_BYTES_MAX);
        assert_eq!(parse(&all[0]).unwrap().len(), NOTICE_PAIRS_MAX);
    }

    #[test]
    fn other_payloads_are_refused() {
        for payload in ["", "{}", "[[]]", r#"[["s/d/act/valve"]]"#, r#"[["s/d/act/valve",-1]]"#, r#"[["s/d/act/valve",1]] x"#] {
            assert!(matches!(parse(payload.as_bytes()), Err(NoticeError::Json(_))), "{payload}");
        }
        let second = parse(br#"[["s/d/act/valve",1],["s/d/valve",1]]"#);
        assert!(matches!(second, Err(NoticeError::Topic { index: 1, .. })));
        let many = format!("[{}]", vec![r#"["s/d/act/valve",1]"#; NOTICE_PAIRS_MAX + 1].join(","));
        assert_eq!(parse(many.as_bytes()), Err(NoticeError::TooMany(NOTICE_PAIRS_MAX + 1)));
        assert_eq!(parse(&vec![b' '; NOTICE_BYTES_MAX + 1]), Err(NoticeError::TooLarge(NOTICE_BYTES_MAX + 1)));
    }
}
