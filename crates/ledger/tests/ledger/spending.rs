//! Requests against a plain model: whatever is carried, voted for by whom, and in whatever order, coins are conserved and each State of a
//! purse is spent at most once.

use crate::requests::{balance, fund, purse, request_in};
use crate::world::{VALIDATORS, World, public};
use proptest::prelude::*;
use protocol::{Body, Id, Operation, Request, UNITS_PER_COIN};
use std::collections::{BTreeMap, BTreeSet};

const SPENDERS: [u8; 3] = [4, 5, 6];
const COINS: u64 = 20;

#[derive(Clone, Debug)]
enum Step {
    /// A wallet signs a request, on the State after its last one or on an older one, and somebody carries it.
    Sign { wallet: u8, back: usize, to: u8, price: u64 },
    /// A validator votes for one of the requests so far, honest or not.
    Vote { validator: u8, which: usize },
    /// The epoch ends.
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let wallet = || prop::sample::select(SPENDERS.to_vec());
    let price = prop_oneof![1..UNITS_PER_COIN, Just(COINS * UNITS_PER_COIN), Just(u64::MAX)];
    prop_oneof![
        4 => (wallet(), 0usize..3, wallet(), price).prop_map(|(wallet, back, to, price)| Step::Sign { wallet, back, to, price }),
        16 => (prop::sample::select(VALIDATORS.to_vec()), any::<usize>()).prop_map(|(validator, which)| Step::Vote { validator, which }),
        1 => Just(Step::Close),
    ]
}

/// What a plain ledger knows: balances, the States spent, votes as sets.
#[derive(Default)]
struct Model {
    balances: BTreeMap<u8, u64>,
    numbers: BTreeMap<u8, u64>,
    votes: BTreeMap<Id, BTreeSet<u8>>,
    spent: BTreeSet<(u8, Id)>,
}

impl Model {
    /// Executes a request that the ledger says it executed, and checks that it may be.
    fn execute(&mut self, wallet: u8, to: u8, request: &Request) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.votes.get(&request.id()).map_or(0, BTreeSet::len), VALIDATORS.len(), "not enough votes");
        prop_assert!(self.spent.insert((wallet, request.state)), "a State was spent twice");
        let number = self.numbers.entry(wallet).or_default();
        prop_assert_eq!(*number, request.number);
        *number += 1;
        let from = self.balances.get_mut(&wallet).unwrap();
        *from = from.checked_sub(request.price).ok_or_else(|| TestCaseError::fail("more was spent than there was"))?;
        *self.balances.entry(to).or_default() += request.price;
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn each_state_is_spent_once_and_coins_are_conserved(steps in prop::collection::vec(step(), 1..80)) {
        let mut genesis = World::new().genesis;
        (genesis.wallet_parameters.difficulty, genesis.wallet_parameters.vote_reward) = (0, 0);
        let mut world = World::of(genesis);
        let mut model = Model::default();
        let mut chains: BTreeMap<u8, Vec<(u64, Id)>> = BTreeMap::new();
        let mut requests: Vec<(u8, u8, Request)> = Vec::new();
        for wallet in SPENDERS {
            fund(&mut world, wallet, COINS);
            model.balances.insert(wallet, COINS * UNITS_PER_COIN);
            chains.insert(wallet, vec![(0, purse(&world, wallet).state)]);
        }
        for step in steps {
            match step {
                Step::Sign { wallet, back, to, price } => {
                    let chain = &chains[&wallet];
                    let at = chain[chain.len().saturating_sub(1 + back)];
                    let request = request_in(&world, wallet, at, Operation::Transfer { to: public(to) }, price);
                    chains.get_mut(&wallet).unwrap().push((at.0 + 1, request.next_state()));
                    world.send(Body::Requests(vec![request.clone()]));
                    requests.push((wallet, to, request));
                }
                Step::Vote { validator, which } => {
                    if requests.is_empty() {
                        continue;
                    }
                    let voted = requests[which % requests.len()].2.id();
                    if requests[which % requests.len()].2.epoch == world.epoch {
                        model.votes.entry(voted).or_default().insert(validator);
                    }
                    for done in world.send_of(validator, vec![voted], Body::Data(Vec::new())).executed {
                        let (wallet, to, request) = requests.iter().find(|(_, _, r)| r.id() == done.request).unwrap();
                        model.execute(*wallet, *to, request)?;
                    }
                }
                Step::Close => {
                    world.close();
                    // wallets sign again on what was executed
                    for wallet in SPENDERS {
                        let purse = purse(&world, wallet);
                        chains.insert(wallet, vec![(purse.number, purse.state)]);
                    }
                }
            }
            for wallet in SPENDERS {
                prop_assert_eq!(balance(&world, wallet), model.balances[&wallet]);
                prop_assert_eq!(purse(&world, wallet).number, model.numbers.get(&wallet).copied().unwrap_or_default());
            }
        }
    }
}
