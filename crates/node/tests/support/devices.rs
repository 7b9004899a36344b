//! Devices that publish while nodes die, and remember what was acknowledged.
//!
//! Rules: a reading is a function of its site and its number, so a check can make it again. What was acknowledged is
//! never sent again, so what a node loses of it stays lost and is missed.

use crate::support::until;
use edge::payload::fog_json;
use mqtt::Publisher;
use protocol::{DeviceTopic, Reading, Topic, Value};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Readings of one device: fewer than a list of the HTTP interface may hold, so a repetition has room in it.
const PER_DEVICE: u64 = 500;
/// The time of a site's first reading, in microseconds since 1970; the others follow at a millisecond each.
const START_US: u64 = 1_470_009_600_000_000;
/// Readings published together,
const BURST: u64 = 12;
/// and the pause after them: the devices' rhythm.
const BURST_PAUSE: Duration = Duration::from_millis(100);
/// How long the last acknowledgements may take once every node runs again.
const FINISH_TIMEOUT: Duration = Duration::from_secs(180);

/// A site, its broker, and how far its devices are.
pub struct Site {
    pub name: &'static str,
    /// The node that serves it, counted from 1.
    pub node: u16,
    broker: String,
    sent: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
}

impl Site {
    pub fn new(name: &'static str, node: u16, broker: String) -> Arc<Self> {
        Arc::new(Self { name, node, broker, sent: AtomicU64::new(0), acknowledged: Mutex::default() })
    }

    /// Reading `n`, counted from 0.
    pub fn reading(&self, n: u64) -> Reading {
        let value = Value::Number((n % 300) as f64 + 0.5);
        Reading { topic: self.topic(n), time_us: START_US + n * 1_000, sequence: Some(n), unit: Some("W".into()), value, signed: None }
    }

    /// The topic of reading `n`.
    fn topic(&self, n: u64) -> DeviceTopic {
        format!("{}/m{}/sense/power", self.name, n / PER_DEVICE).parse().expect("a device's topic")
    }

    /// Every topic that was published on, with the numbers of its readings.
    pub fn topics(&self) -> Vec<(DeviceTopic, std::ops::Range<u64>)> {
        let sent = self.sent();
        let starts = (0..sent).step_by(PER_DEVICE as usize);
        starts.map(|first| (self.topic(first), first..sent.min(first + PER_DEVICE))).collect()
    }

    /// Readings handed to the client so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Readings acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.lock().unwrap().len() as u64
    }
}

/// The devices of some sites, publishing at their rhythm until they are told to finish.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), String>>,
}

impl Traffic {
    /// Starts them; every site's broker must answer.
    pub fn start(sites: &[Arc<Site>]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sites, told) = (sites.to_vec(), stop.clone());
        let thread = std::thread::spawn(move || -> Result<(), String> {
            let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
            runtime.block_on(publish_all(sites, told))
        });
        Self { stop, thread }
    }

    /// Lets them publish no more, and waits until everything is acknowledged.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        finish(self.thread);
    }
}

fn finish(thread: JoinHandle<Result<(), String>>) {
    until("everything published is acknowledged", FINISH_TIMEOUT, || thread.is_finished());
    thread.join().expect("the devices' thread").expect("publishing");
}

async fn publish_all(sites: Vec<Arc<Site>>, stop: Arc<AtomicBool>) -> Result<(), String> {
    let mut tasks = JoinSet::new();
    for site in sites {
        tasks.spawn(publish(site, stop.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| e.to_string())??;
    }
    Ok(())
}

async fn publish(site: Arc<Site>, stop: Arc<AtomicBool>) -> Result<(), String> {
    let client = format!("devices-of-{}-{}", site.name, std::process::id());
    let publisher = Publisher::connect(&site.broker, &client).await.map_err(|e| e.to_string())?;
    let mut waiting = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            let n = site.sent.fetch_add(1, Ordering::Relaxed);
            let reading = site.reading(n);
            let topic = Topic::Device(reading.topic.clone()).to_string();
            let acknowledgement = publisher.submit(&topic, fog_json(&reading), 1, false).await.map_err(|e| e.to_string())?;
            let site = site.clone();
            waiting.spawn(async move {
                if acknowledgement.wait().await.is_ok() {
                    site.acknowledged.lock().unwrap().insert(n);
                }
            });
        }
        while waiting.try_join_next().is_some() {}
        tokio::time::sleep(BURST_PAUSE).await;
    }
    publisher.finish(FINISH_TIMEOUT).await.map_err(|e| e.to_string())?;
    while let Some(ended) = waiting.join_next().await {
        ended.map_err(|e| e.to_string())?;
    }
    publisher.close().await;
    Ok(())
}

/// One device that publishes prepared payloads in order, each when the one before is acknowledged and it may go on.
pub struct OneByOne {
    places: Arc<Semaphore>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), String>>,
}

impl OneByOne {
    /// Starts it with topics and payloads, none of which may go out yet; the broker must answer.
    pub fn start(broker: String, publishes: Vec<(String, Vec<u8>)>) -> Self {
        let (places, acknowledged) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
        let (room, count) = (places.clone(), acknowledged.clone());
        let thread = std::thread::spawn(move || -> Result<(), String> {
            let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
            runtime.block_on(async move {
                let client = format!("one-by-one-{}", std::process::id());
                let publisher = Publisher::connect(&broker, &client).await.map_err(|e| e.to_string())?;
                for (topic, payload) in publishes {
                    room.acquire().await.map_err(|e| e.to_string())?.forget();
                    publisher.publish(&topic, payload, 1).await.map_err(|e| e.to_string())?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                publisher.close().await;
                Ok::<(), String>(())
            })
        });
        Self { places, acknowledged, thread }
    }

    /// Lets it publish `more`.
    pub fn allow(&self, more: usize) {
        self.places.add_permits(more);
    }

    /// Publishes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until everything is acknowledged.
    pub fn finish(self) {
        finish(self.thread);
    }
}
