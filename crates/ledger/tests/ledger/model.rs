//! The ledger against a plain model that keeps every amount exactly and knows nothing of factors: after any orders,
//! offences and epochs both agree, up to what rounding down takes.

use crate::world::{COINS, VALIDATORS, WALLETS, World, delegate, public, register, undelegate, withdraw};
use ledger::{OrderError, read_totals};
use proptest::prelude::*;
use protocol::{Action, Parameters};
use std::collections::BTreeMap;

/// Parts of a coin in the model: a slash is a percentage, so six of them stay exact.
const PARTS: u128 = 1_000_000_000_000;
/// Offences of one validator in a run.
const OFFENCES_MAX: u64 = 6;

#[derive(Clone, Debug)]
enum Step {
    Order(u8, Action),
    Offence(u8),
    Epoch,
}

fn step() -> impl Strategy<Value = Step> {
    let wallet = prop::sample::select(WALLETS.to_vec());
    // validators, and one wallet that registers and retires
    let validator = prop::sample::select(vec![1u8, 2, 3, 4, 9]);
    let amount = prop_oneof![1u64..50, 1..COINS, Just(u64::MAX)];
    let action = prop_oneof![
        1 => Just(register()),
        1 => Just(Action::Retire),
        4 => (validator.clone(), amount.clone()).prop_map(|(v, n)| delegate(v, n)),
        4 => (validator.clone(), amount).prop_map(|(v, n)| undelegate(v, n)),
        3 => validator.clone().prop_map(withdraw),
    ];
    prop_oneof![
        12 => (wallet, action).prop_map(|(w, a)| Step::Order(w, a)),
        1 => validator.prop_map(Step::Offence),
        2 => Just(Step::Epoch),
    ]
}

/// Amounts in parts of a coin. `u8` are seeds.
#[derive(Default)]
struct Model {
    balances: BTreeMap<u8, u128>,
    /// By wallet and validator.
    stakes: BTreeMap<(u8, u8), u128>,
    /// By wallet, validator and release epoch.
    unbonding: BTreeMap<(u8, u8, u64), u128>,
    /// Registered or not.
    validators: BTreeMap<u8, bool>,
    offences: BTreeMap<u8, u64>,
    /// How often something was rounded down, by at most one coin.
    roundings: u128,
}

impl Model {
    fn new() -> Self {
        let mut model = Self::default();
        model.balances.extend(WALLETS.map(|w| (w, u128::from(COINS) * PARTS)));
        model.stakes.extend(VALIDATORS.map(|v| ((v, v), u128::from(COINS) * PARTS)));
        model.validators.extend(VALIDATORS.map(|v| (v, true)));
        model
    }

    fn seed(key: protocol::PublicKey) -> u8 {
        (1..=9).find(|s| public(*s) == key).unwrap()
    }

    /// What the ledger must say to this order, as far as rounding leaves no doubt; `None` where it does.
    fn verdict(&self, wallet: u8, action: &Action, epoch: u64) -> Option<bool> {
        let enough = |have: u128, amount: u64| {
            let need = u128::from(amount) * PARTS;
            if have < need {
                return Some(false);
            }
            (have >= need + self.roundings * PARTS).then_some(true)
        };
        match action {
            Action::Register { .. } => Some(true),
            Action::Retire => Some(self.validators.contains_key(&wallet)),
            Action::Delegate { validator, amount } => match self.validators.get(&Self::seed(*validator)) {
                Some(true) => enough(self.balances[&wallet], *amount),
                _ => Some(false),
            },
            Action::Undelegate { validator, amount } => {
                let held = self.stakes.get(&(wallet, Self::seed(*validator))).copied().unwrap_or_default();
                enough(held, *amount)
            }
            Action::Withdraw { validator } => {
                let v = Self::seed(*validator);
                Some(self.unbonding.keys().any(|(w, from, release)| (*w, *from) == (wallet, v) && *release <= epoch))
            }
            _ => unreachable!("sites and devices have a model of their own"),
        }
    }

    /// Does what the ledger did.
    fn execute(&mut self, wallet: u8, action: &Action, (epoch, release): (u64, u64)) {
        self.roundings += 2;
        match action {
            Action::Register { .. } => {
                self.validators.insert(wallet, true);
            }
            Action::Retire => {
                self.validators.insert(wallet, false);
            }
            Action::Delegate { validator, amount } => {
                let parts = u128::from(*amount) * PARTS;
                *self.balances.get_mut(&wallet).unwrap() -= parts;
                *self.stakes.entry((wallet, Self::seed(*validator))).or_default() += parts;
            }
            Action::Undelegate { validator, amount } => {
                let (v, parts) = (Self::seed(*validator), u128::from(*amount) * PARTS);
                *self.stakes.get_mut(&(wallet, v)).unwrap() -= parts;
                *self.unbonding.entry((wallet, v, release)).or_default() += parts;
            }
            Action::Withdraw { validator } => {
                let v = Self::seed(*validator);
                let released: Vec<_> = self.unbonding.keys().filter(|k| (k.0, k.1) == (wallet, v) && k.2 <= epoch).copied().collect();
                for key in released {
                    *self.balances.get_mut(&wallet).unwrap() += self.unbonding.remove(&key).unwrap();
                    self.roundings += 1;
                }
            }
            _ => unreachable!("sites and devices have a model of their own"),
        }
    }

    fn slash(&mut self, validator: u8, percent: u8) {
        let keep = 100 - u128::from(percent);
        self.stakes.iter_mut().filter(|(k, _)| k.1 == validator).for_each(|(_, parts)| *parts = *parts * keep / 100);
        self.unbonding.iter_mut().filter(|(k, _)| k.1 == validator).for_each(|(_, parts)| *parts = *parts * keep / 100);
        self.roundings += 1;
    }

    /// Both say the same, the ledger at most the roundings less.
    fn compare(&self, world: &World) -> Result<(), TestCaseError> {
        let near = |ledger: u64, model: u128| {
            let (ledger, slack) = (u128::from(ledger) * PARTS, (self.roundings + 1) * PARTS);
            ledger <= model && model < ledger + slack
        };
        for wallet in WALLETS {
            let balance = world.wallet(wallet).balance;
            prop_assert!(near(balance, self.balances[&wallet]), "balance of {}: {} and {}", wallet, balance, self.balances[&wallet]);
            for validator in self.validators.keys() {
                let staked = self.stakes.get(&(wallet, *validator)).copied().unwrap_or_default();
                prop_assert!(near(world.staked(wallet, *validator), staked), "stake of {} with {}", wallet, validator);
                let unbonding = self.unbonding.iter().filter(|(k, _)| (k.0, k.1) == (wallet, *validator)).map(|(_, parts)| parts).sum();
                prop_assert!(near(world.unbonding(wallet, *validator), unbonding), "unbonding of {} from {}", wallet, validator);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_ledger_agrees_with_the_model(
        steps in prop::collection::vec(step(), 1..60),
        slash_percent in prop_oneof![Just(0u8), Just(100), 1u8..100],
        unbonding_epochs in 0u64..4,
        stake_min in prop_oneof![Just(0u64), Just(1_000), Just(COINS + 1)],
    ) {
        let mut world = World::with(Parameters { slash_percent, unbonding_epochs, stake_min, ..Parameters::default() });
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Epoch => {
                    let committee = world.close();
                    prop_assert!(!committee.is_empty() && committee.is_sorted());
                }
                Step::Offence(validator) => {
                    let count = model.offences.entry(validator).or_default();
                    if *count == OFFENCES_MAX {
                        continue;
                    }
                    *count += 1;
                    let evidence = world.equivocation(validator, *count);
                    let burned = read_totals(&world.state()).unwrap().burned;
                    match model.validators.contains_key(&validator) {
                        true => {
                            prop_assert_eq!(world.prove(evidence.clone()), Ok(()));
                            prop_assert_eq!(world.prove(evidence), Err(OrderError::Punished));
                            prop_assert!(!world.elected().contains(&public(validator)) || nobody_stands(&world));
                            model.slash(validator, slash_percent);
                        }
                        false => {
                            prop_assert_eq!(world.prove(evidence), Err(OrderError::Stranger(public(validator))));
                            prop_assert_eq!(read_totals(&world.state()).unwrap().burned, burned);
                        }
                    }
                }
                Step::Order(wallet, action) => {
                    let verdict = model.verdict(wallet, &action, world.epoch);
                    let outcome = world.run(wallet, action.clone());
                    // refusals that the model does not know
                    if matches!(outcome, Err(OrderError::UnbondingFull | OrderError::Ruined(_))) {
                        continue;
                    }
                    if let Some(expected) = verdict {
                        prop_assert_eq!(outcome.is_ok(), expected, "{:?} of {}: {:?}", action, wallet, outcome);
                    }
                    if outcome.is_ok() {
                        model.execute(wallet, &action, (world.epoch, world.epoch + unbonding_epochs));
                    }
                }
            }
            model.compare(&world)?;
        }
    }
}

/// Whether the present committee stays because there is nobody else.
fn nobody_stands(world: &World) -> bool {
    let committee = ledger::read_epoch(&world.state()).unwrap().committee;
    world.elected() == committee
}
