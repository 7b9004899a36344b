//! `wattle demo espresso`: an espresso machine that trusts nobody: it brews for a certificate, and checks that itself.
//!
//! ```text
//! root/fog/<site>/<ID>/act/brew ─▶ judge (genesis, memory) ─▶ remember ─▶ brew ─▶ root/device/<site>/<ID>/report
//! standard input, a line each ───▶   └─ no ─▶ "refused", and why
//! ```
//! What comes on standard input is a command as somebody would give it who opened the machine: it is judged in the same way.
//! Rules: SRV-5, SRV-8, SRV-10 of `docs/spec/services.md`.

mod machine;

use crate::cli::login::Login;
use crate::cli::output::print;
use crate::cli::runtime::{asked_to_stop, runtime};
use crate::cli::{Exit, Failure, amount, output, quantity, verify};
use crate::clock::now_us;
use crate::services::command::Report;
use machine::{Judgement, Machine};
use mqtt::{Credentials, Publisher, Subscriber};
use protocol::{DeviceName, DeviceTopic, Direction, Genesis, Id, Name, Topic};
use replica::Trusted;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the broker may take for one report. The site asks again for what it did not hear.
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Commands on standard input that may wait.
const LINES_MAX: usize = 16;
/// Bytes that are read from standard input.
const STDIN_BYTES_MAX: u64 = 64 << 20;
/// Bytes of the file of `--state`: a milestone and a committee, as text.
const STATE_BYTES_MAX: u64 = 256 * 1024;
/// Why nothing is brewed.
const BROKEN: &str = "out of order";

/// `wattle demo espresso`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Brews for a certificate: more than two thirds of the committee voted for a request that buys its service at its price. It needs
the genesis for that, and nobody's word. Each request is taken once, also after a restart if --memory names a file.
The file also says which committees the machine has learned of: a command has 256 KiB of handovers at most, the last ones. A machine
that is new in an old network, or was off for many epochs, begins with --state.

Examples:
  wattle service register espresso --actuate z1/espresso/act/brew --price 2 --key net/node1/node.key
  wattle demo espresso --genesis net/genesis.json --service 0123…cdef --price 2 --memory brewed.txt
  wattle service buy 0123…cdef --argument lungo --wallet mine")]
pub(crate) struct Arguments {
    /// The broker of its site
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    broker: String,
    #[command(flatten)]
    login: Login,
    /// The network's genesis
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Its site
    #[arg(long, default_value = "z1", value_parser = quantity::site)]
    site: Name,
    /// Its ID within the site
    #[arg(long, default_value = "espresso", value_parser = quantity::name)]
    device: Name,
    /// What it does
    #[arg(long = "type", value_name = "TYPE", default_value = "brew", value_parser = quantity::name)]
    data_type: Name,
    /// The service that it is: the id that `wattle service register` prints
    #[arg(long, value_name = "ID")]
    service: Id,
    /// What it must be worth at least, in DCoin
    #[arg(long, value_name = "DCOIN", default_value = "2", value_parser = amount::amount)]
    price: u64,
    /// Where it remembers which requests it has taken and which committees it has learned of; without it, until it ends
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    /// What `wattle light follow --state FILE` wrote down on this machine: believed as it is
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How long a cup takes
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = quantity::duration)]
    brew: Duration,
    /// Be out of order: report every command as failed
    #[arg(long)]
    broken: bool,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
    /// End when standard input ends: for programs that start machines
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Serves until Ctrl-C.
///
/// # Errors
/// [`Failure`] if a file cannot be used, or the broker does not let the machine in.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let genesis = verify::load_genesis(&arguments.genesis)?;
    let trusted = arguments.state.as_deref().map(|path| trusted(path, &genesis)).transpose()?;
    let mut machine = Machine::open(genesis, arguments.service, arguments.price, arguments.memory.as_deref())?;
    if let Some(trusted) = &trusted {
        machine.believe(trusted)?;
    }
    let credentials = arguments.login.credentials()?;
    let runtime = runtime()?;
    let served = runtime.block_on(serve(arguments, machine, &credentials));
    // the thread that reads standard input may wait for ever
    runtime.shutdown_background();
    served
}

/// What somebody believes who followed the network.
fn trusted(path: &Path, genesis: &Genesis) -> Result<Trusted, Failure> {
    let todo = "name the file that `wattle light follow --state` wrote for this network";
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(STATE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|e| Failure::file(path, &e, todo))?;
    Trusted::from_json(&text, genesis).map_err(|why| Failure::new(Exit::Usage, why, path.display(), todo))
}

/// What the machine works with.
struct Bar<'a> {
    arguments: &'a Arguments,
    machine: Machine,
    publisher: Publisher,
    report_topic: String,
}

async fn serve(arguments: &Arguments, machine: Machine, credentials: &Credentials) -> Result<(), Failure> {
    let Arguments { site, device, data_type, broker, .. } = arguments;
    let (direction, data_type) = (Direction::Act, data_type.clone());
    let topic = DeviceTopic { site: site.clone(), device: device.clone(), direction, data_type };
    let report_topic = Topic::Report(DeviceName::of(&topic)).to_string();
    let topic = Topic::Fog(topic).to_string();
    let publisher = Publisher::connect_as(broker, &format!("{device}-report"), credentials).await?;
    let mut commands = Subscriber::connect_as(broker, device.as_str(), credentials, &[topic.as_str()], 1).await?;
    let mut lines = stdin();
    let mut bar = Bar { arguments, machine, publisher, report_topic };
    bar.say("ready", None, &topic)?;
    let stop = asked_to_stop();
    tokio::pin!(stop);
    let mut open = true;
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            command = commands.recv() => match command {
                Some(command) => bar.take(&command.payload).await?,
                None => {
                    let todo = "let this device read its commands in the broker's file of users";
                    return Err(Failure::new(Exit::Refused, "the broker no longer lets us subscribe", broker, todo));
                }
            },
            line = lines.recv(), if open => match line {
                Some(line) => bar.take(line.as_bytes()).await?,
                None if arguments.until_stdin_ends => return Ok(()),
                None => open = false,
            },
        }
    }
}

/// What is typed, a line each.
fn stdin() -> mpsc::Receiver<String> {
    let (lines, typed) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let input = std::io::BufReader::new(std::io::stdin().lock().take(STDIN_BYTES_MAX));
        for line in input.lines() {
            let Ok(line) = line else { return };
            if !line.trim().is_empty() && lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    typed
}

impl Bar<'_> {
    /// Takes a command: brews, or says why not.
    async fn take(&mut self, payload: &[u8]) -> Result<(), Failure> {
        match self.machine.judge(payload, now_us() / 1_000) {
            Err(why) => self.say("refused", None, &why),
            Ok(Judgement::Again { request, delivered }) => {
                self.say("repeated", Some(request), if delivered { "it was brewed already" } else { "it failed already" })?;
                let reason = if delivered { String::new() } else { BROKEN.to_owned() };
                self.report(Report { request, delivered, reason }).await;
                Ok(())
            }
            Ok(Judgement::Brew(order)) if self.arguments.broken => {
                // remembered first: whoever is paid back gets no cup when it is repaired
                self.machine.remember(&order, false)?;
                self.say("failed", Some(order.request), BROKEN)?;
                self.report(Report { request: order.request, delivered: false, reason: BROKEN.to_owned() }).await;
                Ok(())
            }
            Ok(Judgement::Brew(order)) => {
                // remembered first: a machine that is switched off while it brews owes a cup, and never gives two
                self.machine.remember(&order, true)?;
                let words = format!("{} for {}, {}", order.what, output::short(&order.from.to_string()), amount::coins(order.price));
                self.say("brewing", Some(order.request), &words)?;
                tokio::time::sleep(self.arguments.brew).await;
                self.say("brewed", Some(order.request), &words)?;
                self.report(Report { request: order.request, delivered: true, reason: String::new() }).await;
                Ok(())
            }
        }
    }

    /// Tells the site. What it does not hear, it asks again.
    async fn report(&self, report: Report) {
        let said = self.publisher.publish(&self.report_topic, report.payload(), 1);
        if !matches!(tokio::time::timeout(REPORT_TIMEOUT, said).await, Ok(Ok(()))) {
            tracing::warn!(request = %report.request, "the site has not taken a report");
        }
    }

    /// Prints what happened.
    fn say(&self, event: &str, request: Option<Id>, text: &str) -> Result<(), Failure> {
        if self.arguments.json {
            let line: Value = json!({ "event": event, "request": request.map(|id| id.to_string()), "text": text });
            return print(&line.to_string());
        }
        match request {
            Some(id) => print(&format!("{event:<9} {}  {text}", output::short(&id.to_string()))),
            None => print(&format!("{event:<9} {text}")),
        }
    }
}
