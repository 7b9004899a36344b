//! What a supervisor such as systemd is told: that this process is ready, that it stops, that it is alive.
//!
//! ```text
//! NOTIFY_SOCKET   a datagram socket, a path or `@name`   ─▶ READY=1, STOPPING=1, STATUS=…, WATCHDOG=1
//! WATCHDOG_USEC   how long it may be silent              ─▶ half of it between two signs of life
//! ```
//! # Rules
//! - Without `NOTIFY_SOCKET` nothing happens. A supervisor that cannot be told is no reason to stop: it is logged.
//! - Signs of life come from the runtime that does the work: if that hangs, they end.
//! - The protocol is that of sd_notify(3) and sd_watchdog_enabled(3).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The shortest pause between two signs of life.
const ALIVE_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Tells that everything answers, and from now on that the process is alive. To be called within a runtime.
pub(crate) fn ready(status: &str) {
    // a line break would begin another assignment
    tell(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
    let pause = std::env::var_os("NOTIFY_SOCKET").and(alive_pause(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id()));
    if let Some(pause) = pause {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(pause);
            loop {
                ticks.tick().await;
                tell("WATCHDOG=1");
            }
        });
    }
}

/// Tells that the process stops, as it was asked to.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How often a sign of life is due; none if nobody waits for it, or it is another process's.
fn alive_pause(usec: Option<u64>, pid: Option<u64>, own: u32) -> Option<Duration> {
    let meant = pid.is_none_or(|pid| pid == u64::from(own));
    usec.filter(|usec| *usec > 0 && meant).map(|usec| Duration::from_micros(usec / 2).max(ALIVE_PAUSE_MIN))
}

fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(why) = send(&socket, state) {
        tracing::warn!("the supervisor at {} cannot be told {:?}: {why}", socket.display(), state);
    }
}

/// Sends one state.
fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to_addr(state.as_bytes(), &address(socket)?).map(drop)
}

/// A path, or a name without a file behind `@`.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(OsString::from(socket)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0u8; 256];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_a_name_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        assert_eq!(heard(&socket), "READY=1");
        let name = format!("wattle-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
        assert_eq!(heard(&socket), "STOPPING=1");
        assert!(send(dir.path().join("no").as_os_str(), "READY=1").is_err());
    }

    #[test]
    fn signs_of_life_come_twice_as_often_as_asked() {
        assert_eq!(alive_pause(Some(30_000_000), None, 7), Some(Duration::from_secs(15)));
        assert_eq!(alive_pause(Some(30_000_000), Some(7), 7), Some(Duration::from_secs(15)));
        assert_eq!(alive_pause(Some(30_000_000), Some(8), 7), None);
        assert_eq!(alive_pause(Some(0), None, 7), None);
        assert_eq!(alive_pause(None, None, 7), None);
        assert_eq!(alive_pause(Some(1), None, 7), Some(ALIVE_PAUSE_MIN));
    }
}
