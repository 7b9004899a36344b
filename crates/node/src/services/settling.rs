//! Gives Settle orders: what is owed together goes into one message, in one chain of the provider's States (SRV-9). What has a time
//! limit goes first.

use protocol::limits::ORDERS_MAX;
use protocol::order::next_state;
use protocol::{Action, Body, Id, NetworkId, Order, Outcome, SecretKey};
use replica::{Handle, IssueError};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long an order may take to have its effect before it is given again: another order of the wallet may have come first.
const RETRY: Duration = Duration::from_secs(3);

/// Settles purchases.
pub(super) struct Settling {
    ledger: Handle,
    network: NetworkId,
    key: SecretKey,
    /// When each was last ordered.
    given: BTreeMap<Id, Instant>,
}

impl Settling {
    pub(super) fn new(ledger: Handle, network: NetworkId, key: SecretKey) -> Self {
        Self { ledger, network, key, given: BTreeMap::new() }
    }

    /// A purchase is no more there.
    pub(super) fn ended(&mut self, id: &Id) {
        self.given.remove(id);
    }

    /// Orders what was not ordered lately. What the node must not issue now is ordered in a later turn.
    pub(super) async fn give(&mut self, outcomes: Vec<(Id, Outcome)>) {
        // orders on their way hold the wallet's State: what comes meanwhile waits for them
        if self.given.values().any(|at| at.elapsed() < RETRY) || outcomes.is_empty() {
            return;
        }
        let Some(wallet) = self.ledger.wallet(self.key.public_key()).await else { return };
        let mut state = wallet.state;
        let mut orders = Vec::new();
        let outcomes = pressing(outcomes);
        for (purchase, outcome) in &outcomes {
            let order = Order::sign(&self.network, &self.key, state, Action::Settle { purchase: *purchase, outcome: *outcome });
            state = next_state(&state, &order.id());
            orders.push(order);
        }
        match self.ledger.issue(Body::Orders(orders), None).await {
            Ok(_) => {
                self.given.clear();
                self.given.extend(outcomes.iter().map(|(id, _)| (*id, Instant::now())));
            }
            Err(IssueError::Rate { .. } | IssueError::Backlog(_)) => {}
            Err(why) => tracing::warn!("purchases cannot be settled: {why}"),
        }
    }
}

/// Those that are ordered now: what is due stays so, anything else must be said in time.
fn pressing(mut outcomes: Vec<(Id, Outcome)>) -> Vec<(Id, Outcome)> {
    outcomes.sort_by_key(|(_, outcome)| *outcome == Outcome::Due);
    outcomes.truncate(ORDERS_MAX);
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 purchases that were due took the message in which a delivered one had to be.
    #[test]
    fn what_has_a_time_limit_goes_first() {
        let mut owed: Vec<(Id, Outcome)> = (0..ORDERS_MAX).map(|n| (Id::hash(&[&n.to_be_bytes()]), Outcome::Due)).collect();
        let first = owed.first().copied();
        owed.push((Id([1; 32]), Outcome::Delivered));
        owed.push((Id([2; 32]), Outcome::Failed));
        let pressing = pressing(owed);
        assert_eq!(pressing.len(), ORDERS_MAX);
        assert_eq!(pressing.iter().take(2).map(|(_, o)| *o).collect::<Vec<_>>(), [Outcome::Delivered, Outcome::Failed]);
        assert_eq!(pressing.get(2).copied(), first, "the oldest of the others");
    }
}
