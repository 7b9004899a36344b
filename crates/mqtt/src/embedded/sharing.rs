//! Shared subscriptions (`$share/<group>/<filter>`): the members of a group take turns.
//!
//! Where several brokers serve one site, their parent gives each publish to one of them for each group (TIER-13). Such a
//! publish is injected under a sender's id that lists the groups it is for; the other groups get it elsewhere.

use super::inject::FOR_GROUPS;
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
        group: &SharedGroup,
        from: &Id,
        _topic: &TopicName,
        members: &[(NodeId, ClientId, SubscriptionOptions, Option<Vec<SubscriptionIdentifier>>, Option<IsOnline>)],
    ) -> Option<(usize, IsOnline)> {
        if members.is_empty() || !is_for(&from.client_id, group) {
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

/// Whether a publish with this sender is for `group`.
fn is_for(sender: &str, group: &str) -> bool {
    sender.strip_prefix(FOR_GROUPS).is_none_or(|groups| groups.split('/').any(|g| g == group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_may_name_groups() {
        assert!(is_for("meter", "work") && is_for(&format!("{FOR_GROUPS}other/work"), "work"));
        assert!(!is_for(&format!("{FOR_GROUPS}other"), "work") && !is_for(FOR_GROUPS, "work"));
    }
}
