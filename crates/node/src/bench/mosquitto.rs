//! A mosquitto of our own, to compare with: nothing is persisted, nobody has to log in.

use crate::cli::{Exit, Failure};
use crate::demo::POLL;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where system daemons are, beside PATH.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
/// How long it may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running mosquitto. Dropping it ends it.
pub(super) struct Mosquitto {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

/// Where mosquitto is, if it is installed.
pub(super) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from));
    directories.map(|d| d.join("mosquitto")).find(|p| p.is_file())
}

impl Mosquitto {
    /// Starts `program` on a free port.
    ///
    /// # Errors
    /// [`Failure`] if it does not start.
    pub(super) fn start(program: &std::path::Path) -> Result<Self, Failure> {
        let failed = |what: &dyn std::fmt::Display| Failure::new(Exit::Fault, what, program.display(), "start it by hand to see why");
        let directory = tempfile::tempdir().map_err(|e| failed(&e))?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| failed(&e))?.port();
        let config = directory.path().join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type none\n");
        std::fs::write(&config, text).map_err(|e| failed(&e))?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| failed(&e))?;
        let mut mosquitto = Self { child, port, _directory: directory };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Ok(Some(status)) = mosquitto.child.try_wait() {
                return Err(failed(&format!("mosquitto ended ({status})")));
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(failed(&"mosquitto does not listen"));
            }
            std::thread::sleep(POLL);
        }
        Ok(mosquitto)
    }

    /// Where it listens.
    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
