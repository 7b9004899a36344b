//! The graph against the naive model of its own tests.

use crate::draw::Draw;
use dag::{Dag, InsertError, Limits};
use naive::{
    Draft, ISSUERS, Life, Plain, ROOMY, ROOT, Step, build, check, check_parents, check_settling, chosen, connected, insert, missing,
    nothing,
};
use protocol::PublicKey;
use std::collections::{BTreeSet, VecDeque};

#[path = "../../crates/dag/tests/naive/mod.rs"]
mod naive;

/// Messages of one input. The model computes everything anew after each step, so few are enough and more are slow.
const MESSAGES_MAX: usize = 24;
/// Steps of one input.
const STEPS_MAX: usize = 64;
/// Kinds of drafts: 0 forks, 1 leaves a gap, the others are honest.
const SLIPS: u8 = 10;

/// The first byte chooses what is tried, the second how many messages there are; then come the messages (issuer, slip,
/// number of other parents, two bytes for each), the order of their arrival, and what happens. After every step the
/// graph must be what the model says.
///
/// Returns whether the input describes a message.
///
/// # Panics
/// If the graph and the model differ.
pub fn dag_model(data: &[u8]) -> bool {
    if data.len() < 3 {
        return false;
    }
    let mut draw = Draw::new(data);
    let kind = draw.byte() % 3;
    let drafts: Vec<Draft> = (0..=draw.below(MESSAGES_MAX)).map(|_| draft(&mut draw)).collect();
    let vertices = build(&drafts);
    let order = order(vertices.len(), &mut draw);
    match kind {
        0 => arrivals(&vertices, &order, &mut draw),
        1 => bounded(&vertices, &order, &mut draw),
        _ => life(&vertices, order, &mut draw),
    }
    true
}

fn draft(draw: &mut Draw<'_>) -> Draft {
    let (issuer, slip) = (draw.byte() % ISSUERS, draw.byte() % SLIPS);
    let picks = (0..draw.below(6)).map(|_| draw.u16()).collect();
    Draft { issuer, slip, picks }
}

/// An order of arrival: each number is drawn from those that are left.
fn order(count: usize, draw: &mut Draw<'_>) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    (0..count).map(|_| left.remove(draw.below(left.len()))).collect()
}

/// Everything arrives; some of it is confirmed.
fn arrivals(vertices: &[Plain], order: &[usize], draw: &mut Draw<'_>) {
    let mut dag = Dag::new(ROOT, ROOMY);
    let (mut inserted, mut seen, mut guilty) = (Vec::new(), Vec::new(), BTreeSet::new());
    for at in order {
        insert(&mut dag, &vertices[*at], &BTreeSet::new(), &mut seen, &mut guilty);
        inserted.push(vertices[*at].clone());
        check(&dag, &inserted, &seen, &guilty);
    }
    assert_eq!((dag.len(), dag.pending()), (vertices.len(), 0), "all parents came, so all are connected");
    let all = dag.cut(&dag.proposal(&nothing), &nothing).expect("a proposal has a cut");
    check_settling(&chosen(vertices, &all), draw.below(MESSAGES_MAX));
    dag.confirm(&all[..draw.below(MESSAGES_MAX).min(all.len())], 1);
    check_parents(&dag, vertices);
}

/// Little room for pending messages; some are dropped again. What is refused or dropped may come again.
fn bounded(vertices: &[Plain], order: &[usize], draw: &mut Draw<'_>) {
    let (all, each) = (1 + draw.below(8), 1 + draw.below(4));
    let mut dag = Dag::new(ROOT, Limits { pending_max: all, pending_per_issuer_max: each });
    let mut taken: Vec<Plain> = Vec::new();
    for at in order {
        take(&mut dag, &vertices[*at], &mut taken, (all, each));
        let dropped = taken.get(draw.below(2 * MESSAGES_MAX)).map(|v| v.id);
        if let Some(id) = dropped {
            let pending = dag.is_pending(&id);
            assert_eq!(dag.take_pending(&id).is_some(), pending);
            taken.retain(|v| v.id != id || !pending);
        }
        let known = connected(&taken);
        assert_eq!((dag.len(), dag.pending()), (known.len(), taken.len() - known.len()));
        assert_eq!(dag.missing(), missing(&taken));
    }
    for v in vertices {
        dag.insert(v.clone(), &BTreeSet::new()).expect("oldest first, nothing needs room");
        assert!(dag.contains(&v.id));
    }
    assert_eq!((dag.len(), dag.pending(), dag.missing().len()), (vertices.len(), 0, 0));
}

/// Inserts a message into a graph with little room; a refusal must be due and change nothing.
fn take(dag: &mut Dag<Plain>, v: &Plain, taken: &mut Vec<Plain>, (all, each): (usize, usize)) {
    let (before, of_issuer) = ((dag.len(), dag.pending()), pending_of(dag, taken, v.issuer));
    match dag.insert(v.clone(), &BTreeSet::new()) {
        Ok(_) => taken.push(v.clone()),
        Err(InsertError::IssuerPendingFull { issuer, limit }) => {
            assert_eq!((issuer, limit, of_issuer), (v.issuer, each, each));
            assert_eq!((dag.len(), dag.pending()), before);
        }
        Err(InsertError::PendingFull { limit }) => {
            assert_eq!((limit, before.1), (all, all));
            assert_eq!((dag.len(), dag.pending()), before);
        }
        Err(other) => panic!("{other}"),
    }
    assert!(dag.pending() <= all && pending_of(dag, taken, v.issuer) <= each);
}

/// How many of an issuer's messages are pending.
fn pending_of(dag: &Dag<Plain>, taken: &[Plain], issuer: PublicKey) -> usize {
    taken.iter().filter(|v| v.issuer == issuer && dag.is_pending(&v.id)).count()
}

/// Milestones are proposed, confirmed and forgotten while messages go on arriving.
fn life(vertices: &[Plain], order: Vec<usize>, draw: &mut Draw<'_>) {
    let (mut life, mut waiting) = (Life::new(), VecDeque::from(order));
    for _ in 0..STEPS_MAX {
        if draw.is_empty() {
            break;
        }
        let step = match draw.byte() % 8 {
            0 | 1 => Step::Arrive(1 + draw.below(5)),
            2 | 3 => Step::Propose,
            4 | 5 => Step::Finalise,
            6 => Step::Forget(u64::from(draw.byte() % 3)),
            _ => Step::Repeat(draw.u16()),
        };
        life.play(&step, vertices, &mut waiting);
    }
    life.finish(vertices, waiting);
}
