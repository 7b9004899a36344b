//! Sessions of devices that roam: what leaves with them, and what comes (docs/spec/roaming.md).
//!
//! ```text
//! depart: right ended ─▶ session taken out of rmqtt ─▶ filters, queue, in flight ─▶ luggage
//! arrive: luggage ─▶ subscriptions, messages ─▶ the session of the connection that is there
//! ```
//! # Rules
//! - A session is a device's if its identity is that device; without credentials, if its client id names it: `<ID>` at home,
//!   `<site>/<ID>` everywhere.
//! - Only what has quality of service 1 or 2 is handed over. What the client had acknowledged is not; what was sent and not
//!   acknowledged is.

use super::doorman::{Doorman, KICK_ATTEMPTS, KICK_PAUSE};
use super::inject::{OWN_CLIENT_ID, quality};
use crate::access::{Rules, Verdict};
use crate::broker::{Luggage, Waiting};
use protocol::DeviceName;
use protocol::limits::{HANDOVER_FILTERS_MAX, PARCEL_PAYLOAD_BYTES_MAX, PARCELS_MAX, ROAMING_TOPIC_BYTES_MAX};
use rmqtt::codec::v5::PublishProperties;
use rmqtt::context::ServerContext;
use rmqtt::inflight::MomentStatus;
use rmqtt::session::OfflineInfo;
use rmqtt::types::{CodecPublish, From as Origin, Id, OfflineSession, Publish, SubsSearchResult, Subscribe};
use rmqtt::utils::timestamp_millis;

/// Ends what a device has here and gives it.
pub(super) async fn depart(scx: &ServerContext, doorman: &Doorman, device: &DeviceName) -> Luggage {
    let mut luggage = Luggage::default();
    for client_id in doorman.clients_of(device) {
        doorman.strike(&client_id);
        take(scx, doorman, &client_id, &mut luggage).await;
    }
    luggage
}

/// Takes one session out of rmqtt.
async fn take(scx: &ServerContext, doorman: &Doorman, client_id: &str, luggage: &mut Luggage) {
    for _ in 0..KICK_ATTEMPTS {
        let entry = {
            let shared = scx.extends.shared().await;
            if !shared.exist(client_id) {
                return;
            }
            shared.entry(doorman.by_name(client_id))
        };
        // It is locked while a client of this id connects.
        if let Ok(mut entry) = entry.try_lock().await {
            let subscriptions = entry.subscriptions().await.unwrap_or_default();
            match entry.kick(false, true, true).await {
                Ok(OfflineSession::Exist(Some(info))) => pack(info, subscriptions, luggage),
                Ok(_) => {}
                Err(error) => tracing::warn!(client = %client_id, error = %format!("{error:#}"), "a session could not be handed over"),
            }
            return;
        }
        tokio::time::sleep(KICK_PAUSE).await;
    }
    tracing::warn!(client = %client_id, "a session could not be handed over: its client is always just connecting");
}

fn pack(info: OfflineInfo, subscriptions: Vec<SubsSearchResult>, luggage: &mut Luggage) {
    for subscription in subscriptions {
        let filter: &str = &subscription.topic;
        let fits = filter.len() <= ROAMING_TOPIC_BYTES_MAX && !filter.contains(char::is_control);
        // a group's work is its site's
        let own = subscription.opts.shared_group().is_none();
        if own && fits && luggage.filters.len() < HANDOVER_FILTERS_MAX {
            luggage.filters.push((filter.to_owned(), subscription.opts.qos_value()));
        }
    }
    // what a client of quality 2 has is complete, but for the end of the exchange
    let in_flight = info.inflight_messages.into_iter().filter(|m| m.status != MomentStatus::UnComplete).map(|m| m.publish);
    let queued = info.offline_messages.into_iter().map(|(_, publish)| publish);
    for publish in in_flight.chain(queued) {
        let qos = publish.qos.value();
        if qos == 0 {
            continue;
        }
        let topic: &str = &publish.topic;
        let fits = topic.len() <= ROAMING_TOPIC_BYTES_MAX
            && !topic.contains(char::is_control)
            && publish.payload.len() <= PARCEL_PAYLOAD_BYTES_MAX
            && luggage.messages.len() < PARCELS_MAX;
        match fits {
            true => luggage.messages.push(Waiting { topic: topic.to_owned(), qos, payload: publish.payload.to_vec() }),
            false => luggage.left += 1,
        }
    }
}

/// Gives a device that is connected what it had elsewhere. False if it is not connected.
pub(super) async fn arrive(scx: &ServerContext, doorman: &Doorman, device: &DeviceName, luggage: &Luggage) -> bool {
    for client_id in doorman.clients_of(device) {
        let entry = scx.extends.shared().await.entry(doorman.by_name(&client_id));
        let Some(who) = doorman.owner(&client_id) else { continue };
        if !entry.online().await {
            continue;
        }
        for (filter, qos) in &luggage.filters {
            if who.rules.may_subscribe(filter) != Verdict::Allowed {
                tracing::info!(client = %client_id, %filter, "what a device had subscribed to elsewhere is not allowed here");
                continue;
            }
            let subscribed = match Subscribe::from_v3(&filter.as_str().into(), quality(*qos), false, false) {
                Ok(subscribe) => entry.subscribe(&subscribe).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = subscribed {
                tracing::warn!(client = %client_id, %filter, error = %format!("{error:#}"), "a subscription was not taken over");
            }
        }
        let mut given = true;
        for message in &luggage.messages {
            // what it may not subscribe to here it is not given either, whoever says that it waited
            if !may_be_given(&who.rules, &message.topic) {
                tracing::info!(client = %client_id, topic = %message.topic, "a message that waited elsewhere is not allowed here");
                continue;
            }
            let from = Origin::from_system(Id::new(scx.node.id(), 0, None, None, OWN_CLIENT_ID.into(), None));
            given &= entry.publish(from, publish(message)).await.is_ok();
        }
        return given;
    }
    false
}

/// Whether a client with these rights may get a message on `topic`, which another site names.
fn may_be_given(rules: &Rules, topic: &str) -> bool {
    !topic.starts_with('$') && !topic.contains(['+', '#']) && rules.may_subscribe(topic) == Verdict::Allowed
}

fn publish(message: &Waiting) -> Publish {
    let publish = CodecPublish {
        dup: false,
        retain: false,
        qos: quality(message.qos),
        topic: message.topic.as_str().into(),
        packet_id: None,
        payload: message.payload.clone().into(),
        properties: Some(PublishProperties::default()),
    };
    let publish: Publish = publish.into();
    publish.create_time(timestamp_millis())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::access::{Grants, Identity, Policy};
    use protocol::Name;

    /// ROAM-8
    #[test]
    fn a_visitor_is_given_only_what_it_may_read() {
        let (here, home) = (Name::new("z2").unwrap(), Name::new("z1").unwrap());
        let policy = Policy::new(here, Grants::default()).unwrap().with_visitors(vec![home.clone()]);
        let device = Identity::device("m1", &home).unwrap();
        let rules = policy.rules(&device, &Grants::default()).unwrap();
        for topic in ["root/fog/z1/m1/act/power", "root/node/z1/m1/requested"] {
            assert!(may_be_given(&rules, topic), "{topic}");
        }
        for topic in ["root/fog/z1/m2/act/power", "root/fog/z2/lamp/act/power", "root/fog/z1/m1/#", "", "$share/g/root/fog/z1/m1/act/power"]
        {
            assert!(!may_be_given(&rules, topic), "{topic}");
        }
    }
}
