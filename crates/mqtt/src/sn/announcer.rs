//! Tells that the gateway is here: ADVERTISE now and then, GWINFO to who searches (SN-5, SN-6).
//!
//! GWINFO comes after a random pause, so that several gateways do not answer at once; whoever searches meanwhile is
//! answered with the same.

use super::peer::{Outlet, Peer};
use protocol::sn::Packet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Searches that may wait for an answer. Beyond, they are not answered: clients search again.
pub(super) const SEARCHES_MAX: usize = 64;
/// The longest pause before an answer.
const GWINFO_DELAY_MS_MAX: u64 = 200;

/// What is told, where to and how often.
pub(super) struct Announcer {
    pub(super) outlet: Outlet,
    pub(super) gateway_id: u8,
    pub(super) to: Option<SocketAddr>,
    pub(super) every: Duration,
    pub(super) searches: mpsc::Receiver<Peer>,
}

impl Announcer {
    /// Until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick(), if self.to.is_some() => self.advertise().await,
                peer = self.searches.recv() => match peer {
                    Some(peer) => self.answer(peer).await,
                    None => return,
                },
            }
        }
    }

    async fn advertise(&self) {
        let Some(address) = self.to else { return };
        let duration_s = u16::try_from(self.every.as_secs()).unwrap_or(u16::MAX);
        let peer = Peer { address, secure: None, node: None };
        self.outlet.send(&peer, Packet::Advertise { gateway_id: self.gateway_id, duration_s }).await;
    }

    async fn answer(&mut self, first: Peer) {
        sleep(Duration::from_millis(any_number() % (GWINFO_DELAY_MS_MAX + 1))).await;
        let mut next = Some(first);
        while let Some(peer) = next {
            self.outlet.send(&peer, Packet::GatewayInfo { gateway_id: self.gateway_id, address: Vec::new() }).await;
            next = self.searches.try_recv().ok();
        }
    }
}

/// A number that nobody guesses; it need not be more.
fn any_number() -> u64 {
    RandomState::new().build_hasher().finish()
}
