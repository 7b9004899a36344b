//! Whom a node must reach: its peers and its brokers. A connection is opened and closed again; nothing is said.

use super::Report;
use crate::config::Config;
use mqtt::ServerUrl;
use protocol::Genesis;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How many are tried at a time.
const AT_A_TIME: usize = 32;

/// Tries all of them.
pub(super) fn check(config: &Config, genesis: Option<&Genesis>, report: &mut Report) {
    if config.keeps_a_ledger() {
        peers(config, genesis, report);
    }
    let broker = config.broker.as_ref().and_then(|broker| broker.external.as_deref());
    let parent = config.tier.as_ref().and_then(|tier| tier.parent.as_deref());
    let gateway = config.mqttsn.as_ref().and_then(|mqttsn| mqttsn.broker.as_deref());
    for (key, url) in [("broker.external", broker), ("tier.parent", parent), ("mqttsn.broker", gateway)] {
        if let Some(url) = url {
            server(key, url, report);
        }
    }
}

fn peers(config: &Config, genesis: Option<&Genesis>, report: &mut Report) {
    let own = crate::assembly::read_key(&config.key_file()).ok().map(|key| key.public_key().to_string());
    let others: Vec<(&String, SocketAddr, &str)> = config
        .ledger
        .peers
        .iter()
        .filter(|(_, peer)| Some(&peer.key) != own.as_ref())
        .map(|(name, p)| (name, p.address, p.key.as_str()))
        .collect();
    if others.is_empty() {
        return report.ok("peers", "none are named: this node is alone, or connects to those that registered");
    }
    let addresses: Vec<SocketAddr> = others.iter().map(|(_, address, _)| *address).collect();
    let tried = reached(&addresses);
    let mut members = usize::from(own.as_ref().is_some_and(|key| is_member(genesis, key)));
    for ((name, address, key), result) in others.iter().zip(&tried) {
        match result {
            Ok(()) => {
                members += usize::from(is_member(genesis, key));
                report.ok("peers", format!("{name} at {address} answers"));
            }
            Err(why) => {
                report.warn(
                    "peers",
                    format!("{name} at {address} does not answer: {why}"),
                    "see that it runs, and that no firewall is between",
                );
            }
        }
    }
    if let Some(genesis) = genesis {
        let (quorum, all) = (genesis.committee.quorum(), genesis.committee.validators().len());
        if members < quorum {
            let found = format!("{members} of the {all} validators of the genesis are in reach; {quorum} are needed");
            report.warn("peers", found, "nothing is confirmed before they are, unless others were elected since");
        }
    }
}

fn is_member(genesis: Option<&Genesis>, key: &str) -> bool {
    genesis.is_some_and(|genesis| genesis.committee.validators().iter().any(|v| v.key.to_string() == key))
}

/// What came of connecting to each.
fn reached(addresses: &[SocketAddr]) -> Vec<Result<(), String>> {
    let connect = |address: &SocketAddr| TcpStream::connect_timeout(address, CONNECT_TIMEOUT).map(drop).map_err(|why| why.to_string());
    let mut results = Vec::with_capacity(addresses.len());
    for some in addresses.chunks(AT_A_TIME) {
        results.extend(std::thread::scope(|scope| {
            let tries: Vec<_> = some.iter().map(|address| scope.spawn(move || connect(address))).collect();
            tries.into_iter().map(|tried| tried.join().unwrap_or_else(|_| Err("it could not be tried".to_owned()))).collect::<Vec<_>>()
        }));
    }
    results
}

fn server(key: &str, url: &str, report: &mut Report) {
    let parsed: ServerUrl = match url.parse() {
        Ok(parsed) => parsed,
        Err(why) => return report.bad("brokers", format!("{key}: {why}"), "give mqtt://HOST:PORT or mqtts://HOST:PORT"),
    };
    let addresses = match format!("{}:{}", parsed.host(), parsed.port()).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(why) => {
            return report.bad(
                "brokers",
                format!("{key} {url}: its name is not found: {why}"),
                "correct the name, or the resolver of this machine",
            );
        }
    };
    let tried = reached(&addresses);
    match tried.iter().any(Result::is_ok) {
        true => report.ok("brokers", format!("{key} {url} answers")),
        false => {
            let why = tried.into_iter().find_map(Result::err).unwrap_or_else(|| "it has no address".to_owned());
            report.bad("brokers", format!("{key} {url} does not answer: {why}"), "start it, or correct the address");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::State;
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_listens_is_reached() {
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let results = reached(&[there.local_addr().unwrap(), gone]);
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
        let mut report = Report::default();
        server("broker.external", &format!("mqtt://{}", there.local_addr().unwrap()), &mut report);
        assert_eq!(report.worst(), State::Ok);
        server("broker.external", &format!("mqtt://{gone}"), &mut report);
        assert_eq!(report.worst(), State::Bad);
    }
}
