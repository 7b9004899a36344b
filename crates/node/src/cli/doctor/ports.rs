//! Ports: whether they are free, and who holds them if not.
//!
//! Who holds a port is read from `/proc`: the socket's inode from `/proc/net`, its process from `/proc/PID/fd`, which
//! only the process's owner and root may read.

use super::Report;
use crate::config::{BrokerConfig, Config};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// State of a TCP socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Looks at every port of a configuration; `owner` is the pid of the node that runs on it, if one does.
pub(super) fn check(config: &Config, owner: Option<&str>, report: &mut Report) {
    let mut keys: BTreeMap<(Transport, SocketAddr), &'static str> = BTreeMap::new();
    for (transport, key, address) in listeners(config) {
        if address.port() != 0
            && let Some(other) = keys.insert((transport, address), key)
        {
            report.bad("ports", format!("{other} and {key} are both {address}"), "give each its own port in the configuration");
            continue;
        }
        let tried = match transport {
            Transport::Tcp => TcpListener::bind(address).map(drop),
            Transport::Udp => UdpSocket::bind(address).map(drop),
        };
        let name = format!("{key} {address}/{}", transport.as_str());
        match tried {
            Ok(()) => report.ok("ports", format!("{name} is free")),
            Err(why) => taken(&name, &why, holder(transport, address.port()), (owner, key), report),
        }
    }
}

/// Says why a port cannot be had.
fn taken(name: &str, why: &std::io::Error, holder: Option<Holder>, (owner, key): (Option<&str>, &str), report: &mut Report) {
    match (why.kind(), holder) {
        (ErrorKind::AddrInUse, Some(holder)) if owner == Some(holder.pid.as_str()) => {
            report.ok("ports", format!("{name} is held by the node that runs here"));
        }
        (ErrorKind::AddrInUse, Some(Holder { pid, program })) => {
            report.bad(
                "ports",
                format!("{name} is held by {program}, pid {pid}"),
                &format!("stop that program, or choose another port by {key}"),
            );
        }
        (ErrorKind::AddrInUse, None) if owner.is_some() => {
            report.ok("ports", format!("{name} is held, it seems by the node that runs here; its owner and root could see it"));
        }
        (ErrorKind::AddrInUse, None) => {
            let todo = format!("stop that program (`ss -lnp` as root names it), or choose another port by {key}");
            report.bad("ports", format!("{name} is held by another user's program"), &todo);
        }
        (ErrorKind::AddrNotAvailable, _) => {
            report.bad("ports", format!("{name}: this machine has no such address"), &format!("give an address of this machine by {key}"));
        }
        (ErrorKind::PermissionDenied, _) => {
            let todo = format!("choose a port above 1023 by {key}, or give the service CAP_NET_BIND_SERVICE");
            report.bad("ports", format!("{name} needs a right that this user does not have"), &todo);
        }
        _ => report.bad("ports", format!("{name} cannot be listened on: {why}"), &format!("choose another address by {key}")),
    }
}

/// All that a configuration listens on.
fn listeners(config: &Config) -> Vec<(Transport, &'static str, SocketAddr)> {
    let mut all = vec![(Transport::Tcp, "http.listen", config.http.listen)];
    if config.keeps_a_ledger() {
        all.push((Transport::Tcp, "ledger.listen", config.ledger.listen));
    }
    all.extend(config.broker.iter().flat_map(BrokerConfig::listeners).map(|(key, address)| (Transport::Tcp, key, address)));
    if let Some(mqttsn) = &config.mqttsn {
        all.push((Transport::Udp, "mqttsn.listen", mqttsn.listen));
        all.extend(mqttsn.dtls.map(|address| (Transport::Udp, "mqttsn.dtls", address)));
    }
    all
}

/// A process that holds a port.
struct Holder {
    pid: String,
    program: String,
}

/// Who holds a port, if it can be seen.
fn holder(transport: Transport, port: u16) -> Option<Holder> {
    let name = transport.as_str();
    let tables = [format!("/proc/net/{name}"), format!("/proc/net/{name}6")];
    let inodes: Vec<String> =
        tables.iter().filter_map(|file| std::fs::read_to_string(file).ok()).flat_map(|text| inodes(&text, transport, port)).collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let files = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        if targets.any(|target| target.to_str().is_some_and(|target| links.iter().any(|link| link == target))) {
            let program = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default().trim().to_owned();
            return Some(Holder { pid, program });
        }
    }
    None
}

/// The inodes of the sockets that hold a port, in a table of `/proc/net`.
fn inodes(text: &str, transport: Transport, port: u16) -> Vec<String> {
    let end = format!(":{port:04X}");
    let holds = |line: &str| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let listens = transport == Transport::Udp || state == LISTENS;
        (local.ends_with(&end) && listens).then(|| fields.nth(5).map(str::to_owned)).flatten()
    };
    text.lines().skip(1).filter_map(holds).filter(|inode| inode != "0").collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_port() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0\n\
            1: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0000000000000000 20 4 30 10 -1\n\
            2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4713 1 0000000000000000 20 4 30 10 -1\n";
        assert_eq!(inodes(text, Transport::Tcp, 8080), ["4711"], "connections do not hold it");
        assert_eq!(inodes(text, Transport::Udp, 40_000), ["4712"]);
        assert!(inodes(text, Transport::Tcp, 1883).is_empty());
        assert!(inodes("garbage\nmore", Transport::Tcp, 1883).is_empty());
    }

    #[test]
    fn a_port_of_this_process_is_found() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let held = holder(Transport::Tcp, socket.local_addr().unwrap().port()).unwrap();
        assert_eq!(held.pid, std::process::id().to_string());
        assert!(!held.program.is_empty());
    }
}
