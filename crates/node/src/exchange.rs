//! What sites tell each other over the ledger: requests between devices (M23), and devices that roam (M25).
//!
//! ```text
//! device ─PUBLISH …/request─▶ desk ─┐                          ┌─▶ notices ─▶ root/node/<site>/<ID>/requested
//!                                   ├─▶ issuing ─▶ ledger ─▶ follower ─▶ store ─▶ delivery ─▶ root/fog/<site>/<ID>/act/<type>
//! device of another site ─▶ roaming ┘                          └─▶ roaming ─▶ broker: sessions, what waited
//! ```
//! # Rules
//! - `docs/spec/requests.md` and `docs/spec/roaming.md`; the tests name them.
//! - What was told before is the ledger's to remember; what was done about it is the store's.
//! - Every queue has a bound. What does not fit is refused to the device, or dropped and counted if it was a notice.

mod counters;
mod delivery;
mod desk;
mod follower;
mod issuing;
mod notices;
mod payload;
mod policy;
mod roaming;
mod store;

pub(crate) use counters::ExchangeStats;
pub(crate) use roaming::Foreigners;
pub(crate) use store::{LIST_MAX, Listed};

use crate::clock::now_us;
use crate::config::Config;
use crate::devices::Devices;
use crate::following::{Following, place};
use crate::sqlite::{Store, StoreError};
use anyhow::Context as _;
use counters::Counters;
use delivery::Delivery;
use desk::{Desk, DeskParts};
use follower::Follower;
use issuing::{Issuer, Job, Jobs};
use mqtt::{Broker, RequestDesk};
use notices::Notices;
use payload::Notice;
use policy::Policy;
use protocol::{DeviceName, Id, Name, NetworkId, PublicKey};
use replica::Handle;
use roaming::Roaming;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinHandle;

/// How far the time of a request may be ahead of whoever looks at it, in microseconds: two minutes.
const AHEAD_US_MAX: u64 = 120 * 1_000_000;

/// Where a record comes from.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// The message.
    message: Id,
    /// The node that issued it.
    issuer: PublicKey,
    /// The milestone that confirmed it.
    height: u64,
    /// That milestone's time, in milliseconds since 1970.
    time_ms: u64,
}

/// Looks at what runs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Exchange {
    store: Arc<Store>,
    counters: Arc<Counters>,
}

/// Everything that is ready, but for the broker.
pub(crate) struct Prepared {
    exchange: Exchange,
    ledger: Handle,
    me: PublicKey,
    network: NetworkId,
    site: Name,
    policy: Option<Policy>,
    max_age_us: u64,
    hold_ms: u64,
    height: u64,
    desk: Option<Arc<Desk>>,
    jobs: Jobs,
    queue: mpsc::Receiver<Job>,
    notices: Notices,
    to_tell: mpsc::Receiver<(DeviceName, Notice)>,
    roaming: Option<Arc<Roaming>>,
}

/// The tasks that run.
pub(crate) struct ExchangeTasks(Vec<JoinHandle<()>>);

/// Opens what a site remembers, if its configuration has `[requests]` or `[roaming]`. `foreigners`: the devices of the sites
/// that may visit.
///
/// # Errors
/// One that names the file, or says that the ledger has stopped.
pub(crate) async fn prepare(
    config: &Config,
    (site, network): (Name, NetworkId),
    ledger: &Handle,
    devices: &Arc<Devices>,
    foreigners: &Foreigners,
) -> anyhow::Result<Option<Prepared>> {
    if config.requests.is_none() && config.roaming.is_none() {
        return Ok(None);
    }
    let file = config.exchange_file();
    let store = tokio::task::spawn_blocking(move || store::FILE.open(&file)).await.context("opening the file of requests")??;
    let store = Arc::new(store);
    let status = ledger.status().await.context("the ledger node has stopped")?;
    let height = place::begin(&store, status.height).await?;
    let counters = Arc::new(Counters::default());
    let (jobs, queue) = Jobs::new();
    let (notices, to_tell) = Notices::new(counters.clone());
    let settings = config.requests.clone().unwrap_or_default();
    let policy = match &config.requests {
        Some(requests) => Some(Policy::new(requests).context("[requests]")?),
        None => None,
    };
    let max_age_us = settings.max_age_s.saturating_mul(1_000_000);
    let desk = match &policy {
        Some(policy) => {
            let since_ms = now_us().saturating_sub(max_age_us).saturating_sub(AHEAD_US_MAX) / 1_000;
            let issued = store.transact(move |t| store::recent(t, since_ms)).await?;
            let parts = DeskParts {
                network,
                policy: policy.clone(),
                devices: devices.clone(),
                require_registration: config.devices.require_registration,
                max_age_us,
                jobs: jobs.clone(),
                notices: notices.clone(),
                counters: counters.clone(),
            };
            Some(Arc::new(Desk::new(parts, issued)))
        }
        None => None,
    };
    let roaming = match &config.roaming {
        Some(settings) => {
            let parts = roaming::Parts {
                site: site.clone(),
                me: status.key,
                settings: settings.clone(),
                ledger: ledger.clone(),
                store: store.clone(),
                jobs: jobs.clone(),
                counters: counters.clone(),
                foreigners: foreigners.clone(),
            };
            Some(Arc::new(Roaming::open(parts).await?))
        }
        None => None,
    };
    Ok(Some(Prepared {
        exchange: Exchange { store, counters },
        ledger: ledger.clone(),
        me: status.key,
        network,
        site,
        policy,
        max_age_us,
        hold_ms: settings.hold_s.saturating_mul(1_000),
        height,
        desk,
        jobs,
        queue,
        notices,
        to_tell,
        roaming,
    }))
}

impl Prepared {
    /// Who takes the requests of the site's devices, if somebody does.
    pub(crate) fn desk(&self) -> Option<Arc<dyn RequestDesk>> {
        self.desk.clone().map(|desk| desk as Arc<dyn RequestDesk>)
    }

    /// What roams, if anything may.
    pub(crate) fn roaming(&self) -> Option<Arc<Roaming>> {
        self.roaming.clone()
    }

    /// Starts to follow the ledger and to speak through the site's broker.
    pub(crate) fn start(self, broker: Arc<dyn Broker>) -> (Exchange, ExchangeTasks) {
        let Self {
            exchange, ledger, me, network, site, policy, max_age_us, hold_ms, height, jobs, queue, notices, to_tell, roaming, ..
        } = self;
        let Exchange { store, counters } = exchange.clone();
        let (held, gate) = (Arc::new(Notify::new()), Arc::new(Mutex::new(())));
        let issuer = Issuer {
            ledger: ledger.clone(),
            store: store.clone(),
            notices: notices.clone(),
            counters: counters.clone(),
            gate: gate.clone(),
        };
        let delivery =
            Delivery { broker: broker.clone(), store: store.clone(), jobs: jobs.clone(), counters: counters.clone(), held: held.clone() };
        let mut tasks = vec![
            tokio::spawn(issuer.run(queue)),
            tokio::spawn(notices::speak(broker.clone(), to_tell, counters.clone())),
            tokio::spawn(delivery.run()),
        ];
        if let Some(roaming) = &roaming {
            tasks.push(tokio::spawn(roaming.clone().run(broker)));
        }
        let follower = Follower {
            following: Following::new(ledger.clone(), follower::EVENTS_MAX, height),
            ledger,
            me,
            network,
            site,
            policy,
            max_age_us,
            hold_ms,
            store,
            jobs,
            notices,
            counters,
            roaming,
            gate,
            held,
        };
        tasks.push(tokio::spawn(follower.run()));
        (exchange, ExchangeTasks(tasks))
    }
}

impl ExchangeTasks {
    /// Ends the tasks. What they have not done yet, the next start does.
    pub(crate) fn stop(&self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Exchange {
    /// What was counted since the start.
    pub(crate) fn stats(&self) -> ExchangeStats {
        self.counters.read()
    }

    /// The newest requests of devices here and for devices here, at most `limit` and [`LIST_MAX`].
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub(crate) async fn newest(&self, before: Option<(u64, Id, String)>, limit: u32) -> Result<Vec<Listed>, StoreError> {
        self.store.transact(move |t| store::newest(t, before.as_ref(), limit)).await
    }
}
