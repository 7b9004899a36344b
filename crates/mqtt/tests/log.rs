//! The site's log: what is acknowledged is kept, once, through restarts, torn writes, full disks and trimming.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use mqtt::log::{AppendError, Appended, Entry, LogConfig, LogError, PUBLISH_READINGS_MAX, SiteLog};
use proptest::prelude::*;
use protocol::{Reading, Value};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SEGMENT_HEADER_BYTES: usize = 20;

/// The nth reading of one device.
fn reading(n: u64) -> Reading {
    Reading {
        topic: "site/meter/sense/power".parse().unwrap(),
        time_us: 1_700_000_000_000_000 + n,
        sequence: None,
        unit: Some("W".into()),
        value: Value::Number(n as f64),
        signed: None,
    }
}

fn entry(numbers: impl IntoIterator<Item = u64>) -> Entry {
    Entry { origin: None, dup: false, readings: numbers.into_iter().map(reading).collect() }
}

fn open(dir: &Path, config: &LogConfig) -> SiteLog {
    SiteLog::open(dir, config.clone()).unwrap()
}

/// Small enough that every group begins a segment.
fn tiny_segments(window: usize) -> LogConfig {
    LogConfig { segment_bytes: 1, window, ..LogConfig::default() }
}

/// Appends readings that must all be new; gives the first offset.
async fn store(log: &SiteLog, numbers: impl IntoIterator<Item = u64>) -> u64 {
    let entry = entry(numbers);
    match log.append(entry.clone()).await.unwrap() {
        Appended::Stored { first_offset, fresh } => {
            assert_eq!(fresh, entry.readings);
            first_offset
        }
        Appended::Duplicate => panic!("a duplicate"),
    }
}

/// The numbers of the readings from `from` on, whose offsets must follow each other.
fn numbers(log: &SiteLog, from: u64) -> Vec<u64> {
    let found = log.read(from, usize::MAX).unwrap();
    assert_eq!(found.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (from..log.end()).collect::<Vec<_>>());
    found.into_iter().map(|(_, reading)| reading.time_us - 1_700_000_000_000_000).collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = all.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    logs.sort();
    logs
}

/// Three groups of one reading in one segment: its bytes, and where each frame begins.
async fn three_frames() -> (Vec<u8>, [usize; 3]) {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    let mut starts = [0; 3];
    for (n, start) in (0..).zip(&mut starts) {
        *start = fs::metadata(&segments(dir.path())[0]).unwrap().len() as usize;
        store(&log, [n]).await;
    }
    (fs::read(&segments(dir.path())[0]).unwrap(), starts)
}

/// A directory whose only segment has these bytes.
fn directory_of(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("00000000000000000000.log");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut written = 0u64;
    for round in 0..3 {
        let log = open(dir.path(), &LogConfig::default());
        assert_eq!((log.end(), numbers(&log, 0)), (written, (0..written).collect::<Vec<_>>()), "round {round}");
        for count in [1, 3, 2] {
            assert_eq!(store(&log, written..written + count).await, written);
            written += count;
        }
        assert_eq!(log.end(), written);
        assert_eq!(numbers(&log, written - 4), (written - 4..written).collect::<Vec<_>>());
    }
    let report = SiteLog::check(dir.path()).unwrap();
    assert!(report.is_sound());
    assert_eq!((report.publishes, report.readings, report.first, report.end, report.torn_bytes), (9, written, 0, written, 0));
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_off() {
    let (bytes, [_, _, last]) = three_frames().await;
    for cut in last..bytes.len() {
        let (dir, path) = directory_of(&bytes[..cut]);
        let report = SiteLog::check(dir.path()).unwrap();
        assert!(report.is_sound(), "cut at {cut}: {:?}", report.damages);
        assert_eq!((report.readings, report.torn_bytes), (2, (cut - last) as u64));
        assert_eq!(fs::read(&path).unwrap(), bytes[..cut], "a check changes nothing");
        let log = open(dir.path(), &LogConfig::default());
        assert_eq!(numbers(&log, 0), [0, 1], "cut at {cut}");
        assert_eq!(store(&log, [7]).await, 2);
        drop(log);
        assert_eq!(numbers(&open(dir.path(), &LogConfig::default()), 0), [0, 1, 7]);
    }
}

#[tokio::test]
async fn a_last_group_of_which_not_every_page_arrived_is_cut_off() {
    let (bytes, [_, _, last]) = three_frames().await;
    for from in last..bytes.len() {
        let mut torn = bytes.clone();
        torn[from..].fill(0);
        if torn == bytes {
            continue;
        }
        let (dir, _) = directory_of(&torn);
        assert_eq!(numbers(&open(dir.path(), &LogConfig::default()), 0), [0, 1], "zeros from {from}");
    }
    for at in last..bytes.len() {
        let mut torn = bytes.clone();
        torn[at] ^= 0x10;
        let (dir, _) = directory_of(&torn);
        assert_eq!(numbers(&open(dir.path(), &LogConfig::default()), 0), [0, 1], "a flip at {at}");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_what_was_acknowledged_is_damage() {
    let (bytes, [_, second, last]) = three_frames().await;
    for at in 0..last {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        let (dir, path) = directory_of(&flipped);
        let begin = if at < SEGMENT_HEADER_BYTES {
            0
        } else if at < second {
            SEGMENT_HEADER_BYTES
        } else {
            second
        };
        match SiteLog::open(dir.path(), LogConfig::default()) {
            Err(LogError::Damaged { file, at: found, .. }) => assert_eq!((file, found), (path.clone(), begin as u64), "flip at {at}"),
            other => panic!("flip at {at}: {other:?}"),
        }
        let report = SiteLog::check(dir.path()).unwrap();
        assert_eq!(report.damages.len(), 1, "flip at {at}: {:?}", report.damages);
        assert_eq!((&report.damages[0].file, report.damages[0].at), (&path, begin as u64));
        assert_eq!(report.readings, if begin == 0 { 3 } else { 2 }, "the other frames are still found");
        assert_eq!(fs::read(&path).unwrap(), flipped, "damage is never repaired in silence");
    }
}

#[tokio::test]
async fn older_segments_must_be_whole() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &tiny_segments(10));
    for n in 0..4 {
        store(&log, [n]).await;
    }
    drop(log);
    let paths = segments(dir.path());
    assert_eq!(paths.len(), 4);

    let whole = fs::read(&paths[1]).unwrap();
    fs::write(&paths[1], &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(SiteLog::open(dir.path(), tiny_segments(10)), Err(LogError::Damaged { file, .. }) if file == paths[1]));
    assert!(!SiteLog::check(dir.path()).unwrap().is_sound());

    fs::remove_file(&paths[1]).unwrap();
    assert!(matches!(SiteLog::open(dir.path(), tiny_segments(10)), Err(LogError::Damaged { file, .. }) if file == paths[2]));
    assert!(!SiteLog::check(dir.path()).unwrap().is_sound());

    fs::write(&paths[1], whole).unwrap();
    assert_eq!(numbers(&open(dir.path(), &tiny_segments(10)), 0), [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_segment_whose_creation_was_cut_short_is_created_anew() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &tiny_segments(10));
    store(&log, [0, 1]).await;
    drop(log);
    for unfinished in [&b""[..], b"wattlog", &[0; SEGMENT_HEADER_BYTES]] {
        fs::write(dir.path().join("00000000000000000002.log"), unfinished).unwrap();
        let report = SiteLog::check(dir.path()).unwrap();
        assert!(report.is_sound() && report.readings == 2);
        let log = open(dir.path(), &tiny_segments(10));
        assert_eq!(numbers(&log, 0), [0, 1]);
    }
    let log = open(dir.path(), &tiny_segments(10));
    assert_eq!(store(&log, [2]).await, 2);
}

#[tokio::test]
async fn a_reading_is_stored_once() {
    let dir = TempDir::new().unwrap();
    for round in 0..2 {
        let log = open(dir.path(), &LogConfig::default());
        if round == 0 {
            store(&log, [1, 2]).await;
            let partly = log.append(entry([2, 3, 3])).await.unwrap();
            assert_eq!(partly, Appended::Stored { first_offset: 2, fresh: vec![reading(3)] });
        }
        assert_eq!(log.append(entry([1])).await, Ok(Appended::Duplicate));
        assert_eq!(log.append(entry([3, 2, 1])).await, Ok(Appended::Duplicate));
        assert_eq!(numbers(&log, 0), [1, 2, 3]);
        assert_eq!(log.stats().duplicates, 2);
    }
    let log = open(dir.path(), &LogConfig::default());
    let other_value = Reading { value: Value::Number(0.5), ..reading(1) };
    let stored = log.append(Entry { readings: vec![other_value.clone()], ..entry([]) }).await.unwrap();
    assert_eq!(stored, Appended::Stored { first_offset: 3, fresh: vec![other_value] });
}

#[tokio::test]
async fn a_redelivery_is_recognised_by_its_origin() {
    let dir = TempDir::new().unwrap();
    let from = |origin: u8, dup: bool, n: u64| Entry { origin: Some([origin; 16]), dup, ..entry([n]) };
    let stored = |offset: u64, n: u64| Ok(Appended::Stored { first_offset: offset, fresh: vec![reading(n)] });
    let log = open(dir.path(), &LogConfig::default());
    // The readings differ, as those of one payload at two arrivals do.
    assert_eq!(log.append(from(1, false, 10)).await, stored(0, 10));
    assert_eq!(log.append(from(1, true, 11)).await, Ok(Appended::Duplicate));
    assert_eq!(log.append(from(1, false, 12)).await, stored(1, 12));
    assert_eq!(log.append(from(2, true, 13)).await, stored(2, 13));
    drop(log);
    let log = open(dir.path(), &LogConfig::default());
    assert_eq!(log.append(from(1, true, 14)).await, Ok(Appended::Duplicate));
    assert_eq!(log.append(from(2, true, 15)).await, Ok(Appended::Duplicate));
    assert_eq!(log.append(from(3, true, 16)).await, stored(3, 16));
}

#[tokio::test]
async fn the_window_is_bounded_and_the_same_after_a_restart() {
    let config = LogConfig { window: 2, ..LogConfig::default() };
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &config);
    for n in 0..3 {
        store(&log, [n]).await;
    }
    drop(log);
    let log = open(dir.path(), &config);
    assert_eq!(log.append(entry([1])).await, Ok(Appended::Duplicate));
    assert_eq!(log.append(entry([2])).await, Ok(Appended::Duplicate));
    assert_eq!(store(&log, [0]).await, 3);
    assert_eq!(store(&log, [1]).await, 4);
}

#[tokio::test]
async fn forgetting_deletes_whole_segments() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &tiny_segments(1));
    for n in 0..10 {
        store(&log, [n]).await;
    }
    assert_eq!((segments(dir.path()).len(), log.stats().pending_readings), (10, 10));
    log.forget(8).unwrap();
    assert_eq!((segments(dir.path()).len(), log.forgotten(), log.stats().pending_readings), (2, 8, 2));
    assert!(matches!(log.read(0, 1), Err(LogError::Forgotten { asked: 0, first: 8 })));
    assert!(matches!(log.read(7, 1), Err(LogError::Forgotten { asked: 7, first: 8 })));
    assert_eq!(numbers(&log, 8), [8, 9]);
    log.forget(3).unwrap();
    assert_eq!(log.forgotten(), 8, "the watermark never goes back");
    assert!(matches!(log.forget(11), Err(LogError::PastEnd { asked: 11, end: 10 })));
    drop(log);
    let log = open(dir.path(), &tiny_segments(1));
    assert_eq!((log.forgotten(), log.end(), numbers(&log, 8)), (8, 10, vec![8, 9]));
    assert!(matches!(log.read(0, 1), Err(LogError::Forgotten { asked: 0, first: 8 })));
    assert!(SiteLog::check(dir.path()).unwrap().is_sound());
}

#[tokio::test]
async fn two_forgotten_segments_stay_for_the_window() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &tiny_segments(100));
    for n in 0..10 {
        store(&log, [n]).await;
    }
    log.forget(10).unwrap();
    assert_eq!(segments(dir.path()).len(), 3);
    assert_eq!(log.stats().pending_readings, 0);
    assert_eq!(log.append(entry([0])).await, Ok(Appended::Duplicate), "the memory of the process reaches further");
    drop(log);
    let log = open(dir.path(), &tiny_segments(100));
    assert_eq!(log.append(entry([7, 8, 9])).await, Ok(Appended::Duplicate));
    assert_eq!(log.forgotten(), 10);
}

#[tokio::test]
async fn the_watermark_file() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    store(&log, 0..5).await;
    log.forget(4).unwrap();
    log.close().unwrap();
    drop(log);
    assert_eq!(SiteLog::check(dir.path()).unwrap().forgotten, Some(4));
    let saved = fs::read(dir.path().join("forgotten")).unwrap();

    // Damaged: older is allowed, newer is not.
    let mut flipped = saved.clone();
    flipped[12] ^= 1;
    fs::write(dir.path().join("forgotten"), flipped).unwrap();
    assert!(!SiteLog::check(dir.path()).unwrap().is_sound());
    assert_eq!(open(dir.path(), &LogConfig::default()).forgotten(), 0);

    // Ahead of the segments: readings are missing.
    let other = TempDir::new().unwrap();
    let log = open(other.path(), &LogConfig::default());
    store(&log, 0..2).await;
    drop(log);
    fs::write(other.path().join("forgotten"), &saved).unwrap();
    assert!(matches!(SiteLog::open(other.path(), LogConfig::default()), Err(LogError::Damaged { .. })));
    assert!(!SiteLog::check(other.path()).unwrap().is_sound());

    // Without segments offsets go on where they were.
    fs::remove_file(&segments(other.path())[0]).unwrap();
    let log = open(other.path(), &LogConfig::default());
    assert_eq!((log.end(), log.forgotten()), (4, 4));
    assert_eq!(store(&log, [9]).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_append_while_one_reads() {
    const TASKS: u64 = 64;
    const EACH: u64 = 20;
    let dir = TempDir::new().unwrap();
    let config = LogConfig { segment_bytes: 16 * 1024, ..LogConfig::default() };
    let log = open(dir.path(), &config);
    let reader = tokio::spawn({
        let log = log.clone();
        async move {
            let mut found = Vec::new();
            while (found.len() as u64) < TASKS * EACH {
                let next = found.len() as u64;
                log.wait_past(next).await;
                let more = log.read(next, 100).unwrap();
                assert!(!more.is_empty());
                for (offset, reading) in more {
                    assert_eq!(offset, found.len() as u64);
                    found.push(reading);
                }
            }
            found
        }
    });
    let writers: Vec<_> = (0..TASKS)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut offsets = Vec::new();
                for n in 0..EACH {
                    let number = task * EACH + n;
                    let offset = store(&log, [number]).await;
                    assert!(log.end() > offset, "acknowledged means visible");
                    assert_eq!(log.read(offset, 1).unwrap(), [(offset, reading(number))]);
                    offsets.push((offset, number));
                }
                offsets
            })
        })
        .collect();
    let mut offsets = Vec::new();
    for writer in writers {
        offsets.extend(writer.await.unwrap());
    }
    offsets.sort_unstable();
    assert_eq!(offsets.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (0..TASKS * EACH).collect::<Vec<_>>());
    let expected: Vec<_> = offsets.iter().map(|(_, number)| reading(*number)).collect();
    assert_eq!(reader.await.unwrap(), expected);
    let stats = log.stats();
    assert_eq!((stats.publishes, stats.readings, stats.duplicates), (TASKS * EACH, TASKS * EACH, 0));
    assert!(stats.groups <= stats.publishes);
    drop(log);
    let log = open(dir.path(), &config);
    assert_eq!(log.read(0, usize::MAX).unwrap().into_iter().map(|(_, reading)| reading).collect::<Vec<_>>(), expected);
    assert!(segments(dir.path()).len() > 1);
    assert!(SiteLog::check(dir.path()).unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_equal_publishes_at_one_time_one_is_stored() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { log.append(entry([1, 2])).await.unwrap() })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        match task.await.unwrap() {
            Appended::Stored { first_offset: 0, fresh } => stored += fresh.len(),
            Appended::Stored { .. } => panic!("stored twice"),
            Appended::Duplicate => assert_eq!(log.end(), 2, "the original is durable"),
        }
    }
    assert_eq!((stored, log.end()), (2, 2));
}

#[tokio::test]
async fn a_full_log_refuses_until_readings_are_confirmed() {
    let dir = TempDir::new().unwrap();
    let config = LogConfig { limit_bytes: 2_000, ..tiny_segments(100) };
    let log = open(dir.path(), &config);
    let mut stored = 0u64;
    let refusal = loop {
        match log.append(entry([stored])).await {
            Ok(_) => stored += 1,
            Err(refusal) => break refusal,
        }
        assert!(stored < 1_000, "it never fills");
    };
    assert!(stored > 1);
    assert!(matches!(refusal, AppendError::Full { limit_bytes: 2_000, pending_bytes } if pending_bytes <= 2_000), "{refusal}");
    assert_eq!(log.append(entry([0])).await, Ok(Appended::Duplicate), "what is kept needs no room");
    assert_eq!(log.end(), stored);
    log.forget(stored).unwrap();
    assert_eq!(log.stats().pending_bytes, 0);
    assert_eq!(store(&log, [stored]).await, stored, "what was refused is no duplicate");
    drop(log);
    assert_eq!(open(dir.path(), &config).end(), stored + 1);
}

#[tokio::test]
async fn a_nearly_full_disk_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig { min_free_bytes: u64::MAX, ..LogConfig::default() });
    let refusal = log.append(entry([1])).await.unwrap_err();
    assert!(matches!(&refusal, AppendError::DiskFull { min_free_bytes: u64::MAX, dir: found, .. } if found == dir.path()), "{refusal}");
    assert_eq!((log.end(), log.stats().groups), (0, 0));
}

#[tokio::test]
async fn a_failed_write_is_not_acknowledged_and_the_next_one_tries_again() {
    let parent = TempDir::new().unwrap();
    let (dir, away) = (parent.path().join("log"), parent.path().join("away"));
    let log = open(&dir, &tiny_segments(100));
    store(&log, [0]).await;
    fs::rename(&dir, &away).unwrap();
    assert!(matches!(log.append(entry([1])).await, Err(AppendError::Failed(_))));
    assert_eq!((log.end(), numbers(&log, 0)), (1, vec![0]));
    fs::rename(&away, &dir).unwrap();
    assert_eq!(store(&log, [1]).await, 1, "a group that failed is not remembered");
    drop(log);
    assert_eq!(numbers(&open(&dir, &tiny_segments(100)), 0), [0, 1]);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig { queue_bytes: 0, ..LogConfig::default() });
    assert_eq!(log.append(entry([1])).await, Err(AppendError::Overloaded));
    assert_eq!(log.append(entry([1])).await, Err(AppendError::Overloaded));
}

#[tokio::test]
async fn entries_that_could_not_be_read_back_are_refused() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    let bad_unit = Reading { unit: Some("u".repeat(17)), ..reading(1) };
    let bad_number = Reading { value: Value::Number(f64::NAN), ..reading(1) };
    let bad_zero = Reading { value: Value::Number(-0.0), ..reading(1) };
    let bad_text = Reading { value: Value::Text("x".repeat(16 * 1024 + 1)), ..reading(1) };
    for readings in [vec![bad_unit], vec![bad_number], vec![bad_zero], vec![bad_text]] {
        assert!(matches!(log.append(Entry { readings, ..entry([]) }).await, Err(AppendError::Invalid(_))));
    }
    assert!(matches!(log.append(entry([])).await, Err(AppendError::Invalid(_))));
    assert!(matches!(log.append(entry(0..PUBLISH_READINGS_MAX as u64 + 1)).await, Err(AppendError::Invalid(_))));
    assert!(matches!(log.append(Entry { readings: (0..64).map(large).collect(), ..entry([]) }).await, Err(AppendError::Invalid(_))));
    assert_eq!(store(&log, 0..PUBLISH_READINGS_MAX as u64).await, 0);
}

#[tokio::test]
async fn closing_stores_what_is_queued_and_ends_waiting() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    store(&log, [1]).await;
    let waiter = tokio::spawn({
        let log = log.clone();
        async move { log.wait_past(1).await }
    });
    tokio::task::yield_now().await;
    log.close().unwrap();
    assert_eq!(waiter.await.unwrap(), 1);
    assert_eq!(log.append(entry([2])).await, Err(AppendError::Closed));
    assert_eq!(numbers(&log, 0), [1]);
    assert!(matches!(SiteLog::open(dir.path(), LogConfig::default()), Err(LogError::Locked(_))), "a handle is left");
    drop(log);
    assert_eq!(numbers(&open(dir.path(), &LogConfig::default()), 0), [1]);
}

#[tokio::test]
async fn a_waiter_wakes_when_its_offset_is_passed() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    let waiter = tokio::spawn({
        let log = log.clone();
        async move { log.wait_past(2).await }
    });
    for n in 0..3 {
        assert!(!waiter.is_finished());
        store(&log, [n]).await;
    }
    assert_eq!(waiter.await.unwrap(), 3);
    assert_eq!(log.wait_past(0).await, 3);
}

fn large(n: u64) -> Reading {
    Reading { value: Value::Text(format!("{n:016384}")), ..reading(n) }
}

/// Reads a log of 400 large readings here and there.
fn check_large(log: &SiteLog) {
    for from in [0u64, 1, 49, 50, 51, 199, 230, 250, 399] {
        let expected: Vec<_> = (from..(from + 60).min(400)).map(|n| (n, large(n))).collect();
        assert!(log.read(from, 60).unwrap() == expected, "from {from}");
    }
    assert_eq!(log.read(0, usize::MAX).unwrap().len(), 400);
    assert!(log.read(400, 10).unwrap().is_empty());
    assert!(log.read(5, 0).unwrap().is_empty());
    assert!(matches!(log.read(401, 10), Err(LogError::PastEnd { asked: 401, end: 400 })));
}

#[tokio::test]
async fn reading_from_disk_memory_and_beyond() {
    let dir = TempDir::new().unwrap();
    let config = LogConfig { segment_bytes: 2 << 20, ..LogConfig::default() };
    let log = open(dir.path(), &config);
    // 6.5 MB: more than memory keeps, in four segments.
    for publish in 0..8 {
        let readings = (0..50).map(|n| large(publish * 50 + n)).collect();
        log.append(Entry { readings, ..entry([]) }).await.unwrap();
    }
    assert_eq!((log.end(), segments(dir.path()).len()), (400, 4));
    check_large(&log);
    drop(log);
    check_large(&open(dir.path(), &config));
}

#[tokio::test]
async fn damage_met_while_reading_is_told() {
    let dir = TempDir::new().unwrap();
    let log = open(dir.path(), &LogConfig::default());
    store(&log, [1]).await;
    drop(log);
    let log = open(dir.path(), &LogConfig::default());
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
    assert!(matches!(log.read(0, 1), Err(LogError::Damaged { at: 20, .. })));
}

/// Appends of small numbers, restarts and confirmations, against a list and a set.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u64>),
    Restart,
    Forget(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => proptest::collection::vec(0..40u64, 1..5).prop_map(Step::Append),
        1 => Just(Step::Restart),
        1 => (0..100usize).prop_map(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_without_repeats(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = TempDir::new().unwrap();
        let config = LogConfig::default();
        let mut log = open(dir.path(), &config);
        let (mut list, mut forgotten): (Vec<u64>, u64) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Append(wanted) => {
                    let mut known: HashSet<u64> = list.iter().copied().collect();
                    let fresh: Vec<u64> = wanted.iter().copied().filter(|n| known.insert(*n)).collect();
                    let expected = if fresh.is_empty() {
                        Appended::Duplicate
                    } else {
                        Appended::Stored { first_offset: list.len() as u64, fresh: fresh.iter().copied().map(reading).collect() }
                    };
                    prop_assert_eq!(runtime.block_on(log.append(entry(wanted))).unwrap(), expected);
                    list.extend(fresh);
                }
                Step::Restart => {
                    drop(log);
                    log = open(dir.path(), &config);
                }
                Step::Forget(percent) => {
                    let below = (list.len() * percent / 100) as u64;
                    log.forget(below).unwrap();
                    forgotten = forgotten.max(below);
                }
            }
            prop_assert_eq!(log.forgotten(), forgotten);
            prop_assert_eq!(&numbers(&log, 0), &list);
        }
        drop(log);
        prop_assert!(SiteLog::check(dir.path()).unwrap().is_sound());
    }
}

/// A device that numbers its readings and sends no time: each copy gets the time of its own arrival, and used to be kept.
#[tokio::test]
async fn a_numbered_reading_is_kept_once_whatever_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let numbered = |time_us: u64, value: f64| Reading {
        topic: "s1/m1/sense/power".parse().unwrap(),
        time_us,
        sequence: Some(41),
        unit: None,
        value: Value::number(value).unwrap(),
        signed: None,
    };
    let entry = |reading| Entry { origin: None, dup: false, readings: vec![reading] };
    let log = SiteLog::open(dir.path(), LogConfig::default()).unwrap();
    assert!(matches!(log.append(entry(numbered(1_000, 2.0))).await, Ok(Appended::Stored { .. })));
    assert!(matches!(log.append(entry(numbered(2_000, 2.0))).await, Ok(Appended::Duplicate)));
    assert!(matches!(log.append(entry(numbered(3_000, 2.5))).await, Ok(Appended::Stored { .. })), "another value is another reading");
    drop(log);
    let log = SiteLog::open(dir.path(), LogConfig::default()).unwrap();
    assert!(matches!(log.append(entry(numbered(4_000, 2.0))).await, Ok(Appended::Duplicate)), "recognised after a restart too");
}
