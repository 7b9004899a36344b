//! "How to secure a site" of docs/operating.md, typed command by command: a newcomer who follows it gets a secured site.
//!
//! What is typed is taken out of the document: a fenced block behind `<!-- secure-site: NAME -->`. Only the machine's name, the
//! two ports and, on standard input, the password are ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{CONFIRM_TIMEOUT, Net, Process, Ran, free_ports, get, installed, until};

/// What the document must have: each block is used below.
const BLOCKS: [&str; 11] =
    ["authority", "certificate", "configuration", "denied", "disable", "plain", "publish", "revoke", "users", "watch", "with-certificate"];
/// How long something that "acts within seconds" may take on a busy machine.
const SECONDS: Duration = Duration::from_secs(30);
/// Before each block: the program under test, which is given the password, and an end for programs that hang.
const PRELUDE: &str = r#"
wattle() { printf 'SECRET\nSECRET\n' | "$WATTLE" "$@"; }
mosquitto_pub() { timeout 20 mosquitto_pub "$@"; }
mosquitto_sub() { timeout 120 mosquitto_sub "$@"; }
"#;

/// The marked blocks of the document, by name.
fn blocks() -> BTreeMap<String, String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md");
    let text = fs::read_to_string(document).unwrap();
    let mut found = BTreeMap::new();
    for part in text.split("<!-- secure-site: ").skip(1) {
        let (name, rest) = part.split_once(" -->\n```\n").expect("a fenced block right behind the mark");
        let (block, _) = rest.split_once("\n```").expect("the end of the block");
        assert_eq!(found.insert(name.to_string(), block.to_string()), None, "{name} twice");
    }
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), BLOCKS);
    found
}

/// A newcomer with the document, in the node's directory.
struct Newcomer {
    blocks: BTreeMap<String, String>,
    directory: PathBuf,
    ports: (u16, u16),
}

impl Newcomer {
    /// A block as it is typed here.
    fn block(&self, name: &str) -> String {
        let (plain, tls) = self.ports;
        // by way of signs that are in no port
        let text = self.blocks[name].replace("broker.example", "localhost").replace("8883", "\u{1}").replace("1883", "\u{2}");
        text.replace('\u{1}', &tls.to_string()).replace('\u{2}', &plain.to_string())
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg("-ec").arg(format!("{PRELUDE}{}", self.block(name)));
        command.current_dir(&self.directory).env("WATTLE", env!("CARGO_BIN_EXE_wattle")).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Types a block and waits for its end.
    fn types(&self, name: &str) -> Ran {
        self.command(name).output().expect("bash cannot be started").into()
    }

    /// Types a block until it is answered so: what was changed before acts within seconds.
    fn is_told(&self, name: &str, expected: &str) {
        until(&format!("{name} is answered with {expected:?}"), SECONDS, || self.types(name).stderr.contains(expected));
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.directory.join(file)).unwrap().permissions().mode() & 0o777
    }
}

#[test]
fn a_newcomer_secures_a_site() {
    for program in ["bash", "openssl", "mosquitto_pub", "mosquitto_sub", "timeout"] {
        if installed(program).is_none() {
            eprintln!("skipped: {program} is not installed here");
            return;
        }
    }
    let mut net = Net::init(1, &[]);
    let newcomer = Newcomer { blocks: blocks(), directory: net.node_dir(1), ports: (net.base + 2, free_ports(1)) };

    // 1 and 2
    newcomer.types("authority").ok();
    let users = newcomer.types("users");
    assert!(users.stderr.contains("m1 was added") && users.stderr.contains("dashboard was added"), "{users:?}");
    users.ok();
    for file in ["ca.key", "broker.key", "users.toml"] {
        assert_eq!(newcomer.mode(file), 0o600, "{file}");
    }
    let text = fs::read_to_string(newcomer.directory.join("users.toml")).unwrap();
    assert!(!text.contains("SECRET") && text.contains("$argon2id$"), "{text}");

    // 3: it takes the place of the table that `wattle init` wrote
    let config = fs::read_to_string(net.config(1)).unwrap();
    let (before, _) = config.split_once("[broker]\n").expect("a table [broker]");
    fs::write(net.config(1), format!("{before}{}\n", newcomer.block("configuration"))).unwrap();
    net.start(1);
    net.wait_ready(1);

    let seen = newcomer.directory.join("seen.txt");
    let mut watch = newcomer.command("watch");
    let mut watch = Process(watch.stdout(File::create(&seen).unwrap()).spawn().expect("bash cannot be started"));
    until("the dashboard sees the reading", CONFIRM_TIMEOUT, || {
        let ran = newcomer.types("publish");
        assert!(ran.stderr.is_empty(), "{ran:?}");
        ran.ok();
        watch.ended().is_some()
    });
    assert_eq!(watch.ended(), Some(0));
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.starts_with("root/fog/z1/m1/sense/power ") && seen.contains("42"), "{seen:?}");

    let denied = newcomer.types("denied");
    assert!(denied.stderr.contains("Warning: Publish 1 failed: Not authorized."), "{denied:?}");
    let plain = newcomer.types("plain");
    assert!(plain.code != 0 && plain.stderr.contains("Connection error: Not authorized"), "{plain:?}");

    // 4
    newcomer.types("certificate").ok();
    let readings = net.count(1, "/site_stats/readings");
    let ran = newcomer.types("with-certificate");
    assert!(ran.stderr.is_empty(), "{ran:?}");
    ran.ok();
    until("the reading of m7", CONFIRM_TIMEOUT, || net.count(1, "/site_stats/readings") == readings + 1);

    // 5
    newcomer.types("revoke").ok();
    let line = fs::read_to_string(newcomer.directory.join("revoked.txt")).unwrap();
    assert!(line.starts_with("serial:") && line.trim_end().len() > "serial:".len(), "{line:?}");
    newcomer.is_told("with-certificate", "not authorised");
    newcomer.types("disable").ok();
    newcomer.is_told("publish", "Not authorized");

    // 7
    let (_, metrics) = get(&net.http(1), "/metrics").unwrap();
    for (kind, reason) in [("publish", "denied"), ("connect", "anonymous"), ("connect", "revoked"), ("connect", "disabled")] {
        let name = format!("wattle_site_access_refused_total{{kind=\"{kind}\",reason=\"{reason}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name)).and_then(|count| count.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count > 0), "{name}: {count:?}");
    }
    net.stop(1);
}
