//! The broker of others, where it is installed.

use crate::waiting::until;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A mosquitto that ends with the test.
pub struct Mosquitto {
    pub child: Child,
    pub url: String,
    pub _dir: TempDir,
}

impl Mosquitto {
    /// `None`, with a note, where it is not installed.
    pub async fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
        let Some(program) = folders.map(|f| f.join("mosquitto")).find(|f| f.is_file()) else {
            eprintln!("skipped: mosquitto is not installed");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let config = dir.path().join("mosquitto.conf");
        // Room for what an absence brings; `user` lets it start under root too.
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n\
             max_queued_messages 100000\nmax_inflight_messages 100\nset_tcp_nodelay true\n"
        );
        std::fs::write(&config, text).unwrap();
        let child =
            Command::new(program).arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mosquitto = Self { child, url: format!("mqtt://127.0.0.1:{port}"), _dir: dir };
        until("mosquitto to listen", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()).await;
        Some(mosquitto)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
