//! What the site itself says: publishes that pass no hook.

use crate::broker::RelayedCopy;
use crate::tiers::Tiers;
use rmqtt::codec::v5::{PublishProperties, UserProperties};
use rmqtt::context::ServerContext;
use rmqtt::session::SessionState;
use rmqtt::types::{CodecPublish, From as Origin, Id, Publish, QoS};
use rmqtt::utils::timestamp_millis;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The client id that the site's own messages bear.
pub(super) const OWN_CLIENT_ID: &str = "$wattle";
/// What the client id begins with of messages that are for some groups of clients only; see `sharing`.
pub(super) const FOR_GROUPS: &str = "$wattle-groups/";

/// Publishes what the hooks queued, in order.
pub(super) async fn carry(scx: ServerContext, tiers: Option<Arc<Tiers>>, mut copies: mpsc::Receiver<RelayedCopy>) {
    while let Some((topic, payload)) = copies.recv().await {
        // What was processed goes on to other brokers from the log; what was rejected is not in it.
        if topic.ends_with("/rejected")
            && let Some(tiers) = &tiers
            && let Err(error) = tiers.offer(&topic, &payload, 1)
        {
            tracing::warn!(%topic, %error, "not handed to other brokers");
        }
        if let Err(error) = inject(&scx, &topic, payload, QoS::AtLeastOnce, false).await {
            tracing::warn!(%topic, %error, "not handed to subscribers");
        }
    }
}

/// A publish from inside: no hook runs, it goes to the retained messages and to subscribers.
async fn inject(scx: &ServerContext, topic: &str, payload: Vec<u8>, qos: QoS, retain: bool) -> Result<(), rmqtt::Error> {
    inject_as(scx, OWN_CLIENT_ID, topic, payload, qos, retain).await
}

/// As [`inject`], with the client id `sender`.
pub(super) async fn inject_as(
    scx: &ServerContext,
    sender: &str,
    topic: &str,
    payload: Vec<u8>,
    qos: QoS,
    retain: bool,
) -> Result<(), rmqtt::Error> {
    inject_with(scx, sender, (topic, payload), (qos, retain), UserProperties::new()).await
}

/// The same, with user properties.
pub(super) async fn inject_with(
    scx: &ServerContext,
    sender: &str,
    (topic, payload): (&str, Vec<u8>),
    (qos, retain): (QoS, bool),
    user_properties: UserProperties,
) -> Result<(), rmqtt::Error> {
    let from = Origin::from_system(Id::new(scx.node.id(), 0, None, None, sender.into(), None));
    let publish = CodecPublish {
        dup: false,
        retain,
        qos,
        topic: topic.into(),
        packet_id: None,
        payload: payload.into(),
        // without any 5.0 subscribers lose their identifiers
        properties: Some(PublishProperties { user_properties, ..PublishProperties::default() }),
    };
    let publish: Publish = publish.into();
    SessionState::forwards(scx, from, publish.create_time(timestamp_millis()), false, None).await
}

/// The quality of service a number names; anything above 1 is 2.
pub(super) const fn quality(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}
