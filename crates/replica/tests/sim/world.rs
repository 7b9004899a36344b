//! A network of replicas that a scenario plays with.

use commonware_cryptography::{Signer as _, ed25519};
use commonware_p2p::simulated::{self, Link, Oracle};
use commonware_runtime::{Clock as _, Handle as Task, Quota, Runner as _, Supervisor as _, deterministic};
use commonware_utils::{NZU32, NZUsize, probability};
use protocol::{Batch, Body, Committee, Encode as _, Genesis, Id, Name, Reading, SecretKey, Validator, Value};
use replica::replica::{Channels, Options, start};
use replica::{Handle, Pace};
use std::time::Duration;

/// Simulated time after which a scenario that does not come to its end has failed.
const SCENARIO_MAX: Duration = Duration::from_secs(600);
/// Simulated time that anything awaited may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A reading that a replica acknowledged: what the checkers go by.
#[derive(Clone, Debug)]
pub struct Issued {
    pub node: usize,
    pub message: Id,
    pub batch: Batch,
}

pub struct World {
    pub context: deterministic::Context,
    pub genesis: Genesis,
    pub nodes: Vec<Option<(Handle, Task<()>)>>,
    pub issued: Vec<Issued>,
    keys: Vec<SecretKey>,
    peers: Vec<ed25519::PublicKey>,
    oracle: Oracle<ed25519::PublicKey, deterministic::Context>,
    link: Link,
    boots: u64,
    count: u64,
}

/// Seeds to run: a few in CI, more on demand, one to replay.
pub fn seeds(few: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|v| v.parse::<u64>().expect("a seed is a number"));
    match (number("WATTLE_SIM_SEED"), number("WATTLE_SIM_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (0..count.unwrap_or(few)).collect(),
    }
}

/// Plays a scenario on a network of `n` replicas. Returns the auditor's digest of everything that happened.
pub fn play<F, Fut>(seed: u64, n: usize, scenario: F) -> String
where
    F: FnOnce(World) -> Fut + Send + 'static,
    Fut: Future<Output = World> + Send,
{
    // RUST_LOG=debug shows what the nodes do
    let _ = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_test_writer().try_init();
    // a cycle far below the links' latency: the default of 1 ms would be most of it
    let config = deterministic::Config::new().with_seed(seed).with_cycle(Duration::from_micros(200)).with_timeout(Some(SCENARIO_MAX));
    deterministic::Runner::new(config).start(|context| async move {
        let world = scenario(World::new(context, n).await).await;
        world.context.auditor().state()
    })
}

impl World {
    async fn new(context: deterministic::Context, n: usize) -> Self {
        let mut keys: Vec<SecretKey> = (1..=n as u8).map(|i| SecretKey::from_seed(&[i; 32])).collect();
        keys.sort_by_key(SecretKey::public_key);
        let validator = |(i, k): (usize, &SecretKey)| Validator { key: k.public_key(), name: Name::new(&format!("node{i}")).unwrap() };
        let genesis = Genesis {
            name: Name::new("simulated").unwrap(),
            subnet: 0,
            created_ms: 0,
            committee: Committee::new(keys.iter().enumerate().map(validator).collect()).unwrap(),
        };
        let engine_key = |k: &SecretKey| {
            let bytes = bytes::Bytes::copy_from_slice(&k.to_seed());
            <ed25519::PrivateKey as commonware_codec::DecodeExt<()>>::decode(bytes).unwrap().public_key()
        };
        let peers: Vec<_> = keys.iter().map(engine_key).collect();
        let config = simulated::Config {
            max_size: 2 * 1024 * 1024,
            max_peers_per_set: NZUsize!(8),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(2),
        };
        let (network, oracle) = simulated::Network::new_with_peers(context.child("network"), config, peers.clone()).await;
        network.start();
        let link = Link { latency: Duration::from_millis(5), jitter: Duration::from_millis(2), success_rate: probability!(1.0) };
        let mut world = Self { context, genesis, nodes: Vec::new(), issued: Vec::new(), keys, peers, oracle, link, boots: 0, count: 0 };
        for i in 0..n {
            for j in 0..n {
                world.connect(i, j).await;
            }
        }
        for i in 0..n {
            world.nodes.push(None);
            world.boot(i).await;
        }
        world
    }

    async fn connect(&mut self, i: usize, j: usize) {
        if i != j {
            let _ = self.oracle.add_link(self.peers[i].clone(), self.peers[j].clone(), self.link.clone()).await;
        }
    }

    /// Starts node `i` from what its disk holds.
    pub async fn boot(&mut self, i: usize) {
        let control = self.oracle.control(self.peers[i].clone());
        let quota = Quota::per_second(NZU32!(1_000));
        let channels = Channels {
            votes: control.register(0, quota).await.unwrap(),
            certificates: control.register(1, quota).await.unwrap(),
            resolver: control.register(2, quota).await.unwrap(),
            backfill: control.register(3, quota).await.unwrap(),
            milestones: control.register(4, quota).await.unwrap(),
            push: control.register(5, quota).await.unwrap(),
            announce: control.register(6, quota).await.unwrap(),
            pull: control.register(7, quota).await.unwrap(),
        };
        self.boots += 1;
        let context = self.context.child("node").with_attribute("id", i).with_attribute("boot", self.boots);
        let pace = Pace { gap: Duration::from_millis(50), heartbeat: Duration::from_secs(10) };
        let options = Options { genesis: self.genesis.clone(), key: self.keys[i].clone(), pace, prefix: format!("node{i}") };
        self.nodes[i] = Some(start(context, options, self.oracle.manager(), control, channels).unwrap());
    }

    /// Ends node `i` wherever it is.
    pub async fn crash(&mut self, i: usize) {
        let (_, task) = self.nodes[i].take().unwrap();
        task.abort();
        let _ = task.await;
    }

    /// Cuts the links between two groups, both ways.
    pub async fn part(&mut self, group: &[usize]) {
        for i in 0..self.peers.len() {
            for j in 0..self.peers.len() {
                if group.contains(&i) != group.contains(&j) {
                    self.oracle.remove_link(self.peers[i].clone(), self.peers[j].clone()).await.unwrap();
                }
            }
        }
    }

    /// Restores every link.
    pub async fn heal(&mut self) {
        for i in 0..self.peers.len() {
            for j in 0..self.peers.len() {
                self.connect(i, j).await;
            }
        }
    }

    /// Lets each link lose messages.
    pub async fn lose(&mut self) {
        self.link.success_rate = probability!(0.9);
        for i in 0..self.peers.len() {
            for j in 0..self.peers.len() {
                if i != j {
                    self.oracle.remove_link(self.peers[i].clone(), self.peers[j].clone()).await.unwrap();
                }
            }
        }
        self.heal().await;
    }

    pub fn handle(&self, i: usize) -> &Handle {
        &self.nodes[i].as_ref().expect("the node runs").0
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].is_some()).collect()
    }

    /// Has node `i` issue a batch of three readings and remembers it.
    pub async fn issue(&mut self, i: usize) {
        let readings = (0..3u64).map(|_| {
            self.count += 1;
            Reading {
                topic: format!("site{i}/meter/sense/energy").parse().unwrap(),
                time_us: self.count,
                sequence: None,
                unit: Some("Wh".into()),
                value: Value::number(self.count as f64).unwrap(),
            }
        });
        let readings: Vec<_> = readings.collect();
        let batch = Batch { secret: [self.count as u8; 32], first_offset: self.count, readings };
        let payload = batch.encode();
        let body = Body::Readings {
            root: protocol::merkle::root(&batch.leaves()),
            count: 3,
            bytes: payload.len() as u32,
            span_us: batch.span_us(),
            blob: Batch::blob_digest(&payload),
            shares: vec![],
        };
        let message = self.handle(i).issue(body, Some(payload)).await.expect("a running replica issues");
        self.issued.push(Issued { node: i, message, batch });
    }

    /// Issues from `nodes` in turn, `rounds` times, a little apart.
    pub async fn traffic(&mut self, nodes: &[usize], rounds: usize) {
        for _ in 0..rounds {
            for i in nodes {
                self.issue(*i).await;
                self.context.sleep(Duration::from_millis(7)).await;
            }
        }
    }

    /// Waits until everything issued so far is confirmed on every running node.
    pub async fn settle(&self) {
        let deadline = self.context.current() + PATIENCE;
        for issued in &self.issued {
            for i in self.running() {
                loop {
                    let record = self.handle(i).message(issued.message).await;
                    if record.is_some_and(|r| matches!(r.standing, replica::Standing::Confirmed { .. })) {
                        break;
                    }
                    assert!(self.context.current() < deadline, "no progress: node {i} does not confirm a message of node {}", issued.node);
                    self.context.sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Waits until node `i` has executed milestone `height`.
    pub async fn reach(&self, i: usize, height: u64) {
        let deadline = self.context.current() + PATIENCE;
        while self.handle(i).status().await.expect("the node runs").height < height {
            assert!(self.context.current() < deadline, "no progress: node {i} does not reach milestone {height}");
            self.context.sleep(Duration::from_millis(20)).await;
        }
    }
}
