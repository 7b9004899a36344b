//! `wattle bench connections`: thousands of devices that stay connected and tell a reading each second, ledger included.
//!
//! ```text
//! devices, a connection each ─MQTT─▶ wattle up (one node, a process of its own) ─▶ log ─▶ ledger
//! ```
//! - Devices are evenly spread over the interval. A reading's latency counts from when it was due, not from when the machine came
//!   to send it, to its acknowledgement; the runtime's timers, of whole milliseconds, are in it.
//! - A device does not wait for an acknowledgement before it tells its next reading, and does not come back when its connection is
//!   lost: that is counted.
//! - Memory is what is resident in the node when all devices are connected and none has said anything, less what was before.
//! - Loopback addresses have some 28 000 ports each. So devices connect from several, and each run from others than the last.

use super::command::Common;
use super::device::Device;
use super::disk::scratch;
use super::figures::{Figures, fields, latency, repeat};
use super::machine::{need_files, usage, usage_of};
use super::mqtt::settled;
use crate::cli::output::note;
use crate::cli::runtime::runtime;
use crate::cli::{Exit, Failure};
use crate::demo::{Network, free_plan};
use protocol::Name;
use serde_json::json;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Devices that connect at a time: fewer than wait at a listener.
const CONNECTING_MAX: usize = 256;
/// Devices that connect from one address.
const DEVICES_PER_ADDRESS: u32 = 20_000;
/// Files that a process opens beside those for devices.
pub(crate) const OTHER_FILES: u64 = 512;
/// From the last device's connection to the first reading.
const LEAD: Duration = Duration::from_millis(500);
/// How long the last acknowledgements may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time of every device's first reading, in milliseconds since 1970.
const FIRST_MS: u64 = 1_470_009_600_000;

/// `wattle bench connections`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    crowd: Crowd,
    #[command(flatten)]
    common: Common,
}

/// Devices, and what they tell.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Crowd {
    /// Devices, each with a connection
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) devices: u32,
    /// Readings that each device tells
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) readings: u32,
    /// Milliseconds from one reading of a device to its next
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=600_000))]
    pub(crate) interval_ms: u32,
    /// Quality of service; at 0 a device's last reading is told at 1, to know when the broker has handled all
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) qos: u8,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if too few files may be opened, the node does not start, or no device is let in.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let crowd = &arguments.crowd;
    need_files(u64::from(crowd.devices) + OTHER_FILES, "--devices")?; // the node inherits it
    let parameters = json!({
        "devices": crowd.devices,
        "readings_per_device": crowd.readings,
        "interval_ms": crowd.interval_ms,
        "qos": crowd.qos,
        "nodes": 1,
    });
    let runtime = runtime()?;
    let mut turn = 0;
    repeat("connections", parameters, &arguments.common, "readings_per_second", || {
        turn += 1;
        let directory = scratch()?;
        runtime.block_on(async {
            let mut network = one_node(directory.path()).await?;
            crowd.tell(&mut network, turn).await
        })
    })
}

fn fault(what: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Fault, what, "bench connections", "use fewer devices, or run it with -v to see the log")
}

/// One node with a broker, below `directory`, that is ready.
///
/// # Errors
/// [`Failure`] if it cannot be written or does not start.
pub(crate) async fn one_node(directory: &Path) -> Result<Network, Failure> {
    let name = |text: &str| Name::new(text).map_err(fault);
    let (plan, _) = free_plan(name("bench")?, name("z1")?, 1)?;
    let mut network = Network::start(directory, &plan)?;
    network.ready().await?;
    Ok(network)
}

/// Memory that a node takes for each of so many devices that connect and say nothing. They are gone afterwards.
///
/// # Errors
/// [`Failure`] if no device is let in.
pub(crate) async fn bytes_per_connection(network: &Network, devices: u32, turn: u8) -> Result<f64, Failure> {
    let idle = usage_of(&network.pids());
    let (devices, _) = connect(address(network)?, devices, turn).await?;
    Ok(usage_of(&network.pids()).grown_for_each(&idle, devices.len() as u64))
}

fn address(network: &Network) -> Result<SocketAddr, Failure> {
    network.broker.trim_start_matches("mqtt://").parse().map_err(fault)
}

impl Crowd {
    /// One run, the `turn`-th. What is confirmed includes what the node had before.
    ///
    /// # Errors
    /// [`Failure`] if the node ends, or no device is let in.
    pub(crate) async fn tell(&self, network: &mut Network, turn: u8) -> Result<Figures, Failure> {
        let broker = address(network)?;
        let pids = network.pids();
        let (idle, own_idle) = (usage_of(&pids), usage(std::process::id()));

        let begin = Instant::now();
        let (devices, refused) = connect(broker, self.devices, turn).await?;
        let connecting = begin.elapsed();
        let connected = usage_of(&pids);
        let in_all = u32::try_from(devices.len()).unwrap_or(u32::MAX);

        let start = Instant::now() + LEAD;
        let mut tasks = JoinSet::new();
        for (index, device) in devices {
            let schedule = Schedule::of(self, index, start);
            tasks.spawn(tell(device, index, schedule));
        }
        let mut sum = Sum::default();
        while let Some(told) = tasks.join_next().await {
            sum.add(told.map_err(fault)?);
        }
        network.alive()?;
        let seconds = sum.last.unwrap_or(start).saturating_duration_since(start).as_secs_f64();
        let held = sum.devices.iter().filter(|device| device.is_connected()).count();
        let loaded = usage_of(&pids);
        let site = settled(network).await?;
        let (used, own) = (usage_of(&pids), usage(std::process::id()));
        if let Some(why) = &sum.trouble {
            note(&format!("{} of {in_all} devices were lost; the first: {why}", u64::from(in_all).saturating_sub(held as u64)));
        }
        let told = if self.qos == 0 { sum.sent } else { sum.acknowledged };
        Ok(fields(json!({
            "connects_per_second": f64::from(in_all) / connecting.as_secs_f64(),
            "connections_held": held,
            "connections_refused": refused,
            "connections_lost": u64::from(in_all).saturating_sub(held as u64),
            "readings_per_second": told as f64 / seconds.max(f64::MIN_POSITIVE),
            "readings_sent": sum.sent,
            "readings_acknowledged": sum.acknowledged,
            "readings_confirmed": site.confirmed,
            "readings_lost": told.saturating_sub(site.confirmed),
            "latency_ms": latency(sum.latency_ms),
            "confirm_latency_ms": site.latency_ms,
            "broker_rss_bytes_per_connection": connected.grown_for_each(&idle, u64::from(in_all)),
            "load_cpu_seconds": loaded.cpu_seconds - connected.cpu_seconds,
            "devices_cpu_seconds": own.cpu_seconds - own_idle.cpu_seconds,
            "cpu_seconds": used.cpu_seconds,
            "rss_bytes": used.rss_bytes,
        })))
    }
}

/// The address that a device connects from.
fn source(turn: u8, index: u32) -> IpAddr {
    let part = u8::try_from(index / DEVICES_PER_ADDRESS).unwrap_or(u8::MAX);
    IpAddr::V4(Ipv4Addr::new(127, 0, turn, part.saturating_add(1)))
}

/// Connects devices; gives them with their numbers, and how many were refused.
async fn connect(broker: SocketAddr, count: u32, turn: u8) -> Result<(Vec<(u32, Device)>, u32), Failure> {
    let places = Arc::new(Semaphore::new(CONNECTING_MAX));
    let mut tasks = JoinSet::new();
    for index in 0..count {
        let place = Arc::clone(&places).acquire_owned().await.map_err(fault)?;
        tasks.spawn(async move {
            let client_id = format!("bench-{}-{turn}-{index}", std::process::id());
            let device = Device::connect(broker, source(turn, index), &client_id).await;
            drop(place);
            (index, device)
        });
    }
    let (mut devices, mut refused, mut trouble) = (Vec::new(), 0, None);
    while let Some(ended) = tasks.join_next().await {
        match ended.map_err(fault)? {
            (index, Ok(device)) => devices.push((index, device)),
            (_, Err(why)) => {
                refused += 1;
                trouble.get_or_insert(why);
            }
        }
    }
    match trouble {
        Some(why) if devices.is_empty() => Err(fault(why)),
        Some(why) => {
            note(&format!("{refused} of {count} devices were not let in; the first: {why}"));
            Ok((devices, refused))
        }
        None => Ok((devices, refused)),
    }
}

/// When a device tells its readings, and how.
struct Schedule {
    first: Instant,
    every: Duration,
    readings: u32,
    qos: u8,
}

impl Schedule {
    fn of(crowd: &Crowd, index: u32, start: Instant) -> Self {
        let every = Duration::from_millis(u64::from(crowd.interval_ms));
        let phase = every.mul_f64(f64::from(index) / f64::from(crowd.devices.max(1)));
        Self { first: start + phase, every, readings: crowd.readings, qos: crowd.qos }
    }

    /// When reading `number`, counted from 0, is due.
    fn due(&self, number: u32) -> Instant {
        self.first + self.every.saturating_mul(number)
    }

    /// Whether reading `number` is to be acknowledged.
    const fn is_acknowledged(&self, number: u32) -> bool {
        self.qos > 0 || number + 1 == self.readings
    }
}

/// What a device told.
struct Told {
    device: Device,
    sent: u32,
    latency_ms: Vec<f64>,
    /// When the last acknowledgement came.
    last: Option<Instant>,
    /// Why it did not go on to the end.
    trouble: Option<String>,
}

/// A device's readings, each when it is due.
async fn tell(device: Device, index: u32, schedule: Schedule) -> Told {
    let mut told = Told { device, sent: 0, latency_ms: Vec::new(), last: None, trouble: None };
    if let Err(why) = told.all(index, &schedule).await {
        told.trouble = Some(why);
    }
    told
}

impl Told {
    async fn all(&mut self, index: u32, schedule: &Schedule) -> Result<(), String> {
        let topic = format!("root/device/z1/b{index}/sense/power");
        // packet ids that are not acknowledged, with when their readings were due
        let mut open: VecDeque<(u16, Instant)> = VecDeque::new();
        while self.sent < schedule.readings {
            let due = schedule.due(self.sent);
            tokio::select! {
                () = sleep_until(due) => {
                    let payload = format!("{{\"v\":{0},\"t\":{1},\"u\":\"W\"}}", self.sent, FIRST_MS + u64::from(self.sent) * 1_000);
                    let packet_id = schedule.is_acknowledged(self.sent).then(|| packet_id(self.sent));
                    self.device.publish(&topic, payload.as_bytes(), packet_id).await?;
                    open.extend(packet_id.map(|id| (id, due)));
                    self.sent += 1;
                }
                answered = self.device.answered() => self.acknowledged(answered?, &mut open)?,
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while !open.is_empty() {
            let answered = timeout_at(deadline, self.device.answered()).await;
            let packet_id = answered.map_err(|_| format!("device {index} is not answered within {} s", PATIENCE.as_secs()))??;
            self.acknowledged(packet_id, &mut open)?;
        }
        Ok(())
    }

    fn acknowledged(&mut self, packet_id: u16, open: &mut VecDeque<(u16, Instant)>) -> Result<(), String> {
        let at = open.iter().position(|(id, _)| *id == packet_id);
        let (_, due) = at.and_then(|at| open.remove(at)).ok_or_else(|| format!("packet {packet_id} is acknowledged, and was not open"))?;
        let now = Instant::now();
        self.latency_ms.push(now.saturating_duration_since(due).as_secs_f64() * 1e3);
        self.last = Some(now);
        Ok(())
    }
}

/// 1 to 65535, again and again.
fn packet_id(number: u32) -> u16 {
    u16::try_from(number % u32::from(u16::MAX)).unwrap_or_default() + 1
}

/// What all devices told.
#[derive(Default)]
struct Sum {
    /// They stay connected as long as this is there.
    devices: Vec<Device>,
    sent: u64,
    acknowledged: u64,
    latency_ms: Vec<f64>,
    last: Option<Instant>,
    trouble: Option<String>,
}

impl Sum {
    fn add(&mut self, told: Told) {
        self.sent += u64::from(told.sent);
        self.acknowledged += told.latency_ms.len() as u64;
        self.latency_ms.extend(told.latency_ms);
        self.last = self.last.max(told.last);
        self.trouble = self.trouble.take().or(told.trouble);
        self.devices.push(told.device);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn devices_are_spread_over_the_interval_and_over_addresses() {
        let Line { arguments } = Line::try_parse_from(["x", "--devices", "4", "--readings", "3", "--qos", "0"]).unwrap();
        let start = Instant::now();
        let due = |index, number| Schedule::of(&arguments.crowd, index, start).due(number).saturating_duration_since(start).as_millis();
        assert_eq!([due(0, 0), due(1, 0), due(3, 0), due(3, 2)], [0, 250, 750, 2_750]);
        let schedule = Schedule::of(&arguments.crowd, 0, start);
        assert_eq!([0, 1, 2].map(|n| schedule.is_acknowledged(n)), [false, false, true]);
        assert_eq!((source(1, 0).to_string(), source(2, 20_000).to_string()), ("127.0.1.1".to_owned(), "127.0.2.2".to_owned()));
        assert!(source(u8::MAX, 99_999).is_loopback());
        assert_eq!((packet_id(0), packet_id(65_534), packet_id(65_535)), (1, 65_535, 1));
    }
}
