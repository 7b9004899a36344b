//! Logs: always on stderr.

use super::Command;
use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` decides if it is set; else a node tells of itself, and a tool is quiet unless
/// `-v` is given.
pub(crate) fn start(verbose: u8, command: &Command) {
    let node = matches!(command, Command::Up(_));
    let default = match (verbose, node) {
        (0, false) => "error",
        (0, true) => "warn,wattle=info,mqtt=info,replica=info",
        (1, _) => "info,wattle=debug,mqtt=debug,replica=debug",
        _ => "debug,wattle=trace,mqtt=trace,replica=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // a second subscriber cannot be set; there is only this one
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).try_init();
}
