//! Shared subscriptions (`$share/<group>/<filter>`): the members of a group take turns.

use async_trait::async_trait;
use rmqtt::context::ServerContext;
use rmqtt::subscribe::SharedSubscription;
use rmqtt::types::{ClientId, Id, IsOnline, NodeId, SharedGroup, SubscriptionIdentifier, SubscriptionOptions, TopicName};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Gives each message to the next member that is connected. rmqtt's own choice refuses shared subscriptions.
#[derive(Default)]
pub(super) struct RoundRobin {
    next: AtomicUsize,
}

#[async_trait]
impl SharedSubscription for RoundRobin {
    fn is_supported(&self) -> bool {
        true
    }

    async fn choice(
        &self,
        scx: &ServerContext,
        _group: &SharedGroup,
        _from: &Id,
        _topic: &TopicName,
        members: &[(NodeId, ClientId, SubscriptionOptions, Option<Vec<SubscriptionIdentifier>>, Option<IsOnline>)],
    ) -> Option<(usize, IsOnline)> {
        if members.is_empty() {
            return None;
        }
        let start = self.next.fetch_add(1, Ordering::Relaxed) % members.len();
        for i in (start..members.len()).chain(0..start) {
            let Some((node, client, ..)) = members.get(i) else { continue };
            if scx.extends.router().await.is_online(*node, client).await {
                return Some((i, true));
            }
        }
        Some((start, false)) // nobody is there: that member's queue keeps it
    }
}
