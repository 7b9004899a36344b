//! Wallets that spend: chains of requests through different nodes, retries, and a wallet that signs rivals.
//!
//! ```text
//! meant ──sign──▶ open ──Handle::spend, any node──▶ carried ──purse moved on──▶ done
//!   ▲                └── its epoch has ended: the wallet signs a new one ──┐
//!   └──────────────────────────────────────────────────────────────────────┘
//! ```
//! The wallets are those of the honest places, but the last one's conflicts. What nodes tell is kept by the world; the
//! checker goes by that, not by what is here.

use crate::traffic::PATIENCE;
use crate::world::{Ctx, World};
use commonware_runtime::Clock as _;
use futures::future::join_all;
use protocol::order::{first_state, next_state};
use protocol::service::service_id;
use protocol::{
    Action, Body, Draft, Genesis, Id, Name, NetworkId, Operation, Order, PublicKey, Reason, Request, SecretKey, ServiceKind, Silence,
    Terms, UNITS_PER_COIN,
};
use replica::{Handle, PurseRecord, SpendStatus};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// DCoin in each purse at the beginning.
pub const FUND_COINS: u64 = 100;
/// How long a request may be voted for: longer than anything awaited.
const WINDOW_MS: u64 = 600_000;
/// Requests of a wallet on their way at a time.
const CHAIN_MAX: usize = 8;
/// Looks between two retries of what was carried.
const RETRY_EVERY: usize = 8;
/// What the service costs, in sub-units.
const SERVICE_PRICE: u64 = 7;
/// Time between two looks.
pub const LOOK: Duration = Duration::from_millis(20);

/// What an honest node told of a request.
#[derive(Clone, Debug)]
pub struct Told {
    pub node: usize,
    pub id: Id,
    pub request: Arc<Request>,
    pub status: SpendStatus,
}

/// What clocks show, in milliseconds since 1970.
pub fn now_ms(context: &Ctx) -> u64 {
    context.current().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Where a purse stands: what the next request names.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub number: u64,
    pub state: Id,
    pub epoch: u64,
}

impl At {
    /// The executed purse.
    pub const fn of(purse: &PurseRecord) -> Self {
        Self { number: purse.number, state: purse.state, epoch: purse.epoch }
    }

    /// After one more request.
    fn after(self, request: &Request) -> Self {
        Self { number: self.number + 1, state: request.next_state(), epoch: self.epoch }
    }
}

/// Signs the requests of one wallet.
#[derive(Clone)]
pub struct Pen {
    network: NetworkId,
    key: SecretKey,
    difficulty: u8,
}

impl Pen {
    pub fn new(genesis: &Genesis, key: &SecretKey) -> Self {
        Self { network: genesis.network(), key: key.clone(), difficulty: genesis.wallet_parameters.difficulty }
    }

    pub fn wallet(&self) -> PublicKey {
        self.key.public_key()
    }

    pub fn sign(&self, at: At, operation: Operation, price: u64, now_ms: u64) -> Request {
        let At { number, state, epoch } = at;
        let draft = Draft { state, number, epoch, operation, price, from_ms: now_ms, until_ms: now_ms + WINDOW_MS };
        draft.sign(&self.network, &self.key, self.difficulty, u64::MAX).unwrap().unwrap()
    }

    /// Where the purse stood before its first request.
    pub fn first(&self, epoch: u64) -> At {
        At { number: 0, state: protocol::request::first_state(&self.network, &self.wallet()), epoch }
    }

    /// Orders of the wallet that has ordered nothing yet.
    pub fn first_orders(&self, actions: &[Action]) -> Body {
        let mut state = first_state(&self.network, &self.wallet());
        let mut orders = Vec::new();
        for action in actions {
            let order = Order::sign(&self.network, &self.key, state, action.clone());
            state = next_state(&state, &order.id());
            orders.push(order);
        }
        Body::Orders(orders)
    }
}

/// A wallet that signs two requests of one State.
pub struct Rivals {
    pen: Pen,
    /// The epoch and number that it tried last.
    tried: Option<(u64, u64)>,
}

impl Rivals {
    pub const fn new(pen: Pen) -> Self {
        Self { pen, tried: None }
    }

    /// Two requests of the purse's present State; `None` if there were such in this epoch, or the purse is empty.
    pub async fn pair(&mut self, handle: &Handle, to: [PublicKey; 2], now_ms: u64) -> Option<[Request; 2]> {
        let purse = handle.purse(self.pen.wallet()).await?;
        let slot = (purse.epoch, purse.number);
        if purse.balance < UNITS_PER_COIN || self.tried == Some(slot) {
            return None;
        }
        self.tried = Some(slot);
        let rival = |to: PublicKey, price: u64| self.pen.sign(At::of(&purse), Operation::Transfer { to }, price, now_ms);
        Some([rival(to[0], 3), rival(to[1], 5)])
    }

    /// Hands one of a pair to every second node and the other to the rest, all at once; then the other way round.
    pub async fn act(&mut self, handles: &[Handle], to: [PublicKey; 2], now_ms: u64) {
        let Some(first) = handles.first() else { return };
        let Some(pair) = self.pair(first, to, now_ms).await else { return };
        for swap in 0..2 {
            let mut given = Vec::new();
            for (k, handle) in handles.iter().enumerate() {
                given.push(handle.spend(vec![pair[(k + swap) % 2].clone()]));
            }
            // nodes refuse some of it; what they do is judged by the checker
            drop(join_all(given).await);
        }
    }
}

/// A request on its way.
struct Open {
    request: Request,
    /// Whether a node carries it.
    carried: bool,
}

/// A wallet that keeps to the rules.
struct Purser {
    pen: Pen,
    at: At,
    /// What it means to spend.
    meant: VecDeque<(Operation, u64)>,
    open: VecDeque<Open>,
    /// It conflicted before: validators may be locked.
    reformed: bool,
}

impl Purser {
    fn new(pen: Pen) -> Self {
        Self { at: pen.first(0), pen, meant: VecDeque::new(), open: VecDeque::new(), reformed: false }
    }

    fn done(&self) -> bool {
        self.meant.is_empty() && self.open.is_empty()
    }

    /// Takes note of the purse as a node has it, which may be behind.
    fn note(&mut self, purse: &PurseRecord) {
        while self.open.front().is_some_and(|o| o.request.number < purse.number) {
            self.open.pop_front();
        }
        // what is of an epoch that has ended is executed by now, or never
        if self.open.front().is_some_and(|o| o.request.epoch < purse.epoch) {
            self.at = At::of(purse);
            for open in self.open.drain(..).rev() {
                self.meant.push_front((open.request.operation, open.request.price));
            }
        }
        if self.open.is_empty() {
            self.at.epoch = self.at.epoch.max(purse.epoch);
            if purse.number == self.at.number {
                assert_eq!(purse.state, self.at.state, "diverged: the purse of an honest wallet has a State that it never signed");
            }
        }
    }

    /// One look through a node, and what follows from it.
    async fn step(&mut self, node: usize, handle: &Handle, now_ms: u64, again: bool) {
        let Some(purse) = handle.purse(self.pen.wallet()).await else { panic!("no progress: node {node} has stopped; its log says why") };
        self.note(&purse);
        while self.open.len() < CHAIN_MAX
            && let Some((operation, price)) = self.meant.pop_front()
        {
            let request = self.pen.sign(self.at, operation, price, now_ms);
            self.at = self.at.after(&request);
            self.open.push_back(Open { request, carried: false });
        }
        let batch: Vec<Request> = self.open.iter().filter(|o| again || !o.carried).map(|o| o.request.clone()).collect();
        if batch.is_empty() {
            return;
        }
        // a node that cannot issue just now says so; another one is asked next
        let Ok(answers) = handle.spend(batch.clone()).await else { return };
        assert_eq!(answers.len(), batch.len(), "diverged: node {node} answers other requests than it was handed");
        for (request, answer) in batch.iter().zip(answers) {
            match answer {
                Ok(record) => {
                    assert_eq!(record.id, request.id(), "diverged: node {node} answers out of order");
                    self.open.iter_mut().filter(|o| o.request == *request).for_each(|o| o.carried = true);
                }
                Err(why) => assert!(self.heals(&why), "diverged: node {node} refuses a sound request: {why}"),
            }
        }
    }

    /// Whether a reason passes by itself: the node is behind, or the epoch ends.
    const fn heals(&self, why: &Reason) -> bool {
        match why {
            Reason::State { .. } | Reason::Funds { .. } | Reason::Epoch { .. } | Reason::Ended | Reason::Service => true,
            Reason::Locked { .. } => self.reformed,
            _ => false,
        }
    }
}

/// What a scenario spends.
pub struct Spending {
    pursers: Vec<Purser>,
    rivals: Rivals,
    service: Id,
    turn: usize,
    planned: u64,
}

impl Spending {
    /// Puts DCoin into the purses of all honest places and offers a service; waits until every running node has it.
    pub async fn begin(world: &World) -> Self {
        let name = Name::new("espresso").unwrap();
        let terms = Terms { kind: ServiceKind::Data(Id([5; 32])), price: SERVICE_PRICE, report_ms: 60_000, silence: Silence::Refund };
        let pens: Vec<Pen> = world.honest().into_iter().map(|i| Pen::new(&world.genesis, world.key(i))).collect();
        let service = service_id(&pens[0].wallet(), &name);
        let running = world.running();
        for (i, pen) in pens.iter().enumerate() {
            let mut actions = vec![Action::Fund { amount: FUND_COINS }];
            if i == 0 {
                actions.push(Action::Service { name: name.clone(), terms: Some(terms.clone()) });
            }
            let through = world.handle(running[i % running.len()]);
            through.issue(pen.first_orders(&actions), None).await.expect("a running replica issues orders");
        }
        let deadline = world.context.current() + PATIENCE;
        for i in running {
            for pen in &pens {
                let funded = |purse: Option<PurseRecord>| purse.is_some_and(|p| p.balance >= FUND_COINS * UNITS_PER_COIN);
                while !funded(world.handle(i).purse(pen.wallet()).await) || world.handle(i).service(service).await.is_none() {
                    assert!(world.context.current() < deadline, "no progress: node {i} does not execute what funds the purses");
                    world.wait(LOOK).await;
                }
            }
        }
        let rivals = Rivals::new(pens[world.last()].clone());
        let pursers = pens[..world.last()].iter().cloned().map(Purser::new).collect();
        Self { pursers, rivals, service, turn: 0, planned: 0 }
    }

    /// Lets each honest wallet mean to spend so many times more.
    pub fn plan(&mut self, world: &World, count: usize) {
        for (p, purser) in self.pursers.iter_mut().enumerate() {
            for _ in 0..count {
                self.planned += 1;
                let meant = match self.planned % 8 {
                    5 => (Operation::Buy { service: self.service, argument: self.planned.to_be_bytes().to_vec() }, SERVICE_PRICE),
                    6 => (Operation::Redeem, UNITS_PER_COIN),
                    n => {
                        let to = world.key((p + n as usize + 1) % world.plan.n).public_key();
                        (Operation::Transfer { to }, 1 + self.planned % 100)
                    }
                };
                purser.meant.push_back(meant);
            }
        }
    }

    /// Whether all that was meant is executed.
    pub fn done(&self) -> bool {
        self.pursers.iter().all(Purser::done)
    }

    /// One look at each honest wallet through some of the nodes: another one each time.
    pub async fn step(&mut self, world: &World, nodes: &[usize]) {
        self.turn += 1;
        let now_ms = now_ms(&world.context);
        for (p, purser) in self.pursers.iter_mut().enumerate() {
            let node = nodes[(self.turn + p) % nodes.len()];
            purser.step(node, world.handle(node), now_ms, self.turn.is_multiple_of(RETRY_EVERY)).await;
        }
    }

    /// Several looks, a little apart.
    pub async fn steps(&mut self, world: &World, nodes: &[usize], count: usize) {
        for _ in 0..count {
            self.step(world, nodes).await;
            world.wait(LOOK).await;
        }
    }

    /// Whom the conflicting wallet pays.
    fn paid(world: &World) -> [PublicKey; 2] {
        [world.key(0).public_key(), world.key(1).public_key()]
    }

    /// The conflicting wallet hands two requests of one State to the nodes, if it has not in this State and epoch.
    pub async fn conflict(&mut self, world: &World, nodes: &[usize]) {
        let handles: Vec<Handle> = nodes.iter().map(|i| world.handle(*i).clone()).collect();
        self.rivals.act(&handles, Self::paid(world), now_ms(&world.context)).await;
    }

    /// Two requests of the conflicting wallet's State, as node `i` has it, for a scenario to hand over.
    pub async fn pair(&mut self, world: &World, i: usize) -> [Request; 2] {
        let pair = self.rivals.pair(world.handle(i), Self::paid(world), now_ms(&world.context)).await;
        pair.expect("the conflicting wallet has a purse that it has not conflicted with in this epoch")
    }

    /// The conflicting wallet conflicts no more: from now on it is one of the honest ones.
    pub async fn reform(&mut self, world: &World) {
        let pen = self.rivals.pen.clone();
        let purse = world.handle(0).purse(pen.wallet()).await.expect("the node runs");
        self.pursers.push(Purser { at: At::of(&purse), reformed: true, ..Purser::new(pen) });
    }

    /// Goes on through all running nodes until all that honest wallets meant is executed.
    pub async fn finish(&mut self, world: &World) {
        let deadline = world.context.current() + PATIENCE;
        while !self.done() {
            let left: usize = self.pursers.iter().map(|p| p.meant.len() + p.open.len()).sum();
            assert!(world.context.current() < deadline, "no progress: {left} requests of honest wallets are not executed");
            self.steps(world, &world.running(), 1).await;
        }
    }
}
