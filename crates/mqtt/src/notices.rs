//! What the ledger node tells on `root/node/<site>/tangle`: which readings it published (M13, M24).
//!
//! A notice is a JSON list of pairs, topic and time, as in the paper's Table 3:
//! ```text
//! [["site/ID/sense/<dataType>", microseconds since 1970], …]
//! ```
//! A list has at most [`NOTICE_PAIRS_MAX`] pairs; more readings take more notices.

use protocol::{DeviceTopic, TopicError};
use thiserror::Error;

/// Pairs in one notice.
pub const NOTICE_PAIRS_MAX: usize = 256;
/// Bytes of one notice: four names of 64 bytes, escaped at worst as `\u0000`, and a number for each pair.
pub const NOTICE_BYTES_MAX: usize = NOTICE_PAIRS_MAX * 2048;

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
    use super::{NOTICE_BYTES_MAX, NOTICE_PAIRS_MAX, NoticeError, notices, parse};
    use protocol::DeviceTopic;

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
