//! Rewards: for shares, for votes. They are minted, up to caps. The rules are WAL-40 to WAL-44 of `docs/spec/wallet.md`.

use crate::purse::{Earnings, PAID_ROOTS_MAX, Purse};
use crate::read::{ApplyError, read_coins, read_earnings, read_purse};
use crate::rules::{RequestError, Rules};
use crate::stake::Stop;
use crate::store::{Key, Overlay, StateStore};
use protocol::{Id, PublicKey, Share, UNITS_PER_COIN};

/// The purse of a wallet, heard of or not.
pub(crate) fn purse(state: &impl StateStore, rules: &Rules<'_>, wallet: PublicKey) -> Result<Purse, ApplyError> {
    Ok(read_purse(state, wallet)?.unwrap_or_else(|| Purse::unheard(rules.network, &wallet)))
}

/// Adds to a purse what was taken from elsewhere. It cannot overflow, for all that circulates fits.
pub(crate) fn credit<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    wallet: PublicKey,
    units: u64,
) -> Result<(), ApplyError> {
    let mut purse = purse(state, rules, wallet)?;
    purse.balance = purse.balance.saturating_add(units);
    state.set(Key::Purse(wallet), &purse);
    Ok(())
}

/// What a wallet earned in the present epoch.
fn earnings(state: &impl StateStore, rules: &Rules<'_>, wallet: PublicKey) -> Result<Earnings, ApplyError> {
    let before = read_earnings(state, wallet)?;
    match before.epoch == rules.epoch {
        true => Ok(before),
        false => Ok(Earnings { epoch: rules.epoch, shares: 0, votes: 0, roots: before.roots }),
    }
}

/// Makes new sub-units in a purse: as many as still can be counted. Gives how many.
fn mint<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, wallet: PublicKey, units: u64) -> Result<u64, ApplyError> {
    let mut coins = read_coins(state)?;
    let units = units.min(u64::MAX - coins.circulating).min(u64::MAX - coins.minted);
    if units > 0 {
        coins.circulating += units;
        coins.minted += units;
        state.set(Key::Coins, &coins);
        credit(state, rules, wallet, units)?;
    }
    Ok(units)
}

/// Pays the shares of a batch that `issuer` anchored.
pub(crate) fn pay_shares<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    issuer: PublicKey,
    (root, readings): (Id, u32),
    shares: &[Share],
) -> Result<(), Stop> {
    let claimed: u64 = shares.iter().map(|s| u64::from(s.count)).fold(0, u64::saturating_add);
    if claimed > u64::from(readings) {
        return Err(RequestError::Shares { claimed, readings }.into());
    }
    let mut earned = earnings(state, rules, issuer)?;
    if earned.roots.contains(&root) {
        return Err(RequestError::PaidBefore.into());
    }
    let cap = rules.wallets.share_cap.saturating_mul(UNITS_PER_COIN);
    for share in shares {
        let due = u64::from(share.count).saturating_mul(rules.wallets.share_units());
        let units = due.min(cap.saturating_sub(earned.shares));
        earned.shares = earned.shares.saturating_add(mint(state, rules, share.wallet, units)?);
    }
    if earned.roots.len() >= PAID_ROOTS_MAX {
        let _ = earned.roots.remove(0);
    }
    earned.roots.push(root);
    state.set(Key::Earnings(issuer), &earned);
    Ok(())
}

/// Pays a member for a vote that certified a request.
pub(crate) fn pay_vote<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, voter: PublicKey) -> Result<(), ApplyError> {
    let mut earned = earnings(state, rules, voter)?;
    let cap = rules.wallets.reward_cap.saturating_mul(UNITS_PER_COIN);
    let units = rules.wallets.vote_reward.min(cap.saturating_sub(earned.votes));
    let units = mint(state, rules, voter, units)?;
    if units > 0 {
        earned.votes = earned.votes.saturating_add(units);
        state.set(Key::Earnings(voter), &earned);
    }
    Ok(())
}
