//! The eight nodes, their sites and wallets, and the machine at the first of them.

use super::window::{self, text};
use super::{LOOK, NODES, PATIENCE, PRICE};
use crate::cli::client::NodeClient;
use crate::cli::init::{self, BrokerPlan, MQTT_PORT, Plan};
use crate::cli::output::note;
use crate::cli::replay::{Load, Outcome, Pace, RowError, Rows, Rules, publish};
use crate::cli::{Exit, Failure, amount, keys};
use crate::demo::{Network, free_plan};
use crate::hex::hex;
use indicatif::ProgressBar;
use mqtt::Credentials;
use protocol::service::service_id;
use protocol::{Action, DeviceTopic, Encode as _, Id, Name, Order, Reading, SecretKey, ServiceKind, Silence, Terms};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The bundled data.
const DATA: &[u8] = include_bytes!("../../../../../examples/market/data/readings.csv");
/// Where the machine listens for commands.
const COMMAND: &str = "z1/espresso/act/brew";
/// What the provider calls its service.
const SERVICE: &str = "espresso";
/// How long the provider may take to report, in milliseconds.
const REPORT_MS: u64 = 60_000;
/// How long a broker may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// A node with its wallet.
pub(super) struct Person {
    /// How people call it.
    pub(super) name: String,
    /// Its site.
    site: Name,
    /// Where devices of its site publish.
    broker: String,
    /// Its wallet.
    pub(super) key: SecretKey,
    /// Its HTTP interface.
    pub(super) node: NodeClient,
}

/// Everything that runs. Dropping it stops it.
pub(super) struct Town {
    /// The machine.
    pub(super) machine: MachineProcess,
    /// The nodes.
    pub(super) network: Network,
    /// Who buys, in the committee's order. The first is the provider, too.
    pub(super) people: Vec<Person>,
    /// The service.
    pub(super) service: Id,
    /// The provider's node.
    pub(super) shop: NodeClient,
}

/// The espresso machine, a process of its own.
pub(super) struct MachineProcess {
    /// None before it is switched on.
    child: Option<Child>,
    events: Arc<Mutex<Vec<Value>>>,
}

/// A fault of this program.
fn fault(why: impl std::fmt::Display, at: &str) -> Failure {
    Failure::new(Exit::Fault, why, at, "report this")
}

/// Ports for brokers of which the plan knows nothing.
fn broker_ports(plan: &Plan, count: usize) -> Result<Vec<u16>, Failure> {
    let mut used: Vec<u16> = plan.nodes.iter().flat_map(|ports| [ports.ledger, ports.http]).collect();
    if let BrokerPlan::Embedded(port) = plan.broker {
        used.push(port);
    }
    let free = |port: &u16| !used.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports: Vec<u16> = (MQTT_PORT.saturating_add(1)..MQTT_PORT.saturating_add(2_000)).filter(free).take(count).collect();
    match ports.len() == count {
        true => Ok(ports),
        false => {
            Err(Failure::new(Exit::Usage, "no free ports", format!("127.0.0.1:{MQTT_PORT} and above"), "stop something that listens there"))
        }
    }
}

impl Town {
    /// Writes the network and starts its nodes and the machine's process. They are not ready yet.
    ///
    /// # Errors
    /// [`Failure`] if something cannot be written or started.
    pub(super) fn found(directory: &Path) -> Result<Self, Failure> {
        let name = |text: &str| Name::new(text).map_err(|e| fault(e, text));
        let (plan, notes) = free_plan(name("market")?, name("z1")?, NODES)?;
        notes.iter().for_each(|n| note(n));
        let BrokerPlan::Embedded(first) = plan.broker else { return Err(fault("the plan has no broker", "the demo")) };
        let others = broker_ports(&plan, usize::from(NODES).saturating_sub(1))?;
        let written = init::write(&plan, directory)?;
        let ports: Vec<u16> = [first].into_iter().chain(others).collect();
        let mut homes = Vec::new();
        for (k, (home, port)) in (1u16..).zip(written.directories.iter().zip(ports)) {
            let text = match k {
                1 => "\n# an espresso machine earns for this node\n[services]\nanswer_ms = 2000\n".to_owned(),
                _ => format!("\n[site]\nname = \"z{k}\"\n[broker]\nembedded = \"127.0.0.1:{port}\"\n"),
            };
            let file = home.join("wattle.toml");
            let append = || OpenOptions::new().append(true).open(&file)?.write_all(text.as_bytes());
            append().map_err(|e| Failure::file(&file, &e, "name a directory that can be written"))?;
            homes.push((k, keys::read(&home.join("node.key"))?, format!("mqtt://127.0.0.1:{port}")));
        }
        let network = Network::launch(written, &plan)?;
        let mut people = Vec::new();
        for ((k, key, broker), node) in homes.into_iter().zip(network.clients().cloned()) {
            people.push(Person { name: format!("node{k}"), site: name(&format!("z{k}"))?, broker, key, node });
        }
        let provider = people.first().ok_or_else(|| fault("no nodes", "the demo"))?;
        let service = service_id(&provider.key.public_key(), &name(SERVICE)?);
        let shop = provider.node.clone();
        Ok(Self { machine: MachineProcess::off(), network, people, service, shop })
    }

    /// Registers the service, and switches the machine on.
    ///
    /// # Errors
    /// [`Failure`] if the order has no effect in time, or the machine does not start.
    pub(super) async fn open_shop(&mut self) -> Result<(), Failure> {
        let provider = self.people.first().ok_or_else(|| fault("no nodes", "the demo"))?;
        let (node, wallet) = (&provider.node, provider.key.public_key());
        let topic: DeviceTopic = COMMAND.parse().map_err(|e| fault(e, COMMAND))?;
        let terms = Terms { kind: ServiceKind::Actuate(topic), price: PRICE, report_ms: REPORT_MS, silence: Silence::Refund };
        let state = text(&window::get(node, &format!("/api/v1/wallets/{wallet}")).await?, "/state");
        let state: Id = state.parse().map_err(|e| fault(e, "the State of the provider's wallet"))?;
        let action = Action::Service { name: Name::new(SERVICE).map_err(|e| fault(e, SERVICE))?, terms: Some(terms) };
        let order = Order::sign(&self.network.genesis.network(), &provider.key, state, action);
        window::post(node, "/api/v1/orders", &json!({ "orders": [hex(&order.encode())] })).await?;
        let start = Instant::now();
        for person in &self.people {
            let path = format!("/api/v1/services/{}", self.service);
            while window::find(&person.node, &path).await?.is_none_or(|s| s.get("open") != Some(&Value::Bool(true))) {
                if start.elapsed() > PATIENCE {
                    return Err(Failure::new(Exit::Refused, "the service was not registered", person.node.base(), "read the node's log"));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        let home = self.network.genesis_file.parent().unwrap_or(Path::new(".")).to_path_buf();
        self.machine = MachineProcess::start(&home, &self.network.genesis_file, &self.network.broker, self.service)?;
        self.machine.wait("ready", 0, PATIENCE).await.map(drop)
    }

    /// Replays the data: each site its part, in `seconds`. Gives how many were published and acknowledged.
    ///
    /// # Errors
    /// [`Failure`] if a broker cannot be reached or the data not be read.
    pub(super) async fn publish(&self, seconds: u64) -> Result<(u64, u64), Failure> {
        let count = self.people.len();
        let sites = (0usize..).zip(&self.people).map(|(k, person)| async move {
            let readings = readings(&person.site, k, count)?;
            let rate = (readings.len() as f64 / seconds.max(1) as f64).max(1.0);
            let credentials = Credentials::default();
            let load = Load { url: person.broker.clone(), credentials, qos: 1, connections: 1, patience: SILENCE };
            publish(readings.into_iter().map(Ok), &load, Pace::Rate(rate), &ProgressBar::hidden()).await
        });
        let mut sum = (0, 0);
        for outcome in futures::future::join_all(sites).await {
            let Outcome { sent, acknowledged, trouble, .. } = outcome?;
            if let Some(trouble) = trouble {
                note(&format!("a site's readings: {trouble}"));
            }
            sum = (sum.0 + sent, sum.1 + acknowledged);
        }
        Ok(sum)
    }

    /// What can be tried while everything runs.
    pub(super) fn invitation(&self) -> String {
        let node = self.shop.base();
        let lines: Vec<String> = self.people.iter().map(|p| format!("{} {}", p.name, p.node.base())).collect();
        format!(
            "\nEverything keeps running until Ctrl-C. Try, in another terminal:\n  \
             wattle service list --node {node}\n  \
             wattle wallet show --node {node} WALLET\n  \
             wattle service buy {} --argument doppio --key {}/node2/node.key --node {node}     ({})\n\
             HTTP: {}",
            self.service,
            self.network.genesis_file.parent().unwrap_or(Path::new(".")).display(),
            amount::coins(PRICE),
            lines.join("  "),
        )
    }
}

/// The part of the bundled data that site `k` of `sites` publishes: whole series, dealt round.
fn readings(site: &Name, k: usize, sites: usize) -> Result<Vec<Reading>, Failure> {
    let bundled = |e: RowError| Failure::new(Exit::Fault, e, "the bundled data", "build this program again");
    let rules = Rules { site: site.clone(), start_us: 0, step_us: 0 };
    let all = Rows::open(DATA, rules).map_err(bundled)?.collect::<Result<Vec<_>, _>>().map_err(bundled)?;
    let mut series: Vec<DeviceTopic> = all.iter().map(|reading| reading.topic.clone()).collect();
    series.sort();
    series.dedup();
    let mine = |reading: &Reading| series.binary_search(&reading.topic).is_ok_and(|at| at % sites.max(1) == k);
    Ok(all.iter().filter(|reading| mine(reading)).cloned().collect())
}

impl MachineProcess {
    /// A place for a machine that is not switched on.
    fn off() -> Self {
        Self { child: None, events: Arc::default() }
    }

    fn start(home: &Path, genesis: &Path, broker: &str, service: Id) -> Result<Self, Failure> {
        let program =
            std::env::current_exe().map_err(|e| Failure::new(Exit::Fault, e, "the path of this program", "start it by its full path"))?;
        let log = home.join("espresso.txt");
        let file = File::create(&log).map_err(|e| Failure::file(&log, &e, "name a directory that can be written"))?;
        let mut child = Command::new(&program)
            .args(["demo", "espresso", "--json", "--until-stdin-ends", "--broker", broker, "--service", &service.to_string()])
            .args(["--price", "2", "--brew", "50ms", "--memory"])
            .arg(home.join("brewed.txt"))
            .arg("--genesis")
            .arg(genesis)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .process_group(0)
            .spawn()
            .map_err(|e| Failure::new(Exit::Fault, e, program.display(), "check that it may be executed"))?;
        let events: Arc<Mutex<Vec<Value>>> = Arc::default();
        let told = events.clone();
        let output = child.stdout.take().ok_or_else(|| fault("no output", "the machine"))?;
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    told.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                }
            }
        });
        Ok(Self { child: Some(child), events })
    }

    /// Events of a kind so far.
    pub(super) fn count(&self, event: &str) -> usize {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|e| e.get("event") == Some(&Value::from(event))).count()
    }

    /// Gives it a command by hand.
    ///
    /// # Errors
    /// [`Failure`] if it has ended.
    pub(super) fn give(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let input = self.child.as_mut().and_then(|child| child.stdin.as_mut()).ok_or_else(|| fault("no input", "the machine"))?;
        let written = input.write_all(payload).and_then(|()| input.write_all(b"\n")).and_then(|()| input.flush());
        written.map_err(|e| Failure::new(Exit::Fault, e, "the espresso machine", "read espresso.txt in the demo's directory"))
    }

    /// The text of event number `after` + 1 of its kind, once it is there.
    ///
    /// # Errors
    /// [`Failure`] if it does not come in time.
    pub(super) async fn wait(&self, event: &str, after: usize, patience: Duration) -> Result<String, Failure> {
        let start = Instant::now();
        loop {
            let found = {
                let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
                events.iter().filter(|e| e.get("event") == Some(&Value::from(event))).nth(after).map(|e| text(e, "/text"))
            };
            if let Some(found) = found {
                return Ok(found);
            }
            if start.elapsed() > patience {
                let what = format!("the espresso machine did not say {event:?}");
                return Err(Failure::new(Exit::Fault, what, "the demo", "read espresso.txt in its directory"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for MachineProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
