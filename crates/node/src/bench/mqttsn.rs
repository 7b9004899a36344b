//! `wattle bench mqttsn`: readings a second that MQTT-SN devices publish at QoS 1, ledger included.
//!
//! ```text
//! devices, a socket each ─UDP─▶ gateway (a process of its own) ─MQTT─▶ wattle up (one node) ─▶ log ─▶ ledger
//! ```
//! A device has one publish under way at a time, as the protocol wants it; it sends the next when the last is accepted. So
//! the rate is what many slow devices get, and the latency is that of one device: PUBLISH to PUBACK, the reading being on
//! the disk by then. What was lost on the way is sent again after T_retry, and shows as a latency of ten seconds and in
//! `retries`. At the end all devices go to sleep and wake once.

use super::command::Common;
use super::connections::one_node;
use super::disk::scratch;
use super::figures::{Figures, fields, latency, repeat};
use super::machine::{need_files, usage, usage_of};
use super::mqtt::settled;
use crate::cli::output::print;
use crate::cli::runtime::runtime;
use crate::cli::{Exit, Failure};
use ::mqtt::sn::{self, GatewayConfig, HANDSHAKES_PER_SOURCE_MAX};
use protocol::sn::{Connect, PROTOCOL_ID, Packet, Publish, Qos, ReturnCode, TopicRef};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

/// Devices that connect at a time.
const CONNECTING_MAX: usize = HANDSHAKES_PER_SOURCE_MAX / 2;
/// T_retry and N_retry of the devices.
const RETRY: Duration = Duration::from_secs(10);
const RETRIES: u32 = 5;
/// The pause of a device that is told to come later.
const CONGESTED: Duration = Duration::from_millis(100);
/// How often it asks again.
const CONGESTED_MAX: u32 = 600;
/// Bytes of the longest answer.
const ANSWER_BYTES_MAX: usize = 2048;
/// Files that a process opens beside those for devices.
const OTHER_FILES: u64 = 512;
/// The devices' keep-alive, in seconds: longer than a run.
const KEEP_ALIVE_S: u16 = 3_600;

/// `wattle bench mqttsn`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Devices
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    clients: u32,
    /// Readings of all of them together
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    messages: u32,
    /// Only a gateway in front of this broker, until standard input ends
    #[arg(long, hide = true, value_name = "URL")]
    serve: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the node or the gateway does not start, or does not accept.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    need_files(u64::from(arguments.clients) + OTHER_FILES, "--clients")?; // the children inherit it
    let runtime = runtime()?;
    if let Some(broker) = &arguments.serve {
        return runtime.block_on(serve(broker, arguments));
    }
    let parameters = json!({ "clients": arguments.clients, "messages": arguments.messages, "qos": 1, "nodes": 1 });
    repeat("mqttsn", parameters, &arguments.common, "readings_per_second", || runtime.block_on(once(arguments)))
}

fn fault(what: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Fault, what, "bench mqttsn", "use fewer clients, or run it with -v to see the log")
}

/// A gateway and nothing else. Its address is the first line of its output.
async fn serve(broker: &str, arguments: &Arguments) -> Result<(), Failure> {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let clients_max = usize::try_from(arguments.clients).unwrap_or(usize::MAX);
    let gateway = sn::start(GatewayConfig { clients_max, ..GatewayConfig::new(listen, broker) }).await.map_err(fault)?;
    print(&gateway.address().to_string())?;
    let ended = tokio::task::spawn_blocking(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().lock().read_to_end(&mut rest);
    });
    ended.await.map_err(fault)?;
    gateway.stop().await;
    Ok(())
}

/// The gateway's process. Dropping it ends it.
struct GatewayProcess {
    child: Child,
    address: SocketAddr,
}

impl GatewayProcess {
    fn start(broker: &str, clients: u32) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(fault)?;
        let mut child = Command::new(program)
            .args(["bench", "mqttsn", "--serve", broker, "--clients", &clients.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fault)?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(fault)?;
        }
        match line.trim().parse() {
            Ok(address) => Ok(Self { child, address }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(fault("the gateway did not start"))
            }
        }
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One run.
async fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let directory = scratch()?;
    let mut network = one_node(directory.path()).await?;
    let gateway = tokio::task::block_in_place(|| GatewayProcess::start(&network.broker, arguments.clients))?;
    let (gateway_before, node_before) = (usage(gateway.child.id()), usage_of(&network.pids()));

    let devices = usize::try_from(arguments.clients).unwrap_or(usize::MAX);
    let steps = Arc::new(Barrier::new(devices + 1));
    let turns = Arc::new(Semaphore::new(CONNECTING_MAX));
    let mut tasks = JoinSet::new();
    let (share, extra) = (arguments.messages / arguments.clients, arguments.messages % arguments.clients);
    let mut sum = Course::default();
    let begin = Instant::now();
    for index in 0..arguments.clients {
        let messages = share + u32::from(index < extra);
        tasks.spawn(device(gateway.address, index, messages, Arc::clone(&turns), Arc::clone(&steps)));
    }
    all_there(&steps, &mut tasks, &mut sum).await?;
    let connecting = begin.elapsed();
    let (gateway_connected, node_connected) = (usage(gateway.child.id()), usage_of(&network.pids()));
    let start = Instant::now();
    all_there(&steps, &mut tasks, &mut sum).await?; // at work
    all_there(&steps, &mut tasks, &mut sum).await?; // asleep, having published
    let gateway_asleep = usage(gateway.child.id());
    while let Some(ended) = tasks.join_next().await {
        sum.add(ended.map_err(fault)?.map_err(fault)?);
    }
    let seconds = sum.published.map_or(f64::MIN_POSITIVE, |at| at.saturating_duration_since(start).as_secs_f64());
    let site = settled(&mut network).await?;
    let (gateway_after, node_after) = (usage(gateway.child.id()), usage_of(&network.pids()));
    let clients = u64::from(arguments.clients);
    Ok(fields(json!({
        "readings_per_second": f64::from(arguments.messages) / seconds,
        "readings_acknowledged": sum.latency_ms.len(),
        "readings_confirmed": site.confirmed,
        "readings_lost": u64::from(arguments.messages).saturating_sub(site.confirmed),
        "retries": sum.retries,
        "latency_ms": latency(sum.latency_ms),
        "wake_latency_ms": latency(sum.wake_ms),
        "connects_per_second": f64::from(arguments.clients) / connecting.as_secs_f64(),
        "gateway_rss_bytes": gateway_after.rss_bytes,
        "gateway_rss_bytes_per_client": gateway_connected.grown_for_each(&gateway_before, clients),
        "gateway_rss_bytes_per_sleeping_client": gateway_asleep.grown_for_each(&gateway_before, clients),
        "gateway_cpu_seconds": gateway_after.cpu_seconds,
        "node_rss_bytes_per_client": node_connected.grown_for_each(&node_before, clients),
        "cpu_seconds": gateway_after.cpu_seconds + node_after.cpu_seconds,
        "rss_bytes": node_after.rss_bytes,
    })))
}

/// What a device went through, or all of them.
#[derive(Default)]
struct Course {
    /// How long each PUBACK took.
    latency_ms: Vec<f64>,
    /// How long PINGRESP took.
    wake_ms: Vec<f64>,
    /// What was sent again because nobody answered.
    retries: u32,
    /// When the last PUBACK came.
    published: Option<Instant>,
}

impl Course {
    fn add(&mut self, other: Self) {
        self.latency_ms.extend(other.latency_ms);
        self.wake_ms.extend(other.wake_ms);
        self.retries += other.retries;
        self.published = self.published.max(other.published);
    }
}

/// Waits until every device has come to its next step. One that fails never does: so both are waited for. A device that
/// comes to its end just as the step is taken is counted in `sum`.
async fn all_there(steps: &Barrier, tasks: &mut JoinSet<Result<Course, String>>, sum: &mut Course) -> Result<(), Failure> {
    tokio::select! {
        _ = steps.wait() => Ok(()),
        error = first_failure(tasks, sum) => Err(fault(error)),
    }
}

/// The first device that fails; for ever if none does. What the others went through goes to `sum`.
async fn first_failure(tasks: &mut JoinSet<Result<Course, String>>, sum: &mut Course) -> String {
    loop {
        match tasks.join_next().await {
            Some(Ok(Ok(course))) => sum.add(course),
            Some(Ok(Err(why))) => return why,
            Some(Err(why)) => return why.to_string(),
            None => std::future::pending().await,
        }
    }
}

/// A device: connects, registers its topic, publishes, sleeps, wakes. Before it publishes and while it sleeps it waits for the others.
async fn device(gateway: SocketAddr, index: u32, messages: u32, turns: Arc<Semaphore>, steps: Arc<Barrier>) -> Result<Course, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    socket.connect(gateway).await.map_err(|e| e.to_string())?;
    let device = Device { socket, index, retries: AtomicU32::new(0) };
    let topic = {
        let _turn = turns.acquire().await.map_err(|e| e.to_string())?;
        device.connect().await?;
        device.register().await?
    };
    steps.wait().await; // all are connected
    steps.wait().await; // and counted
    let mut course = Course::default();
    for number in 0..messages {
        let start = Instant::now();
        device.publish(topic, number).await?;
        course.latency_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    course.published = Some(Instant::now());
    device.sleep().await?;
    steps.wait().await;
    let turn = turns.acquire().await.map_err(|e| e.to_string())?;
    let start = Instant::now();
    device.wake().await?;
    course.wake_ms.push(start.elapsed().as_secs_f64() * 1e3);
    drop(turn);
    course.retries = device.retries.load(Ordering::Relaxed);
    Ok(course)
}

struct Device {
    socket: UdpSocket,
    index: u32,
    /// What was sent again because nobody answered.
    retries: AtomicU32,
}

impl Device {
    /// Sends a request until it is answered. `answer` takes what it is about, if it is.
    async fn ask<T>(&self, request: impl Fn(bool) -> Packet, answer: impl Fn(&Packet) -> Option<T>) -> Result<T, String> {
        let mut bytes = [0; ANSWER_BYTES_MAX];
        for attempt in 0..=RETRIES {
            if attempt > 0 {
                self.retries.fetch_add(1, Ordering::Relaxed);
            }
            let datagram = request(attempt > 0).encode().map_err(|e| e.to_string())?;
            self.socket.send(&datagram).await.map_err(|e| e.to_string())?;
            let deadline = tokio::time::Instant::now() + RETRY;
            while let Ok(received) = tokio::time::timeout_at(deadline, self.socket.recv(&mut bytes)).await {
                let length = received.map_err(|e| e.to_string())?;
                let packet = Packet::decode(bytes.get(..length).unwrap_or_default()).map_err(|e| e.to_string())?;
                if let Some(answer) = answer(&packet) {
                    return Ok(answer);
                }
                if packet == (Packet::Disconnect { duration_s: None }) {
                    return Err(format!("device {} was thrown out", self.index));
                }
            }
        }
        Err(format!("device {} is not answered", self.index))
    }

    /// Asks until the answer is not congestion.
    async fn insist<T>(&self, request: impl Fn(bool) -> Packet, answer: impl Fn(&Packet) -> Option<(ReturnCode, T)>) -> Result<T, String> {
        for _ in 0..CONGESTED_MAX {
            match self.ask(&request, &answer).await? {
                (ReturnCode::Accepted, answer) => return Ok(answer),
                (ReturnCode::Congestion, _) => tokio::time::sleep(CONGESTED).await,
                (code, _) => return Err(format!("device {}: {code}", self.index)),
            }
        }
        Err(format!("device {}: congestion for too long", self.index))
    }

    fn client_id(&self) -> String {
        format!("bench-{}-{}", std::process::id(), self.index)
    }

    async fn connect(&self) -> Result<(), String> {
        let client_id = self.client_id();
        let request = |_| {
            let client_id = client_id.clone();
            Packet::Connect(Connect { will: false, clean_session: true, protocol_id: PROTOCOL_ID, keep_alive_s: KEEP_ALIVE_S, client_id })
        };
        self.insist(request, |packet| if let Packet::ConnAck(code) = packet { Some((*code, ())) } else { None }).await
    }

    async fn register(&self) -> Result<TopicRef, String> {
        let topic = format!("root/device/z1/b{}/sense/power", self.index);
        let request = |_| Packet::Register { topic_id: 0, message_id: 1, topic: topic.clone() };
        let answer = |packet: &Packet| match packet {
            Packet::RegAck { topic_id, code, .. } => Some((*code, TopicRef::Normal(*topic_id))),
            _ => None,
        };
        self.insist(request, answer).await
    }

    /// Goes to sleep for longer than a run.
    async fn sleep(&self) -> Result<(), String> {
        let request = |_| Packet::Disconnect { duration_s: Some(KEEP_ALIVE_S) };
        self.ask(request, |packet| (*packet == Packet::Disconnect { duration_s: None }).then_some(())).await
    }

    /// Asks for what waits: nothing. Sleeps on.
    async fn wake(&self) -> Result<(), String> {
        let request = |_| Packet::PingRequest { client_id: self.client_id() };
        self.ask(request, |packet| (*packet == Packet::PingResponse).then_some(())).await
    }

    async fn publish(&self, topic: TopicRef, number: u32) -> Result<(), String> {
        // 1 to 65535, again and again
        let message_id = u16::try_from(number % u32::from(u16::MAX)).unwrap_or_default() + 1;
        let data = format!("{{\"v\":{number},\"n\":{number},\"u\":\"W\"}}").into_bytes();
        let request = |dup| Packet::Publish(Publish { dup, qos: Qos::AtLeastOnce, retain: false, topic, message_id, data: data.clone() });
        let answer = |packet: &Packet| match packet {
            Packet::PubAck { message_id: of, code, .. } if *of == message_id => Some((*code, ())),
            _ => None,
        };
        self.insist(request, answer).await
    }
}
