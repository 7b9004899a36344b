//! The embedded broker's place in the tree of brokers, at work: what [`crate::tiers`] needs of rmqtt, and its tasks.

use super::doorman::Doorman;
use super::links::{Clients, Links};
use super::subscriptions::{Dirty, WatchedRouter, watch};
use super::{BrokerError, STOP_POLL};
use crate::log::SiteLog;
use crate::tiers::{self, Subscribers, TierConfig, TierError, Tiers, Uplink};
use rmqtt::context::ServerContext;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as signal;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a stop waits for the link to the parent to be closed.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A broker's place in the tree, at work.
pub(super) struct Tier {
    tiers: Arc<Tiers>,
    links: Links,
    stop: signal::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Opens the spool and takes up what was remembered.
pub(super) async fn open(config: TierConfig) -> Result<Arc<Tiers>, BrokerError> {
    let opened = tokio::task::spawn_blocking(move || Tiers::open(config)).await;
    Ok(Arc::new(opened.map_err(|e| BrokerError::Engine { what: "open the spool", why: e.to_string() })??))
}

impl Tier {
    /// Watches subscriptions, takes links, and starts what talks to the parent. To be called before anybody listens.
    pub(super) async fn start(scx: &ServerContext, doorman: Arc<Doorman>, tiers: Arc<Tiers>, log: SiteLog) -> Result<Self, TierError> {
        let dirty = Arc::new(Dirty::default());
        *scx.extends.router_mut().await = Box::new(WatchedRouter::new(scx, dirty.clone()));
        let subscribers: Arc<dyn Subscribers> = Arc::new(Clients::new(scx.clone()));
        let (stop, stopping) = signal::channel(false);
        let uplink = Uplink::new(tiers.clone(), subscribers.clone(), stopping.clone())?;
        let links = Links::new(tiers.clone(), scx.clone(), doorman, subscribers);
        links.install().await;
        let mut tasks =
            vec![tokio::spawn(watch(scx.clone(), tiers.clone(), dirty)), tokio::spawn(tiers::feed(tiers.clone(), log, stopping))];
        tasks.extend(uplink.map(|uplink| tokio::spawn(uplink.run())));
        Ok(Self { tiers, links, stop, tasks })
    }

    pub(super) fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Takes leave of the parent, and lets go of the log.
    pub(super) async fn leave(&self) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + STOP_TIMEOUT;
        // the first one, which watches subscriptions, never ends by itself
        while self.tasks.iter().skip(1).any(|task| !task.is_finished()) && Instant::now() < deadline {
            tokio::time::sleep(STOP_POLL).await;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// Lets go of the spool, when no client is there any more.
    pub(super) async fn close(&self) {
        self.links.stop();
        let tiers = self.tiers.clone();
        if tokio::task::spawn_blocking(move || tiers.close()).await.is_err() {
            tracing::warn!("the spool was not closed well; the next start recovers it");
        }
    }
}
