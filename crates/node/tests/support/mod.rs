//! Real `wattle` processes for tests: start, kill, ask, wait.
//!
//! Rules: ports are free ones, directories are temporary, nothing waits for a fixed time: [`until`] looks again
//! until a deadline and then says what did not happen.
#![allow(dead_code)] // every test file uses another part of this one

use protocol::{Genesis, Receipt, Verified};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often something is looked at again.
const POLL: Duration = Duration::from_millis(50);
/// How long a node may take to start or stop.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long readings may take to be confirmed on a busy machine.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(90);

/// A command line of the program under test.
pub fn wattle() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wattle"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// What a command that ended said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Asserts success and gives stdout.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "it failed: {self:#?}");
        self.stdout
    }

    /// Asserts success and reads stdout as JSON.
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("stdout is no JSON ({e}): {text}"))
    }

    /// Asserts an exit code and exactly one error line that holds all of `parts`.
    pub fn refused(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        let lines: Vec<&str> = self.stderr.lines().filter(|l| l.starts_with("wattle: ")).collect();
        assert_eq!(lines.len(), 1, "one line should say what is wrong: {self:#?}");
        assert!(!lines[0].contains("internal fault"), "{self:#?}");
        for part in parts {
            assert!(lines[0].contains(part), "the line does not say {part:?}: {}", lines[0]);
        }
    }
}

/// Runs a command line to its end.
pub fn run(arguments: &[&str]) -> Ran {
    wattle().args(arguments).output().expect("the program cannot be started").into()
}

/// Looks until `condition` holds, or panics saying `what`.
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "devices read a clock")]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    u64::try_from(since.as_micros()).expect("microseconds")
}

/// The first of `count` ports in a row that nobody uses, below those the system hands out itself.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1_000 {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = 12_000 + (std::process::id().wrapping_mul(131).wrapping_add(turn.wrapping_mul(40)) % 20_000);
        let base = u16::try_from(base).expect("a port");
        let all: Vec<_> = (base..base + count).map_while(|port| TcpListener::bind(("127.0.0.1", port)).ok()).collect();
        if all.len() == usize::from(count) {
            return base;
        }
    }
    panic!("no free ports");
}

/// Where a program of the system is, if it is installed.
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).map(|d| d.join(program)).find(|p| p.is_file())
}

/// A child that is killed when dropped.
pub struct Process(pub Child);

impl Process {
    /// Whether it has ended, and its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().expect("waiting").map(|s| s.code().unwrap_or(-1))
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.0.kill().expect("killing");
        self.0.wait().expect("waiting");
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("signalling");
    }

    /// Waits for its end and gives its exit code.
    pub fn wait(&mut self, limit: Duration) -> i32 {
        until("the process ends", limit, || self.ended().is_some());
        self.ended().expect("it has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network in a temporary directory. Its nodes are killed when it is dropped.
pub struct Net {
    pub dir: tempfile::TempDir,
    pub size: u16,
    pub base: u16,
    nodes: Vec<Option<Process>>,
}

impl Net {
    /// Writes a network of `size` nodes, with more arguments for `wattle init`.
    pub fn init(size: u16, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let base = free_ports(2 * size + 1);
        let ran: Ran = wattle()
            .args(["init", "--nodes", &size.to_string(), "--base-port", &base.to_string(), "--out"])
            .arg(dir.path().join("net"))
            .args(more)
            .output()
            .expect("the program cannot be started")
            .into();
        ran.ok();
        Self { dir, size, base, nodes: (0..size).map(|_| None).collect() }
    }

    /// A network of `size` nodes that run.
    pub fn running(size: u16) -> Self {
        let mut net = Self::init(size, &[]);
        (1..=size).for_each(|k| net.start(k));
        (1..=size).for_each(|k| net.wait_ready(k));
        net
    }

    /// Directory of node `k`, counted from 1.
    pub fn node_dir(&self, k: u16) -> PathBuf {
        self.dir.path().join("net").join(format!("node{k}"))
    }

    pub fn config(&self, k: u16) -> PathBuf {
        self.node_dir(k).join("wattle.toml")
    }

    /// Adds `text` to the configuration of node `k`.
    pub fn configure(&self, k: u16, text: &str) {
        let mut file = OpenOptions::new().append(true).open(self.config(k)).expect("the configuration");
        file.write_all(text.as_bytes()).expect("the configuration");
    }

    pub fn genesis_file(&self) -> PathBuf {
        self.dir.path().join("net/genesis.json")
    }

    pub fn genesis(&self) -> Genesis {
        Genesis::from_json(&std::fs::read_to_string(self.genesis_file()).expect("the genesis")).expect("a genesis")
    }

    pub fn mqtt(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.base + 2 * self.size)
    }

    pub fn http(&self, k: u16) -> String {
        format!("http://127.0.0.1:{}", self.base + self.size + k - 1)
    }

    /// Starts node `k`; its log goes to `log.txt` in its directory.
    pub fn start(&mut self, k: u16) {
        self.start_with(k, &[]);
    }

    /// The same with more arguments for `wattle up`.
    pub fn start_with(&mut self, k: u16, more: &[&str]) {
        let log = OpenOptions::new().create(true).append(true).open(self.node_dir(k).join("log.txt")).expect("a log file");
        // the pipe keeps it running, and ends it even if this process is killed
        let mut command = wattle();
        command.args(["up", "--until-stdin-ends", "--config"]).arg(self.config(k)).args(more);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn();
        self.nodes[usize::from(k - 1)] = Some(Process(child.expect("the program cannot be started")));
    }

    /// Waits until node `k` says that it is well.
    pub fn wait_ready(&mut self, k: u16) {
        let start = Instant::now();
        while get(&self.http(k), "/healthz").is_none_or(|(status, _)| status != 200) {
            let ended = self.nodes[usize::from(k - 1)].as_mut().and_then(Process::ended);
            assert_eq!(ended, None, "node{k} ended:\n{}", self.log(k));
            assert!(start.elapsed() < NODE_TIMEOUT, "node{k} is not ready:\n{}", self.log(k));
            std::thread::sleep(POLL);
        }
    }

    /// What node `k` logged.
    pub fn log(&self, k: u16) -> String {
        std::fs::read_to_string(self.node_dir(k).join("log.txt")).unwrap_or_default()
    }

    /// `kill -9` of node `k`.
    pub fn kill(&mut self, k: u16) {
        self.nodes[usize::from(k - 1)].take().expect("it runs").kill();
    }

    /// Asks node `k` to stop and waits until it has, without error.
    pub fn stop(&mut self, k: u16) {
        let mut node = self.nodes[usize::from(k - 1)].take().expect("it runs");
        node.terminate();
        assert_eq!(node.wait(NODE_TIMEOUT), 0, "node{k} did not stop well:\n{}", self.log(k));
    }

    /// Takes a process that was started another way as node `k`.
    pub fn adopt(&mut self, k: u16, node: Process) {
        self.nodes[usize::from(k - 1)] = Some(node);
    }

    /// Whether node `k` has ended without being asked to, and its exit code; -1 for a signal.
    pub fn ended(&mut self, k: u16) -> Option<i32> {
        self.nodes[usize::from(k - 1)].as_mut().expect("it runs").ended()
    }

    /// Waits until node `k` ends by itself and gives its exit code; -1 for a signal.
    pub fn wait_end(&mut self, k: u16) -> i32 {
        self.nodes[usize::from(k - 1)].take().expect("it runs").wait(NODE_TIMEOUT)
    }

    /// What node `k` says of itself, if it answers.
    pub fn status(&self, k: u16) -> Option<Value> {
        get(&self.http(k), "/api/v1/status").filter(|(code, _)| *code == 200).and_then(|(_, text)| serde_json::from_str(&text).ok())
    }

    /// A count of node `k`'s status by JSON pointer; 0 while it does not answer.
    pub fn count(&self, k: u16, pointer: &str) -> u64 {
        self.status(k).and_then(|s| s.pointer(pointer).and_then(Value::as_u64)).unwrap_or(0)
    }

    /// Waits until every node's ledger holds `readings`, and asserts that it is not one more.
    pub fn wait_confirmed(&self, readings: u64) {
        for k in 1..=self.size {
            let what = format!("the ledger of node{k} holds {readings} readings");
            until(&what, CONFIRM_TIMEOUT, || self.count(k, "/ledger/readings") >= readings);
            assert_eq!(self.count(k, "/ledger/readings"), readings, "readings counted more than once at node{k}");
        }
    }

    /// The answer about one reading, once it is confirmed.
    pub fn wait_reading(&self, reference: &str) -> Value {
        let path = format!("/api/v1/readings/{}", reference.replace('@', "%40"));
        let mut answer = Value::Null;
        until(&format!("reading {reference} is confirmed"), CONFIRM_TIMEOUT, || {
            answer = get(&self.http(1), &path).and_then(|(_, text)| serde_json::from_str(&text).ok()).unwrap_or_default();
            answer["standing"] == "confirmed"
        });
        answer
    }

    /// The text of a reading's receipt, by the command line.
    pub fn receipt(&self, reference: &str) -> String {
        run(&["receipt", reference, "--node", &self.http(1), "--wait", "30s"]).ok()
    }

    /// Publishes a table by the command line and gives its JSON report.
    pub fn replay(&self, table: &Path, more: &[&str]) -> Value {
        let ran: Ran = self.replay_command(table, more).output().expect("the program cannot be started").into();
        ran.json()
    }

    /// The command that publishes a table.
    pub fn replay_command(&self, table: &Path, more: &[&str]) -> Command {
        let mut command = wattle();
        command.arg("replay").arg(table).args(["--broker", &self.mqtt(), "--site", "z1", "--json"]).args(more);
        command
    }
}

/// GET; `None` if nobody answers.
pub fn get(base: &str, path: &str) -> Option<(u16, String)> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build();
    let agent: ureq::Agent = config.into();
    let mut response = agent.get(&format!("{base}{path}")).call().ok()?;
    let status = response.status().as_u16();
    response.body_mut().read_to_string().ok().map(|text| (status, text))
}

/// Verifies a receipt as the library does.
pub fn verify(text: &str, genesis: &Genesis) -> Result<Verified, String> {
    Receipt::from_json(text).and_then(|r| r.verify(genesis)).map_err(|e| e.to_string())
}

/// Writes a table of `rows` readings of a few devices and gives their names, `site/ID/type@time`.
pub fn table(path: &Path, rows: u64) -> Vec<String> {
    let mut text = String::from("time_ms,device,power_w\n");
    let mut names = Vec::new();
    for row in 0..rows {
        let (time_ms, device) = (1_470_009_600_000 + row, row % 7);
        text.push_str(&format!("{time_ms},m{device},{}.5\n", row % 300));
        names.push(format!("z1/m{device}/sense/power@{}", time_ms * 1_000));
    }
    std::fs::write(path, text).expect("a table");
    names
}

/// Copies a directory with all that is in it.
pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_tree(&entry.path(), &target),
            false => {
                std::fs::copy(entry.path(), &target).expect("a copy");
            }
        }
    }
}

/// A mosquitto that keeps every queued message, on `port`.
pub fn mosquitto(program: &Path, dir: &Path, port: u16) -> Process {
    let config = dir.join("mosquitto.conf");
    let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nlog_type none\n");
    std::fs::write(&config, text).expect("a configuration");
    let quiet = || File::create("/dev/null").expect("/dev/null");
    let child = Command::new(program).arg("-c").arg(&config).stdin(Stdio::null()).stdout(quiet()).stderr(quiet()).spawn();
    let process = Process(child.expect("mosquitto cannot be started"));
    until("mosquitto listens", NODE_TIMEOUT, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    process
}
