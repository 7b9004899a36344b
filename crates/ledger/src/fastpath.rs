//! Requests at milestones: they are registered, votes are counted, what is certified is executed in the order of its purse.
//! The rules are WAL-21 to WAL-32 of `docs/spec/wallet.md`.
//!
//! ```text
//! Requests ──▶ registered ──votes──▶ certified ──▶ executed ──▶ the next number, if it waits
//! Certificates ──────────────────────────▲  └─ a number too high: waits
//! ```
//! The ledger counts votes of messages that count, so it may know fewer than there are; certificates bring the rest. It never
//! knows others, so it executes no rival of what is certified.

use crate::minting::{credit, pay_vote, purse};
use crate::purse::{AHEAD_MAX, Farewells, Purchase, REGISTERED_MAX, Tally};
use crate::read::{
    ApplyError, read_coins, read_epoch, read_farewells, read_place, read_registered, read_service, read_waiting, read_wallet,
};
use crate::rules::{RequestError, Rules};
use crate::stake::Stop;
use crate::store::{Key, Overlay, StateStore};
use crate::validator::Epoch;
use crate::wallet::Wallet;
use protocol::certificate::needed;
use protocol::genesis::quorum;
use protocol::{Body, Certificate, Id, Message, Operation, PublicKey, Request, UNITS_PER_COIN};

/// A request that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The request.
    pub request: Id,
    /// Whose it was.
    pub wallet: PublicKey,
    /// Its number.
    pub number: u64,
    /// All of it.
    pub content: Request,
}

/// Where in the ring a request is registered.
fn slot(registered: u64) -> u16 {
    u16::try_from(registered % REGISTERED_MAX).unwrap_or(0)
}

const _: () = assert!(REGISTERED_MAX <= 1 << 16);

/// Registers a request that shows its work, so that votes for it are counted. One that is registered stays as it is.
pub(crate) fn register<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, request: &Request) -> Result<(), Stop> {
    // nothing else makes a place in the ring cost anything: the signature is the voters' affair
    let needed = rules.wallets.difficulty;
    if request.work() < needed {
        return Err(RequestError::Work { needed }.into());
    }
    if request.epoch != rules.epoch {
        return Err(RequestError::Epoch { now: rules.epoch }.into());
    }
    let purse = purse(state, rules, request.wallet)?;
    let of_another_state = request.number == purse.number && request.state != purse.state;
    if request.number < purse.number || of_another_state {
        return Err(RequestError::State { number: purse.number, expected: purse.state }.into());
    }
    if request.number - purse.number > AHEAD_MAX {
        return Err(RequestError::Ahead { number: purse.number }.into());
    }
    let id = request.id();
    if read_registered(state, id)?.is_some() {
        return Ok(());
    }
    let mut coins = read_coins(state)?;
    let place = Key::Place(slot(coins.registered));
    if let Some(oldest) = read_place(state, slot(coins.registered))? {
        state.remove(Key::Registered(oldest));
    }
    coins.registered = coins.registered.wrapping_add(1);
    state.set(Key::Coins, &coins);
    state.set(place, &id);
    state.set(Key::Registered(id), &Tally { voters: 0, request: request.clone() });
    Ok(())
}

/// The bit of a member in the committee of the present epoch, unless it has said that it votes no more.
fn voting_bit(state: &impl StateStore, rules: &Rules<'_>, epoch: &Epoch, member: PublicKey) -> Result<Option<u128>, ApplyError> {
    let Ok(place) = epoch.committee.binary_search(&member) else { return Ok(None) };
    let bit = u32::try_from(place).ok().and_then(|p| 1u128.checked_shl(p)).unwrap_or(0);
    let gone = read_farewells(state)?.of(rules.epoch);
    Ok((bit != 0 && gone & bit == 0).then_some(bit))
}

/// Counts the votes of a message.
pub(crate) fn count_votes<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    message: &Message,
    executed: &mut Vec<Executed>,
) -> Result<(), ApplyError> {
    if message.votes.is_empty() {
        return Ok(());
    }
    let epoch = read_epoch(state)?;
    let Some(bit) = voting_bit(state, rules, &epoch, message.issuer)? else { return Ok(()) };
    let needed = needed(epoch.committee.len(), rules.wallets.threshold_percent);
    for id in &message.votes {
        let Some(mut tally) = read_registered(state, *id)? else { continue };
        if tally.request.epoch != rules.epoch || tally.voters & bit != 0 {
            continue;
        }
        tally.voters |= bit;
        if (tally.voters.count_ones() as usize) < needed {
            state.set(Key::Registered(*id), &tally);
        } else {
            state.remove(Key::Registered(*id));
            certified(state, rules, &epoch.committee, tally, executed)?;
        }
    }
    Ok(())
}

/// Takes a certificate that a message carries.
pub(crate) fn present<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    certificate: &Certificate,
    executed: &mut Vec<Executed>,
) -> Result<(), Stop> {
    let request = &certificate.request;
    if request.epoch != rules.epoch {
        return Err(RequestError::Epoch { now: rules.epoch }.into());
    }
    // what can be looked up comes before what must be computed
    let purse = purse(state, rules, request.wallet)?;
    if request.number < purse.number {
        return Err(RequestError::State { number: purse.number, expected: purse.state }.into());
    }
    if request.number - purse.number > AHEAD_MAX {
        return Err(RequestError::Ahead { number: purse.number }.into());
    }
    let id = request.id();
    let waiting = read_waiting(state, request.wallet, request.number)?;
    if waiting.is_some_and(|tally| tally.request.epoch == rules.epoch && tally.request.id() == id) {
        return Ok(());
    }
    let committee = read_epoch(state)?.committee;
    let verdict = certificate.verify_keys(rules.network, rules.subnet, &committee, rules.wallets.threshold_percent);
    verdict.map_err(RequestError::from)?;
    if read_registered(state, id)?.is_some() {
        state.remove(Key::Registered(id));
    }
    let tally = Tally { voters: certificate.voters(), request: request.clone() };
    certified(state, rules, &committee, tally, executed)?;
    Ok(())
}

/// Executes what is certified, and what waited for it; or lets it wait.
fn certified<S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    committee: &[PublicKey],
    tally: Tally,
    executed: &mut Vec<Executed>,
) -> Result<(), ApplyError> {
    let wallet = tally.request.wallet;
    let number = purse(state, rules, wallet)?.number;
    if tally.request.number > number {
        state.set(Key::Waiting(wallet, tally.request.number), &tally);
        return Ok(());
    }
    let mut next = Some(tally);
    while let Some(tally) = next {
        if !spend(state, rules, &tally.request)? {
            return Ok(());
        }
        for (place, member) in (0u32..).zip(committee) {
            if tally.voters.checked_shr(place).unwrap_or(0) & 1 == 1 {
                pay_vote(state, rules, *member)?;
            }
        }
        let number = tally.request.number;
        executed.push(Executed { request: tally.request.id(), wallet, number, content: tally.request });
        let Some(number) = number.checked_add(1) else { return Ok(()) };
        next = read_waiting(state, wallet, number)?;
        if next.is_some() {
            state.remove(Key::Waiting(wallet, number));
        }
        // what waits from an epoch that has ended is nothing any more
        next = next.filter(|tally| tally.request.epoch == rules.epoch);
    }
    Ok(())
}

/// Moves the purse on and does what the price is for. `false`, and nothing is changed, if the request is not the purse's next or
/// is not covered, which no certificate of an honest committee leads to.
fn spend<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, request: &Request) -> Result<bool, ApplyError> {
    let mut purse = purse(state, rules, request.wallet)?;
    let Some(left) = purse.balance.checked_sub(request.price) else { return Ok(false) };
    if request.number != purse.number || request.state != purse.state || purse.number == u64::MAX {
        return Ok(false);
    }
    purse.balance = left;
    purse.number += 1;
    purse.state = request.next_state();
    state.set(Key::Purse(request.wallet), &purse);
    match &request.operation {
        Operation::Transfer { to } => credit(state, rules, *to, request.price)?,
        Operation::Buy { service, .. } => match read_service(state, *service)? {
            Some(record) => {
                let purchase = Purchase {
                    requester: request.wallet,
                    provider: record.provider,
                    price: request.price,
                    due_ms: rules.time_ms.saturating_add(record.terms.report_ms),
                    silence: record.terms.silence,
                };
                state.set(Key::Purchase(request.id()), &purchase);
            }
            None => credit(state, rules, request.wallet, request.price)?,
        },
        Operation::Redeem => redeem(state, rules, request)?,
    }
    Ok(true)
}

/// The price goes to the account. If it does not fit there, it stays in the purse.
fn redeem<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, request: &Request) -> Result<(), ApplyError> {
    let coins = request.price / UNITS_PER_COIN;
    let mut account = read_wallet(state, request.wallet)?.unwrap_or_else(|| Wallet::unheard(rules.network, &request.wallet));
    let mut all = read_coins(state)?;
    let sums = (account.balance.checked_add(coins), all.redeemed.checked_add(coins), all.circulating.checked_sub(request.price));
    let (Some(balance), Some(redeemed), Some(circulating)) = sums else {
        return credit(state, rules, request.wallet, request.price);
    };
    (account.balance, all.redeemed, all.circulating) = (balance, redeemed, circulating);
    state.set(Key::Wallet(request.wallet), &account);
    state.set(Key::Coins, &all);
    Ok(())
}

/// Takes note that a member votes no more in the present epoch.
pub(crate) fn farewell<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, member: PublicKey, ended: u64) -> Result<(), Stop> {
    if ended != rules.epoch {
        return Err(RequestError::Epoch { now: rules.epoch }.into());
    }
    let epoch = read_epoch(state)?;
    let Some(bit) = voting_bit(state, rules, &epoch, member)? else { return Err(RequestError::NoMember.into()) };
    let members = read_farewells(state)?.of(rules.epoch) | bit;
    state.set(Key::Farewells, &Farewells { epoch: rules.epoch, members });
    Ok(())
}

/// Whether the epoch may be closed: more than two thirds of its committee have said that they vote no more. `state` is that after
/// the messages of the closing milestone; it reads [`Key::Epoch`] and [`Key::Farewells`].
///
/// # Errors
/// [`ApplyError`] if the state is damaged, or a value was not brought along.
pub fn may_close(state: &impl StateStore, rules: &Rules<'_>) -> Result<bool, ApplyError> {
    let members = read_epoch(state)?.committee.len();
    Ok(read_farewells(state)?.of(rules.epoch).count_ones() as usize >= quorum(members))
}

/// The keys that executing a request may read.
fn keys_of(request: &Request, keys: &mut Vec<Key>) {
    keys.extend([Key::Purse(request.wallet), Key::Registered(request.id())]);
    keys.push(Key::Waiting(request.wallet, request.number));
    if let Some(next) = request.number.checked_add(1) {
        keys.push(Key::Waiting(request.wallet, next));
    }
    match &request.operation {
        Operation::Transfer { to } => keys.push(Key::Purse(*to)),
        Operation::Buy { service, .. } => keys.extend([Key::Service(*service), Key::Purchase(request.id())]),
        Operation::Redeem => keys.push(Key::Wallet(request.wallet)),
    }
}

/// The keys that a message's votes, requests, certificates or shares touch by themselves.
pub(crate) fn touched(message: &Message, keys: &mut Vec<Key>) {
    if !message.votes.is_empty() {
        keys.extend([Key::Epoch, Key::Farewells, Key::Coins]);
    }
    match &message.body {
        Body::Readings { shares, .. } if !shares.is_empty() => {
            keys.extend([Key::Coins, Key::Earnings(message.issuer)]);
            keys.extend(shares.iter().map(|s| Key::Purse(s.wallet)));
        }
        Body::Requests(requests) => {
            keys.push(Key::Coins);
            requests.iter().for_each(|r| keys_of(r, keys));
        }
        Body::Certificates(certificates) => {
            keys.extend([Key::Epoch, Key::Coins]);
            certificates.iter().for_each(|c| keys_of(&c.request, keys));
        }
        Body::EndOfEpoch { .. } => keys.extend([Key::Epoch, Key::Farewells]),
        _ => {}
    }
}

/// The keys that [`crate::apply`] reads for these messages, applied one after another, beside those that [`crate::touched`] names, as
/// far as `state`, which holds what was brought along, tells: a store that cannot answer at once asks again with what it brought until
/// nothing new is named. A key may be named again.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn following<'a>(state: &impl StateStore, messages: impl IntoIterator<Item = &'a Message>) -> Result<Vec<Key>, ApplyError> {
    let (mut keys, mut requests, mut pays) = (Vec::new(), 0u64, false);
    let committee = state.get(&Key::Epoch).is_some().then(|| read_epoch(state)).transpose()?.map_or_else(Vec::new, |epoch| epoch.committee);
    let mut waiting = Vec::new();
    for message in messages {
        // votes of others are not looked at
        let votes = if committee.binary_search(&message.issuer).is_ok() { message.votes.as_slice() } else { &[] };
        for id in votes {
            keys.push(Key::Registered(*id));
            if let Some(tally) = read_registered(state, *id)? {
                keys_of(&tally.request, &mut keys);
                waiting.push((tally.request.wallet, tally.request.number));
            }
        }
        pays |= !votes.is_empty();
        match &message.body {
            Body::Requests(list) => {
                requests = requests.saturating_add(list.len() as u64);
                waiting.extend(list.iter().map(|r| (r.wallet, r.number)));
            }
            Body::Certificates(list) => {
                pays = true;
                waiting.extend(list.iter().map(|c| (c.request.wallet, c.request.number)));
            }
            Body::Orders(orders) => {
                for order in orders {
                    if let protocol::Action::Settle { purchase, .. } = &order.action
                        && let Some(purchase) = crate::read::read_purchase(state, *purchase)?
                    {
                        keys.extend([Key::Purse(purchase.requester), Key::Purse(purchase.provider)]);
                    }
                }
            }
            _ => {}
        }
    }
    // what waits under the numbers after these: each run of numbers is walked once, and asked for twice as far each time
    waiting.sort_unstable();
    let mut walked: Option<(PublicKey, u64)> = None;
    for (wallet, number) in waiting {
        if walked.is_some_and(|(of, end)| of == wallet && number < end) {
            continue;
        }
        let (mut at, mut found) = (number, 0u64);
        while let Some(next) = at.checked_add(1) {
            walked = Some((wallet, next));
            let Some(tally) = read_waiting(state, wallet, next)? else {
                keys.extend((0..=found).filter_map(|n| next.checked_add(n)).map(|n| Key::Waiting(wallet, n)));
                break;
            };
            keys_of(&tally.request, &mut keys);
            (at, found) = (next, found + 1);
        }
    }
    if requests > 0 {
        let registered = read_coins(state)?.registered;
        for n in 0..requests.min(REGISTERED_MAX) {
            let place = slot(registered.wrapping_add(n));
            keys.push(Key::Place(place));
            keys.extend(read_place(state, place)?.map(Key::Registered));
        }
    }
    if pays {
        keys.extend(committee.iter().flat_map(|member| [Key::Purse(*member), Key::Earnings(*member)]));
    }
    Ok(keys)
}
