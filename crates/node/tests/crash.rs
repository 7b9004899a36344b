//! Crashes of every kind: nodes killed at random, disks that are full or read-only. What was acknowledged is
//! confirmed exactly once, and the directories are sound.
//!
//! ```text
//! WATTLE_CRASH_SECONDS=600                      how long nodes are killed
//! WATTLE_CRASH_SEED=7                           the same kills and pauses again
//! ```
//! A seed repeats the schedule, not the very instant a write is cut at: run a seed that failed more than once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

#[path = "support/devices.rs"]
mod devices;
#[cfg(target_os = "linux")]
#[path = "support/disk.rs"]
mod disk;
#[path = "support/durability.rs"]
mod durability;
mod support;

use devices::{OneByOne, Site, Traffic};
use durability::{Anchored, in_every_ledger, listed, sound};
use protocol::{DeviceTopic, Reading, Topic};
use serde_json::json;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{CONFIRM_TIMEOUT, Net, Ran, free_ports, until, wattle};

const NODES: u16 = 4;
/// How long nodes are killed unless `WATTLE_CRASH_SECONDS` says otherwise.
const SECONDS: u64 = 12;
/// Readings that each site must have acknowledged before the first kill.
const BEFORE_FIRST_KILL: u64 = 60;
/// Lines of each node's log that a failure shows.
const LOG_LINES: usize = 15;

/// Readings of one prepared payload, and the bytes of each: large ones, so that few publishes fill a file.
const PACK_READINGS: u64 = 15;
const PACK_VALUE_BYTES: usize = 16_000;
/// Payloads published in all, and those before the disk ends.
const PACKS: u64 = 12;
const PACKS_BEFORE: u64 = 3;
/// The largest file on the disk that is full: more than one of the site's log, less than what the ledger keeps of
/// all payloads.
const FULL_BYTES: u64 = 1_310_720;
const SEGMENT_BYTES: u64 = 1 << 20;
const _: () = assert!(SEGMENT_BYTES < FULL_BYTES && FULL_BYTES < PACKS * PACK_READINGS * PACK_VALUE_BYTES as u64);
const _: () = assert!(PACKS_BEFORE * PACK_READINGS * (PACK_VALUE_BYTES as u64 + 200) < FULL_BYTES);

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a whole number")))
}

/// Chance from a seed (SplitMix64): the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn pause(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(from_ms + self.below(to_ms - from_ms))
    }
}

/// One round of the killer: some time in which all run, or start, then who dies, and for how long.
struct Round {
    up: Duration,
    victims: Vec<u16>,
    down: Duration,
}

impl Round {
    fn draw(chance: &mut Chance) -> Self {
        // in one round of three they die while they are still starting
        let up = if chance.below(3) == 0 { chance.pause(0, 300) } else { chance.pause(500, 2_500) };
        let count = match chance.below(10) {
            0..=5 => 1,
            6..=8 => 2, // no quorum is left
            _ => NODES,
        };
        let mut others: Vec<u16> = (1..=NODES).collect();
        let victims = (0..count).map(|_| others.remove(chance.below(others.len() as u64) as usize)).collect();
        Self { up, victims, down: chance.pause(0, 1_200) }
    }
}

/// A network under attack. If the test fails it says how to repeat it, and leaves everything on disk.
struct Attack {
    net: Net,
    seed: u64,
    seconds: u64,
    kills: u64,
}

impl Attack {
    /// Kills and restarts until the time is over; then all nodes run, or are starting.
    fn rage(&mut self) {
        let (start, mut chance, net) = (Instant::now(), Chance(self.seed), &mut self.net);
        while start.elapsed() < Duration::from_secs(self.seconds) {
            let round = Round::draw(&mut chance);
            std::thread::sleep(round.up);
            for k in &round.victims {
                assert_eq!(net.ended(*k), None, "node{k} ended by itself:\n{}", net.log(*k));
                net.kill(*k);
                self.kills += 1;
            }
            eprintln!("crash: {:.1} s: killed {:?} for {} ms", start.elapsed().as_secs_f64(), round.victims, round.down.as_millis());
            std::thread::sleep(round.down);
            round.victims.iter().for_each(|k| net.start(*k));
        }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.net.dir.disable_cleanup(true);
            for k in 1..=NODES {
                let log = self.net.log(k);
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("crash: the end of node{k}'s log:\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
            }
            let Self { net, seed, seconds, .. } = self;
            eprintln!(
                "crash: FAILED. Again: WATTLE_CRASH_SEED={seed} WATTLE_CRASH_SECONDS={seconds}; what is on disk stays in {}",
                net.dir.path().display()
            );
        }
    }
}

/// Adds to a configuration.
fn append(config: &Path, more: &str) {
    let text = fs::read_to_string(config).unwrap();
    fs::write(config, format!("{text}{more}")).unwrap();
}

#[test]
fn nodes_killed_at_random_lose_and_double_nothing() {
    let seed = setting("WATTLE_CRASH_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
    let seconds = setting("WATTLE_CRASH_SECONDS").unwrap_or(SECONDS);
    eprintln!("crash: WATTLE_CRASH_SEED={seed} WATTLE_CRASH_SECONDS={seconds}");
    let mut attack = Attack { net: Net::init(NODES, &[]), seed, seconds, kills: 0 };
    let net = &mut attack.net;
    // a second site, at the second node
    let broker = format!("127.0.0.1:{}", free_ports(1));
    append(&net.config(2), &format!("\n[site]\nname = \"z2\"\n\n[broker]\nembedded = \"{broker}\"\n"));
    (1..=NODES).for_each(|k| net.start(k));
    (1..=NODES).for_each(|k| net.wait_ready(k));
    let sites = [Site::new("z1", 1, net.mqtt()), Site::new("z2", 2, format!("mqtt://{broker}"))];
    let traffic = Traffic::start(&sites);
    until("the devices publish", CONFIRM_TIMEOUT, || sites.iter().all(|s| s.acknowledged() >= BEFORE_FIRST_KILL));

    attack.rage();
    assert!(attack.kills > 0, "nothing was killed: give it more seconds");

    let net = &mut attack.net;
    (1..=NODES).for_each(|k| net.wait_ready(k));
    traffic.finish();
    let total: u64 = sites.iter().map(|s| s.sent()).sum();
    assert_eq!(sites.iter().map(|s| s.acknowledged()).sum::<u64>(), total);
    net.wait_confirmed(total);
    let anchored = anchored(net, &sites);
    assert_eq!(anchored.values().sum::<u64>(), total);
    in_every_ledger(net, &anchored);
    (1..=NODES).for_each(|k| net.stop(k));
    sound(net);
    eprintln!("crash: {} kills, {total} readings in {} messages, all once", attack.kills, anchored.len());
}

/// Where every reading of the sites is, as their nodes list them.
fn anchored(net: &Net, sites: &[Arc<Site>]) -> Anchored {
    let mut anchored = Anchored::new();
    for site in sites {
        for (topic, numbers) in site.topics() {
            let readings: Vec<Reading> = numbers.map(|n| site.reading(n)).collect();
            listed(net, site.node, &topic, &readings, &mut anchored);
        }
    }
    anchored
}

fn pack_topic() -> DeviceTopic {
    "z1/m0/sense/note".parse().unwrap()
}

/// A payload of many large readings.
fn pack(n: u64) -> Vec<u8> {
    let first_s = 1_470_009_600 + n * PACK_READINGS;
    let records = (first_s..first_s + PACK_READINGS).map(|t| json!({ "t": t, "vs": "x".repeat(PACK_VALUE_BYTES) }));
    serde_json::to_vec(&records.collect::<Vec<_>>()).unwrap()
}

/// The readings of the first so many payloads.
fn pack_readings(packs: u64) -> Vec<Reading> {
    let arrival_us = 1_800_000_000_000_000;
    (0..packs).flat_map(|n| edge::payload::decode(&pack_topic(), &pack(n), arrival_us).unwrap()).collect()
}

/// A device that will publish so many payloads when it may.
fn packs_to(net: &Net, packs: u64) -> OneByOne {
    let topic = Topic::Device(pack_topic()).to_string();
    OneByOne::start(net.mqtt(), (0..packs).map(|n| (topic.clone(), pack(n))).collect())
}

/// That node 1, which runs alone, has the readings of so many payloads once, and is sound when it has stopped.
fn assert_kept(net: &mut Net, packs: u64) {
    let readings = pack_readings(packs);
    net.wait_confirmed(readings.len() as u64);
    let mut anchored = Anchored::new();
    listed(net, 1, &pack_topic(), &readings, &mut anchored);
    in_every_ledger(net, &anchored);
    net.stop(1);
    sound(net);
}

/// A node whose disk ends in mid-work stops with code 4 and says why; with room again it goes on where it was.
#[cfg(target_os = "linux")]
fn outlives_its_disk(left_bytes: u64) {
    let mut net = Net::init(1, &[]);
    let config = fs::read_to_string(net.config(1)).unwrap();
    // an idle ledger writes every second too
    let config = config.replacen("[ledger]\n", "[ledger]\nheartbeat_ms = 1000\n", 1);
    fs::write(net.config(1), format!("{config}\n[cache]\nsegment_bytes = {SEGMENT_BYTES}\n")).unwrap();
    let node = disk::Limited::start(&mut net, 1);
    net.wait_ready(1);
    let device = packs_to(&net, PACKS);
    device.allow(PACKS_BEFORE as usize);
    until("the first publishes are acknowledged", CONFIRM_TIMEOUT, || device.acknowledged() == PACKS_BEFORE);
    net.wait_confirmed(PACKS_BEFORE * PACK_READINGS);

    node.limit(left_bytes);
    device.allow((PACKS - PACKS_BEFORE) as usize);
    let (code, said) = node.wait_end(&mut net);
    assert_eq!(code, 4, "{said}");
    let line = said.lines().find(|l| l.starts_with("wattle: "));
    let line = line.unwrap_or_else(|| panic!("no line says why it ended:\n{said}"));
    assert!(line.contains("disk") && line.contains("wattle check"), "the line does not say what to do: {line}");
    let acknowledged = device.acknowledged();
    assert!((PACKS_BEFORE..PACKS).contains(&acknowledged), "{acknowledged} publishes were acknowledged:\n{said}");

    net.start(1);
    net.wait_ready(1);
    device.finish();
    assert_kept(&mut net, PACKS);
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up() {
    outlives_its_disk(FULL_BYTES);
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_becomes_read_only() {
    outlives_its_disk(0);
}

/// Less room than the operator wants free: devices are not acknowledged, and nothing else happens.
#[test]
fn a_site_without_room_keeps_its_devices_waiting() {
    let mut net = Net::init(1, &[]);
    let config = fs::read_to_string(net.config(1)).unwrap();
    append(&net.config(1), &format!("\n[cache]\nmin_free_bytes = {}\n", i64::MAX));
    net.start(1);
    net.wait_ready(1);
    let device = packs_to(&net, 1);
    device.allow(1);
    until("the publish is refused, and again", CONFIRM_TIMEOUT, || net.count(1, "/site_stats/refused") >= 2);
    assert_eq!(device.acknowledged(), 0);
    assert!(net.log(1).contains("publishes are refused: the disk under"), "the operator is not told:\n{}", net.log(1));
    net.stop(1);
    fs::write(net.config(1), config).unwrap();
    net.start(1);
    net.wait_ready(1);
    device.finish();
    assert_kept(&mut net, 1);
}

/// Starts a node that cannot start; if it does after all, it ends at once, because its standard input is empty.
fn up(config: &Path) -> Ran {
    wattle().args(["up", "--until-stdin-ends", "--config"]).arg(config).output().expect("the program cannot be started").into()
}

/// Takes away the permission to write below `dir`, or gives it back to the owner.
fn set_writable(dir: &Path, writable: bool) {
    let mut permissions = fs::metadata(dir).unwrap().permissions();
    let mode = permissions.mode();
    permissions.set_mode(if writable { mode | 0o200 } else { mode & !0o222 });
    fs::set_permissions(dir, permissions).unwrap();
    if dir.is_dir() {
        fs::read_dir(dir).unwrap().for_each(|entry| set_writable(&entry.unwrap().path(), writable));
    }
}

#[test]
fn data_directories_that_cannot_be_written() {
    let mut net = Net::running(1);
    let device = packs_to(&net, 1);
    device.allow(1);
    device.finish();
    net.wait_confirmed(PACK_READINGS);
    net.stop(1);
    let (config, data) = (net.config(1), net.node_dir(1).join("data"));
    let good = fs::read_to_string(&config).unwrap();
    // no directory can be made there, whoever asks: below a file, and where the kernel has its own
    for place in ["genesis.json/data", "/proc/wattle/data", "/sys/wattle/data"] {
        fs::write(&config, good.replace("data_dir = \"data\"", &format!("data_dir = \"{place}\""))).unwrap();
        up(&config).refused(2, &["cannot make the data directory", place, "node.data_dir"]);
    }
    fs::write(&config, &good).unwrap();

    // the directory that it has used: first without permissions, which do not bind root
    set_writable(&data, false);
    match fs::write(data.join("probe"), "") {
        Ok(()) => {
            eprintln!("not tried: permissions do not bind this user");
            fs::remove_file(data.join("probe")).unwrap();
        }
        Err(_) => up(&config).refused(2, &["cannot lock", "must be writable"]),
    }
    set_writable(&data, true);
    // then with something else in the place of a file, and of a directory
    fs::remove_file(data.join("lock")).unwrap();
    fs::create_dir(data.join("lock")).unwrap();
    up(&config).refused(2, &["cannot lock", "data/lock", "must be writable"]);
    fs::remove_dir(data.join("lock")).unwrap();
    fs::rename(data.join("log"), data.join("aside")).unwrap();
    fs::write(data.join("log"), "").unwrap();
    net.start(1);
    assert_eq!(net.wait_end(1), 4, "{}", net.log(1));
    let said = net.log(1);
    assert!(said.lines().any(|l| l.starts_with("wattle: ") && l.contains("data/log")), "no line says why it ended:\n{said}");
    fs::remove_file(data.join("log")).unwrap();
    fs::rename(data.join("aside"), data.join("log")).unwrap();

    // none of that did any harm
    net.start(1);
    net.wait_ready(1);
    assert_kept(&mut net, 1);
}
