//! The naive model of the graph: a plain list of messages, everything computed anew, by repeating a step until
//! nothing changes. The tests beside it and the fuzz target `dag_model` hold the graph against it.
#![allow(dead_code, reason = "each user takes its part")]

use dag::{Dag, Insertion, Limits, Vertex, settle};
use protocol::limits::PARENTS_MAX;
use protocol::{Id, PublicKey};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) const ROOT: Id = Id([0x52; 32]);
pub(crate) const ISSUERS: u8 = 4;
pub(crate) const VERTICES_MAX: usize = 48;

// --- random graphs ---------------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) id: Id,
    pub(crate) issuer: PublicKey,
    pub(crate) sequence: u64,
    pub(crate) parents: Vec<Id>,
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
pub(crate) struct Draft {
    pub(crate) issuer: u8,
    pub(crate) slip: u8,
    pub(crate) picks: Vec<u16>,
}

/// Messages, parents before children. Slip 0 forks the issuer's chain anywhere, slip 1 leaves a gap in the
/// sequence, anything else is honest.
pub(crate) fn build(drafts: &[Draft]) -> Vec<Plain> {
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

// --- the model -------------------------------------------------------------------------------------------

/// Those of `inserted` whose ancestors are all there.
pub(crate) fn connected(inserted: &[Plain]) -> BTreeSet<Id> {
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
pub(crate) fn maximal(inserted: &[Plain], ids: &BTreeSet<Id>) -> BTreeSet<Id> {
    let members: Vec<&Plain> = inserted.iter().filter(|v| ids.contains(&v.id)).collect();
    members.iter().map(|v| v.id).filter(|id| !members.iter().any(|v| v.parents.contains(id))).collect()
}

/// What `inserted` name and do not hold.
pub(crate) fn missing(inserted: &[Plain]) -> Vec<Id> {
    let there: BTreeSet<Id> = inserted.iter().map(|v| v.id).chain([ROOT]).collect();
    let named: BTreeSet<Id> = inserted.iter().flat_map(|v| v.parents.clone()).collect();
    named.difference(&there).copied().collect()
}

/// What `tips` reach outside `done`, by (depth, id).
pub(crate) fn cut(inserted: &[Plain], tips: &[Id], done: &BTreeSet<Id>) -> Vec<Id> {
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
pub(crate) fn counts(ordered: &[Plain]) -> Vec<Id> {
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
pub(crate) fn equivocations(inserted: &[Plain], connected: &BTreeSet<Id>) -> BTreeSet<(PublicKey, u64)> {
    let mut places: BTreeMap<(PublicKey, u64), usize> = BTreeMap::new();
    for v in inserted.iter().filter(|v| connected.contains(&v.id)) {
        *places.entry((v.issuer, v.sequence)).or_default() += 1;
    }
    places.into_iter().filter(|(_, count)| *count > 1).map(|(place, _)| place).collect()
}

// --- a graph under test ----------------------------------------------------------------------------------

pub(crate) const ROOMY: Limits = Limits { pending_max: VERTICES_MAX, pending_per_issuer_max: VERTICES_MAX };

pub(crate) fn nothing(_: &Id) -> bool {
    false
}

/// Inserts and checks what is answered against what is true: `seen` collects what was reported connected.
pub(crate) fn insert(
    dag: &mut Dag<Plain>,
    vertex: &Plain,
    settled: &BTreeSet<Id>,
    seen: &mut Vec<Id>,
    guilty: &mut BTreeSet<(PublicKey, u64)>,
) {
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

pub(crate) fn chosen(vertices: &[Plain], ids: &[Id]) -> Vec<Plain> {
    ids.iter().map(|id| vertices.iter().find(|v| v.id == *id).unwrap().clone()).collect()
}

/// After an arrival: connected messages, tips, missing ids, evidence, cut and proposal are the model's. `seen` and
/// `guilty` are what [`insert`] collected.
pub(crate) fn check(dag: &Dag<Plain>, inserted: &[Plain], seen: &[Id], guilty: &BTreeSet<(PublicKey, u64)>) {
    let known = connected(inserted);
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), known);
    assert_eq!((dag.len(), dag.pending()), (known.len(), inserted.len() - known.len()));
    let tips = maximal(inserted, &known);
    assert_eq!(dag.tips(), &tips);
    assert_eq!(*guilty, equivocations(inserted, &known));
    assert_eq!(dag.missing(), missing(inserted));
    let tips: Vec<Id> = tips.into_iter().collect();
    assert_eq!(dag.proposal(&nothing), tips);
    assert_eq!(dag.cut(&tips, &nothing), Ok(cut(inserted, &tips, &BTreeSet::new())));
}

/// Parents offered to an issuer are a list that a decoder accepts, and two of them as soon as there can be. All of
/// `vertices` are connected, parents before children.
pub(crate) fn check_parents(dag: &Dag<Plain>, vertices: &[Plain]) {
    for issuer in (0..=ISSUERS).map(|n| PublicKey([n; 32])) {
        let previous = vertices.iter().rev().find(|v| v.issuer == issuer).map_or(ROOT, |v| v.id);
        let parents = dag.parents_for(&issuer, previous);
        assert_eq!(parents[0], previous);
        assert!(parents.len() <= PARENTS_MAX);
        assert!(parents[1..].is_sorted_by(|a, b| a < b) && !parents[1..].contains(&previous));
        let others: Vec<Id> = dag.tips().iter().filter(|id| dag.get(id).unwrap().issuer != issuer).copied().collect();
        assert!(parents[1..].iter().all(|p| others.contains(p)));
        assert_eq!(parents.len() - 1, others.len().min(PARENTS_MAX - 1));
        let open = others.iter().filter(|id| !dag.is_confirmed(id)).count();
        let named = parents[1..].iter().filter(|id| !dag.is_confirmed(id)).count();
        assert_eq!(named, open.min(PARENTS_MAX - 1), "unconfirmed tips go first");
    }
}

/// Each (issuer, sequence) counts at most once, in an unbroken chain; split over milestones or not.
pub(crate) fn check_settling(ordered: &[Plain], split: usize) {
    let whole = settle(ROOT, ordered, &BTreeMap::new());
    assert_eq!(whole.counted, counts(ordered));
    assert_eq!(whole.counted.len() + whole.void.len(), ordered.len());
    assert!(whole.void.iter().all(|id| !whole.counted.contains(id)));
    let mut frontier: BTreeMap<PublicKey, (u64, Id)> = BTreeMap::new();
    let (first, second) = ordered.split_at(split.min(ordered.len()));
    let before = settle(ROOT, first, &BTreeMap::new());
    for v in chosen(ordered, &before.counted) {
        let (expected, last) = frontier.insert(v.issuer, (v.sequence + 1, v.id)).unwrap_or((0, ROOT));
        assert_eq!((v.sequence, v.parents[0]), (expected, last));
    }
    let after = settle(ROOT, second, &frontier);
    assert_eq!([before.counted, after.counted].concat(), whole.counted);
    assert_eq!([before.void, after.void].concat(), whole.void);
}

// --- a life of milestones --------------------------------------------------------------------------------

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// So many messages arrive.
    Arrive(usize),
    /// A milestone is proposed on top of those that are not final yet.
    Propose,
    /// The oldest proposed milestone becomes final.
    Finalise,
    /// What was confirmed more than so many milestones ago is forgotten.
    Forget(u64),
    /// A message that arrived before, picked by this number, arrives again.
    Repeat(u16),
}

/// One graph that forgets, one that does not, and the model.
pub(crate) struct Life {
    pub(crate) forgetful: Dag<Plain>,
    pub(crate) complete: Dag<Plain>,
    pub(crate) inserted: Vec<Plain>,
    pub(crate) confirmed: BTreeSet<Id>,
    pub(crate) proposed: Vec<Vec<Id>>,
    pub(crate) height: u64,
}

impl Life {
    pub(crate) fn new() -> Self {
        let (forgetful, complete) = (Dag::new(ROOT, ROOMY), Dag::new(ROOT, ROOMY));
        Self { forgetful, complete, inserted: Vec::new(), confirmed: BTreeSet::new(), proposed: Vec::new(), height: 0 }
    }

    pub(crate) fn arrive(&mut self, vertex: &Plain) {
        let forgotten = |id: &&Id| self.confirmed.contains(*id) && !self.forgetful.contains(id);
        let settled: BTreeSet<Id> = vertex.parents.iter().filter(forgotten).copied().collect();
        let forgetful = self.forgetful.insert(vertex.clone(), &settled).unwrap();
        let complete = self.complete.insert(vertex.clone(), &BTreeSet::new()).unwrap();
        assert_eq!(told(&forgetful), told(&complete));
        self.inserted.push(vertex.clone());
    }

    /// A message that arrived before changes nothing, forgotten or not.
    pub(crate) fn again(&mut self, vertex: &Plain) {
        let forgotten = |id: &&Id| self.confirmed.contains(*id) && !self.forgetful.contains(id);
        let settled: BTreeSet<Id> = vertex.parents.iter().chain([&vertex.id]).filter(forgotten).copied().collect();
        assert_eq!(self.forgetful.insert(vertex.clone(), &settled), Ok(Insertion::Known));
        assert_eq!(self.complete.insert(vertex.clone(), &BTreeSet::new()), Ok(Insertion::Known));
    }

    pub(crate) fn propose(&mut self) {
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

    pub(crate) fn finalise(&mut self) {
        if self.proposed.is_empty() {
            return;
        }
        let ids = self.proposed.remove(0);
        self.height += 1;
        self.forgetful.confirm(&ids, self.height);
        self.complete.confirm(&ids, self.height);
        self.confirmed.extend(ids);
    }

    pub(crate) fn forget(&mut self, lag: u64) {
        let below = self.height.saturating_sub(lag) + 1;
        let kept = |dag: &Dag<Plain>, id: &Id| dag.tips().contains(id) || dag.confirmed_at(id).is_none_or(|at| at >= below);
        let before: Vec<Id> = self.inserted.iter().map(|v| v.id).filter(|id| self.forgetful.contains(id)).collect();
        let kept: Vec<Id> = before.iter().filter(|id| kept(&self.forgetful, id)).copied().collect();
        assert_eq!(self.forgetful.forget(below), before.len() - kept.len());
        assert!(kept.iter().all(|id| self.forgetful.contains(id)));
        assert_eq!(self.forgetful.len(), kept.len());
    }

    /// Takes a step and checks. `waiting` are the places in `vertices` that have not arrived yet.
    pub(crate) fn play(&mut self, step: &Step, vertices: &[Plain], waiting: &mut VecDeque<usize>) {
        match step {
            Step::Arrive(count) => {
                let now = (*count).min(waiting.len());
                waiting.drain(..now).for_each(|at| self.arrive(&vertices[at]));
            }
            Step::Propose => self.propose(),
            Step::Finalise => self.finalise(),
            Step::Forget(lag) => self.forget(*lag),
            Step::Repeat(pick) => {
                let known = self.inserted.get(usize::from(*pick) % self.inserted.len().max(1)).cloned();
                if let Some(vertex) = known {
                    self.again(&vertex);
                }
            }
        }
        self.check();
    }

    /// The rest arrives and becomes final: each message is confirmed once, and in the end tips alone stay.
    pub(crate) fn finish(&mut self, vertices: &[Plain], mut waiting: VecDeque<usize>) {
        waiting.drain(..).for_each(|at| self.arrive(&vertices[at]));
        self.propose();
        while !self.proposed.is_empty() {
            self.finalise();
            self.check();
        }
        assert_eq!((self.forgetful.unconfirmed(), self.forgetful.pending()), (0, 0));
        assert_eq!(self.confirmed.len(), vertices.len());
        self.forget(0);
        self.check();
        assert_eq!(self.forgetful.len(), self.forgetful.tips().len(), "tips alone stay");
    }

    pub(crate) fn check(&self) {
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
pub(crate) fn told(insertion: &Insertion<Plain>) -> (bool, Vec<Id>) {
    match insertion {
        Insertion::Known => (false, Vec::new()),
        Insertion::Pending { missing } => (false, missing.clone()),
        Insertion::Connected { vertices, .. } => (true, vertices.iter().map(|v| v.id).collect()),
    }
}
