#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use super::lookup::Payloads;
use super::*;
use protocol::{Encode as _, Reading, Value};
use std::collections::BTreeMap;

/// Payloads, and the messages that name them, by their places.
type Places = BTreeMap<u64, (Id, Vec<u8>)>;

#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Places>>);

impl Payloads for Shelf {
    async fn payload_at(&self, place: u64) -> Option<(Id, Vec<u8>)> {
        self.0.lock().unwrap().get(&place).cloned()
    }
}

/// An index over a shelf.
struct Site {
    index: Index,
    shelf: Shelf,
    lookup: Lookup<Shelf>,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (index, shelf) = (Index::open(&dir.path().join("index.sqlite")).unwrap(), Shelf::default());
        let lookup = Lookup::new(index.clone(), shelf.clone());
        Self { index, shelf, lookup, _dir: dir }
    }

    async fn add(&self, place: u64, batch: &Batch) {
        self.shelf.0.lock().unwrap().insert(place, (id(place as u8), batch.encode()));
        self.index.add(place, Arc::new(batch.clone())).await;
        self.index.flush().await.unwrap();
    }

    /// As after a restart: nothing stays decoded.
    fn forget(&mut self) {
        self.lookup = Lookup::new(self.index.clone(), self.shelf.clone());
    }

    /// The newest readings, and why there are no more of them.
    async fn newest(&self, limit: usize, topic: Option<&DeviceTopic>) -> (Vec<Found>, Option<LookupError>) {
        match topic {
            None => self.lookup.arrived(None, Span::ALL, limit).await.map(|page| (page.readings, page.cut_short)).unwrap(),
            Some(topic) => {
                let page = self.lookup.timed(std::slice::from_ref(topic), None, Span::ALL, limit).await.unwrap();
                (page.readings, page.cut_short)
            }
        }
    }

    async fn times(&self, limit: usize, topic: Option<&str>) -> Vec<u64> {
        let topic = topic.map(|t| t.parse().unwrap());
        let (readings, _) = self.newest(limit, topic.as_ref()).await;
        readings.iter().map(|f| f.reading.time_us).collect()
    }
}

fn reading(device: u32, time_us: u64, value: u32) -> Reading {
    let topic = format!("z1/m{device}/sense/power").parse().unwrap();
    Reading { topic, time_us, sequence: None, unit: None, value: Value::Number(f64::from(value)), signed: None }
}

/// Readings of two devices in turn, at a time each.
fn batch(first_offset: u64, times: &[u32]) -> Batch {
    let readings = times.iter().map(|t| reading(t % 2, 1_000_000 + u64::from(*t), *t)).collect();
    Batch { secret: [7; 32], first_offset, readings }
}

fn id(n: u8) -> Id {
    Id([n; 32])
}

fn where_is(found: Option<Found>) -> Option<(Id, u32)> {
    found.map(|f| (f.anchored.message, f.leaf))
}

#[tokio::test]
async fn readings_are_found_by_id_and_by_name() {
    let site = Site::new();
    let (first, second) = (batch(0, &[1, 2]), batch(2, &[3]));
    site.add(10, &first).await;
    site.add(11, &second).await;
    let two = &first.readings[1];
    let found = site.lookup.by_id(two.id()).await.unwrap().unwrap();
    assert_eq!((found.anchored.message, found.leaf, &found.reading), (id(10), 1, two));
    assert_eq!(site.lookup.by_name(&two.name()).await.unwrap(), Some(found));
    assert_eq!(site.lookup.by_id(id(9)).await.unwrap(), None);
    for unknown in ["z1/m1/sense/power@1000002", "z1/m9/sense/power@1000002", "z1/m1/sense/power@1"] {
        assert_eq!(site.lookup.by_name(&unknown.parse().unwrap()).await.unwrap(), None, "{unknown}");
    }
    assert_eq!(site.times(10, None).await, [1_000_003, 1_000_002, 1_000_001]);
    assert_eq!(site.times(2, None).await, [1_000_003, 1_000_002]);
    assert_eq!(site.times(1, Some("z1/m1/sense/power")).await, [1_000_003]);
    assert_eq!(site.times(9, Some("z1/m0/sense/power")).await, [1_000_002]);
    assert!(site.times(9, Some("z1/m9/sense/power")).await.is_empty());
    assert!(site.index.knows(Listed { first: 2, place: 11 }).await.unwrap());
    assert!(!site.index.knows(Listed { first: 2, place: 10 }).await.unwrap());
}

#[tokio::test]
async fn readings_whose_ids_begin_alike_are_told_apart() {
    // of so many readings some share what the index keeps of an id; 30 bits of it are kept
    let (mut seen, mut alike) = (HashMap::new(), None);
    for value in 0..400_000 {
        let reading = reading(1, 5_000_000, value);
        let (drawer, [_, _, tail @ ..]) = entry(0, &reading.id());
        if let Some(earlier) = seen.insert((drawer, tail), value) {
            alike = Some((earlier, value));
            break;
        }
    }
    let (one, two) = alike.expect("two ids that begin alike");
    let (one, two) = (reading(1, 5_000_000, one), reading(1, 5_000_000, two));
    assert_ne!(one.id(), two.id());
    assert_eq!(entry(0, &one.id()), entry(0, &two.id()));
    for order in [[&one, &two], [&two, &one]] {
        let site = Site::new();
        for (n, reading) in (0u64..).zip(order) {
            site.add(n, &Batch { secret: [7; 32], first_offset: n, readings: vec![reading.clone()] }).await;
        }
        for (n, reading) in (0u8..).zip(order) {
            let found = site.lookup.by_id(reading.id()).await.unwrap().unwrap();
            assert_eq!((found.anchored.message, &found.reading), (id(n), reading));
        }
        // the name is of both: the first counts
        assert_eq!(site.lookup.by_name(&one.name()).await.unwrap().unwrap().reading, *order[0]);
    }
}

#[tokio::test]
async fn a_batch_added_again_or_replaced_lists_nothing_twice() {
    let site = Site::new();
    let body = batch(0, &[1, 2]);
    site.add(1, &body).await;
    site.add(1, &body).await;
    site.index.remove(0).await;
    site.index.remove(5).await;
    site.index.flush().await.unwrap();
    assert_eq!(where_is(site.lookup.by_id(body.readings[0].id()).await.unwrap()), None);
    assert!(site.times(10, None).await.is_empty());
    assert!(site.times(10, Some("z1/m1/sense/power")).await.is_empty());
    site.add(2, &body).await;
    let rows = site.lookup.arrived(None, Span::ALL, 10).await.unwrap().readings;
    assert_eq!(rows.into_iter().map(|f| where_is(Some(f)).unwrap()).collect::<Vec<_>>(), [(id(2), 1), (id(2), 0)]);
    // an older one does not come back
    site.add(1, &body).await;
    assert_eq!(where_is(site.lookup.by_name(&body.readings[0].name()).await.unwrap()), Some((id(2), 0)));
}

#[tokio::test]
async fn lists_are_in_order_however_batches_overlap_and_however_many_there_are() {
    let site = Site::new();
    // each batch reaches back before the one before it, and all fill more than one answer of the index
    let mut times = Vec::new();
    for n in 0..100u32 {
        let of_batch = [n * 10 + 40, n * 10, n * 10 + 21];
        times.extend(of_batch);
        site.add(u64::from(n), &batch(u64::from(n) * 3, &of_batch)).await;
    }
    let arrived: Vec<u64> = times.iter().rev().map(|t| 1_000_000 + u64::from(*t)).collect();
    let mut even: Vec<u64> = arrived.iter().copied().filter(|t| t % 2 == 0).collect();
    even.sort_unstable_by_key(|t| std::cmp::Reverse(*t));
    for limit in [1, 2, 7, 199, 200, 1000] {
        assert_eq!(site.times(limit, None).await, arrived.iter().copied().take(limit).collect::<Vec<_>>());
        assert_eq!(site.times(limit, Some("z1/m0/sense/power")).await, even.iter().copied().take(limit).collect::<Vec<_>>());
    }
    for t in [0, 21, 1030, 511] {
        let name = reading(t % 2, 1_000_000 + u64::from(t), t).name();
        assert_eq!(site.lookup.by_name(&name).await.unwrap().unwrap().reading.name(), name);
    }
}

#[tokio::test]
async fn ids_are_found_over_many_spans_of_the_log() {
    let site = Site::new();
    let old = batch(17, &[1]);
    site.add(0, &old).await;
    site.add(1, &batch(5_000_000_000 - 1, &[2, 3])).await;
    assert_eq!(where_is(site.lookup.by_id(old.readings[0].id()).await.unwrap()), Some((id(0), 0)));
    assert_eq!(where_is(site.lookup.by_id(batch(0, &[3]).readings[0].id()).await.unwrap()), Some((id(1), 1)));
    assert_eq!(site.lookup.by_id(id(3)).await.unwrap(), None);
}

#[tokio::test]
async fn what_the_ledger_dropped_is_said_to_be_gone() {
    let mut site = Site::new();
    let (old, new) = (batch(0, &[1, 2]), batch(2, &[3]));
    site.add(0, &old).await;
    site.add(1, &new).await;
    site.shelf.0.lock().unwrap().remove(&0);
    site.forget();
    assert!(matches!(site.lookup.by_id(old.readings[0].id()).await, Err(LookupError::Dropped(0))));
    assert!(matches!(site.lookup.by_name(&old.readings[0].name()).await, Err(LookupError::Dropped(0))));
    assert!(site.lookup.by_id(new.readings[0].id()).await.unwrap().is_some());
    let newest = site.lookup.arrived(None, Span::ALL, 10).await.unwrap();
    assert_eq!(newest.readings.len(), 1);
    assert!(matches!(newest.cut_short, Some(LookupError::Dropped(0))));
}

#[tokio::test]
async fn an_index_that_lies_is_noticed() {
    let mut site = Site::new();
    let body = batch(0, &[1, 2]);
    site.add(0, &body).await;
    site.shelf.0.lock().unwrap().insert(0, (id(0), batch(7, &[1, 2]).encode()));
    site.forget();
    assert!(matches!(site.lookup.by_id(body.readings[0].id()).await, Err(LookupError::Misplaced(_))));
    site.shelf.0.lock().unwrap().insert(0, (id(0), vec![0xff; 9]));
    assert!(matches!(site.lookup.arrived(None, Span::ALL, 1).await, Err(LookupError::Unreadable { .. })));
    // a reading that is not the one asked for is none
    site.shelf.0.lock().unwrap().insert(0, (id(0), batch(0, &[5, 6]).encode()));
    assert_eq!(site.lookup.by_id(body.readings[0].id()).await.unwrap(), None);
}

#[tokio::test]
async fn it_survives_a_restart_and_knows_whether_it_was_filled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.sqlite");
    let index = Index::open(&path).unwrap();
    assert!(index.is_filling().await.unwrap());
    index.add(4, Arc::new(batch(0, &[1]))).await;
    index.filled().await;
    index.flush().await.unwrap();
    drop(index);
    let index = Index::open(&path).unwrap();
    assert!(!index.is_filling().await.unwrap());
    assert_eq!(index.newest(None).await.unwrap(), [Listed { first: 0, place: 4 }]);
}

#[tokio::test]
async fn the_last_numbers_of_a_key_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(&dir.path().join("index.sqlite")).unwrap();
    let signature = protocol::Signature([9; 64]);
    let signed = |n: u64, key: u8| Reading {
        sequence: Some(n),
        signed: Some(protocol::DeviceSignature { key: PublicKey([key; 32]), signature }),
        ..reading(1, n, 0)
    };
    let add = |place: u64, first_offset: u64, readings: Vec<Reading>| {
        let batch = Arc::new(Batch { secret: [7; 32], first_offset, readings });
        let index = index.clone();
        async move { index.add(place, batch).await }
    };
    add(7, 200, (300..400).map(|n| signed(n, 1)).chain([signed(u64::MAX, 2)]).collect()).await;
    index.add(8, Arc::new(batch(301, &[1, 2]))).await;
    // an index is filled from the newest batch down
    add(6, 100, (200..300).map(|n| signed(n, 1)).collect()).await;
    // void, and anchored again: a number that was taken stays so
    index.remove(200).await;
    index.flush().await.unwrap();
    let mut taken = index.taken().await.unwrap();
    taken.sort_unstable();
    let expected: Vec<_> =
        (400 - mqtt::replay::WINDOW..400).map(|n| (PublicKey([1; 32]), n)).chain([(PublicKey([2; 32]), u64::MAX)]).collect();
    assert_eq!(taken, expected);
}

#[tokio::test]
async fn a_damaged_file_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.sqlite");
    std::fs::write(&path, b"this is no database, however long one looks at it. ".repeat(100)).unwrap();
    let index = Index::open(&path).unwrap();
    assert!(index.is_filling().await.unwrap());
    assert!(dir.path().join("index.sqlite.damaged").exists());
    index.add(0, Arc::new(batch(0, &[1]))).await;
    index.flush().await.unwrap();
    assert_eq!(index.newest(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_index_of_another_version_is_put_aside_and_filled_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.sqlite");
    let old = Connection::open(&path).unwrap();
    old.execute_batch("CREATE TABLE anchored (place INTEGER PRIMARY KEY); INSERT INTO anchored VALUES (3); PRAGMA user_version = 1;")
        .unwrap();
    drop(old);
    let index = Index::open(&path).unwrap();
    assert!(index.is_filling().await.unwrap());
    assert!(index.newest(None).await.unwrap().is_empty());
    let aside = Connection::open(dir.path().join("index.sqlite.damaged")).unwrap();
    assert_eq!(aside.query_row("SELECT place FROM anchored", [], |r| r.get::<_, i64>(0)).unwrap(), 3);
}

#[tokio::test]
async fn a_flipped_page_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.sqlite");
    let many: Vec<u32> = (0..2000).collect();
    {
        let connection = TABLES.open(&path).unwrap();
        let mut writer = Writer { connection, topics: HashMap::new(), broken: Arc::default() };
        writer.write(&[Op::Add { place: 0, batch: Arc::new(batch(0, &many)) }, Op::Filled]);
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 64].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
    let index = Index::open(&path).unwrap();
    assert!(index.is_filling().await.unwrap());
    assert!(dir.path().join("index.sqlite.damaged").exists());
}

#[tokio::test]
async fn pages_cover_everything_once() {
    let site = Site::new();
    // batches overlap in time
    let times = [[5, 40, 7], [6, 8, 41], [9, 2, 42], [43, 10, 3]];
    for (turn, times) in times.iter().enumerate() {
        site.add(10 + turn as u64, &batch(3 * turn as u64, times)).await;
    }
    let all: Vec<u64> = times.iter().flatten().rev().map(|t| 1_000_000 + u64::from(*t)).collect();
    for limit in [1, 2, 5, 12, 100] {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = site.lookup.arrived(before, Span::ALL, limit).await.unwrap();
            assert!(page.readings.len() <= limit && page.cut_short.is_none());
            seen.extend(page.readings.iter().map(|f| f.reading.time_us));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, all, "pages of {limit}");
    }
    let topics: Vec<DeviceTopic> = ["z1/m0/sense/power", "z1/m1/sense/power"].map(|t| t.parse().unwrap()).into();
    let mut sorted = all.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    for (topics, span, expected) in [
        (topics.clone(), Span::ALL, sorted.clone()),
        (topics[..1].to_vec(), Span::ALL, sorted.iter().copied().filter(|t| t % 2 == 0).collect()),
        (
            topics,
            Span { from_us: 1_000_003, to_us: 1_000_041 },
            sorted.iter().copied().filter(|t| (1_000_003..1_000_041).contains(t)).collect(),
        ),
    ] {
        for limit in [1, 3, 100] {
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let page = site.lookup.timed(&topics, before, span, limit).await.unwrap();
                seen.extend(page.readings.iter().map(|f| f.reading.time_us));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected, "pages of {limit} in {span:?}");
        }
    }
    let names = site.lookup.topics_of(&"z1/m1".parse().unwrap()).await.unwrap();
    assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["z1/m1/sense/power"]);
}
