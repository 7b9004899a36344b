//! Wallets with something in their purses, and the chains of requests that they spend it with.
//!
//! A State is a hash over all before it, so a wallet can sign its whole chain before it sends the first request. The benches
//! do that: no signature and no proof of work of a client is in their figures.

use super::committee::Member;
use crate::cli::{Exit, Failure};
use crate::demo::POLL;
use protocol::limits::{ORDERS_MAX, WINDOW_MS_MAX};
use protocol::order::first_state as first_account_state;
use protocol::request::first_state;
use protocol::{Action, Body, Draft, Genesis, Id, NetworkId, Operation, Order, PublicKey, Request, SecretKey, UNITS_PER_COIN};
use std::fmt::Display;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// DCoin that each wallet puts into its purse.
const COINS: u64 = 2;
/// Sub-units that each request spends. So many requests are in a purse that no chain empties it.
const PRICE: u64 = 1;
/// Hashes after which the work for a request is given up: two nibbles take more only once in e^256 searches.
const ATTEMPTS_MAX: u64 = 1 << 16;
/// How long the ledger may take to fill the purses.
const PATIENCE: Duration = Duration::from_secs(60);

/// The keys of so many wallets.
pub(super) fn keys(count: u16) -> Vec<SecretKey> {
    (0..count).map(|n| SecretKey::from_seed(&Id::hash(&[b"wattle/bench/wallet", &n.to_be_bytes()]).0)).collect()
}

/// Gives each wallet what it is going to put into its purse.
pub(super) fn endow(genesis: &mut Genesis, wallets: &[SecretKey]) {
    genesis.wallets.extend(wallets.iter().map(|key| (key.public_key(), COINS)));
    genesis.wallets.sort_by_key(|(key, _)| *key);
}

/// What puts it there.
fn orders(network: &NetworkId, wallets: &[SecretKey]) -> Vec<Body> {
    let order = |key: &SecretKey| {
        let state = first_account_state(network, &key.public_key());
        Order::sign(network, key, state, Action::Fund { amount: COINS })
    };
    wallets.chunks(ORDERS_MAX).map(|some| Body::Orders(some.iter().map(order).collect())).collect()
}

/// Fills the purses, and waits until every replica has executed that.
///
/// # Errors
/// [`Failure`] if a replica stops, or it takes longer than a minute.
pub(super) async fn fund(members: &[Member], network: &NetworkId, wallets: &[SecretKey]) -> Result<(), Failure> {
    let broken = |why: &dyn Display| Failure::new(Exit::Fault, why, "filling the purses", "run it with -v to see the log");
    let (first, _) = members.first().ok_or_else(|| broken(&"there is no replica"))?;
    for body in orders(network, wallets) {
        first.issue(body, None).await.map_err(|e| broken(&e))?;
    }
    let deadline = Instant::now() + PATIENCE;
    for (handle, _) in members {
        for key in wallets {
            loop {
                let purse = handle.purse(key.public_key()).await.ok_or_else(|| broken(&"a replica has stopped"))?;
                if purse.balance >= COINS * UNITS_PER_COIN {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(broken(&format!("a purse is still empty after {} s", PATIENCE.as_secs())));
                }
                sleep(POLL).await;
            }
        }
    }
    Ok(())
}

/// For each wallet a chain of so many requests, signed, of the network's first epoch. Each wallet pays the next one; one that is alone
/// pays the first validator.
///
/// # Errors
/// [`Failure`] if no nonce is found, which is a bug.
pub(super) fn chains(genesis: &Genesis, wallets: &[SecretKey], requests: u32) -> Result<Vec<Vec<Request>>, Failure> {
    let (network, difficulty) = (genesis.network(), genesis.wallet_parameters.difficulty);
    let alone = genesis.committee.validators().first().map(|v| v.key);
    let next = wallets.iter().cycle().skip(1).map(SecretKey::public_key);
    let recipients = next.map(|key| if wallets.len() > 1 { Some(key) } else { alone });
    let broken = || Failure::new(Exit::Fault, "a request could not be signed", "the bench's wallets", "report this");
    let mut all = Vec::with_capacity(wallets.len());
    for (key, to) in wallets.iter().zip(recipients) {
        let chain = chain(&network, key, to.ok_or_else(broken)?, difficulty, genesis.created_ms, requests);
        all.push(chain.ok_or_else(broken)?);
    }
    Ok(all)
}

fn chain(network: &NetworkId, key: &SecretKey, to: PublicKey, difficulty: u8, from_ms: u64, requests: u32) -> Option<Vec<Request>> {
    let mut state = first_state(network, &key.public_key());
    let mut chain = Vec::new();
    for number in 0..u64::from(requests) {
        let until_ms = from_ms.saturating_add(WINDOW_MS_MAX);
        let draft = Draft { state, number, epoch: 0, operation: Operation::Transfer { to }, price: PRICE, from_ms, until_ms };
        let request = draft.sign(network, key, difficulty, ATTEMPTS_MAX).ok().flatten()?;
        state = request.next_state();
        chain.push(request);
    }
    Some(chain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::committee::found;
    use super::*;

    #[test]
    fn each_request_names_the_state_that_the_one_before_gives() {
        let (mut genesis, _) = found(4).unwrap();
        let wallets = keys(3);
        endow(&mut genesis, &wallets);
        genesis.check().unwrap();
        let network = genesis.network();
        let all = chains(&genesis, &wallets, 5).unwrap();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 5]);
        for (index, chain) in all.iter().enumerate() {
            let to = wallets[(index + 1) % 3].public_key();
            assert_eq!(chain[0].state, first_state(&network, &wallets[index].public_key()));
            assert!(chain.windows(2).all(|two| two[1].state == two[0].next_state() && two[1].number == two[0].number + 1));
            assert!(chain.iter().all(|r| r.verify(&network) && r.work() >= 1 && r.operation == Operation::Transfer { to }));
        }
    }

    #[test]
    fn a_wallet_that_is_alone_pays_a_validator() {
        let (genesis, _) = found(1).unwrap();
        let all = chains(&genesis, &keys(1), 1).unwrap();
        assert_eq!(all[0][0].operation, Operation::Transfer { to: genesis.committee.validators()[0].key });
    }

    #[test]
    fn purses_are_filled_by_as_many_orders_as_there_are_wallets() {
        let (genesis, _) = found(1).unwrap();
        let bodies = orders(&genesis.network(), &keys(20));
        let sizes: Vec<usize> = bodies.iter().map(|b| if let Body::Orders(orders) = b { orders.len() } else { 0 }).collect();
        assert_eq!(sizes, [16, 4]);
    }
}
