//! The graph against a naive model: random graphs with several issuers, equivocators, gaps in sequences and
//! random orders of arrival. The model is in `naive`; the fuzz target `dag_model` uses it too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod naive;

use dag::{Dag, InsertError, Insertion, Limits, settle};
use naive::{
    Draft, ISSUERS, Life, Plain, ROOMY, ROOT, Step, VERTICES_MAX, build, check, check_parents, check_settling, chosen, connected, cut,
    insert, maximal, nothing,
};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::{Id, PublicKey};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

// --- random graphs ---------------------------------------------------------------------------------------

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let draft = (0..ISSUERS, 0u8..10, vec(any::<u16>(), 0..6)).prop_map(|(issuer, slip, picks)| Draft { issuer, slip, picks });
    vec(draft, 1..VERTICES_MAX)
}

/// A graph and an order in which its messages arrive.
fn arrivals() -> impl Strategy<Value = (Vec<Plain>, Vec<usize>)> {
    drafts().prop_flat_map(|drafts| {
        let vertices = build(&drafts);
        let order: Vec<usize> = (0..vertices.len()).collect();
        (Just(vertices), Just(order).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// After every single arrival: connected messages, tips, missing ids, evidence, cut and proposal are the model's.
    #[test]
    fn agrees_with_the_model_after_every_arrival((vertices, order) in arrivals()) {
        let mut dag = Dag::new(ROOT, ROOMY);
        let (mut inserted, mut seen, mut guilty) = (Vec::new(), Vec::new(), BTreeSet::new());
        for at in order {
            insert(&mut dag, &vertices[at], &BTreeSet::new(), &mut seen, &mut guilty);
            inserted.push(vertices[at].clone());
            check(&dag, &inserted, &seen, &guilty);
        }
        prop_assert_eq!(dag.len(), vertices.len(), "all parents came, so all are connected");
    }

    /// Parents before children, and the same cut whatever the order of arrival.
    #[test]
    fn a_cut_does_not_depend_on_the_order_of_arrival((vertices, order) in arrivals(), picks in vec(any::<u16>(), 1..4)) {
        let (mut by_birth, mut by_chance) = (Dag::new(ROOT, ROOMY), Dag::new(ROOT, ROOMY));
        let (mut seen, mut guilty) = (Vec::new(), BTreeSet::new());
        let (mut seen_too, mut guilty_too) = (Vec::new(), BTreeSet::new());
        for at in 0..vertices.len() {
            insert(&mut by_birth, &vertices[at], &BTreeSet::new(), &mut seen, &mut guilty);
            insert(&mut by_chance, &vertices[order[at]], &BTreeSet::new(), &mut seen_too, &mut guilty_too);
        }
        prop_assert_eq!(guilty, guilty_too);
        prop_assert_eq!(by_birth.proposal(&nothing), by_chance.proposal(&nothing));
        // Any tips will do, maximal or not.
        let tips: Vec<Id> = picks.iter().map(|pick| vertices[usize::from(*pick) % vertices.len()].id).collect();
        let ordered = by_birth.cut(&tips, &nothing).unwrap();
        prop_assert_eq!(by_chance.cut(&tips, &nothing), Ok(ordered.clone()));
        for (at, v) in chosen(&vertices, &ordered).iter().enumerate() {
            prop_assert!(v.parents.iter().all(|p| *p == ROOT || ordered[..at].contains(p)));
        }
    }

    /// Parents offered to an issuer are a list that a decoder accepts, and two of them as soon as there can be.
    #[test]
    fn parents_offered_are_well_formed((vertices, order) in arrivals(), confirmed in 0..VERTICES_MAX) {
        let mut dag = Dag::new(ROOT, ROOMY);
        let (mut seen, mut guilty) = (Vec::new(), BTreeSet::new());
        for at in order {
            insert(&mut dag, &vertices[at], &BTreeSet::new(), &mut seen, &mut guilty);
        }
        let all = dag.cut(&dag.proposal(&nothing), &nothing).unwrap();
        dag.confirm(&all[..confirmed.min(all.len())], 1);
        check_parents(&dag, &vertices);
    }

    /// Each (issuer, sequence) counts at most once, in an unbroken chain; split over milestones or not.
    #[test]
    fn settle_agrees_with_the_model_and_counts_once((vertices, order) in arrivals(), split in 0..VERTICES_MAX) {
        let mut dag = Dag::new(ROOT, ROOMY);
        let (mut seen, mut guilty) = (Vec::new(), BTreeSet::new());
        for at in order {
            insert(&mut dag, &vertices[at], &BTreeSet::new(), &mut seen, &mut guilty);
        }
        let ordered = chosen(&vertices, &dag.cut(&dag.proposal(&nothing), &nothing).unwrap());
        check_settling(&ordered, split);
    }

    /// Pending messages never pass their limits, and a refusal loses nothing that is there.
    #[test]
    fn pending_messages_are_bounded((vertices, order) in arrivals(), all in 1..8usize, each in 1..4usize) {
        let mut dag = Dag::new(ROOT, Limits { pending_max: all, pending_per_issuer_max: each });
        let mut taken: Vec<Plain> = Vec::new();
        for at in order {
            let v = &vertices[at];
            let of_issuer = taken.iter().filter(|t| dag.is_pending(&t.id) && t.issuer == v.issuer).count();
            match dag.insert(v.clone(), &BTreeSet::new()) {
                Ok(_) => taken.push(v.clone()),
                Err(InsertError::IssuerPendingFull { issuer, limit }) => {
                    prop_assert_eq!((issuer, limit, of_issuer), (v.issuer, each, each));
                }
                Err(InsertError::PendingFull { limit }) => prop_assert_eq!((limit, dag.pending()), (all, all)),
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
            prop_assert!(dag.pending() <= all);
            for issuer in (0..ISSUERS).map(|n| PublicKey([n; 32])) {
                prop_assert!(taken.iter().filter(|t| dag.is_pending(&t.id) && t.issuer == issuer).count() <= each);
            }
            let known = connected(&taken);
            prop_assert_eq!((dag.len(), dag.pending()), (known.len(), taken.len() - known.len()));
        }
        // Oldest first, nothing needs room.
        for v in &vertices {
            dag.insert(v.clone(), &BTreeSet::new()).unwrap();
            prop_assert!(dag.contains(&v.id));
        }
        prop_assert_eq!((dag.len(), dag.pending(), dag.missing().len()), (vertices.len(), 0, 0));
    }

    /// Dropping pending messages and inserting them again ends where never dropping ends.
    #[test]
    fn dropped_messages_may_come_again((vertices, order) in arrivals(), drops in vec(any::<bool>(), VERTICES_MAX)) {
        let mut dag = Dag::new(ROOT, ROOMY);
        for at in &order {
            dag.insert(vertices[*at].clone(), &BTreeSet::new()).unwrap();
            if drops[*at] {
                let pending = dag.is_pending(&vertices[*at].id);
                prop_assert_eq!(dag.take_pending(&vertices[*at].id).is_some(), pending);
            }
        }
        for at in &order {
            dag.insert(vertices[*at].clone(), &BTreeSet::new()).unwrap();
        }
        prop_assert_eq!((dag.len(), dag.pending(), dag.missing().len()), (vertices.len(), 0, 0));
        let tips: Vec<Id> = maximal(&vertices, &connected(&vertices)).into_iter().collect();
        prop_assert_eq!(dag.cut(&tips, &nothing), Ok(cut(&vertices, &tips, &BTreeSet::new())));
    }
}

// --- a life of milestones --------------------------------------------------------------------------------

fn life_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..6usize).prop_map(Step::Arrive),
        3 => Just(Step::Propose),
        3 => Just(Step::Finalise),
        2 => (0..3u64).prop_map(Step::Forget),
        1 => any::<u16>().prop_map(Step::Repeat),
    ];
    vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Milestones proposed on top of each other, confirmed and forgotten while messages go on arriving:
    /// forgetting never changes a tip, a cut or a proposal, and in the end each message is confirmed once.
    #[test]
    fn forgetting_never_changes_a_later_cut((vertices, order) in arrivals(), steps in life_steps()) {
        let (mut life, mut waiting) = (Life::new(), VecDeque::from(order));
        for step in &steps {
            life.play(step, &vertices, &mut waiting);
        }
        life.finish(&vertices, waiting);
    }
}

// --- what a node must know of what it forgot -------------------------------------------------------------

/// What every node knows after a milestone, whatever else it remembers: where the issuers stand, and the void messages
/// that none of them has gone past.
#[derive(Default)]
struct State {
    frontier: BTreeMap<PublicKey, (u64, Id)>,
    void: BTreeMap<(PublicKey, u64), BTreeSet<Id>>,
}

impl State {
    fn settles(&self, v: &Plain) -> bool {
        self.frontier.get(&v.issuer).is_some_and(|(next, _)| v.sequence < *next)
            || self.void.get(&(v.issuer, v.sequence)).is_some_and(|ids| ids.contains(&v.id))
    }

    fn execute(&mut self, cut: &[Plain]) {
        let settled = settle(ROOT, cut, &self.frontier);
        for v in chosen(cut, &settled.counted) {
            self.frontier.insert(v.issuer, (v.sequence + 1, v.id));
            self.void.remove(&(v.issuer, v.sequence));
        }
        for v in chosen(cut, &settled.void) {
            if !self.settles(&v) {
                self.void.entry((v.issuer, v.sequence)).or_default().insert(v.id);
            }
        }
    }
}

/// Takes in a message of `all` as a node does that pulls what it lacks: what the state settles only lets others in.
fn pull(dag: &mut Dag<Plain>, state: &State, all: &[Plain], id: Id) {
    let mut wanted = vec![id];
    while let Some(id) = wanted.pop() {
        let v = all.iter().find(|v| v.id == id).unwrap();
        if state.settles(v) {
            dag.settle_parent(&id);
        } else if let Insertion::Pending { missing } = dag.insert(v.clone(), &BTreeSet::new()).unwrap() {
            wanted.extend(missing);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Equivocators name any old branch, also when a node has forgotten all there was: its cuts, and what counts in
    /// them, are those of a node that remembers everything.
    #[test]
    fn a_node_that_forgot_everything_finds_the_same_cuts(
        drafted in drafts(),
        steps in vec((1..8usize, any::<bool>()), 1..24),
    ) {
        let vertices = build(&drafted);
        let (mut remembers, mut forgets) = (Dag::new(ROOT, ROOMY), Dag::new(ROOT, ROOMY));
        let (mut state, mut arrived, mut counted) = (State::default(), 0, BTreeSet::new());
        for (height, (count, forget)) in (1u64..).zip(steps) {
            for v in vertices.iter().skip(arrived).take(count) {
                remembers.insert(v.clone(), &BTreeSet::new()).unwrap();
                arrived += 1;
            }
            if forget {
                forgets = Dag::new(ROOT, ROOMY);
            }
            let settled = |id: &Id| vertices.iter().any(|v| v.id == *id && state.settles(v));
            let tips = remembers.proposal(&settled);
            for tip in &tips {
                pull(&mut forgets, &state, &vertices, *tip);
            }
            let cut = remembers.cut(&tips, &settled).unwrap();
            prop_assert_eq!(forgets.cut(&tips, &settled), Ok(cut.clone()));
            let cut_vertices = chosen(&vertices, &cut);
            for id in settle(ROOT, &cut_vertices, &state.frontier).counted {
                prop_assert!(counted.insert(id), "a message counted twice");
            }
            remembers.confirm(&cut, height);
            forgets.confirm(&cut, height);
            state.execute(&cut_vertices);
        }
    }
}
