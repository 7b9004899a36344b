//! `wattle up`: runs the node that a configuration describes.

use super::client::ClientError;
use super::output::{note, print};
use super::{Exit, Failure};
use crate::assembly::{self, Running};
use crate::config::Config;
use crate::joining;
use crate::roles::{self, RolesRunning};
use crate::supervisor;
use rustix::process::{Signal, getpid, kill_process};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Threads of a node: consensus and disk keep one busy, broker and HTTP another.
const WORKERS: usize = 2;

/// `wattle up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Runs until Ctrl-C or SIGTERM. What was acknowledged is on disk at any time: a killed node goes on where it was.

Examples:
  wattle up --config net/node1/wattle.toml
  wattle up --config net/node1/wattle.toml --dump-config
  wattle up --config net/node4/wattle.toml --from-peer http://10.0.0.7:8080 --from-peer http://10.0.0.8:8080
  wattle up --config net/node4/wattle.toml --from-peer https://node1.example:8080 --ca ca.pem")]
pub(crate) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "wattle.toml")]
    config: PathBuf,
    /// Print the configuration with every default filled in, and end
    #[arg(long)]
    dump_config: bool,
    /// Begin a new node with the state of a running one's network; may be repeated, the next is asked if one gives what
    /// does not verify. Without effect on a node that has begun already
    #[arg(long, value_name = "URL")]
    from_peer: Vec<String>,
    /// End when standard input ends: for programs that start nodes
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

impl Arguments {
    /// The configuration's file.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }
}

/// Runs the node.
///
/// # Errors
/// [`Failure`]: usage (2) if the configuration or the machine do not allow it to start, fault (4) if it stopped.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config).map_err(|e| Failure::said(Exit::Usage, e))?;
    if arguments.dump_config {
        return print(config.to_toml().trim_end());
    }
    if arguments.from_peer.len() > joining::PEERS_MAX {
        let what = format!("{} nodes to join from", arguments.from_peer.len());
        return Err(Failure::new(Exit::Usage, what, "--from-peer", format!("name at most {}", joining::PEERS_MAX)));
    }
    let joining = joining::from_peers(&arguments.from_peer).map_err(|why| match why {
        ClientError::Url(url) => {
            let what = format!("{url:?} is not the address of a node");
            Failure::new(Exit::Usage, what, "--from-peer", "give http://HOST:PORT or https://HOST:PORT")
        }
        other => Failure::from(other),
    })?;
    if !config.keeps_a_ledger() {
        return run_roles(&config, arguments);
    }
    let mut prepared = assembly::prepare(&config).map_err(|e| Failure::said(Exit::Usage, format!("{e:#}")))?;
    prepared.joining = joining;
    if arguments.until_stdin_ends {
        watch_stdin();
    }
    let ledger = config.ledger_dir();
    let file = arguments.config.clone();
    replica::run(&ledger, WORKERS, |runtime| async move {
        super::logging::reload_on_hangup(file)?;
        assembly::run(runtime, prepared, ready).await
    })
    .map_err(|e| Failure::said(Exit::Fault, format!("{e:#}")))
}

/// Runs parts of a site without a ledger node.
fn run_roles(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let prepared = roles::prepare(config).map_err(|e| Failure::said(Exit::Usage, format!("{e:#}")))?;
    if arguments.until_stdin_ends {
        watch_stdin();
    }
    let running = async {
        super::logging::reload_on_hangup(arguments.config.clone())?;
        roles::run(prepared, roles_ready).await
    };
    super::runtime::runtime()?.block_on(running).map_err(|e: anyhow::Error| Failure::said(Exit::Fault, format!("{e:#}")))
}

/// Tells whoever watches that the parts have started.
fn roles_ready(running: &RolesRunning) {
    let RolesRunning { name, site, roles, http, https, broker, mqttsn } = running;
    let http = address(*http, *https);
    let broker = broker.as_ref().map(|b| format!(", MQTT {b}")).unwrap_or_default();
    let mqttsn = mqttsn.map(|a| format!(", MQTT-SN {a}/udp")).unwrap_or_default();
    note(&format!("{name} of site {site} runs {}: HTTP {http}{broker}{mqttsn}", roles.join(", ")));
    supervisor::ready(&format!("runs {}: HTTP {http}", roles.join(", ")));
}

/// Tells whoever watches that everything answers.
fn ready(node: &Running) {
    let broker = node.broker.as_ref().map(|b| format!(", MQTT {b}")).unwrap_or_default();
    let mqttsn = node.mqttsn.map(|a| format!(", MQTT-SN {a}/udp")).unwrap_or_default();
    let http = address(node.http, node.https);
    note(&format!("{} of network {} is ready: ledger {}, HTTP {http}{broker}{mqttsn}", node.name, node.network, node.ledger));
    supervisor::ready(&format!("ready: ledger {}, HTTP {http}{broker}", node.ledger));
}

/// Where HTTP is served, as a URL.
fn address(http: SocketAddr, https: bool) -> String {
    format!("{}://{http}", if https { "https" } else { "http" })
}

/// Stops this process, gracefully, when whoever started it is gone: then the pipe to its stdin closes.
fn watch_stdin() {
    std::thread::spawn(|| {
        let mut byte = [0u8; 64];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut byte), Ok(n) if n > 0) {}
        let _ = kill_process(getpid(), Signal::TERM);
    });
}
