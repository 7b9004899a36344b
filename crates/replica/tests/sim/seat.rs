//! A place in the committee that somebody other than one production replica sits on.
//!
//! ```text
//!             ┌─ first: a replica, or nothing      what each of them sends goes out if the rules let it,
//! channels ───┤                                    what comes in goes to whom the rules say
//!             └─ second: its twin, or a puppet
//! ```
//! A **filtered replica** is a first whose words are withheld here and there; **twins** are two replicas with one
//! key; a **puppet** holds a channel's end and sends what it encodes itself.

use crate::frames;
use crate::world::{ANNOUNCE, CHANNELS, Ctx, PUSH, Peer};
use commonware_macros::select;
use commonware_p2p::simulated::{self, Control, SplitForwarder, SplitOrigin, SplitSender, SplitTarget};
use commonware_p2p::{Receiver as _, Recipients};
use commonware_runtime::{Clock as _, IoBuf, Quota, Spawner as _, Supervisor as _};
use commonware_utils::NZU32;
use protocol::{Body, Genesis, Id, Message, SecretKey, Unsigned};
use replica::replica::Channels;
use std::sync::Arc;
use std::time::Duration;

/// Whether what `origin` says to a peer on a channel leaves.
pub type OutRule = Arc<dyn Fn(u64, SplitOrigin, usize, &[u8]) -> bool + Send + Sync>;
/// Who hears what a peer says on a channel.
pub type InRule = Arc<dyn Fn(u64, usize, &[u8]) -> SplitTarget + Send + Sync>;

#[derive(Clone)]
pub struct Rules {
    pub out: OutRule,
    pub inward: InRule,
}

pub type Receiver = simulated::Receiver<Peer>;

/// The two ends of all channels.
pub struct Seat<S> {
    pub first: Channels<S, Receiver>,
    pub second: Channels<S, Receiver>,
}

struct Pair<S> {
    first: (S, Receiver),
    second: (S, Receiver),
}

/// Frames per second and peer that the network carries on a channel.
pub fn quota() -> Quota {
    Quota::per_second(NZU32!(1_000))
}

async fn split(
    context: Ctx,
    control: Control<Peer, Ctx>,
    channel: u64,
    book: Arc<Vec<Peer>>,
    rules: Rules,
) -> Pair<SplitSender<Peer, Ctx, impl SplitForwarder<Peer>>> {
    let (sender, receiver) = control.register(channel, quota()).await.unwrap();
    let (names, out) = (Arc::clone(&book), rules.out);
    let forward = move |origin: SplitOrigin, to: &Recipients<Peer>, bytes: &IoBuf| -> Option<Recipients<Peer>> {
        let listed: Vec<Peer> = match to {
            Recipients::All => names.to_vec(),
            Recipients::Some(peers) => peers.clone(),
            Recipients::One(peer) => vec![peer.clone()],
        };
        let place = |peer: &Peer| names.iter().position(|p| p == peer);
        let kept: Vec<Peer> = listed.into_iter().filter(|p| place(p).is_some_and(|j| out(channel, origin, j, bytes.as_ref()))).collect();
        (!kept.is_empty()).then_some(Recipients::Some(kept))
    };
    let inward = rules.inward;
    let route = move |message: &(Peer, IoBuf)| -> SplitTarget {
        match book.iter().position(|p| *p == message.0) {
            Some(from) => inward(channel, from, message.1.as_ref()),
            None => SplitTarget::None,
        }
    };
    let (first_sender, second_sender) = sender.split_with(forward);
    let (first_receiver, second_receiver) = receiver.split_with(context.child("split").with_attribute("channel", channel), route);
    Pair { first: (first_sender, first_receiver), second: (second_sender, second_receiver) }
}

/// What somebody needs to sit at a place.
pub struct Place {
    pub context: Ctx,
    pub control: Control<Peer, Ctx>,
    pub book: Arc<Vec<Peer>>,
    pub me: usize,
    pub key: SecretKey,
    pub genesis: Genesis,
}

/// Takes a place: every channel in two.
pub async fn take(place: Place, rules: Rules) -> Seat<SplitSender<Peer, Ctx, impl SplitForwarder<Peer>>> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for channel in 0..CHANNELS {
        let context = place.context.child("seat");
        let pair = split(context, place.control.clone(), channel, Arc::clone(&place.book), rules.clone()).await;
        first.push(pair.first);
        second.push(pair.second);
    }
    Seat { first: channels(first), second: channels(second) }
}

/// Channels in the order of their numbers.
pub fn channels<S>(ends: Vec<(S, Receiver)>) -> Channels<S, Receiver> {
    let mut ends = ends.into_iter();
    let mut next = || ends.next().expect("one end for each channel");
    Channels {
        votes: next(),
        certificates: next(),
        resolver: next(),
        backfill: next(),
        milestones: next(),
        push: next(),
        announce: next(),
        pull: next(),
    }
}

/// Answers pulls with one message, and never with those it builds on. Whatever else is asked for is not here.
pub fn serve<S>(context: &Ctx, pull: (S, Receiver), message: Message)
where
    S: commonware_p2p::Sender<PublicKey = Peer>,
{
    let (mut answers, mut asked) = pull;
    context.child("server").spawn(move |_| async move {
        while let Ok((peer, frame)) = asked.recv().await {
            let Some((request, id)) = frames::asked(frame.as_ref()) else { continue };
            let found = (id == message.id()).then_some(&message);
            drop(answers.send(Recipients::One(peer), frames::answer(request, found), false));
        }
    });
}

type Say = Box<dyn FnMut(u64, usize, Vec<u8>) + Send>;

/// Somebody with a validator's key who says what it likes.
pub struct Puppet {
    pub context: Ctx,
    pub key: SecretKey,
    pub genesis: Genesis,
    pub me: usize,
    pub n: usize,
    say: Say,
    heard: Receiver,
}

impl Puppet {
    /// Sits on one half of every channel of a place.
    pub fn new<S>(place: Place, channels: Channels<S, Receiver>) -> Self
    where
        S: commonware_p2p::Sender<PublicKey = Peer>,
    {
        let Place { context, book, me, key, genesis, .. } = place;
        let (mut push, heard) = channels.push;
        let (mut announce, _) = channels.announce;
        let n = book.len();
        let say = move |channel: u64, to: usize, bytes: Vec<u8>| {
            let to = Recipients::One(book[to].clone());
            match channel {
                PUSH => drop(push.send(to, bytes, false)),
                ANNOUNCE => drop(announce.send(to, bytes, false)),
                _ => panic!("a puppet has no voice on channel {channel}"),
            }
        };
        Self { context, key, genesis, me, n, say: Box::new(say), heard }
    }

    /// Everybody else.
    pub fn others(&self) -> Vec<usize> {
        (0..self.n).filter(|i| *i != self.me).collect()
    }

    /// Sends messages to one peer, as a push.
    pub fn push(&mut self, to: usize, messages: &[Message]) {
        (self.say)(PUSH, to, frames::push(messages));
    }

    /// Sends messages to every peer.
    pub fn push_all(&mut self, messages: &[Message]) {
        for to in self.others() {
            self.push(to, messages);
        }
    }

    /// Sends anything to one peer, as a push.
    pub fn push_raw(&mut self, to: usize, content: Vec<u8>) {
        (self.say)(PUSH, to, frames::raw_push(content));
    }

    /// Announces tips to every peer.
    pub fn announce(&mut self, tips: &[Id]) {
        for to in self.others() {
            (self.say)(ANNOUNCE, to, frames::announcement(tips));
        }
    }

    /// Messages that peers push within a time.
    pub async fn listen(&mut self, time: Duration) -> Vec<Message> {
        let until = self.context.current() + time;
        let mut heard = Vec::new();
        loop {
            select! {
                frame = self.heard.recv() => match frame {
                    Ok((_, bytes)) => heard.extend(frames::pushed(bytes.as_ref())),
                    Err(_) => {
                        self.context.sleep_until(until).await;
                        return heard;
                    },
                },
                _ = self.context.sleep_until(until) => return heard,
            }
        }
    }

    /// The parent of an issuer's first message.
    pub fn root(&self) -> Id {
        Unsigned::root(self.genesis.network())
    }

    /// A message as this puppet would sign it, still open to changes.
    pub fn draft(&self, sequence: u64, parents: Vec<Id>, data: &[u8]) -> Unsigned {
        Unsigned {
            network: self.genesis.network(),
            subnet: self.genesis.subnet,
            issuer: self.key.public_key(),
            sequence,
            parents,
            issued_at_ms: 0,
            votes: Vec::new(),
            body: Body::Data(data.to_vec()),
            pow_nonce: 0,
        }
    }
}
