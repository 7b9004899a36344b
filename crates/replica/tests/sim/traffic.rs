//! Readings: issued, awaited, and how long they took.

use crate::world::{Issued, World};
use commonware_runtime::Clock as _;
use protocol::{Batch, Body, Encode as _, Reading, Value};
use std::time::Duration;

/// Simulated time that anything awaited may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at something awaited.
const LOOK: Duration = Duration::from_millis(20);
/// Time between two readings of [`World::traffic`].
const APART: Duration = Duration::from_millis(7);

impl World {
    /// Hands node `i` a batch of three readings; says whether the node acknowledged it.
    pub async fn offer(&mut self, i: usize) -> bool {
        let readings = (0..3u64).map(|_| {
            self.count += 1;
            Reading {
                topic: format!("site{i}/meter/sense/energy").parse().unwrap(),
                time_us: self.count,
                sequence: None,
                unit: Some("Wh".into()),
                value: Value::number(self.count as f64).unwrap(),
                signed: None,
            }
        });
        let readings: Vec<_> = readings.collect();
        let batch = Batch { secret: [self.count as u8; 32], first_offset: self.count, readings };
        let payload = batch.encode();
        let blob = Batch::blob_digest(&payload);
        let body = Body::Readings {
            root: protocol::merkle::root(&batch.leaves()),
            count: 3,
            bytes: payload.len() as u32,
            span_us: batch.span_us(),
            blob,
            shares: vec![],
        };
        self.attempted.insert(blob);
        match self.handle(i).issue(body, Some(payload)).await {
            Ok(message) => {
                self.issued.push(Issued { node: i, message, batch, at: self.context.current() });
                true
            }
            Err(_) => false,
        }
    }

    /// Has node `i` issue a batch and remembers it.
    pub async fn issue(&mut self, i: usize) {
        assert!(self.offer(i).await, "no progress: node {i}, which runs, refuses a batch");
    }

    /// Issues from `nodes` in turn, `rounds` times, a little apart.
    pub async fn traffic(&mut self, nodes: &[usize], rounds: usize) {
        for _ in 0..rounds {
            for i in nodes {
                self.issue(*i).await;
                self.context.sleep(APART).await;
            }
        }
    }

    /// Waits until everything acknowledged so far is confirmed on every running node.
    pub async fn settle(&self) {
        let deadline = self.context.current() + PATIENCE;
        for issued in &self.issued {
            for i in self.running() {
                loop {
                    let record = self.handle(i).message(issued.message).await;
                    // where messages are forgotten, one may be gone by now
                    let forgets = self.plan.retention != replica::Retention::default();
                    let decided = |s: replica::Standing| match s {
                        replica::Standing::Confirmed { .. } => true,
                        replica::Standing::Settled => forgets,
                        _ => false,
                    };
                    if record.map_or(forgets, |r| decided(r.standing)) {
                        break;
                    }
                    let height = self.status(i).await.height;
                    assert!(
                        self.context.current() < deadline,
                        "no progress: node {i}, at height {height}, does not confirm a message of node {}",
                        issued.node
                    );
                    self.context.sleep(LOOK).await;
                }
            }
        }
    }

    /// Waits until node `i` has executed milestone `height`.
    pub async fn reach(&self, i: usize, height: u64) {
        let deadline = self.context.current() + PATIENCE;
        while self.status(i).await.height < height {
            assert!(self.context.current() < deadline, "no progress: node {i} does not reach milestone {height}");
            self.context.sleep(LOOK).await;
        }
    }

    /// How long each message of `range` took from its acknowledgement to the first milestone seen with it, in
    /// ascending order. All of them must be confirmed.
    pub fn latencies(&self, range: std::ops::Range<usize>) -> Vec<Duration> {
        let confirmed = self.confirmed_at();
        let took = |issued: &Issued| confirmed[&issued.message].duration_since(issued.at).unwrap_or_default();
        let mut latencies: Vec<_> = self.issued[range].iter().map(took).collect();
        latencies.sort_unstable();
        latencies
    }
}

/// The `percent`-th percentile of ascending figures.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
