//! What a part says and nobody keeps: it goes out in order, and is dropped and counted when too much waits.

use mqtt::roles::{Carrier, CarryError, Outgoing};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// What may wait to be published.
const WAITING_MAX: usize = 1024;

/// The way out. Clones are the same; when the last is gone, so is the task behind it.
#[derive(Clone)]
pub(crate) struct Mouth {
    queue: mpsc::Sender<(String, Vec<u8>)>,
    dropped: Arc<AtomicU64>,
}

impl Mouth {
    /// Publishes over `carrier`.
    #[must_use]
    pub(crate) fn open(carrier: Arc<Carrier>) -> Self {
        let (queue, copies) = mpsc::channel(WAITING_MAX);
        tokio::spawn(speak(carrier, copies));
        Self { queue, dropped: Arc::default() }
    }

    /// Publishes topics and payloads, without waiting.
    pub(crate) fn tell(&self, copies: Vec<(String, Vec<u8>)>) {
        for copy in copies {
            if self.queue.try_send(copy).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How much was dropped.
    #[must_use]
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn speak(carrier: Arc<Carrier>, mut copies: mpsc::Receiver<(String, Vec<u8>)>) {
    while let Some((topic, payload)) = copies.recv().await {
        match carrier.publish(Outgoing::plain(topic.clone(), payload)).await {
            Ok(()) => {}
            Err(CarryError::Stopped) => return,
            Err(error) => tracing::warn!(%topic, %error, "not handed to subscribers"),
        }
    }
}
