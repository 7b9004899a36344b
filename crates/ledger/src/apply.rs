//! Applying one message.

use crate::account::Account;
use crate::fastpath::{self, Executed};
use crate::minting::pay_shares;
use crate::read::{ApplyError, read_account, read_totals};
use crate::rules::{OrderError, Refusal, RequestError, Rules};
use crate::slashing::punish;
use crate::stake::{Stop, execute};
use crate::store::{Key, Overlay, StateStore};
use crate::void::pass;
use protocol::device::site_id;
use protocol::rate::Meter;
use protocol::service::service_id;
use protocol::{Action, Body, Message};

/// The keys whose values [`apply`] reads for a message: a store that cannot answer at once brings them first, and then
/// those that [`crate::remembered`] and [`crate::following`] name.
#[must_use]
pub fn touched(message: &Message) -> Vec<Key> {
    let mut keys = vec![Key::Account(message.issuer), Key::Totals];
    match &message.body {
        Body::Readings { .. } | Body::Data(_) | Body::Requests(_) | Body::Certificates(_) | Body::EndOfEpoch { .. } => {}
        Body::Orders(orders) => {
            keys.push(Key::Candidates);
            for order in orders {
                let wallet = order.wallet;
                keys.push(Key::Wallet(wallet));
                match &order.action {
                    Action::Register { .. } | Action::Retire => keys.push(Key::Validator(wallet)),
                    Action::Delegate { validator, .. } => keys.extend([Key::Validator(*validator), Key::Delegation(wallet, *validator)]),
                    Action::Undelegate { validator, .. } => {
                        keys.extend([Key::Validator(*validator), Key::Delegation(wallet, *validator), Key::Unbonding(wallet, *validator)]);
                    }
                    Action::Withdraw { validator } => keys.extend([Key::Validator(*validator), Key::Unbonding(wallet, *validator)]),
                    Action::Site { site, .. } => keys.push(Key::Site(site_id(site))),
                    Action::RegisterDevice { device, credential, .. } => {
                        keys.extend([Key::Site(site_id(&device.site)), Key::Device(device.id())]);
                        keys.extend(credential.map(|c| Key::DeviceKey(c.key)));
                    }
                    Action::RotateDevice { device, credential } => {
                        keys.extend([Key::Site(site_id(&device.site)), Key::Device(device.id()), Key::DeviceKey(credential.key)]);
                    }
                    Action::DescribeDevice { device, .. } | Action::RevokeDevice { device } => {
                        keys.extend([Key::Site(site_id(&device.site)), Key::Device(device.id())]);
                    }
                    Action::Fund { .. } => keys.extend([Key::Purse(wallet), Key::Coins]),
                    Action::Service { name, .. } => keys.push(Key::Service(service_id(&wallet, name))),
                    // the purchase may be one of the same milestone: of its two purses, only the provider's is not there for it
                    Action::Settle { purchase, .. } => keys.extend([Key::Purchase(*purchase), Key::Purse(wallet)]),
                }
            }
        }
        Body::Evidence(evidence) => {
            let offence = evidence.offence();
            keys.extend([Key::Candidates, Key::Offence(offence.id), Key::Validator(offence.offender)]);
        }
    }
    fastpath::touched(message, &mut keys);
    keys
}

/// What a message did beside what everybody sees in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What in it had no effect, and why.
    pub refusals: Vec<Refusal>,
    /// Requests that it made certified and that were executed for it, in order.
    pub executed: Vec<Executed>,
}

/// Applies a message that counts. Gives what in it had no effect, and why.
///
/// # Errors
/// As [`apply_with_effects`].
pub fn apply<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, message: &Message) -> Result<Vec<Refusal>, ApplyError> {
    Ok(apply_with_effects(state, rules, message)?.refusals)
}

/// Applies a message that counts.
///
/// # Errors
/// [`ApplyError`]; the overlay is then unchanged.
pub fn apply_with_effects<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, message: &Message) -> Result<Effects, ApplyError> {
    let mut step = Overlay::new(&*state);
    count(&mut step, rules, message)?;
    let (mut refusals, mut executed) = (Vec::new(), Vec::new());
    let mut settle = |index: usize, outcome: Result<(), Stop>| match outcome {
        Ok(()) => Ok(()),
        Err(Stop::Fault(why)) => Err(why),
        Err(Stop::Refused(why)) => {
            refusals.push(Refusal { index, why });
            Ok(())
        }
    };
    match &message.body {
        Body::Data(_) | Body::EndOfEpoch { .. } => {}
        Body::Readings { root, count, shares, .. } => {
            if !shares.is_empty() {
                settle(0, pay_shares(&mut step, rules, message.issuer, (*root, *count), shares))?;
            }
        }
        Body::Requests(requests) => {
            for (index, request) in requests.iter().enumerate() {
                settle(index, fastpath::register(&mut step, rules, request))?;
            }
        }
        Body::Certificates(certificates) => {
            for (index, certificate) in certificates.iter().enumerate() {
                let outcome = fastpath::present(&mut step, rules, certificate, &mut executed);
                let forged = matches!(&outcome, Err(Stop::Refused(OrderError::Request(RequestError::Certificate(_)))));
                settle(index, outcome)?;
                if forged {
                    // whoever issued it did not look: the rest is not worth its signatures
                    break;
                }
            }
        }
        Body::Orders(orders) => {
            for (index, order) in orders.iter().enumerate() {
                settle(index, execute(&mut step, rules, order))?;
            }
        }
        Body::Evidence(evidence) => settle(0, punish(&mut step, rules, evidence))?,
    }
    // after its requests, which it may vote for, and before it ends the epoch
    fastpath::count_votes(&mut step, rules, message, &mut executed)?;
    if let Body::EndOfEpoch { epoch } = message.body {
        settle(0, fastpath::farewell(&mut step, rules, message.issuer, epoch))?;
    }
    let changes = step.into_changes();
    state.absorb(changes);
    Ok(Effects { refusals, executed })
}

/// The issuer's account and the totals.
fn count<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, message: &Message) -> Result<(), ApplyError> {
    let readings = u64::from(message.body.readings());
    let before = read_account(state, message.issuer)?;
    let expected = before.as_ref().map_or(0, |a| a.next_sequence);
    if message.sequence != expected {
        return Err(ApplyError::OutOfOrder { issuer: message.issuer, sequence: message.sequence, expected });
    }
    let mut totals = read_totals(state)?;
    let voids = pass(state, message.issuer, message.sequence, before.as_ref().map_or(0, |a| a.voids))?;
    let (messages, earlier, meter) = before.map_or((0, 0, Meter::default()), |a| (a.messages, a.readings, Meter::from_us(a.meter_us)));
    let account = Account {
        next_sequence: expected.saturating_add(1),
        last: message.id(),
        messages: messages + 1,
        readings: earlier + readings,
        meter_us: meter.after(rules.parameters, message.issued_at_ms, message.sequence).us(),
        epoch: rules.epoch,
        voids,
    };
    state.set(Key::Account(message.issuer), &account);
    totals.messages += 1;
    totals.readings += readings;
    state.set(Key::Totals, &totals);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::account::Totals;
    use crate::store::MemoryStore;
    use protocol::{Id, NetworkId, Parameters, SecretKey, Unsigned, WalletParameters};

    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn message(seed: u8, sequence: u64, previous: Id) -> Message {
        let key = SecretKey::from_seed(&[seed; 32]);
        let unsigned = Unsigned {
            network: NETWORK,
            subnet: 0,
            issuer: key.public_key(),
            sequence,
            parents: vec![previous],
            issued_at_ms: 1,
            votes: vec![],
            body: Body::Data(vec![1]),
            pow_nonce: 0,
        };
        unsigned.sign(&key)
    }

    fn applied<S: StateStore>(state: &mut Overlay<'_, S>, message: &Message) -> Result<Vec<Refusal>, ApplyError> {
        let (parameters, wallets) = (Parameters::default(), WalletParameters::default());
        let rules = Rules { network: &NETWORK, subnet: 0, epoch: 0, height: 1, time_ms: 1, parameters: &parameters, wallets: &wallets };
        apply(state, &rules, message)
    }

    #[test]
    fn accounts_follow_their_issuers_and_totals_follow_all() {
        let base = MemoryStore::default();
        let mut state = Overlay::new(&base);
        let a0 = message(1, 0, Id([7; 32]));
        let a1 = message(1, 1, a0.id());
        let b0 = message(2, 0, Id([7; 32]));
        for m in [&a0, &b0, &a1] {
            assert_eq!(applied(&mut state, m), Ok(vec![]));
        }
        let account = read_account(&state, a0.issuer).unwrap().unwrap();
        // both are of 1 ms, each uses up a quarter of one
        assert_eq!(account, Account { next_sequence: 2, last: a1.id(), messages: 2, readings: 0, meter_us: 1_500, epoch: 0, voids: 0 });
        assert_eq!(read_totals(&state).unwrap(), Totals { messages: 3, ..Totals::default() });
        assert_eq!(state.into_changes().len(), 3);
    }

    #[test]
    fn a_message_out_of_order_changes_nothing() {
        let base = MemoryStore::default();
        let mut state = Overlay::new(&base);
        let skipped = message(1, 4, Id([7; 32]));
        assert!(matches!(applied(&mut state, &skipped), Err(ApplyError::OutOfOrder { expected: 0, .. })));
        assert!(state.into_changes().is_empty());
    }

    #[test]
    fn a_damaged_value_is_named() {
        let mut base = MemoryStore::default();
        let m = message(1, 0, Id([7; 32]));
        base.set(Key::Account(m.issuer), vec![1, 2, 3]);
        let mut state = Overlay::new(&base);
        assert!(matches!(applied(&mut state, &m), Err(ApplyError::Corrupt { key: Key::Account(_), .. })));
    }
}
