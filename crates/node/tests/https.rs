//! Commands ask nodes that serve HTTPS: whom they believe, and what they say if nobody they believe vouches for the node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use support::{NODE_TIMEOUT, Net, Ran, free_ports, installed, run, until, wattle};

/// What a certificate of a node needs.
const NAMED: &str = "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n";

/// `wattle status` of a node, with more arguments, and with these variables only.
fn status(node: &str, more: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = wattle();
    for name in ["WATTLE_CA", "WATTLE_TOKEN", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    command.args(["status", "--node", node]).args(more).envs(variables.iter().copied()).output().unwrap().into()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_node_is_believed_if_its_authority_is() {
    if installed("openssl").is_none() {
        eprintln!("skipped: openssl is not installed here");
        return;
    }
    let mut net = Net::init(1, &[]);
    let dir = net.node_dir(1);
    let file = |name: &str| text(&dir.join(name));
    let files = ["ours.pem", "theirs.pem", "nowhere.pem"].map(file);
    let [ours, theirs, nowhere] = files.each_ref().map(String::as_str);
    tls::authority(&dir, "ours");
    tls::authority(&dir, "theirs");
    tls::key(&dir);
    tls::certificate(&dir, Some("ours"), NAMED, 30);
    net.configure(1, tls::TABLE);
    let by_address = net.http(1).replace("http://", "https://");
    let by_name = by_address.replace("127.0.0.1", "localhost");
    net.start(1);
    until("the node answers over TLS", NODE_TIMEOUT, || status(&by_name, &["--ca", ours], &[]).code == 0);
    until("it says so", NODE_TIMEOUT, || net.log(1).contains(&format!("HTTP {by_address}")));

    // whom to believe is said on the command line, else by the environment, else by the system
    assert_eq!(status(&by_name, &["--ca", ours, "--json"], &[("WATTLE_CA", theirs)]).json()["name"], "node1");
    status(&by_name, &[], &[("WATTLE_CA", ours), ("SSL_CERT_FILE", theirs)]).ok();
    status(&by_name, &[], &[("SSL_CERT_FILE", ours)]).ok();
    run(&["--ca", ours, "milestones", "--node", &by_name, "--json"]).ok();
    let genesis = text(&net.genesis_file());
    run(&["light", "site", "z1", "--genesis", &genesis, "--node", &by_name, "--ca", theirs]).refused(1, &["theirs.pem"]);
    // the doctor asks it by its address first, and says what to do about that
    let config = text(&net.config(1));
    let report = run(&["doctor", "--config", &config, "--node", &by_name, "--ca", ours, "--json"]).json();
    let clock = |state: &str, says: &str| {
        let fits = |f: &serde_json::Value| f["check"] == "clock" && f["state"] == state && f["found"].as_str().unwrap().contains(says);
        report["findings"].as_array().unwrap().iter().any(fits)
    };
    assert!(clock("ok", &by_name) && clock("warn", "not for 127.0.0.1"), "{report:#}");

    // and nobody else
    status(&by_name, &[], &[("SSL_CERT_FILE", theirs)]).refused(1, &["the system", &by_name, "--ca", "WATTLE_CA"]);
    status(&by_name, &[], &[("SSL_CERT_FILE", nowhere)]).refused(2, &["no authority", "--ca"]);
    status(&by_name, &["--ca", theirs], &[("SSL_CERT_FILE", ours)]).refused(1, &["theirs.pem", "vouches", &by_name, "--ca"]);
    status(&by_name, &["--ca", nowhere], &[]).refused(2, &["nowhere.pem", "--ca"]);
    status(&by_name, &["--ca", &file("ours.key")], &[]).refused(2, &["ours.key", "no certificate"]);
    let missing = run(&["up", "--config", &config, "--from-peer", &by_name, "--ca", nowhere]);
    missing.refused(2, &["nowhere.pem", "--ca"]);
    // another name than the certificate's, and no TLS
    status(&by_address, &["--ca", ours], &[]).refused(1, &["not for 127.0.0.1, but for localhost", "subjectAltName"]);
    status(&by_name.replace("https://", "http://"), &[], &[]).refused(3, &["localhost"]);

    // the files of the node are read anew when they change
    tls::certificate(&dir, Some("ours"), NAMED, -1);
    status(&by_name, &["--ca", ours], &[]).refused(1, &["expired", "[http.tls]", "clock"]);
    tls::certificate(&dir, Some("ours"), "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth\n", 30);
    status(&by_name, &["--ca", ours], &[]).refused(1, &["not for servers", "serverAuth"]);
    // a certificate that vouches for itself, which an authority's cannot
    tls::certificate(&dir, None, "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:TRUE\n", 30);
    status(&by_name, &["--ca", &file("http.pem")], &[]).refused(1, &["CA:TRUE", "CA:FALSE"]);
    tls::certificate(&dir, None, "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\n", 30);
    status(&by_name, &["--ca", &file("http.pem")], &[]).ok();
    status(&by_name, &["--ca", ours], &[]).refused(1, &["ours.pem", "vouches"]);
    net.stop(1);
}

#[test]
fn what_speaks_no_tls_is_said_so() {
    if installed("openssl").is_none() {
        eprintln!("skipped: openssl is not installed here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    tls::authority(dir.path(), "ours");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answered = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0u8; 1024];
        assert!(stream.read(&mut hello).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        // until the other side has read it
        let _ = stream.read(&mut hello);
    });
    status(&url, &["--ca", &text(&dir.path().join("ours.pem"))], &[]).refused(1, &["no TLS", &url, "http://"]);
    answered.join().unwrap();
}

#[test]
fn a_token_does_not_go_in_the_clear_unsaid() {
    let dir = tempfile::tempdir().unwrap();
    let token = text(&dir.path().join("a.token"));
    std::fs::write(&token, "wattle_secret\n").unwrap();
    let port = free_ports(1);
    let warned = |host: &str, more: &[&str], variables: &[(&str, &str)]| {
        let ran = status(&format!("http://{host}:{port}"), more, variables);
        assert_eq!(ran.code, 3, "nobody listens there: {ran:?}");
        assert!(!ran.stderr.contains("wattle_secret"), "{ran:?}");
        ran.stderr.lines().filter(|line| line.starts_with("warning: the token") && line.contains(host)).count()
    };
    // this address is this machine, too; it is not called so
    assert_eq!(warned("0.0.0.0", &["--token-file", &token], &[]), 1);
    assert_eq!(warned("0.0.0.0", &[], &[("WATTLE_TOKEN", "wattle_secret")]), 1);
    assert_eq!(warned("0.0.0.0", &[], &[]), 0);
    assert_eq!(warned("127.0.0.1", &["--token-file", &token], &[]), 0);
    assert_eq!(warned("localhost", &["--token-file", &token], &[]), 0);
}
