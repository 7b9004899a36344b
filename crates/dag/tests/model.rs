//! The graph against a naive model: random graphs with several issuers, equivocators, gaps in sequences and
//! random orders of arrival. The model keeps a plain list of messages and computes everything anew, by
//! repeating a step until nothing changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use dag::{Dag, InsertError, Insertion, Limits, Vertex, settle};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::{Id, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

const ROOT: Id = Id([0x52; 32]);
const ISSUERS: u8 = 4;
const VERTICES_MAX: usize = 48;

// --- random graphs ---------------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    id: Id,
    issuer: PublicKey,
    sequence: u64,
    parents: Vec<Id>,
}

impl Vertex for Plain {
    fn id(&self) -> Id {
        self.id
    }
    fn issuer(&self) -> PublicKey {
        self.issuer
    }
    fn sequence(&self) -> u64 {
        self.sequence
    }
    fn parents(&self) -> &[Id] {
        &self.parents
    }
}

/// One message to be: who issues it, whether it misbehaves, and what it names.
#[derive(Clone, Debug)]
struct Draft {
    issuer: u8,
    slip: u8,
    picks: Vec<u16>,
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let draft = (0..ISSUERS, 0u8..10, vec(any::<u16>(), 0..6)).prop_map(|(issuer, slip, picks)| Draft { issuer, slip, picks });
    vec(draft, 1..VERTICES_MAX)
}

/// Messages, parents before children. Slip 0 forks the issuer's chain anywhere, slip 1 leaves a gap in the
/// sequence, anything else is honest.
fn build(drafts: &[Draft]) -> Vec<Plain> {
    let mut all: Vec<Plain> = Vec::new();
    for (n, draft) in drafts.iter().enumerate() {
        let issuer = PublicKey([draft.issuer; 32]);
        let own: Vec<&Plain> = all.iter().filter(|v| v.issuer == issuer).collect();
        let previous = match draft.slip {
            0 => own.get(usize::from(draft.picks.first().copied().unwrap_or(0)) % (own.len() + 1)),
            _ => own.last(),
        };
        let (previous, mut sequence) = previous.map_or((ROOT, 0), |v| (v.id, v.sequence + 1));
        if draft.slip == 1 {
            sequence += 1;
        }
        let mut others = BTreeSet::new();
        if !all.is_empty() {
            others.extend(draft.picks.iter().map(|pick| all[usize::from(*pick) % all.len()].id));
        }
        others.remove(&previous);
        let parents: Vec<Id> = std::iter::once(previous).chain(others).collect();
        all.push(Plain { id: Id::hash(&[n.to_be_bytes().as_slice()]), issuer, sequence, parents });
    }
    all
}

/// A graph and an order in which its messages arrive.
fn arrivals() -> impl Strategy<Value = (Vec<Plain>, Vec<usize>)> {
    drafts().prop_flat_map(|drafts| {
        let vertices = build(&drafts);
        let order: Vec<usize> = (0..vertices.len()).collect();
        (Just(vertices), Just(order).prop_shuffle())
    })
}

// --- the model -------------------------------------------------------------------------------------------

/// Those of `inserted` whose ancestors are all there.
fn connected(inserted: &[Plain]) -> BTreeSet<Id> {
    let mut known = BTreeSet::from([ROOT]);
    loop {
        let more: Vec<Id> =
            inserted.iter().filter(|v| !known.contains(&v.id) && v.parents.iter().all(|p| known.contains(p))).map(|v| v.id).collect();
        if more.is_empty() {
            known.remove(&ROOT);
            return known;
        }
        known.extend(more);
    }
}

/// Those of `ids` that no other of `ids` names.
fn maximal(inserted: &[Plain], ids: &BTreeSet<Id>) -> BTreeSet<Id> {
    let members: Vec<&Plain> = inserted.iter().filter(|v| ids.contains(&v.id)).collect();
    members.iter().map(|v| v.id).filter(|id| !members.iter().any(|v| v.parents.contains(id))).collect()
}

/// What `tips` reach outside `done`, by (depth, id).
fn cut(inserted: &[Plain], tips: &[Id], done: &BTreeSet<Id>) -> Vec<Id> {
    let mut cone: BTreeSet<Id> = tips.iter().copied().collect();
    loop {
        let before = cone.len();
        for v in inserted {
            if cone.contains(&v.id) {
                cone.extend(v.parents.iter().filter(|p| **p != ROOT && !done.contains(p)));
            }
        }
        if cone.len() == before {
            break;
        }
    }
    let mut depth: BTreeMap<Id, usize> = cone.iter().map(|id| (*id, 0)).collect();
    loop {
        let mut changed = false;
        for v in inserted.iter().filter(|v| cone.contains(&v.id)) {
            let deepest = v.parents.iter().filter_map(|p| depth.get(p)).max().map_or(0, |d| d + 1);
            changed |= depth.insert(v.id, deepest) != Some(deepest);
        }
        if !changed {
            break;
        }
    }
    let mut ordered: Vec<(usize, Id)> = depth.into_iter().map(|(id, d)| (d, id)).collect();
    ordered.sort();
    ordered.into_iter().map(|(_, id)| id).collect()
}

/// The conflict rule, by counting over again what counted before.
fn counts(ordered: &[Plain]) -> Vec<Id> {
    let mut counted: Vec<&Plain> = Vec::new();
    for v in ordered {
        let own: Vec<Id> = counted.iter().filter(|c| c.issuer == v.issuer).map(|c| c.id).collect();
        if own.len() as u64 == v.sequence && v.parents[0] == own.last().copied().unwrap_or(ROOT) {
            counted.push(v);
        }
    }
    counted.iter().map(|v| v.id).collect()
}

/// Every (issuer, sequence) that two connected messages hold.
fn equivocations(inserted: &[Plain], connected: &BTreeSet<Id>) -> BTreeSet<(PublicKey, u64)> {
    let mut places: BTreeMap<(PublicKey, u64), usize> = BTreeMap::new();
    for v in inserted.iter().filter(|v| connected.contains(&v.id)) {
        *places.entry((v.issuer, v.sequence)).or_default() += 1;
    }
    places.into_iter().filter(|(_, count)| *count > 1).map(|(place, _)| place).collect()
}

// --- a graph under test ----------------------------------------------------------------------------------

const ROOMY: Limits = Limits { pending_max: VERTICES_MAX, pending_per_issuer_max: VERTICES_MAX };

fn nothing(_: &Id) -> bool {
    false
}

/// Inserts and checks what is answered against what is true: `seen` collects what was reported connected.
fn insert(dag: &mut Dag<Plain>, vertex: &Plain, settled: &BTreeSet<Id>, seen: &mut Vec<Id>, guilty: &mut BTreeSet<(PublicKey, u64)>) {
    match dag.insert(vertex.clone(), settled).unwrap() {
        Insertion::Known => panic!("{vertex:?} was inserted once only"),
        Insertion::Pending { missing } => {
            assert!(dag.is_pending(&vertex.id) && !dag.contains(&vertex.id));
            assert!(missing.iter().all(|id| vertex.parents.contains(id) && !dag.contains(id) && !dag.is_pending(id)));
        }
        Insertion::Connected { vertices, evidence } => {
            assert_eq!(vertices[0], *vertex);
            for v in &vertices {
                let placed = |p: &Id| *p == ROOT || seen.contains(p);
                assert!(v.parents.iter().all(placed), "{v:?} came before a parent");
                assert!(!seen.contains(&v.id), "{v:?} came twice");
                seen.push(v.id);
            }
            for pair in evidence {
                let held = [pair.first, pair.second].map(|id| dag.get(&id).map(|v| (v.issuer, v.sequence)));
                assert_eq!(held, [Some((pair.issuer, pair.sequence)); 2]);
                assert!(pair.first < pair.second);
                guilty.insert((pair.issuer, pair.sequence));
            }
        }
    }
}

fn chosen(vertices: &[Plain], ids: &[Id]) -> Vec<Plain> {
    ids.iter().map(|id| vertices.iter().find(|v| v.id == *id).unwrap().clone()).collect()
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
            let known = connected(&inserted);
            prop_assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), known.clone());
            prop_assert_eq!((dag.len(), dag.pending()), (known.len(), inserted.len() - known.len()));
            let tips = maximal(&inserted, &known);
            prop_assert_eq!(dag.tips(), &tips);
            prop_assert_eq!(guilty.clone(), equivocations(&inserted, &known));
            let there: BTreeSet<Id> = inserted.iter().map(|v| v.id).chain([ROOT]).collect();
            let missing: BTreeSet<Id> = inserted.iter().flat_map(|v| v.parents.clone()).filter(|p| !there.contains(p)).collect();
            prop_assert_eq!(dag.missing(), missing.into_iter().collect::<Vec<_>>());
            let tips: Vec<Id> = tips.into_iter().collect();
            prop_assert_eq!(dag.proposal(&nothing), tips.clone());
            prop_assert_eq!(dag.cut(&tips, &nothing), Ok(cut(&inserted, &tips, &BTreeSet::new())));
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
        for issuer in (0..=ISSUERS).map(|n| PublicKey([n; 32])) {
            let previous = vertices.iter().rev().find(|v| v.issuer == issuer).map_or(ROOT, |v| v.id);
            let parents = dag.parents_for(&issuer, previous);
            prop_assert_eq!(parents[0], previous);
            prop_assert!(parents.len() <= protocol::limits::PARENTS_MAX);
            prop_assert!(parents[1..].is_sorted_by(|a, b| a < b) && !parents[1..].contains(&previous));
            let others: Vec<Id> = dag.tips().iter().filter(|id| dag.get(id).unwrap().issuer != issuer).copied().collect();
            prop_assert!(parents[1..].iter().all(|p| others.contains(p)));
            prop_assert_eq!(parents.len() - 1, others.len().min(protocol::limits::PARENTS_MAX - 1));
            let open = others.iter().filter(|id| !dag.is_confirmed(id)).count();
            let named = parents[1..].iter().filter(|id| !dag.is_confirmed(id)).count();
            prop_assert_eq!(named, open.min(protocol::limits::PARENTS_MAX - 1), "unconfirmed tips go first");
        }
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
        let whole = settle(ROOT, &ordered, &BTreeMap::new());
        prop_assert_eq!(whole.counted.clone(), counts(&ordered));
        prop_assert_eq!(whole.counted.len() + whole.void.len(), ordered.len());
        prop_assert!(whole.void.iter().all(|id| !whole.counted.contains(id)));
        let mut frontier: BTreeMap<PublicKey, (u64, Id)> = BTreeMap::new();
        let (first, second) = ordered.split_at(split.min(ordered.len()));
        let before = settle(ROOT, first, &BTreeMap::new());
        for v in chosen(&vertices, &before.counted) {
            let (expected, last) = frontier.insert(v.issuer, (v.sequence + 1, v.id)).unwrap_or((0, ROOT));
            prop_assert_eq!((v.sequence, v.parents[0]), (expected, last));
        }
        let after = settle(ROOT, second, &frontier);
        prop_assert_eq!([before.counted, after.counted].concat(), whole.counted);
        prop_assert_eq!([before.void, after.void].concat(), whole.void);
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
                prop_assert_eq!(dag.drop_pending(&vertices[*at].id), pending);
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

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// So many messages arrive.
    Arrive(usize),
    /// A milestone is proposed on top of those that are not final yet.
    Propose,
    /// The oldest proposed milestone becomes final.
    Finalise,
    /// What was confirmed more than so many milestones ago is forgotten.
    Forget(u64),
}

fn life_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..6usize).prop_map(Step::Arrive),
        3 => Just(Step::Propose),
        3 => Just(Step::Finalise),
        2 => (0..3u64).prop_map(Step::Forget),
    ];
    vec(step, 1..60)
}

/// One graph that forgets, one that does not, and the model.
struct Life {
    forgetful: Dag<Plain>,
    complete: Dag<Plain>,
    inserted: Vec<Plain>,
    confirmed: BTreeSet<Id>,
    proposed: Vec<Vec<Id>>,
    height: u64,
}

impl Life {
    fn new() -> Self {
        let (forgetful, complete) = (Dag::new(ROOT, ROOMY), Dag::new(ROOT, ROOMY));
        Self { forgetful, complete, inserted: Vec::new(), confirmed: BTreeSet::new(), proposed: Vec::new(), height: 0 }
    }

    fn arrive(&mut self, vertex: &Plain) {
        let forgotten = |id: &&Id| self.confirmed.contains(*id) && !self.forgetful.contains(id);
        let settled: BTreeSet<Id> = vertex.parents.iter().filter(forgotten).copied().collect();
        let forgetful = self.forgetful.insert(vertex.clone(), &settled).unwrap();
        let complete = self.complete.insert(vertex.clone(), &BTreeSet::new()).unwrap();
        assert_eq!(told(&forgetful), told(&complete));
        self.inserted.push(vertex.clone());
    }

    fn propose(&mut self) {
        let pipeline: BTreeSet<Id> = self.proposed.iter().flatten().copied().collect();
        let excluded = |id: &Id| pipeline.contains(id);
        let done: BTreeSet<Id> = self.confirmed.union(&pipeline).copied().collect();
        let open: BTreeSet<Id> = connected(&self.inserted).difference(&done).copied().collect();
        let tips: Vec<Id> = maximal(&self.inserted, &open).into_iter().collect();
        assert_eq!(self.forgetful.proposal(&excluded), tips);
        assert_eq!(self.complete.proposal(&excluded), tips);
        let expected = cut(&self.inserted, &tips, &done);
        assert_eq!(expected.iter().copied().collect::<BTreeSet<_>>(), open, "a proposal reaches all there is");
        assert_eq!(self.forgetful.cut(&tips, &excluded), Ok(expected.clone()));
        assert_eq!(self.complete.cut(&tips, &excluded), Ok(expected.clone()));
        self.proposed.push(expected);
    }

    fn finalise(&mut self) {
        if self.proposed.is_empty() {
            return;
        }
        let ids = self.proposed.remove(0);
        self.height += 1;
        self.forgetful.confirm(&ids, self.height);
        self.complete.confirm(&ids, self.height);
        self.confirmed.extend(ids);
    }

    fn forget(&mut self, lag: u64) {
        let below = self.height.saturating_sub(lag) + 1;
        let kept = |dag: &Dag<Plain>, id: &Id| dag.tips().contains(id) || dag.confirmed_at(id).is_none_or(|at| at >= below);
        let before: Vec<Id> = self.inserted.iter().map(|v| v.id).filter(|id| self.forgetful.contains(id)).collect();
        let kept: Vec<Id> = before.iter().filter(|id| kept(&self.forgetful, id)).copied().collect();
        assert_eq!(self.forgetful.forget(below), before.len() - kept.len());
        assert!(kept.iter().all(|id| self.forgetful.contains(id)));
        assert_eq!(self.forgetful.len(), kept.len());
    }

    fn check(&self) {
        let known = connected(&self.inserted);
        let tips = maximal(&self.inserted, &known);
        assert_eq!((self.forgetful.tips(), self.complete.tips()), (&tips, &tips));
        assert_eq!(self.forgetful.unconfirmed(), known.difference(&self.confirmed).count());
        assert_eq!(self.forgetful.pending(), self.complete.pending());
        assert_eq!(self.forgetful.missing(), self.complete.missing());
        assert_eq!(self.complete.len(), known.len());
        assert!(known.iter().all(|id| self.complete.is_confirmed(id) == self.confirmed.contains(id)));
    }
}

/// What an insertion says, without evidence: that of long forgotten messages is no longer found.
fn told(insertion: &Insertion<Plain>) -> (bool, Vec<Id>) {
    match insertion {
        Insertion::Known => (false, Vec::new()),
        Insertion::Pending { missing } => (false, missing.clone()),
        Insertion::Connected { vertices, .. } => (true, vertices.iter().map(|v| v.id).collect()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Milestones proposed on top of each other, confirmed and forgotten while messages go on arriving:
    /// forgetting never changes a tip, a cut or a proposal, and in the end each message is confirmed once.
    #[test]
    fn forgetting_never_changes_a_later_cut((vertices, order) in arrivals(), steps in life_steps()) {
        let mut life = Life::new();
        let mut waiting = order.iter();
        for step in steps {
            match step {
                Step::Arrive(count) => waiting.by_ref().take(count).for_each(|at| life.arrive(&vertices[*at])),
                Step::Propose => life.propose(),
                Step::Finalise => life.finalise(),
                Step::Forget(lag) => life.forget(lag),
            }
            life.check();
        }
        waiting.for_each(|at| life.arrive(&vertices[*at]));
        life.propose();
        while !life.proposed.is_empty() {
            life.finalise();
            life.check();
        }
        prop_assert_eq!((life.forgetful.unconfirmed(), life.forgetful.pending()), (0, 0));
        prop_assert_eq!(life.confirmed.len(), vertices.len());
        life.forget(0);
        life.check();
        prop_assert_eq!(life.forgetful.len(), life.forgetful.tips().len(), "tips alone stay");
    }
}
