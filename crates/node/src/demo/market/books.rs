//! All coins, on every node: `purses + purchases = circulating = 1 000 000 · (funded − redeemed) + minted` (WAL-40), and every node
//! says the same.

use super::report::{Report, WalletLine};
use super::town::Town;
use super::window::{Purse, find, get, number, text};
use super::{LOOK, PATIENCE};
use crate::cli::client::NodeClient;
use crate::cli::{Exit, Failure};
use protocol::{PublicKey, UNITS_PER_COIN};
use std::time::Instant;

/// What one node says of all coins, at one State of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Books {
    root: String,
    height: u64,
    funded: u64,
    redeemed: u64,
    minted: u64,
    circulating: u64,
    purses: Vec<u64>,
}

impl Books {
    /// Reads them; nothing if the ledger moved on meanwhile.
    async fn read(node: &NodeClient, wallets: &[PublicKey]) -> Result<Option<Self>, Failure> {
        let before = get(node, "/api/v1/status").await?;
        let coins = get(node, "/api/v1/coins").await?;
        let mut purses = Vec::with_capacity(wallets.len());
        for wallet in wallets {
            purses.push(Purse::of(node, wallet).await?.balance);
        }
        let after = get(node, "/api/v1/status").await?;
        let (root, height) = (text(&before, "/ledger/state_root"), number(node, &before, "/ledger/height")?);
        if root != text(&after, "/ledger/state_root") {
            return Ok(None);
        }
        let coin = |name: &str| number(node, &coins, &format!("/{name}"));
        let (funded, redeemed) = (coin("funded")?, coin("redeemed")?);
        Ok(Some(Self { root, height, funded, redeemed, minted: coin("minted")?, circulating: coin("circulating")?, purses }))
    }

    /// What does not add up.
    fn problem(&self) -> Option<String> {
        let in_purses = self.purses.iter().try_fold(0u64, |sum, purse| sum.checked_add(*purse));
        let made = self.funded.checked_sub(self.redeemed).and_then(|coins| coins.checked_mul(UNITS_PER_COIN));
        let made = made.and_then(|units| units.checked_add(self.minted));
        match (in_purses == Some(self.circulating), made == Some(self.circulating)) {
            (true, true) => None,
            (false, _) => Some(format!("{in_purses:?} sub-units are in purses, {} circulate", self.circulating)),
            (true, false) => Some(format!("{made:?} sub-units were funded or minted, {} circulate", self.circulating)),
        }
    }
}

/// Waits until all nodes say the same, and checks that it adds up. No purchase is open by now.
///
/// # Errors
/// [`Failure`] if a node does not answer.
pub(super) async fn check(town: &mut Town, wallets: &[PublicKey], report: &mut Report) -> Result<(), Failure> {
    let start = Instant::now();
    let agreed = loop {
        town.network.alive()?;
        let mut all = Vec::new();
        for person in &town.people {
            all.push(Books::read(&person.node, wallets).await?);
        }
        match all.first() {
            Some(Some(first)) if all.iter().all(|books| books.as_ref() == Some(first)) => break first.clone(),
            _ if start.elapsed() > PATIENCE => {
                report.problems.push(format!("the nodes do not agree about coins within {} s: {all:?}", PATIENCE.as_secs()));
                return Ok(());
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    };
    let problem = agreed.problem();
    report.conserved = problem.is_none();
    report.problems.extend(problem);
    (report.height, report.minted, report.circulating) = (agreed.height, agreed.minted, agreed.circulating);
    for person in &town.people {
        let key = person.key.public_key();
        let purse = Purse::of(&town.shop, &key).await?;
        let wallet = find(&town.shop, &format!("/api/v1/wallets/{key}")).await?;
        let wallet = wallet.ok_or_else(|| Failure::new(Exit::Refused, "no such wallet", town.shop.base(), "read the node's log"))?;
        report.wallets.push(WalletLine {
            name: person.name.clone(),
            wallet: key.to_string(),
            account: number(&town.shop, &wallet, "/balance")?,
            purse: purse.balance,
            spends: purse.executed,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Books {
        let purses = vec![400_000, 1_600_000];
        Books { root: "r".into(), height: 7, funded: 3, redeemed: 2, minted: 1_000_000, circulating: 2_000_000, purses }
    }

    #[test]
    fn a_coin_too_many_or_too_few_is_noticed() {
        assert_eq!(books().problem(), None);
        for wrong in [
            Books { purses: vec![400_000, 1_600_001], ..books() },
            Books { minted: 999_999, ..books() },
            Books { redeemed: 4, ..books() },
            Books { purses: vec![u64::MAX, 1], ..books() },
        ] {
            assert!(wrong.problem().is_some(), "{wrong:?}");
        }
    }
}
