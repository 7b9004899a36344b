//! A disk that ends, without being root: a running node whose files may not grow beyond a size.
//!
//! The limit is the system's own on the size of files (`RLIMIT_FSIZE`). The node is started with the signal that
//! goes with it ignored, so that a write beyond the limit fails, as it does on a disk that is full (some room) or
//! read-only (no room: every write fails).

use crate::support::{Net, Process};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

/// A node whose disk can end.
pub struct Limited {
    pid: Pid,
    node: u16,
    said: JoinHandle<String>,
}

impl Limited {
    /// Starts node `k` of `net`. Its log goes through this process, which has no limit, to `log.txt` in its directory.
    pub fn start(net: &mut Net, k: u16) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_wattle")]);
        command.env_remove("RUST_LOG").args(["up", "--until-stdin-ends", "--config"]).arg(net.config(k));
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program cannot be started");
        let mut stderr = child.stderr.take().expect("its log");
        let mut log = OpenOptions::new().create(true).append(true).open(net.node_dir(k).join("log.txt")).expect("a log file");
        let said = std::thread::spawn(move || {
            let (mut all, mut buffer) = (Vec::new(), [0u8; 4096]);
            while let Ok(read) = stderr.read(&mut buffer) {
                if read == 0 {
                    break;
                }
                all.extend_from_slice(&buffer[..read]);
                log.write_all(&buffer[..read]).expect("the log file");
            }
            String::from_utf8_lossy(&all).into_owned()
        });
        let pid = Pid::from_child(&child);
        net.adopt(k, Process(child));
        Self { pid, node: k, said }
    }

    /// From now on no file of the node grows beyond so many bytes; with 0 nothing at all can be written.
    pub fn limit(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), maximum: getrlimit(Resource::Fsize).maximum };
        prlimit(Some(self.pid), Resource::Fsize, limit).expect("limiting the size of files");
    }

    /// Waits until the node ends by itself; gives its exit code and all it said.
    pub fn wait_end(self, net: &mut Net) -> (i32, String) {
        let code = net.wait_end(self.node);
        (code, self.said.join().expect("the log's thread"))
    }
}
