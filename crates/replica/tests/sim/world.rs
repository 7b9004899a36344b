//! A network of replicas that a scenario plays with.
//!
//! ```text
//! places:  0 … honest …            n−h … n−1      n … n+extra−1
//!          production replicas     adversaries    not of the first committee
//! ```
//! Nothing runs until [`World::start`]. A scenario speaks of honest nodes only; adversaries act by themselves.

use crate::adversaries::Adversary;
use crate::disk::{self, Disk};
use crate::seat::{self, Place, Receiver};
use crate::spending::Told;
use commonware_cryptography::{Signer as _, ed25519};
use commonware_p2p::simulated::{self, Link, Oracle};
use commonware_runtime::{Clock as _, Handle as Task, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::{NZUsize, probability};
use protocol::{Batch, Committee, Genesis, Id, Name, SecretKey, Validator};
use replica::replica::{Channels, Options, start};
use replica::{Defences, Event, Handle, Joining, Pace, Retention};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

pub type Ctx = deterministic::Context;
pub type Peer = ed25519::PublicKey;
/// Which of two twins sent a frame to another pair: from, to, channel, hash.
pub type Twins = BTreeMap<(usize, usize, u64, Id), (bool, bool)>;

pub const BACKFILL: u64 = 3;
pub const PUSH: u64 = 5;
pub const ANNOUNCE: u64 = 6;
pub const PULL: u64 = 7;
/// Channels of a subnet, in the order of [`Channels`].
pub const CHANNELS: u64 = 8;

/// What everybody's wallet holds at the beginning.
pub const BALANCE: u64 = 10_000_000;
/// Least time between two milestones.
pub const GAP: Duration = Duration::from_millis(50);
/// Events that a node's observer may leave unread.
const EVENTS_MAX: usize = 65_536;

/// What a world is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Members of the first committee.
    pub n: usize,
    /// Nodes that are not.
    pub extra: usize,
    /// What the last `hostile` members of the committee are.
    pub adversary: Option<Adversary>,
    pub hostile: usize,
    /// What the honest nodes defend themselves with.
    pub defences: Defences,
    /// Messages in each of a flooder's frames.
    pub flood: usize,
    /// An eclipser's victim has no honest peer at all.
    pub total_eclipse: bool,
    /// Milestones in an epoch.
    pub epoch: u64,
    /// Messages per second that an issuer may issue without work.
    pub share: u32,
    /// Seats of a committee.
    pub seats: u16,
    /// How long nodes keep messages.
    pub retention: Retention,
    /// Records that are pruned together.
    pub section: u64,
}

impl Plan {
    /// An honest network.
    pub fn honest(seed: u64, n: usize) -> Self {
        Self { seed, ..Self::usual(n) }
    }

    fn usual(n: usize) -> Self {
        Self {
            seed: 0,
            n,
            extra: 0,
            adversary: None,
            hostile: 0,
            defences: Defences::default(),
            flood: 4,
            total_eclipse: false,
            epoch: 1_000_000,
            share: 4_000,
            seats: n as u16,
            retention: Retention::default(),
            section: 65_536,
        }
    }

    /// One with `hostile` adversaries.
    pub fn hostile(seed: u64, n: usize, adversary: Adversary, hostile: usize) -> Self {
        Self { adversary: Some(adversary), hostile, ..Self::honest(seed, n) }
    }
}

/// A reading that a replica acknowledged: what the checkers go by.
#[derive(Clone, Debug)]
pub struct Issued {
    pub node: usize,
    pub message: Id,
    pub batch: Batch,
    /// When it was acknowledged.
    pub at: SystemTime,
}

/// A milestone as an honest node told of it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub node: usize,
    pub height: u64,
    pub time_ms: u64,
    pub at: SystemTime,
    pub confirmed: Vec<Id>,
}

/// What survives a power cut: what was promised.
#[derive(Clone, Debug, Default)]
pub struct Carry {
    pub issued: Vec<Issued>,
    pub attempted: BTreeSet<Id>,
    pub boots: u64,
    pub count: u64,
}

/// A replica that runs.
pub struct Node {
    pub handle: Handle,
    pub task: Task<()>,
}

pub struct World {
    pub context: Ctx,
    pub plan: Plan,
    pub genesis: Genesis,
    /// The honest nodes, by place; `None` where one is down, or somebody else sits.
    pub nodes: Vec<Option<Node>>,
    pub issued: Vec<Issued>,
    /// Payloads handed to a node, acknowledged or not.
    pub attempted: BTreeSet<Id>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub told: Arc<Mutex<Vec<Told>>>,
    /// The honest nodes that run, for those who go to them as anybody may.
    pub doors: Arc<Mutex<BTreeMap<usize, Handle>>>,
    /// How far each honest node's wall clock is ahead.
    pub offsets_ms: Vec<i64>,
    /// Each honest node's disk.
    pub disks: Vec<Disk>,
    /// When the network was whole again last, and how high the chain was.
    pub healed: Option<(SystemTime, u64)>,
    pub(crate) link: Link,
    /// Directed links that are cut for now, and those that an adversary never lets be.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) denied: BTreeSet<(usize, usize)>,
    pub(crate) linked: BTreeSet<(usize, usize)>,
    pub(crate) oracle: Oracle<Peer, Ctx>,
    pub(crate) book: Arc<Vec<Peer>>,
    pub(crate) count: u64,
    pub twins: Arc<Mutex<Twins>>,
    /// Where the node that boots next takes what the network has forgotten.
    pub joining: Option<Joining>,
    /// Nodes that took it: of milestones before they do not know what was void.
    pub joined: BTreeSet<usize>,
    keys: Vec<SecretKey>,
    boots: u64,
}

/// The agreement that the first `n` of `keys` start from. Everybody has a wallet.
fn genesis(keys: &[SecretKey], plan: &Plan) -> Genesis {
    let validator = |(i, k): (usize, &SecretKey)| Validator { key: k.public_key(), name: Name::new(&format!("node{i}")).unwrap() };
    let committee = Committee::new(keys[..plan.n].iter().enumerate().map(validator).collect()).unwrap();
    let mut genesis = Genesis::plain(Name::new("simulated").unwrap(), 0, 0, committee);
    genesis.parameters.epoch_milestones = plan.epoch;
    genesis.parameters.committee_max = plan.seats;
    genesis.parameters.share_per_second = plan.share;
    genesis.wallets = keys.iter().map(|key| (key.public_key(), BALANCE)).collect();
    genesis.wallets.sort_unstable_by_key(|(key, _)| *key);
    genesis
}

fn peer(key: &SecretKey) -> Peer {
    let bytes = bytes::Bytes::copy_from_slice(&key.to_seed());
    <ed25519::PrivateKey as commonware_codec::DecodeExt<()>>::decode(bytes).unwrap().public_key()
}

impl World {
    /// A network where nothing runs yet.
    pub async fn new(context: Ctx, plan: Plan, carry: Carry) -> Self {
        let total = plan.n + plan.extra;
        let mut keys: Vec<SecretKey> = (1..=total as u8).map(|i| SecretKey::from_seed(&[i; 32])).collect();
        keys[..plan.n].sort_by_key(SecretKey::public_key);
        let book: Arc<Vec<Peer>> = Arc::new(keys.iter().map(peer).collect());
        let config = simulated::Config {
            max_size: 2 * 1024 * 1024,
            max_peers_per_set: NZUsize!(16),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(2),
        };
        let (network, oracle) = simulated::Network::new_with_peers(context.child("network"), config, book.to_vec()).await;
        network.start();
        let link = Link { latency: Duration::from_millis(5), jitter: Duration::from_millis(2), success_rate: probability!(1.0) };
        let Carry { issued, attempted, boots, count } = carry;
        let mut world = Self {
            genesis: genesis(&keys, &plan),
            nodes: (0..total).map(|_| None).collect(),
            issued,
            attempted,
            seen: Arc::default(),
            told: Arc::default(),
            doors: Arc::default(),
            offsets_ms: vec![0; total],
            disks: (0..total).map(|_| Disk::default()).collect(),
            healed: None,
            link,
            cut: BTreeSet::new(),
            denied: BTreeSet::new(),
            linked: BTreeSet::new(),
            oracle,
            book,
            count,
            twins: Arc::default(),
            joining: None,
            joined: BTreeSet::new(),
            keys,
            boots,
            context,
            plan,
        };
        world.relink().await;
        world
    }

    /// What a power cut leaves.
    pub fn carry(&self) -> Carry {
        Carry { issued: self.issued.clone(), attempted: self.attempted.clone(), boots: self.boots, count: self.count }
    }

    /// Lets the adversaries sit down and starts every honest node of the committee.
    pub async fn start(&mut self) {
        self.start_without(&[]).await;
    }

    /// The same, but `late` ones do not come yet.
    pub async fn start_without(&mut self, late: &[usize]) {
        if let Some(adversary) = self.plan.adversary {
            for place in self.hostile() {
                adversary.play(self, place).await;
            }
        }
        for i in self.honest() {
            if !late.contains(&i) {
                self.boot(i).await;
            }
        }
    }

    /// Places of honest members of the committee, running or not.
    pub fn honest(&self) -> Vec<usize> {
        (0..self.plan.n - self.plan.hostile).collect()
    }

    /// Places of adversaries.
    pub fn hostile(&self) -> Vec<usize> {
        (self.plan.n - self.plan.hostile..self.plan.n).collect()
    }

    /// Honest nodes that run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].is_some()).collect()
    }

    /// The last honest member of the committee.
    pub fn last(&self) -> usize {
        self.plan.n - self.plan.hostile - 1
    }

    pub fn key(&self, i: usize) -> &SecretKey {
        &self.keys[i]
    }

    pub fn handle(&self, i: usize) -> &Handle {
        &self.nodes[i].as_ref().expect("the node runs").handle
    }

    /// Whether the key is that of an adversary.
    pub fn is_hostile(&self, key: &protocol::PublicKey) -> bool {
        self.hostile().iter().any(|i| self.keys[*i].public_key() == *key)
    }

    /// Starts honest node `i` from what its disk holds.
    pub async fn boot(&mut self, i: usize) {
        let control = self.oracle.control(self.book[i].clone());
        let mut ends = Vec::new();
        for channel in 0..CHANNELS {
            ends.push(control.register(channel, seat::quota()).await.unwrap());
        }
        let node = self.replica(i, &format!("node{i}"), seat::channels(ends), self.plan.defences, self.offsets_ms[i]);
        let (handle, seen, told) = (node.handle.clone(), Arc::clone(&self.seen), Arc::clone(&self.told));
        self.doors.lock().unwrap().insert(i, node.handle.clone());
        self.context.child("observer").spawn(move |context| async move {
            let Some(mut events) = handle.subscribe(EVENTS_MAX).await else { return };
            drop(handle);
            while let Some(event) = events.recv().await {
                match event {
                    Event::Milestone { height, time_ms, confirmed, .. } => {
                        let confirmed = confirmed.iter().map(|c| c.id).collect();
                        seen.lock().unwrap().push(Seen { node: i, height, time_ms, at: context.current(), confirmed });
                    }
                    Event::Spends(spends) => {
                        let news = spends.iter().map(|s| Told { node: i, id: s.id, request: Arc::clone(&s.request), status: s.status });
                        told.lock().unwrap().extend(news);
                    }
                }
            }
        });
        self.nodes[i] = Some(node);
    }

    /// A production replica at place `i`, on any channels.
    pub fn replica<S>(&mut self, i: usize, prefix: &str, channels: Channels<S, Receiver>, defences: Defences, clock_offset_ms: i64) -> Node
    where
        S: commonware_p2p::Sender<PublicKey = Peer>,
    {
        self.boots += 1;
        if self.joining.is_some() {
            self.joined.insert(i);
        }
        let context = self.context.child("node").with_attribute("id", i).with_attribute("boot", self.boots);
        let context = disk::Machine::new(context, self.disks[i].clone());
        let pace = Pace { gap: GAP, heartbeat: Duration::from_secs(10) };
        let (genesis, key) = (self.genesis.clone(), self.keys[i].clone());
        let options = Options {
            defences,
            clock_offset_ms,
            retention: self.plan.retention,
            section: NonZeroU64::new(self.plan.section).unwrap(),
            joining: self.joining.take().unwrap_or_default(),
            ..Options::new(genesis, key, pace, prefix.to_owned())
        };
        let control = self.oracle.control(self.book[i].clone());
        let (handle, task) = start(context, options, self.oracle.manager(), control, channels).unwrap();
        Node { handle, task }
    }

    /// A production replica that an adversary runs: it keeps to the rules as far as its channels let it.
    pub fn accomplice<S>(&mut self, place: usize, suffix: &str, channels: Channels<S, Receiver>, clock_offset_ms: i64) -> Handle
    where
        S: commonware_p2p::Sender<PublicKey = Peer>,
    {
        self.replica(place, &format!("node{place}{suffix}"), channels, self.plan.defences, clock_offset_ms).handle
    }

    /// What somebody needs to sit at a place.
    pub fn place(&self, place: usize) -> Place {
        Place {
            context: self.context.child("adversary").with_attribute("place", place),
            control: self.oracle.control(self.book[place].clone()),
            book: Arc::clone(&self.book),
            me: place,
            key: self.keys[place].clone(),
            genesis: self.genesis.clone(),
        }
    }

    /// Ends honest node `i` wherever it is.
    pub async fn crash(&mut self, i: usize) {
        let Node { task, handle } = self.nodes[i].take().unwrap();
        self.doors.lock().unwrap().remove(&i);
        drop(handle);
        task.abort();
        let _ = task.await;
    }

    /// Simulated time goes by.
    pub async fn wait(&self, time: Duration) {
        self.context.sleep(time).await;
    }

    /// How node `i` is doing.
    pub async fn status(&self, i: usize) -> replica::Status {
        match self.handle(i).status().await {
            Some(status) => status,
            None => panic!("no progress: node {i} has stopped; its log says why"),
        }
    }

    /// When the first honest node told that a message is confirmed, for each message.
    pub fn confirmed_at(&self) -> BTreeMap<Id, SystemTime> {
        let mut first = BTreeMap::new();
        for seen in self.seen.lock().unwrap().iter() {
            for id in &seen.confirmed {
                first.entry(*id).and_modify(|at: &mut SystemTime| *at = (*at).min(seen.at)).or_insert(seen.at);
            }
        }
        first
    }
}
