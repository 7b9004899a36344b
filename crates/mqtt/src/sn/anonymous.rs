//! Publishes of QoS −1: from anybody, without a connection, on the gateway's own link (SN-36).
//!
//! They go out at QoS 0, in order. While there is no link, or when too many wait, they are dropped and counted: nobody
//! was promised anything.

use super::client::{Shared, hear};
use super::counters::Dropped;
use super::session::{Close, Open, ToBroker};
use super::upstream::{Heard, OpenError, Upstream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Publishes that may wait.
pub(super) const QUEUE_MAX: usize = 1024;
/// The pause before the link is opened again.
const PAUSE: Duration = Duration::from_secs(1);
/// Without a link nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// A publish.
pub(super) struct Anonymous {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
}

/// Publishes what comes, until nobody can send any more.
pub(super) async fn run(shared: Arc<Shared>, client_id: String, mut queue: mpsc::Receiver<Anonymous>) {
    let mut link: Option<Upstream> = None;
    let mut again = Instant::now();
    loop {
        let probe = link.as_ref().map_or_else(|| Instant::now() + IDLE, Upstream::due);
        let gone = tokio::select! {
            publish = queue.recv() => {
                let Some(publish) = publish else { break };
                if link.is_none() && Instant::now() >= again {
                    link = open(&shared, &client_id).await;
                    again = Instant::now() + PAUSE;
                }
                match &mut link {
                    Some(link) => send(link, publish, &shared).await.err(),
                    None => {
                        shared.counters.drop_one(Dropped::NoLink);
                        None
                    }
                }
            }
            heard = hear(&mut link) => match heard {
                Heard::Gone(why) => Some(why),
                Heard::News(_) | Heard::Nothing => None,
            },
            () = sleep_until(probe) => match &mut link {
                Some(link) => probe_link(link).await.err(),
                None => None,
            },
        };
        if let Some(why) = gone {
            tracing::debug!(%why, "the gateway's own link to the broker is gone");
            link = None;
        }
    }
    if let Some(link) = link {
        link.close(Close::Forget).await;
    }
}

async fn open(shared: &Shared, client_id: &str) -> Option<Upstream> {
    match Upstream::open(&shared.target, client_id, &Open { clean_start: true, durable: false, will: None }).await {
        Ok((link, _)) => Some(link),
        Err(OpenError::Refused(_, why) | OpenError::Failed(why)) => {
            tracing::warn!(%why, client = client_id, "no link to the broker for publishes of QoS -1");
            None
        }
    }
}

async fn send(link: &mut Upstream, publish: Anonymous, shared: &Shared) -> Result<(), String> {
    let Anonymous { topic, payload, retain } = publish;
    link.put(ToBroker::Publish { packet_id: 0, topic, payload, qos: 0, retain, dup: false })?;
    link.flush().await?;
    shared.counters.published();
    Ok(())
}

async fn probe_link(link: &mut Upstream) -> Result<(), String> {
    link.probe()?;
    link.flush().await
}
