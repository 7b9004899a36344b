//! Whether a validator is for a request: WAL-10 of `docs/spec/wallet.md`, as far as the state and the requests before it tell. What it voted for before is its own record, and not seen here.

use crate::minting::purse;
use crate::purse::{AHEAD_MAX, Purse};
use crate::read::{ApplyError, read_service};
use crate::rules::Rules;
use crate::store::{Key, StateStore};
use protocol::{Id, Operation, PublicKey, Reason, Request};

/// How far ahead of its clock a validator takes the beginning of a window, in milliseconds.
pub const EARLY_MS_MAX: u64 = 2_000;

/// Where a wallet stands on the fast path: the number and State after its requests that are certified or that the validator voted for,
/// and what those cost that no milestone executed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Requests executed, certified or voted for, in all.
    pub number: u64,
    /// The State after them.
    pub state: Id,
    /// The prices of those that are not executed, in sub-units.
    pub reserved: u64,
}

impl Ahead {
    /// That of a wallet none of whose requests waits for a milestone.
    #[must_use]
    pub const fn of(purse: &Purse) -> Self {
        Self { number: purse.number, state: purse.state, reserved: 0 }
    }

    /// That after one more request, which names this State.
    #[must_use]
    pub fn after(&self, request: &Request) -> Self {
        Self { number: self.number.saturating_add(1), state: request.next_state(), reserved: self.reserved.saturating_add(request.price) }
    }
}

/// The keys that [`judge`] reads.
#[must_use]
pub fn judging(request: &Request) -> Vec<Key> {
    let mut keys = vec![Key::Purse(request.wallet)];
    if let Operation::Buy { service, .. } = &request.operation {
        keys.push(Key::Service(*service));
    }
    keys
}

/// A wallet's purse after the last milestone executed.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn executed_purse(state: &impl StateStore, rules: &Rules<'_>, wallet: PublicKey) -> Result<Purse, ApplyError> {
    purse(state, rules, wallet)
}

/// Why a validator is not for a request, if it is not. As [`judge_signed`], and the signature must be the wallet's.
///
/// # Errors
/// As [`judge_signed`].
pub fn judge(
    state: &impl StateStore,
    rules: &Rules<'_>,
    ahead: Option<&Ahead>,
    request: &Request,
    now_ms: u64,
) -> Result<Option<Reason>, ApplyError> {
    Ok(match judge_signed(state, rules, ahead, request, now_ms)? {
        None if !request.verify(rules.network) => Some(Reason::Signature),
        reason => reason,
    })
}

/// Why a validator is not for a request whose signature is good, if it is not. `state` is that after the last milestone executed,
/// `ahead` where the wallet stands after the requests that are certified or that the validator voted for; `None` if none of them waits
/// for a milestone. `rules.epoch` is the present epoch. Whether the validator has ended it, and what it voted for, the caller asks first.
///
/// # Errors
/// [`ApplyError`] if the state is damaged.
pub fn judge_signed(
    state: &impl StateStore,
    rules: &Rules<'_>,
    ahead: Option<&Ahead>,
    request: &Request,
    now_ms: u64,
) -> Result<Option<Reason>, ApplyError> {
    if request.epoch != rules.epoch {
        return Ok(Some(Reason::Epoch { now: rules.epoch }));
    }
    let purse = purse(state, rules, request.wallet)?;
    let at = ahead.copied().unwrap_or_else(|| Ahead::of(&purse));
    if request.number != at.number || request.state != at.state || at.number.saturating_sub(purse.number) > AHEAD_MAX {
        return Ok(Some(Reason::State { number: at.number, state: at.state }));
    }
    let available = purse.balance.saturating_sub(at.reserved);
    if request.price > available {
        return Ok(Some(Reason::Funds { available }));
    }
    if request.from_ms > now_ms.saturating_add(EARLY_MS_MAX) || request.until_ms < now_ms {
        return Ok(Some(Reason::Time { clock_ms: now_ms }));
    }
    match &request.operation {
        Operation::Transfer { to } if !to.is_sound() => return Ok(Some(Reason::Recipient)),
        Operation::Buy { service, .. } => match read_service(state, *service)?.filter(|s| s.open) {
            None => return Ok(Some(Reason::Service)),
            Some(s) if s.terms.price != request.price => return Ok(Some(Reason::Price { asked: s.terms.price })),
            Some(_) => {}
        },
        Operation::Transfer { .. } | Operation::Redeem => {}
    }
    // what costs most comes last
    let needed = rules.wallets.difficulty;
    Ok((request.work() < needed).then_some(Reason::Work { needed }))
}
