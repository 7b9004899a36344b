//! The way of a reading at a collector: needs `--features otel`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use support::{CONFIRM_TIMEOUT, Net, Process, table, until, wattle};

/// Answers each POST with 200 and keeps its body.
fn answer(stream: TcpStream, bodies: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut line, mut length) = (String::new(), 0usize);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        assert!(line.starts_with("POST /v1/traces "), "{line}");
        while !line.trim().is_empty() {
            line.clear();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        bodies.lock().unwrap().extend(body);
        (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")?;
    }
}

fn holds(bodies: &Mutex<Vec<u8>>, part: &[u8]) -> bool {
    bodies.lock().unwrap().windows(part.len()).any(|window| window == part)
}

#[test]
fn a_collector_hears_of_a_reading() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = bodies.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = kept.clone();
            std::thread::spawn(move || answer(stream, &kept));
        }
    });
    let mut net = Net::init(1, &[]);
    let mut command = wattle();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).args(["up", "--until-stdin-ends", "--config"]).arg(net.config(1));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    net.adopt(1, Process(child));
    net.wait_ready(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("table.csv");
    let names = table(&file, 1);
    net.replay(&file, &[]);
    let reading = net.wait_reading(&names[0]);
    net.receipt(&names[0]);
    let id = reading["id"].as_str().expect("an id").to_owned();
    let trace: Vec<u8> = (0..16).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).unwrap()).collect();
    until("the collector has heard of the reading and its receipt", CONFIRM_TIMEOUT, || {
        holds(&bodies, &trace)
            && ["reading", "log", "batch", "message", "milestone", "receipt"].iter().all(|name| holds(&bodies, name.as_bytes()))
    });
    assert!(holds(&bodies, id.as_bytes()), "the whole id is an attribute");
    net.stop(1);
}
