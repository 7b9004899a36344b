//! The runner and its files against a real log: killed at any moment, what comes out is what comes out without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use super::machine::{Machine, MachineParts, Next};
use super::sink::{Notice, Out, Sink, SinkError};
use super::{FogRunner, LogSink, Pipelines, RunnerParts};
use mqtt::{Entry, LogConfig, SiteLog};
use proptest::prelude::*;
use protocol::{Reading, Value};
use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

const START_US: u64 = 1_750_000_000_000_000;
const SECOND_US: u64 = 1_000_000;
const LIMIT_BYTES: u64 = 64 << 20;

thread_local! {
    static NOW_US: Cell<u64> = const { Cell::new(START_US) };
}

/// A clock that stands still until a test moves it.
fn now_us() -> u64 {
    NOW_US.get()
}

const WINDOWS: &str = r#"
[[pipeline]]
name = "power"
match = "z1/+/sense/power"
[[pipeline.stage]]
do = "validate"
max = 1000
[[pipeline.stage]]
do = "window"
size_s = 10
emit = ["mean", "count"]
[[pipeline.stage]]
do = "rule"
name = "shed"
only = "power.mean"
on_above = 60
off_below = 40
publish = "+/+/act/shed"
on = true
off = false
"#;

fn log(dir: &Path) -> SiteLog {
    SiteLog::open(dir, LogConfig { limit_bytes: LIMIT_BYTES, min_free_bytes: 0, window: 1, ..LogConfig::default() }).unwrap()
}

fn reading(n: u64) -> Reading {
    Reading {
        topic: format!("z1/m{}/sense/power", n % 3).parse().unwrap(),
        time_us: START_US + n * SECOND_US,
        sequence: None,
        unit: Some("W".into()),
        value: Value::Number((n % 101) as f64),
        signed: None,
    }
}

/// A site's directory: intake, log and the processor's own files.
struct Place {
    dir: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    fn new(pipelines: &str) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("pipelines.toml"), pipelines).unwrap();
        Self { dir, runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap() }
    }

    fn open(&self) -> Open<'_> {
        let intake = log(&self.dir.path().join("intake"));
        let out = log(&self.dir.path().join("log"));
        let pipelines = Pipelines::load(Some(&self.dir.path().join("pipelines.toml"))).unwrap();
        let dir = self.dir.path().join("fog");
        let site = "z1".parse().unwrap();
        let parts = MachineParts { site, intake: intake.clone(), intake_limit_bytes: LIMIT_BYTES, dir, pipelines, now_us };
        Open { place: self, intake, machine: Machine::open(parts).unwrap(), out, commands: Vec::new() }
    }
}

/// A processor that runs, driven by hand.
struct Open<'a> {
    place: &'a Place,
    intake: SiteLog,
    out: SiteLog,
    machine: Machine,
    commands: Vec<Reading>,
}

impl Open<'_> {
    fn arrive(&self, numbers: impl IntoIterator<Item = u64>) {
        for n in numbers {
            let entry = Entry { origin: None, dup: false, readings: vec![reading(n)] };
            self.place.runtime.block_on(self.intake.append(entry)).unwrap();
        }
    }

    /// Does the next thing; `cut` says how many pieces are put before it is killed. Whether there is more to do.
    fn go(&mut self, cut: Option<usize>) -> bool {
        match self.machine.advance().unwrap() {
            Next::Wait(_) => false,
            Next::Again => true,
            Next::Put => {
                for _ in 0..cut.unwrap_or(usize::MAX) {
                    let Some(out) = self.machine.outs.pop_front() else { break };
                    self.put(&out);
                    self.machine.has_left().unwrap();
                }
                true
            }
        }
    }

    fn put(&mut self, out: &Out) {
        let sink = LogSink { log: self.out.clone(), broker: None };
        self.place.runtime.block_on(sink.put(out)).unwrap();
        self.commands.extend(out.commands.iter().cloned());
    }

    fn drain(&mut self) {
        while self.go(None) {}
    }

    /// Lets so many seconds go by, and does what they bring about.
    fn later(&mut self, seconds: u64) {
        NOW_US.set(NOW_US.get() + seconds * SECOND_US);
        self.drain();
    }

    fn said(&self) -> Vec<Reading> {
        self.out.read(0, usize::MAX).unwrap().into_iter().map(|(_, reading)| reading).collect()
    }
}

/// What comes out of so many readings without interruption, and the commands.
fn uninterrupted(count: u64) -> (Vec<Reading>, Vec<Reading>) {
    NOW_US.set(START_US + 1_000 * SECOND_US);
    let place = Place::new(WINDOWS);
    let mut open = place.open();
    open.arrive(0..count);
    open.drain();
    open.later(100);
    (open.said(), open.commands.clone())
}

#[test]
fn fog_40_windows_and_readings_come_out_in_order() {
    let (said, commands) = uninterrupted(60);
    let of = |data_type: &str| said.iter().filter(|r| r.topic.data_type.as_str() == data_type).count();
    assert_eq!(of("power"), 60);
    // six windows of each of three devices, the last ones by a tick
    assert_eq!((of("power.mean"), of("power.count")), (18, 18));
    assert!(!commands.is_empty());
    let numbers: Vec<_> = commands.iter().map(|c| c.sequence.unwrap()).collect();
    assert_eq!(numbers, (0..commands.len() as u64).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// FOG-41 to FOG-43: killed again and again, before, while and after something leaves, with and without a snapshot, every
    /// result is there once, in the same order; commands bear the same numbers, and may come again.
    #[test]
    fn fog_42_kills_lose_and_double_nothing(
        rounds in prop::collection::vec((0u64..25, 0usize..12, 0usize..2, any::<bool>()), 1..12)
    ) {
        let total: u64 = rounds.iter().map(|round| round.0).sum();
        let (expected, commands) = uninterrupted(total);
        NOW_US.set(START_US + 1_000 * SECOND_US);
        let place = Place::new(WINDOWS);
        let (mut arrived, mut told) = (0, Vec::new());
        for (more, turns, cut, saves) in rounds {
            let mut open = place.open();
            open.arrive(arrived..arrived + more);
            arrived += more;
            for _ in 0..turns {
                open.go(None);
            }
            if saves && open.machine.outs.is_empty() {
                open.machine.save().unwrap();
            }
            // the last thing before the kill may put nothing, or a piece that the journal does not know to have left
            open.go(Some(cut));
            told.extend(open.commands);
        }
        let mut open = place.open();
        open.drain();
        open.later(100);
        told.extend(open.commands.iter().cloned());
        prop_assert_eq!(open.said(), expected);
        told.sort_by_key(|command| command.sequence);
        told.dedup();
        prop_assert_eq!(told, commands, "each at least once, the same each time");
    }
}

/// A step whose results take several pieces leaves piece by piece, and only what may not have left leaves again.
#[test]
fn fog_42_a_step_of_many_pieces() {
    NOW_US.set(START_US + 1_000 * SECOND_US);
    // sixty windows of each device close in one tick, and each tells seven readings
    let text = WINDOWS
        .replace("size_s = 10", "size_s = 60\nstep_s = 1")
        .replace("emit = [\"mean\", \"count\"]", "emit = [\"mean\", \"count\", \"min\", \"max\", \"sum\", \"first\", \"last\"]");
    let whole = {
        let place = Place::new(&text);
        let mut open = place.open();
        open.arrive(0..100);
        open.drain();
        open.later(200);
        open.said()
    };
    assert!(whole.len() > 2 * super::runner::STEP_READINGS_MAX);
    for cut in 0..4 {
        NOW_US.set(START_US + 1_000 * SECOND_US);
        let place = Place::new(&text);
        let mut open = place.open();
        open.arrive(0..100);
        open.drain();
        NOW_US.set(NOW_US.get() + 200 * SECOND_US);
        // up to the tick that closes what is left
        while open.machine.outs.is_empty() {
            assert!(open.go(Some(0)));
        }
        open.go(Some(cut));
        drop(open);
        let mut open = place.open();
        open.drain();
        assert_eq!(open.said(), whole, "killed after {cut} pieces");
    }
}

/// The intake is forgotten only below a snapshot, and the next start needs no more than that.
#[test]
fn fog_44_the_intake_forgets_what_a_snapshot_has() {
    NOW_US.set(START_US + 1_000 * SECOND_US);
    let place = Place::new(WINDOWS);
    let mut open = place.open();
    open.arrive(0..20);
    open.drain();
    assert_eq!(open.intake.forgotten(), 0);
    open.machine.save().unwrap();
    assert_eq!(open.intake.forgotten(), 20);
    drop(open);
    let mut open = place.open();
    open.arrive(20..60);
    open.drain();
    open.later(100);
    assert_eq!(open.said(), uninterrupted(60).0);
}

/// While no new journal stands the old one may have lost its name: what was written to it then would be nowhere after a kill.
#[test]
fn fog_42_without_a_new_journal_no_step_is_made() {
    NOW_US.set(START_US + 1_000 * SECOND_US);
    let place = Place::new(WINDOWS);
    let mut open = place.open();
    open.arrive(0..20);
    open.drain();
    let in_the_way = place.dir.path().join("fog").join("journal.new");
    std::fs::create_dir(&in_the_way).unwrap();
    assert!(open.machine.save().is_err() && !open.machine.is_saved());
    open.arrive(20..40);
    assert!(open.machine.advance().is_err());
    std::fs::remove_dir(&in_the_way).unwrap();
    open.drain();
    open.later(100);
    assert_eq!(open.said(), uninterrupted(40).0);
}

/// A change of the pipelines: what is unchanged goes on, what goes is closed and told as it is, once.
#[test]
fn fog_46_new_pipelines_take_over() {
    const OTHER: &str =
        "[[pipeline]]\nname = \"other\"\nmatch = \"z1/m1/sense/power\"\n[[pipeline.stage]]\ndo = \"window\"\nsize_s = 10\nemit = \"max\"\n";
    NOW_US.set(START_US + 1_000 * SECOND_US);
    let power = WINDOWS.replace("z1/+/sense/power", "z1/m0/sense/power");
    for kill in 0..6 {
        NOW_US.set(START_US + 1_000 * SECOND_US);
        let place = Place::new(&format!("{power}{OTHER}"));
        let mut open = place.open();
        open.arrive(0..5);
        open.drain();
        // `other` changes its windows; the pipeline `power` stays, at another place
        let changed = format!("{}{power}", OTHER.replace("\"max\"", "\"min\""));
        std::fs::write(place.dir.path().join("pipelines.toml"), &changed).unwrap();
        open.machine.shared.asked.store(true, Ordering::Relaxed);
        for _ in 0..kill {
            open.go(Some(kill % 2));
        }
        drop(open);
        let mut open = place.open();
        open.drain();
        open.arrive(5..10);
        open.drain();
        open.later(100);
        let said: Vec<String> = open
            .said()
            .iter()
            .filter(|r| r.topic.data_type.as_str() != "power")
            .map(|r| format!("{}/{} {:?}", r.topic.device, r.topic.data_type, r.value))
            .collect();
        // m0: 0, 3, 6, 9 in one window; m1: 1, 4 in the old one, 7 in the new
        let mut sorted = said.clone();
        sorted.sort();
        let expected = ["m0/power.count Number(4.0)", "m0/power.mean Number(4.5)", "m1/power.max Number(4.0)", "m1/power.min Number(7.0)"];
        assert_eq!(sorted, expected, "killed after {kill}: {said:?}");
    }
}

/// A file that is wrong changes nothing, and is told with its place until it is right.
#[test]
fn fog_47_a_bad_file_is_refused() {
    NOW_US.set(START_US + 1_000 * SECOND_US);
    let place = Place::new(WINDOWS);
    let mut open = place.open();
    open.drain();
    let before = open.machine.shared.stats().configuration.clone();
    let file = place.dir.path().join("pipelines.toml");
    let change = |open: &mut Open<'_>, text: &str| {
        std::fs::write(&file, text).unwrap();
        open.machine.shared.asked.store(true, Ordering::Relaxed);
        open.drain();
    };
    change(&mut open, "[[pipeline]]\nname = \"x\"\nmtach = \"+/+/sense/x\"\n");
    let stats = open.machine.shared.stats().clone();
    assert!(stats.refused.as_ref().unwrap().contains("pipelines.toml:"), "{stats:?}");
    assert_eq!((stats.reloads, stats.reloads_refused, &stats.configuration), (0, 1, &before));
    change(&mut open, "");
    let stats = open.machine.shared.stats().clone();
    assert_eq!((stats.reloads, stats.reloads_refused, stats.refused, stats.pipelines), (1, 1, None, 0));
    assert_ne!(stats.configuration, before);
    // and the other way round: without pipelines everything passes
    open.arrive([0]);
    open.drain();
    assert_eq!(open.said(), [reading(0)]);
}

/// What does not fit together is not run.
#[test]
fn fog_45_files_of_two_times_are_refused() {
    NOW_US.set(START_US + 1_000 * SECOND_US);
    let place = Place::new(WINDOWS);
    let mut open = place.open();
    open.arrive(0..5);
    open.drain();
    open.machine.save().unwrap();
    drop(open);
    let fog = place.dir.path().join("fog");
    assert!(super::check(&fog).is_empty(), "{:?}", super::check(&fog));
    let reopen = || {
        let intake = log(&place.dir.path().join("intake"));
        let pipelines = Pipelines::load(None).unwrap();
        let (site, dir) = ("z1".parse().unwrap(), fog.clone());
        Machine::open(MachineParts { site, intake, intake_limit_bytes: LIMIT_BYTES, dir, pipelines, now_us })
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    // an older journal is that of an earlier snapshot; a newer one is not
    let snapshot = std::fs::read(fog.join("snapshot")).unwrap();
    let mut open = place.open();
    open.arrive(5..9);
    open.drain();
    open.machine.save().unwrap();
    drop(open);
    std::fs::write(fog.join("snapshot"), &snapshot).unwrap();
    assert!(reopen().unwrap_err().contains("one copy"));
    assert_eq!(super::check(&fog).len(), 1);
    std::fs::write(fog.join("snapshot"), &snapshot[..snapshot.len() - 1]).unwrap();
    assert!(reopen().unwrap_err().contains("damaged"));
    std::fs::remove_dir_all(place.dir.path().join("intake")).unwrap();
    std::fs::remove_dir_all(&fog).unwrap();
    assert_eq!(reopen(), Ok(()), "a processor that begins");
}

/// A sink that takes nothing for a while.
#[derive(Clone, Default)]
struct Reluctant {
    opened: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    got: Arc<Mutex<Vec<Out>>>,
    told: Arc<Mutex<Vec<Notice>>>,
}

impl Sink for Reluctant {
    async fn put(&self, out: &Out) -> Result<(), SinkError> {
        if !self.opened.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(SinkError::Busy("full".into()));
        }
        self.got.lock().unwrap().push(out.clone());
        Ok(())
    }

    fn tell(&self, copies: Vec<Notice>) {
        self.told.lock().unwrap().extend(copies);
    }
}

/// Looks again until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let looked = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looked).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// A sink that is full stalls the runner, and says so; then everything goes on, and a stop saves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fog_48_a_full_sink_stalls_the_runner() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("pipelines.toml");
    std::fs::write(&file, WINDOWS).unwrap();
    let intake = log(&dir.path().join("intake"));
    let (sink, (stop, stopped)) = (Reluctant::default(), watch::channel(false));
    let open = || {
        let pipelines = Pipelines::load(Some(&file)).unwrap();
        let (site, dir) = ("z1".parse().unwrap(), dir.path().join("fog"));
        let (intake, sink) = (intake.clone(), sink.clone());
        FogRunner::open(RunnerParts { site, intake, intake_limit_bytes: LIMIT_BYTES, dir, pipelines, sink, now_us: || START_US }).unwrap()
    };
    let runner = open();
    let handle = runner.handle();
    let running = tokio::spawn(runner.run(stopped));
    let bad = Reading { value: Value::Number(5000.0), ..reading(1) };
    for readings in [vec![reading(0)], vec![bad]] {
        intake.append(Entry { origin: None, dup: false, readings }).await.unwrap();
    }
    until("it is refused twice", || sink.refused.load(Ordering::Relaxed) >= 2).await;
    assert_eq!(handle.stats().stalled.as_deref(), Some("full"));
    // killed by a stop in the middle: nothing is saved as if it had left
    stop.send_replace(true);
    running.await.unwrap().unwrap();
    let (stop, stopped) = watch::channel(false);
    let runner = open();
    let handle = runner.handle();
    sink.opened.store(true, Ordering::Relaxed);
    let running = tokio::spawn(runner.run(stopped));
    until("everything is processed", || handle.stats().intake_pending == 0 && !sink.got.lock().unwrap().is_empty()).await;
    until("the refusal is told", || !sink.told.lock().unwrap().is_empty()).await;
    assert_eq!(handle.stats().stalled, None);
    stop.send_replace(true);
    running.await.unwrap().unwrap();
    assert_eq!(intake.forgotten(), 2, "a stop saves what was made");
    let got: Vec<Reading> = sink.got.lock().unwrap().iter().flat_map(|out| out.readings.clone()).collect();
    assert_eq!(got, [reading(0)]);
    let told = sink.told.lock().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&told[0].1).unwrap();
    assert_eq!((told[0].0.as_str(), said["pipeline"].as_str(), said["stage"].as_u64()), ("root/fog/z1/rejected", Some("power"), Some(1)));
}
