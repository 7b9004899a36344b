//! Orders: registering, delegating, undelegating, withdrawing. The rules are E-3 to E-9 of `docs/spec/epochs.md`.
//!
//! ```text
//!            Delegate                 Undelegate                 Withdraw (from the release epoch on)
//! balance ──────────────▶ stake ──────────────────▶ unbonding ──────────────▶ balance
//!                           └──────── slashed ──────────┴────────▶ burned
//! ```
//! Everything is checked before anything is written: an order that is refused changes nothing.

use crate::market;
use crate::read::{ApplyError, read_candidates, read_delegation, read_unbonding, read_validator, read_wallet};
use crate::registry;
use crate::retained::RETAINED_MIN;
use crate::rules::{OrderError, RequestError, Rules};
use crate::store::{Key, Overlay, StateStore};
use crate::validator::Validator;
use crate::wallet::{Delegation, Release, UNBONDING_MAX, Wallet};
use protocol::order::next_state;
use protocol::{Action, Address, Name, Order, PublicKey};

/// Why an order goes no further: it is refused, or this node is at fault.
pub(crate) enum Stop {
    /// The order has no effect.
    Refused(OrderError),
    /// The state cannot be read.
    Fault(ApplyError),
}

impl From<OrderError> for Stop {
    fn from(why: OrderError) -> Self {
        Self::Refused(why)
    }
}

impl From<RequestError> for Stop {
    fn from(why: RequestError) -> Self {
        Self::Refused(why.into())
    }
}

impl From<ApplyError> for Stop {
    fn from(why: ApplyError) -> Self {
        Self::Fault(why)
    }
}

/// Executes an order.
pub(crate) fn execute<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, order: &Order) -> Result<(), Stop> {
    let mut wallet = read_wallet(state, order.wallet)?.unwrap_or_else(|| Wallet::unheard(rules.network, &order.wallet));
    if order.state != wallet.state {
        return Err(OrderError::State { expected: wallet.state }.into());
    }
    if !order.verify(rules.network) {
        return Err(OrderError::Signature.into());
    }
    match &order.action {
        Action::Register { name, address } => register(state, rules, order.wallet, name, address.as_ref())?,
        Action::Retire => {
            let mut validator = validator(state, order.wallet)?;
            validator.registered = false;
            put_validator(state, rules, order.wallet, &validator)?;
        }
        Action::Delegate { validator, amount } => delegate(state, rules, (order.wallet, *validator), *amount, &mut wallet)?,
        Action::Undelegate { validator, amount } => undelegate(state, rules, (order.wallet, *validator), *amount)?,
        Action::Withdraw { validator } => withdraw(state, rules, (order.wallet, *validator), &mut wallet)?,
        Action::Site { site, gateways } => registry::site(state, order.wallet, site, gateways)?,
        Action::RegisterDevice { device, role, credential, thing } => {
            registry::register(state, rules, order.wallet, device, (*role, credential.as_ref(), *thing))?;
        }
        Action::RotateDevice { device, credential } => registry::rotate(state, rules, order.wallet, device, credential)?,
        Action::DescribeDevice { device, thing } => registry::describe(state, rules, order.wallet, device, *thing)?,
        Action::RevokeDevice { device } => registry::revoke(state, rules, order.wallet, device)?,
        Action::Fund { amount } => market::fund(state, rules, order.wallet, *amount, &mut wallet)?,
        Action::Service { name, terms } => market::service(state, order.wallet, name, terms.as_ref())?,
        Action::Settle { purchase, outcome } => market::settle(state, rules, order.wallet, *purchase, *outcome)?,
    }
    wallet.state = next_state(&wallet.state, &order.id());
    state.set(Key::Wallet(order.wallet), &wallet);
    Ok(())
}

fn validator(state: &impl StateStore, key: PublicKey) -> Result<Validator, Stop> {
    Ok(read_validator(state, key)?.ok_or(OrderError::Stranger(key))?)
}

/// Writes a validator, and whether it stands for election.
pub(crate) fn put_validator<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    key: PublicKey,
    validator: &Validator,
) -> Result<(), Stop> {
    let before = read_candidates(state)?;
    let mut candidates = before.clone();
    if !candidates.place(key, validator.stands(rules.parameters.stake_min)) {
        return Err(OrderError::CandidatesFull.into());
    }
    if candidates != before {
        state.set(Key::Candidates, &candidates);
    }
    state.set(Key::Validator(key), validator);
    Ok(())
}

fn register<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    key: PublicKey,
    name: &Name,
    address: Option<&Address>,
) -> Result<(), Stop> {
    if !key.is_sound() {
        return Err(OrderError::Key.into());
    }
    let (name, address) = (name.clone(), address.cloned());
    let validator = match read_validator(state, key)? {
        None => Validator::new(name, address),
        Some(before) => Validator { name, address, registered: true, ..before },
    };
    put_validator(state, rules, key, &validator)
}

/// The wallet and the validator of a delegation.
type Pair = (PublicKey, PublicKey);

fn delegate<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    pair: Pair,
    amount: u64,
    wallet: &mut Wallet,
) -> Result<(), Stop> {
    let mut validator = validator(state, pair.1)?;
    if !validator.registered {
        return Err(OrderError::Retired(pair.1).into());
    }
    if validator.retained < RETAINED_MIN {
        return Err(OrderError::Ruined(pair.1).into());
    }
    let available = wallet.balance;
    wallet.balance = available.checked_sub(amount).ok_or(OrderError::Funds { available, needed: amount })?;
    validator.stake = validator.stake.checked_add(amount).ok_or(OrderError::Overflow)?;
    let held = read_delegation(state, pair.0, pair.1)?.map_or(0, |d| d.worth(validator.retained));
    let amount = held.checked_add(amount).ok_or(OrderError::Overflow)?;
    put_validator(state, rules, pair.1, &validator)?;
    state.set(Key::Delegation(pair.0, pair.1), &Delegation { amount, retained: validator.retained });
    Ok(())
}

fn undelegate<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, pair: Pair, amount: u64) -> Result<(), Stop> {
    let mut validator = validator(state, pair.1)?;
    let retained = validator.retained;
    let available = read_delegation(state, pair.0, pair.1)?.map_or(0, |d| d.worth(retained));
    let left = available.checked_sub(amount).ok_or(OrderError::Funds { available, needed: amount })?;
    // a validator's stake covers every delegation: see `retained`
    validator.stake = validator.stake.checked_sub(amount).ok_or(OrderError::Overflow)?;
    validator.unbonding = validator.unbonding.checked_add(amount).ok_or(OrderError::Overflow)?;
    let epoch = rules.epoch.saturating_add(rules.parameters.unbonding_epochs);
    let mut unbonding = read_unbonding(state, pair.0, pair.1)?;
    let full = unbonding.0.len() >= UNBONDING_MAX;
    match unbonding.0.iter_mut().find(|r| r.epoch == epoch) {
        Some(same) => {
            let amount = same.bound.worth(retained).checked_add(amount).ok_or(OrderError::Overflow)?;
            same.bound = Delegation { amount, retained };
        }
        None if full => return Err(OrderError::UnbondingFull.into()),
        None => unbonding.0.push(Release { epoch, bound: Delegation { amount, retained } }),
    }
    put_validator(state, rules, pair.1, &validator)?;
    state.set(Key::Delegation(pair.0, pair.1), &Delegation { amount: left, retained });
    state.set(Key::Unbonding(pair.0, pair.1), &unbonding);
    Ok(())
}

fn withdraw<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, pair: Pair, wallet: &mut Wallet) -> Result<(), Stop> {
    let mut validator = validator(state, pair.1)?;
    let mut unbonding = read_unbonding(state, pair.0, pair.1)?;
    let waiting = unbonding.0.len();
    let mut paid = 0u64;
    for release in unbonding.0.extract_if(.., |r| r.epoch <= rules.epoch) {
        paid = paid.checked_add(release.bound.worth(validator.retained)).ok_or(OrderError::Overflow)?;
    }
    if unbonding.0.len() == waiting {
        return Err(OrderError::NothingReleased { epoch: rules.epoch }.into());
    }
    validator.unbonding = validator.unbonding.checked_sub(paid).ok_or(OrderError::Overflow)?;
    wallet.balance = wallet.balance.checked_add(paid).ok_or(OrderError::Overflow)?;
    put_validator(state, rules, pair.1, &validator)?;
    state.set(Key::Unbonding(pair.0, pair.1), &unbonding);
    Ok(())
}
