//! Graphs drawn by hand: ids are small numbers, ordered as numbers.

use dag::{Dag, Equivocation, Insertion, Limits, Vertex};
use protocol::{Id, PublicKey};
use std::collections::BTreeSet;

pub(crate) const ROOT: Id = Id([0xee; 32]);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drawn {
    pub(crate) id: Id,
    pub(crate) issuer: PublicKey,
    pub(crate) sequence: u64,
    pub(crate) parents: Vec<Id>,
}

impl Vertex for Drawn {
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

pub(crate) fn id(n: u32) -> Id {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Id(bytes)
}

pub(crate) fn ids(numbers: &[u32]) -> Vec<Id> {
    numbers.iter().map(|n| id(*n)).collect()
}

pub(crate) fn key(n: u32) -> PublicKey {
    PublicKey(id(n).0)
}

/// Message `n` of `issuer`; no parents means the root.
pub(crate) fn draw(n: u32, issuer: u32, sequence: u64, parents: &[u32]) -> Drawn {
    let parents = if parents.is_empty() { vec![ROOT] } else { ids(parents) };
    Drawn { id: id(n), issuer: key(issuer), sequence, parents }
}

pub(crate) fn empty() -> Dag<Drawn> {
    Dag::new(ROOT, Limits::default())
}

/// Inserts with nothing settled and gives the ids that were connected, and the evidence.
pub(crate) fn connect(dag: &mut Dag<Drawn>, vertex: Drawn) -> (Vec<Id>, Vec<Equivocation>) {
    match dag.insert(vertex, &BTreeSet::new()).unwrap() {
        Insertion::Connected { vertices, evidence } => (vertices.iter().map(|v| v.id).collect(), evidence),
        other => panic!("not connected: {other:?}"),
    }
}

/// Inserts with nothing settled and gives what is missing.
pub(crate) fn suspend(dag: &mut Dag<Drawn>, vertex: Drawn) -> Vec<Id> {
    match dag.insert(vertex, &BTreeSet::new()).unwrap() {
        Insertion::Pending { missing } => missing,
        other => panic!("not pending: {other:?}"),
    }
}

/// A graph of connected messages.
pub(crate) fn graph(vertices: &[Drawn]) -> Dag<Drawn> {
    let mut dag = empty();
    for vertex in vertices {
        connect(&mut dag, vertex.clone());
    }
    dag
}

/// Nothing is excluded.
pub(crate) fn nothing(_: &Id) -> bool {
    false
}

/// `length` messages of issuer 1, numbered from 1.
pub(crate) fn chain(length: u32) -> Vec<Drawn> {
    let mut vertices = vec![draw(1, 1, 0, &[])];
    vertices.extend((2..=length).map(|n| draw(n, 1, u64::from(n - 1), &[n - 1])));
    vertices
}
