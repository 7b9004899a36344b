//! The process's runtime, for crates that must not name the engine.

use crate::handle::Handle;
use crate::network::{Config, start_tcp};
use crate::replica::StartError;
use commonware_runtime::{Handle as Task, Metrics as _, Runner as _, Supervisor as _, tokio};
use commonware_utils::sync::Notify;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs `main` on the engine's tokio runtime; plain tokio works inside it. `storage` is the directory of all
/// replicas that `main` starts; one process at a time may use it. Returns what `main` returns.
pub fn run<F, Fut, T>(storage: &Path, workers: usize, main: F) -> T
where
    F: FnOnce(Runtime) -> Fut,
    Fut: Future<Output = T>,
{
    let config = tokio::Config::new().with_storage_directory(storage).with_worker_threads(workers.max(1)).with_tcp_nodelay(Some(true));
    tokio::Runner::new(config).start(|context| {
        main(Runtime(Arc::new(Inner { context, started: AtomicU64::new(0), ended: Notify::new(), failed: AtomicBool::new(false) })))
    })
}

struct Inner {
    context: tokio::Context,
    started: AtomicU64,
    ended: Notify,
    failed: AtomicBool,
}

/// The running runtime.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

impl Runtime {
    /// Starts a replica and waits until it answers.
    ///
    /// # Errors
    /// [`StartError`] if the configuration does not fit together, or the data directory cannot be used (the
    /// log then says why).
    pub async fn start(&self, config: Config) -> Result<Handle, StartError> {
        let number = self.0.started.fetch_add(1, Ordering::Relaxed);
        let context = self.0.context.child("node").with_attribute("number", number);
        let (handle, task) = start_tcp(context, config)?;
        self.watch(task);
        handle.status().await.ok_or(StartError::Stopped)?;
        Ok(handle)
    }

    /// A context below this runtime's.
    pub(crate) fn context(&self, label: &'static str) -> tokio::Context {
        self.0.context.child(label)
    }

    /// Has [`Self::stopped`] resolve when `task`, a replica's, has ended.
    pub(crate) fn watch(&self, task: Task<()>) {
        let inner = Arc::clone(&self.0);
        ::tokio::spawn(async move {
            let _ = task.await;
            inner.failed.store(true, Ordering::Release);
            inner.ended.notify_waiters();
        });
    }

    /// The engine's metrics, as Prometheus reads them.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.0.context.encode()
    }

    /// Resolves when a replica has ended, which it only does if its storage failed.
    pub async fn stopped(&self) {
        loop {
            let notified = self.0.ended.notified();
            if self.0.failed.load(Ordering::Acquire) {
                return;
            }
            notified.await;
        }
    }
}
