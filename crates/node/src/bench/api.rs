//! `wattle bench api`: requests a second over HTTP, one path after another, and how soon an event reaches many listeners.
//!
//! ```text
//! clients, a connection each, one request at a time ─▶ wattle up (one node, some readings)
//! listeners to events ◀────────────────────────────────┘ after each publish: until the last has its milestone
//! ```

use super::command::Common;
use super::connections::one_node;
use super::disk::scratch;
use super::figures::{Figures, fields, latency, repeat};
use super::machine::{need_files, usage_of};
use super::mqtt::settled;
use crate::cli::runtime::runtime;
use crate::cli::{Exit, Failure};
use ::mqtt::Publisher;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Readings that the node has.
const READINGS: u32 = 1_000;
/// Files that a process opens beside those for connections.
const OTHER_FILES: u64 = 512;
/// Events of a milestone that are measured.
const ROUNDS: u32 = 20;
/// How long all listeners may take to hear of one.
const HEARD_TIMEOUT: Duration = Duration::from_secs(30);
/// Where listeners go on after each reading: it is confirmed, and the node idle.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// What readings are published on.
const TOPIC: &str = "root/device/z1/m1/sense/power";

/// `wattle bench api`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Clients that ask at a time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// How long each path is asked for
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Listeners to events
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    listeners: u32,
    #[command(flatten)]
    common: Common,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the node does not start, or does not answer.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    need_files(u64::from(arguments.clients.max(arguments.listeners)) + OTHER_FILES, "--listeners")?; // the node inherits it
    let runtime = runtime()?;
    let parameters = json!({ "clients": arguments.clients, "seconds": arguments.seconds, "listeners": arguments.listeners, "nodes": 1 });
    repeat("api", parameters, &arguments.common, "status_requests_per_second", || runtime.block_on(once(arguments)))
}

fn fault(what: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Fault, what, "bench api", "use fewer clients, or run it with -v to see the log")
}

async fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let directory = scratch()?;
    let mut network = one_node(directory.path()).await?;
    let publisher = Publisher::connect(&network.broker, "bench-api").await?;
    for n in 0..READINGS {
        publisher.publish(TOPIC, n.to_string().into_bytes(), 1).await.map_err(fault)?;
    }
    settled(&mut network).await?;
    let node = network.site_node()?.clone();
    let host = node.base().trim_start_matches("http://").to_owned();
    let list: Value = tokio::task::block_in_place(|| node.json("/api/v1/readings?limit=1"))?;
    let id = list.pointer("/readings/0/id").and_then(Value::as_str).ok_or_else(|| fault("the node lists no reading"))?;
    let mut figures = Figures::new();
    for (what, path) in [
        ("status", "/api/v1/status".to_owned()),
        ("readings", "/api/v1/readings?limit=100".to_owned()),
        ("receipt", format!("/api/v1/receipts/{id}")),
    ] {
        let (rate, samples) = load(&host, &path, arguments).await?;
        figures.insert(format!("{what}_requests_per_second"), json!(rate));
        figures.insert(format!("{what}_latency_ms"), json!(latency(samples)));
    }
    let heard = fan_out(&host, &publisher, arguments.listeners).await?;
    publisher.close().await;
    let used = usage_of(&network.pids());
    figures.extend(fields(json!({
        "listeners_latency_ms": latency(heard),
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    })));
    Ok(figures)
}

/// Asks for one path from many connections: requests a second, and how long each took.
async fn load(host: &str, path: &str, arguments: &Arguments) -> Result<(f64, Vec<f64>), Failure> {
    let start = Instant::now();
    let end = start + Duration::from_secs(arguments.seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..arguments.clients {
        tasks.spawn(client(host.to_owned(), path.to_owned(), end));
    }
    let mut samples = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        samples.extend(ended.map_err(fault)?.map_err(fault)?);
    }
    Ok((samples.len() as f64 / start.elapsed().as_secs_f64(), samples))
}

/// One connection that asks again and again: how long each answer took, in milliseconds.
async fn client(host: String, path: String, end: Instant) -> std::io::Result<Vec<f64>> {
    let mut stream = BufReader::new(TcpStream::connect(&host).await?);
    stream.get_ref().set_nodelay(true)?;
    let question = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let (mut samples, mut body) = (Vec::new(), Vec::new());
    while Instant::now() < end {
        let asked = Instant::now();
        stream.write_all(question.as_bytes()).await?;
        let length = head(&mut stream).await?;
        body.resize(length, 0);
        stream.read_exact(&mut body).await?;
        samples.push(asked.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(samples)
}

/// Reads the head of an answer; the bytes of its body.
async fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<usize> {
    let wrong = |why: &str| std::io::Error::other(why.to_owned());
    let (mut line, mut length) = (String::new(), None);
    stream.read_line(&mut line).await?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(wrong(&format!("the node answers {}", line.trim())));
    }
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let text = line.trim().to_ascii_lowercase();
        if text.is_empty() {
            return length.filter(|length| *length <= ANSWER_BYTES_MAX).ok_or_else(|| wrong("an answer without its length, or too long"));
        }
        if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().ok();
        }
    }
}

/// Publishes readings one by one: how long after each publish a listener heard of its confirmation, in milliseconds.
async fn fan_out(host: &str, publisher: &Publisher, listeners: u32) -> Result<Vec<f64>, Failure> {
    let (heard, mut hearing) = mpsc::channel(1_024);
    let mut tasks = JoinSet::new();
    for _ in 0..listeners {
        let mut stream = BufReader::new(TcpStream::connect(host).await.map_err(fault)?);
        let question = format!("GET /api/v1/events?kinds=confirmed HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(question.as_bytes()).await.map_err(fault)?;
        let mut line = String::new();
        stream.read_line(&mut line).await.map_err(fault)?;
        if !line.starts_with("HTTP/1.1 200") {
            return Err(fault(format!("a listener is answered {}", line.trim())));
        }
        tasks.spawn(listen(stream, heard.clone()));
    }
    let mut samples = Vec::new();
    for round in 0..ROUNDS {
        let published = Instant::now();
        publisher.publish(TOPIC, format!("{round}.5").into_bytes(), 1).await.map_err(fault)?;
        for _ in 0..listeners {
            let at: Instant = tokio::time::timeout(HEARD_TIMEOUT, hearing.recv())
                .await
                .ok()
                .flatten()
                .ok_or_else(|| fault("a listener heard nothing"))?;
            samples.push(at.saturating_duration_since(published).as_secs_f64() * 1_000.0);
        }
        tokio::time::sleep(PAUSE).await;
    }
    tasks.abort_all();
    Ok(samples)
}

/// Says when each event came.
async fn listen(stream: BufReader<TcpStream>, heard: mpsc::Sender<Instant>) {
    let mut lines = stream.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.starts_with("data:") && heard.send(Instant::now()).await.is_err() {
            return;
        }
    }
}
