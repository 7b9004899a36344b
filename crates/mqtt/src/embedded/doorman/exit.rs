//! The end of a right: connections and sessions that are closed, and owners that are forgotten.

use super::{Doorman, KICK_ATTEMPTS, KICK_PAUSE, Session, system_time_s};
use crate::access::{Admission, Proof, Refused};
use crate::broker::Whom;
use rmqtt::codec::v5::{Disconnect as DisconnectV5, DisconnectReasonCode};
use rmqtt::types::{Disconnect, Message, Reason};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a connection may take from its admission until rmqtt calls it connected.
const CONNECTING_MAX: Duration = Duration::from_secs(60);
/// Owners that are looked at without letting others run.
const SWEEP_STEP: usize = 256;

impl Doorman {
    /// Looks at every right again, and closes those that ended. Gives how many connections or sessions went.
    pub(in crate::embedded) async fn sweep(&self) -> usize {
        let all: Vec<(String, Admission)> =
            self.owners().iter().map(|(client_id, owner)| (client_id.clone(), owner.admission.clone())).collect();
        let mut gone = 0;
        for (i, (client_id, admission)) in all.iter().enumerate() {
            if i % SWEEP_STEP == SWEEP_STEP - 1 {
                tokio::task::yield_now().await;
            }
            if let Err(refused) = self.stands(admission) {
                tracing::info!(client = %client_id, who = %admission.identity, reason = refused.reason(), "connection closed");
                gone += usize::from(self.end(client_id).await);
            }
        }
        gone
    }

    /// Whether the right to be here still stands.
    pub(super) fn stands(&self, admission: &Admission) -> Result<(), Refused> {
        self.authority.stands(admission)?;
        match (&admission.proof, &self.tls) {
            // its end is left to `expire`, which keeps the session
            (Proof::Certificate { certificate }, Some(tls)) if certificate.not_after_s > system_time_s() => {
                tls.accepts(certificate).then_some(()).ok_or(Refused::Revoked)
            }
            _ => Ok(()),
        }
    }

    /// Closes whoever `whom` means. Gives how many went.
    pub(in crate::embedded) async fn disconnect(&self, whom: &Whom) -> usize {
        let mut all: Vec<String> = Vec::new();
        for (client_id, owner) in self.owners().iter() {
            let meant = match whom {
                Whom::Client(id) => id == client_id,
                Whom::Device(id) => owner.admission.identity.speaks_for(&self.site) == Some(id),
                Whom::Identity(identity) => owner.admission.identity == *identity,
            };
            if meant {
                all.push(client_id.clone());
            }
        }
        let mut gone = 0;
        for client_id in all {
            tracing::info!(client = %client_id, "connection closed on request");
            gone += usize::from(self.end(&client_id).await);
        }
        gone
    }

    /// Takes a client's right away and closes it, its session included.
    async fn end(&self, client_id: &str) -> bool {
        let Some(owner) = self.owners().remove(client_id) else { return false };
        self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&owner.link);
        self.counters().closed(1);
        self.kick(client_id).await;
        true
    }

    /// Closes connections whose token or certificate ended, and forgets what rmqtt has forgotten. To be called often.
    pub(in crate::embedded) async fn expire(&self) {
        let now_s = system_time_s();
        let mut ended = Vec::new();
        self.live.write().unwrap_or_else(PoisonError::into_inner).retain(|_, session| {
            let expired = session.admission.expires_at_s.is_some_and(|at| at <= now_s);
            if expired {
                ended.push(session.clone());
            }
            let stuck = !session.connected.load(Ordering::Relaxed) && session.since.elapsed() > CONNECTING_MAX;
            !expired && !stuck
        });
        for session in ended {
            let Session { client_id, admission, .. } = &*session;
            tracing::info!(client = %client_id, who = %admission.identity, reason = Refused::Expired.reason(), "connection closed");
            self.counters().closed(1);
            self.close(client_id).await;
        }
    }

    /// Forgets owners of sessions that rmqtt does not have any more.
    pub(in crate::embedded) async fn forget(&self) {
        let all: Vec<String> = self.owners().keys().cloned().collect();
        let gone: Vec<String> = {
            let shared = self.scx.extends.shared().await;
            all.into_iter().filter(|client_id| !shared.exist(client_id)).collect()
        };
        // one that is just being admitted has no session yet
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let mut owners = self.owners();
        for client_id in gone {
            if owners.get(&client_id).is_some_and(|owner| !live.contains_key(&owner.link)) {
                owners.remove(&client_id);
            }
        }
    }

    /// Ends a connection; rmqtt keeps the session as if the client had gone.
    async fn close(&self, client_id: &str) {
        let entry = self.scx.extends.shared().await.entry(self.by_name(client_id));
        if let Some(tx) = entry.tx() {
            let bye = DisconnectV5 { reason_code: DisconnectReasonCode::NotAuthorized, ..Default::default() };
            // It fails only for a client that is gone already.
            let _ = tx.unbounded_send(Message::Closed(Reason::ConnectDisconnect(Some(Disconnect::V5(bye)))));
        }
    }

    /// Ends a connection and its session.
    pub(in crate::embedded) async fn kick(&self, client_id: &str) {
        for _ in 0..KICK_ATTEMPTS {
            let entry = {
                let shared = self.scx.extends.shared().await;
                if !shared.exist(client_id) {
                    return;
                }
                shared.entry(self.by_name(client_id))
            };
            // It is locked while a client of this id connects.
            if let Ok(mut entry) = entry.try_lock().await {
                if let Err(error) = entry.kick(true, true, true).await {
                    tracing::warn!(client = %client_id, error = %format!("{error:#}"), "a client could not be closed");
                }
                return;
            }
            tokio::time::sleep(KICK_PAUSE).await;
        }
        tracing::warn!(client = %client_id, "a client could not be closed: it is always just connecting");
    }
}
