//! A CONNECT: who comes, whether it may, and what it is then let in with.

use super::{Doorman, INNER_LISTENERS, Link, Owner, Session, link, system_time_s};
use crate::access::{Admission, Attempt, Identity, Meter, Refused, Verdict};
use crate::client::CLIENT_ID_BYTES_MAX;
use crate::embedded::front::Peer;
use crate::roles::{SERVICE_PREFIX, Service};
use crate::tiers::passport::{LINK_PREFIX, link_scope};
use protocol::Name;
use rmqtt::types::{AuthResult, ConnectInfo, Id, LastWill};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

impl Doorman {
    /// Answers a CONNECT.
    pub(in crate::embedded) async fn authenticate(&self, client: &ConnectInfo) -> AuthResult {
        let refused = match self.admit(client).await {
            // Never as superuser: that would skip the check of publishes, and with it the log.
            Ok(()) => return AuthResult::Allow(false, None),
            Err(refused) => refused,
        };
        self.counters().refused(refused);
        let short = |text: &str| text.chars().take(CLIENT_ID_BYTES_MAX).collect::<String>();
        let user = client.username().map(|user| short(&user[..]));
        let address = self.address(client.id()).map(|(_, _, address)| address);
        tracing::info!(client = %short(&client.client_id()[..]), ?user, ?address, reason = refused.reason(), "connection refused");
        if refused.is_credentials() { AuthResult::BadUsernameOrPassword } else { AuthResult::NotAuthorized }
    }

    /// The connection, who was announced under it, and where the client is.
    fn address(&self, id: &Id) -> Option<(Link, Option<Arc<Peer>>, SocketAddr)> {
        let link = link(id)?;
        if !INNER_LISTENERS.contains(&link.0) {
            return Some((link, None, link.1));
        }
        let peer = self.peers.get(&link.1)?;
        let address = peer.address;
        Some((link, Some(peer), address))
    }

    /// A client has sent a CONNECT that somebody else refuses.
    pub(in crate::embedded) fn judged(&self, id: &Id) {
        if let Some((_, Some(peer), _)) = self.address(id) {
            peer.judge();
        }
    }

    async fn admit(&self, client: &ConnectInfo) -> Result<(), Refused> {
        let (link, peer, address) = self.address(client.id()).ok_or(Refused::Stranger)?;
        if let Some(peer) = &peer {
            peer.judge();
        }
        let client_id: &str = client.client_id();
        if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX || client_id.chars().any(char::is_control) {
            return Err(Refused::ClientId);
        }
        if !are_credentials(client) {
            return Err(Refused::Credentials);
        }
        let attempt = Attempt {
            client_id,
            user: client.username().map(|user| &**user),
            password: client.password().map(|password| &**password),
            certificate: peer.as_ref().and_then(|peer| peer.certificate.as_ref()),
            local: address.ip().to_canonical().is_loopback(),
            now_s: system_time_s(),
        };
        let admission = self.authority.authenticate(&attempt).await?;
        if !may_be_called(client_id, &admission.identity, attempt.local) || !may_serve(client_id, &admission, &self.site) {
            return Err(Refused::ClientId);
        }
        let will = client.last_will().map(|will| match will {
            LastWill::V3(will) => will.topic.to_string(),
            LastWill::V5(will) => will.topic.to_string(),
        });
        if let Some(topic) = will
            && !self.may_will(&admission, &topic)
        {
            return Err(Refused::Will);
        }
        self.take_over(client_id, &admission).await?;
        let session = Session {
            admission: admission.clone(),
            client_id: client_id.to_owned(),
            meter: Mutex::new(Meter::new(&self.limits, self.now_us())),
            since: Instant::now(),
            connected: AtomicBool::new(false),
            told: AtomicBool::new(false),
        };
        self.live.write().unwrap_or_else(PoisonError::into_inner).insert(link, Arc::new(session));
        self.owners().insert(client_id.to_owned(), Owner { admission: admission.clone(), link });
        // A reload since the question was asked has not seen this owner; one from now on will.
        if let Err(refused) = self.stands(&admission) {
            self.live.write().unwrap_or_else(PoisonError::into_inner).remove(&link);
            self.owners().remove(client_id);
            return Err(refused);
        }
        if let Some(peer) = peer {
            peer.admit();
        }
        Ok(())
    }

    /// Whether a will may be left for `topic`: it must be one that is recorded, or that a service or link routes.
    pub(in crate::embedded) fn may_will(&self, who: &Admission, topic: &str) -> bool {
        let routes = matches!(who.identity, Identity::Service { .. } | Identity::Link { .. });
        who.rules.may_publish(topic) == Verdict::Allowed && (routes || self.is_own_device(topic))
    }

    /// Whether a client may have the session of rmqtt that its client id names. One that was made with other rights goes.
    async fn take_over(&self, client_id: &str, admission: &Admission) -> Result<(), Refused> {
        let known = self.owners().get(client_id).map(|owner| {
            let same = owner.admission.identity == admission.identity;
            (same, same && owner.admission.rules == admission.rules)
        });
        let exists = self.scx.extends.shared().await.exist(client_id);
        match known {
            Some((false, _)) if exists => Err(Refused::ClientId),
            Some((true, same)) if exists && (!same || Service::of(client_id, &self.site).is_some()) => {
                self.kick(client_id).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Whether name and password are what the protocol allows, which rmqtt does not look at: no NUL in a name (1.5.3 of
/// MQTT 3.1.1, 1.5.4 of MQTT 5), and in MQTT 3.1.1 no password without a name (3.1.2.9).
fn are_credentials(client: &ConnectInfo) -> bool {
    let nameless = matches!(client, ConnectInfo::V3(..)) && client.username().is_none() && client.password().is_some();
    !nameless && !client.username().is_some_and(|name| name.contains('\0'))
}

/// Whether `who` may have this client id, as far as links go.
pub(super) fn may_be_called(client_id: &str, who: &Identity, local: bool) -> bool {
    let link = client_id.starts_with(LINK_PREFIX);
    match who {
        Identity::Link { site, .. } => link_scope(client_id).is_some_and(|scope| scope.to_string() == site.as_str()),
        Identity::Anonymous => !link || local,
        _ => !link,
    }
}

/// Whether a connection may have this client id, as far as parts of the site go.
fn may_serve(client_id: &str, admission: &Admission, site: &Name) -> bool {
    match Service::of(client_id, site) {
        Some((service, _)) => {
            let is_service = matches!(admission.identity, Identity::Service { .. });
            is_service && admission.rules.may_publish(&service.own_topic(site)) == Verdict::Allowed
        }
        None => !client_id.starts_with(SERVICE_PREFIX),
    }
}
