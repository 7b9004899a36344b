//! Services that a wallet offers through devices of this site (M29): the provider's gateway.
//!
//! ```text
//! ledger ─▶ follower ─▶ store ─▶ gateway ─▶ root/fog/<site>/<ID>/act/<type> ─▶ device
//!             Settle ◀─ settling ◀─┘  ▲
//!                                     └──── desk ◀─ root/device/<site>/<ID>/report ◀─ device
//! ```
//! # Rules
//! - `docs/spec/services.md` (SRV-n), over WAL-33 to WAL-37 of `docs/spec/wallet.md`; the tests name them.
//! - What was bought and is owed is the ledger's to remember; what was done about it is the store's.

pub(crate) mod command;
pub(crate) mod committees;
mod desk;
mod follower;
mod gateway;
mod settling;
mod store;

pub(crate) use gateway::MARGIN_MS;

use crate::config::Config;
use crate::following::{Following, place};
use crate::sqlite::Store;
use anyhow::{Context as _, anyhow};
use committees::Way;
use desk::Desk;
use follower::Follower;
use gateway::Gateway;
use mqtt::{Broker, ReportDesk};
use protocol::{Genesis, Name, SecretKey};
use replica::Handle;
use settling::Settling;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Everything that is ready, but for the broker.
pub(crate) struct Prepared {
    ledger: Handle,
    genesis: Genesis,
    site: Name,
    key: SecretKey,
    answer: Duration,
    store: Arc<Store>,
    changed: Arc<Notify>,
    height: u64,
}

/// The tasks that run.
pub(crate) struct ServiceTasks(Vec<JoinHandle<()>>);

/// Opens what a provider remembers, if the configuration has `[services]`. `key` is the node's.
///
/// # Errors
/// One that names the file, or says that the ledger has stopped.
pub(crate) async fn prepare(
    config: &Config,
    site: Name,
    genesis: &Genesis,
    key: &SecretKey,
    ledger: &Handle,
) -> anyhow::Result<Option<Prepared>> {
    let Some(settings) = &config.services else { return Ok(None) };
    let key = match config.services_key() {
        Some(file) => {
            let read = tokio::task::spawn_blocking(move || crate::cli::keys::read_unasked(&file)).await;
            read.context("reading services.key")?.map_err(|why| anyhow!("services.key: {why}"))?
        }
        None => key.clone(),
    };
    let file = config.services_file();
    let store = tokio::task::spawn_blocking(move || store::FILE.open(&file)).await.context("opening the file of services")??;
    let store = Arc::new(store);
    let status = ledger.status().await.context("the ledger node has stopped")?;
    let height = place::begin(&store, status.height).await?;
    let answer = Duration::from_millis(settings.answer_ms);
    let changed = Arc::new(Notify::new());
    Ok(Some(Prepared { ledger: ledger.clone(), genesis: genesis.clone(), site, key, answer, store, changed, height }))
}

impl Prepared {
    /// Who takes what the site's devices report.
    pub(crate) fn desk(&self) -> Arc<dyn ReportDesk> {
        Arc::new(Desk { store: self.store.clone(), changed: self.changed.clone() })
    }

    /// Starts to follow the ledger and to speak through the site's broker.
    pub(crate) fn start(self, broker: Arc<dyn Broker>) -> ServiceTasks {
        let Self { ledger, genesis, site, key, answer, store, changed, height } = self;
        let follower = Follower {
            ledger: ledger.clone(),
            following: Following::new(ledger.clone(), follower::EVENTS_MAX, height),
            provider: key.public_key(),
            store: store.clone(),
            changed: changed.clone(),
            providers: BTreeMap::new(),
        };
        let settling = Settling::new(ledger.clone(), genesis.network(), key);
        let gateway = Gateway {
            ledger,
            broker,
            store,
            changed,
            way: Arc::new(Mutex::new(Way::new(genesis))),
            verified: BTreeMap::new(),
            site,
            answer,
            settling,
            published: BTreeMap::new(),
            started_ms: crate::clock::now_us() / 1_000,
            heard_after: 0,
        };
        ServiceTasks(vec![tokio::spawn(follower.run()), tokio::spawn(gateway.run())])
    }
}

impl ServiceTasks {
    /// Ends the tasks. What they have not done yet, the next start does.
    pub(crate) fn stop(&self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
