//! The asynchronous runtime of the commands that speak MQTT. A node has its own: the replica's.

use super::{Exit, Failure};

/// Threads for publishing: one is busy with sockets, one with the rest.
const WORKERS: usize = 2;

/// Starts a runtime.
///
/// # Errors
/// [`Failure`] if the system gives no threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Fault, e, "starting threads", "check the limits of this account (ulimit -u)"))
}

/// Resolves when somebody asks this process to stop: Ctrl-C or SIGTERM.
pub(crate) async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        // without the one the other still works
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
