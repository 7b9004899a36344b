//! Nodes that lie: a real node's answers with something changed, or noise.
#![allow(dead_code)] // every test file uses another part of this one

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a peer may take to send its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request.
const REQUEST_MAX: usize = 128 * 1024;

/// A server that answers every request with what `answer` makes of its path and body: a status and a body. It ends with
/// the process.
pub struct Liar {
    pub url: String,
    asked: Arc<AtomicU64>,
}

impl Liar {
    pub fn start(answer: impl Fn(&str, &[u8]) -> (u16, Vec<u8>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (asked, counted) = (Arc::new(AtomicU64::new(0)), Arc::new(answer));
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, count) = (counted.clone(), count.clone());
                std::thread::spawn(move || {
                    if let Some((path, body)) = request(&stream) {
                        count.fetch_add(1, Ordering::Relaxed);
                        let (status, body) = answer(&path, &body);
                        respond(&stream, status, &body);
                    }
                });
            }
        });
        Self { url, asked }
    }

    /// How often it was asked.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The path and the body of a request; one at a connection.
fn request(mut stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let (mut bytes, mut buffer) = (Vec::new(), [0u8; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().filter_map(|l| l.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
            if bytes.len() >= end + 4 + length {
                return Some((head.split(' ').nth(1)?.to_owned(), bytes[end + 4..end + 4 + length].to_vec()));
            }
        }
        let read = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        if bytes.len() > REQUEST_MAX {
            return None;
        }
    }
}

fn respond(mut stream: &TcpStream, status: u16, body: &[u8]) {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // who hung up needs no answer
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).and_then(|()| stream.flush());
}

/// A text with one hexadecimal digit changed: one in the middle of what stands behind `"field": "`.
pub fn spoilt(text: &str, field: &str) -> String {
    let marker = format!("\"{field}\":");
    let from = text.find(&marker).unwrap_or_else(|| panic!("no {field} in {text}")) + marker.len();
    let start = from + text[from..].find('"').expect("a value") + 1;
    let end = start + text[start..].find('"').expect("its end");
    let at = start + (end - start) / 2;
    let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}
