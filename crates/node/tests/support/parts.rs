//! Parts of a site as processes of their own, beside a network's node that keeps the ledger.

use crate::support::{CONFIRM_TIMEOUT, NODE_TIMEOUT, Net, Process, free_ports, get, until, wattle};
use serde_json::Value;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// One process.
pub struct Part {
    dir: PathBuf,
    http: u16,
    process: Option<Process>,
}

impl Part {
    /// Writes the configuration of a process that runs `roles`; `rest` are its tables.
    pub fn init(root: &Path, roles: &str, rest: &str) -> Self {
        let dir = root.join(roles.replace(['"', ',', ' '], ""));
        std::fs::create_dir_all(&dir).expect("a directory");
        let http = free_ports(1);
        let text = format!(
            "[node]\nname = \"part\"\n[http]\nlisten = \"127.0.0.1:{http}\"\nopen = \"loopback\"\n[site]\nname = \"z1\"\nroles = [{roles}]\n{rest}"
        );
        std::fs::write(dir.join("wattle.toml"), text).expect("a configuration");
        Self { dir, http, process: None }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    pub fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.dir.join("log.txt")).expect("a log file");
        let mut command = wattle();
        command.args(["up", "--until-stdin-ends", "--config"]).arg(self.dir.join("wattle.toml"));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn();
        self.process = Some(Process(child.expect("the program cannot be started")));
    }

    /// Waits until it says that it is well.
    pub fn wait_ready(&mut self) {
        let what = format!("{} is ready", self.dir.display());
        until(&what, NODE_TIMEOUT, || {
            let ended = self.process.as_mut().and_then(Process::ended);
            assert_eq!(ended, None, "it ended:\n{}", self.log());
            get(&self.url(), "/healthz").is_some_and(|(status, _)| status == 200)
        });
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log.txt")).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Asks it to stop and waits until it has, without error.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.terminate();
        assert_eq!(process.wait(NODE_TIMEOUT), 0, "it did not stop well:\n{}", self.log());
    }

    /// A figure of its status by JSON pointer.
    pub fn figure(&self, pointer: &str) -> Option<u64> {
        let (_, text) = get(&self.url(), "/api/v1/status").filter(|(status, _)| *status == 200)?;
        serde_json::from_str::<Value>(&text).ok()?.pointer(pointer)?.as_u64()
    }

    /// Waits until a figure of its status is `wanted`.
    pub fn wait_figure(&self, pointer: &str, wanted: u64) {
        let what = format!("{pointer} of {} is {wanted}", self.dir.display());
        until(&what, CONFIRM_TIMEOUT, || self.figure(pointer) == Some(wanted));
    }
}

/// A site of which every part is a process. Node 1 of `net` keeps the ledger.
pub struct Apart {
    pub net: Net,
    /// None where the broker is another program.
    pub broker: Option<Part>,
    pub gateway: Part,
    pub fog: Part,
    pub cache: Part,
    /// The broker's URL.
    pub url: String,
    /// The gateway's UDP port.
    pub mqttsn: u16,
}

impl Apart {
    /// A site with a broker of its own, or with the one at `elsewhere`. Everything runs.
    pub fn running(elsewhere: Option<&str>) -> Self {
        let port = free_ports(1);
        let url = elsewhere.map_or_else(|| format!("mqtt://127.0.0.1:{port}"), str::to_owned);
        let net = Net::init(1, &["--broker", &url]);
        let root = net.dir.path().join("parts");
        let text = std::fs::read_to_string(net.config(1)).expect("a configuration");
        let apart = text.replace("[site]\nname = \"z1\"\n", "[site]\nname = \"z1\"\nroles = [\"ledger\"]\n");
        assert_ne!(apart, text, "the configuration of the node has no site");
        std::fs::write(net.config(1), apart).expect("a configuration");
        let there = format!("[broker]\nexternal = \"{url}\"\n");
        let mqttsn = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let sn = format!(
            "[mqttsn]\nbroker = \"{url}\"\nlisten = \"127.0.0.1:{mqttsn}\"\nretry_ms = 500\n[mqttsn.predefined]\n1 = \"root/device/z1/d1/sense/power\"\n"
        );
        let here = format!("[broker]\nembedded = \"127.0.0.1:{port}\"\n");
        let mut site = Self {
            broker: elsewhere.is_none().then(|| Part::init(&root, "\"broker\"", &here)),
            gateway: Part::init(&root, "\"gateway\"", &sn),
            fog: Part::init(&root, "\"fog\"", &there),
            cache: Part::init(&root, "\"cache\"", &there),
            net,
            url,
            mqttsn,
        };
        // those that talk to the broker need not be started after it
        site.net.start(1);
        site.cache.start();
        site.fog.start();
        site.broker.iter_mut().for_each(Part::start);
        site.broker.iter_mut().for_each(Part::wait_ready);
        site.gateway.start();
        site.gateway.wait_ready();
        site.fog.wait_ready();
        site.cache.wait_ready();
        site.wait_node();
        site
    }

    /// Waits until the node is well and reaches the broker.
    pub fn wait_node(&mut self) {
        self.net.wait_ready(1);
        let connected = || self.net.status(1).is_some_and(|status| status["site_stats"]["connected"] == true);
        until("the node reaches the broker", CONFIRM_TIMEOUT, connected);
    }
}
