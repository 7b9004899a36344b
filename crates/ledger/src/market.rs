//! Orders about coins and services: Fund, Service, Settle. The rules are WAL-2 and WAL-33 to WAL-37 of `docs/spec/wallet.md`.

use crate::minting::credit;
use crate::purse::Service;
use crate::read::{read_coins, read_purchase, read_service};
use crate::rules::{OrderError, RequestError, Rules};
use crate::stake::Stop;
use crate::store::{Key, Overlay, StateStore};
use crate::wallet::Wallet;
use protocol::service::service_id;
use protocol::{Id, Name, Outcome, PublicKey, Silence, Terms, UNITS_PER_COIN};

/// Moves DCoin from a wallet's account, which the caller writes, into its purse.
pub(crate) fn fund<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    key: PublicKey,
    amount: u64,
    wallet: &mut Wallet,
) -> Result<(), Stop> {
    let available = wallet.balance;
    let left = available.checked_sub(amount).ok_or(OrderError::Funds { available, needed: amount })?;
    let units = amount.checked_mul(UNITS_PER_COIN).ok_or(OrderError::Overflow)?;
    let mut coins = read_coins(state)?;
    coins.circulating = coins.circulating.checked_add(units).ok_or(OrderError::Overflow)?;
    coins.funded = coins.funded.checked_add(amount).ok_or(OrderError::Overflow)?;
    wallet.balance = left;
    credit(state, rules, key, units)?;
    state.set(Key::Coins, &coins);
    Ok(())
}

/// Offers, changes or closes a service.
pub(crate) fn service<S: StateStore>(
    state: &mut Overlay<'_, S>,
    provider: PublicKey,
    name: &Name,
    terms: Option<&Terms>,
) -> Result<(), Stop> {
    let id = service_id(&provider, name);
    let record = match (terms, read_service(state, id)?) {
        (Some(terms), _) => Service { provider, open: true, name: name.clone(), terms: terms.clone() },
        (None, Some(before)) => Service { open: false, ..before },
        (None, None) => return Err(RequestError::NoService(id).into()),
    };
    state.set(Key::Service(id), &record);
    Ok(())
}

/// Ends a purchase.
pub(crate) fn settle<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    by: PublicKey,
    id: Id,
    outcome: Outcome,
) -> Result<(), Stop> {
    let purchase = read_purchase(state, id)?.ok_or(RequestError::NoPurchase(id))?;
    let in_time = rules.time_ms <= purchase.due_ms;
    let to = match outcome {
        Outcome::Delivered | Outcome::Failed if by != purchase.provider => {
            return Err(RequestError::Provider { provider: purchase.provider }.into());
        }
        Outcome::Delivered if in_time => purchase.provider,
        Outcome::Failed if in_time => purchase.requester,
        Outcome::Delivered | Outcome::Failed => return Err(RequestError::Late { due_ms: purchase.due_ms }.into()),
        Outcome::Due if in_time => return Err(RequestError::Early { due_ms: purchase.due_ms }.into()),
        Outcome::Due => match purchase.silence {
            Silence::Pay => purchase.provider,
            Silence::Refund => purchase.requester,
        },
    };
    credit(state, rules, to, purchase.price)?;
    state.remove(Key::Purchase(id));
    Ok(())
}
