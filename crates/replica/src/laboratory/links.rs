//! Links between the members of a laboratory: every message arrives `latency` after it was sent.
//!
//! ```text
//! member 0 ─┐                                              ┌─▶ member 0, channel 0 … 7
//! member 1 ─┼─▶ line: one queue, one thread that sleeps ───┼─▶ member 1, channel 0 … 7
//!     …     │   until the first in it is due               │      …
//! member n ─┘                                              └─▶ member n, channel 0 … 7
//! ```
//! - All links have one latency, so what is sent first is due first: a queue, and no timers. A thread of its own
//!   sleeps to some tens of microseconds; the runtime's timers count whole milliseconds.
//! - Not the engine's simulated network: that listens at random addresses, which only the deterministic runtime lets
//!   it have, and cuts latencies to whole milliseconds.
//! - A queue that is full drops what comes, as a network may; pulls bring it back.

use crate::replica::Channels;
use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Message, Receiver, Recipients};
use commonware_runtime::{IoBuf, IoBufs};
use commonware_utils::NZUsize;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self as thread_mpsc, SyncSender, TrySendError};
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;
use tokio::sync::mpsc;

/// Channels of a replica.
const CHANNELS: usize = 8;
/// Messages under way, a message to several members counted once.
const LINE_MAX: usize = 65_536;
/// Messages that wait at one channel of one member. The engine's mailboxes are as large, and take that memory at
/// once: with 48 members this is what keeps them small.
const QUEUE_MAX: NonZeroUsize = NZUsize!(1_024);

/// A message under way.
struct Parcel {
    due: Instant,
    from: usize,
    to: Vec<usize>,
    channel: usize,
    message: IoBuf,
}

/// All links of a laboratory.
pub(super) struct Links {
    members: Arc<[PublicKey]>,
    latency: Duration,
    line: SyncSender<Parcel>,
    /// By member and channel; empty once they were taken.
    receivers: Vec<Vec<LinkReceiver>>,
}

impl Links {
    /// Links from each member to each other. Their thread ends when all that can send is dropped.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(super) fn new(members: Vec<PublicKey>, latency: Duration) -> io::Result<Self> {
        let (mut queues, mut receivers) = (Vec::new(), Vec::new());
        for _ in &members {
            let pairs = (0..CHANNELS).map(|_| mpsc::channel(QUEUE_MAX.get()));
            let (into, from): (Vec<_>, Vec<_>) = pairs.map(|(queue, waiting)| (queue, LinkReceiver { waiting })).unzip();
            queues.push(into);
            receivers.push(from);
        }
        let members: Arc<[PublicKey]> = members.into();
        let (line, parcels) = thread_mpsc::sync_channel(LINE_MAX);
        let names = Arc::clone(&members);
        std::thread::Builder::new().name("links".into()).spawn(move || carry(&parcels, &names, &queues))?;
        Ok(Self { members, latency, line, receivers })
    }

    /// The channels of one member; `None` if there is no such member or they were taken before.
    pub(super) fn channels(&mut self, member: usize) -> Option<Channels<LinkSender, LinkReceiver>> {
        let receivers = std::mem::take(self.receivers.get_mut(member)?);
        let mut numbered = receivers.into_iter().enumerate();
        let mut pair = || numbered.next().map(|(channel, receiver)| (self.sender(member, channel), receiver));
        Some(Channels {
            votes: pair()?,
            certificates: pair()?,
            resolver: pair()?,
            backfill: pair()?,
            milestones: pair()?,
            push: pair()?,
            announce: pair()?,
            pull: pair()?,
        })
    }

    fn sender(&self, me: usize, channel: usize) -> LinkSender {
        LinkSender { me, channel, members: Arc::clone(&self.members), latency: self.latency, line: self.line.clone() }
    }
}

/// Hands each parcel over when it is due. Ends when nobody can send any more.
fn carry(parcels: &thread_mpsc::Receiver<Parcel>, members: &[PublicKey], queues: &[Vec<mpsc::Sender<Message<PublicKey>>>]) {
    while let Ok(Parcel { due, from, to, channel, message }) = parcels.recv() {
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        let Some(from) = members.get(from) else { continue };
        for member in to {
            if let Some(queue) = queues.get(member).and_then(|queues| queues.get(channel)) {
                // a member that is down, or has more waiting than it can hold
                let _ = queue.try_send((from.clone(), message.clone()));
            }
        }
    }
}

/// Sends on one channel of one member.
#[derive(Clone, Debug)]
pub(super) struct LinkSender {
    me: usize,
    channel: usize,
    members: Arc<[PublicKey]>,
    latency: Duration,
    line: SyncSender<Parcel>,
}

/// Recipients that are there.
pub(super) struct Checked<'a> {
    sender: &'a LinkSender,
    to: Vec<usize>,
}

impl LimitedSender for LinkSender {
    type PublicKey = PublicKey;
    type Checked<'a> = Checked<'a>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Checked<'_>, SystemTime> {
        let place = |key: &PublicKey| self.members.iter().position(|member| member == key);
        let mut to: Vec<usize> = match &recipients {
            Recipients::All => (0..self.members.len()).collect(),
            Recipients::Some(keys) => keys.iter().filter_map(place).collect(),
            Recipients::One(key) => place(key).into_iter().collect(),
        };
        to.retain(|member| *member != self.me);
        Ok(Checked { sender: self, to })
    }
}

impl CheckedSender for Checked<'_> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.to.iter().filter_map(|member| self.sender.members.get(*member).cloned()).collect()
    }

    fn send(self, message: impl Into<IoBufs> + Send, _priority: bool) -> Unreliable<Feedback> {
        let Self { sender, to } = self;
        let message: IoBufs = message.into();
        let due = Instant::now() + sender.latency;
        let parcel = Parcel { due, from: sender.me, to, channel: sender.channel, message: message.coalesce() };
        match sender.line.try_send(parcel) {
            Ok(()) => Unreliable::new(Feedback::Ok),
            Err(TrySendError::Full(_)) => Unreliable::rejected(),
            Err(TrySendError::Disconnected(_)) => Unreliable::new(Feedback::Closed),
        }
    }
}

/// Why nothing comes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the links have ended")]
pub(super) struct Ended;

/// Receives on one channel of one member.
#[derive(Debug)]
pub(super) struct LinkReceiver {
    waiting: mpsc::Receiver<Message<PublicKey>>,
}

impl Receiver for LinkReceiver {
    type Error = Ended;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Ended> {
        self.waiting.recv().await.ok_or(Ended)
    }

    fn capacity(&self) -> NonZeroUsize {
        QUEUE_MAX
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::wire::public_key;
    use commonware_p2p::Sender as _;
    use protocol::SecretKey;
    use tokio::time::timeout;

    /// How long anything awaited may take.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn members(count: u8) -> Vec<PublicKey> {
        (1..=count).map(|n| public_key(&SecretKey::from_seed(&[n; 32]).public_key()).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_message_arrives_at_all_others_and_not_before_its_time() {
        let (latency, keys) = (Duration::from_millis(5), members(3));
        let mut links = Links::new(keys.clone(), latency).unwrap();
        let mut channels: Vec<_> = (0..3).map(|member| links.channels(member).unwrap()).collect();
        let sent = Instant::now();
        let reached = channels[0].votes.0.send(Recipients::All, vec![7u8], false);
        assert_eq!(reached, keys[1..]);
        for channels in &mut channels[1..] {
            let (from, message) = timeout(PATIENCE, channels.votes.1.recv()).await.unwrap().unwrap();
            assert!(sent.elapsed() >= latency);
            assert_eq!(from, keys[0]);
            assert!(message == [7u8]);
        }
        assert!(channels[0].votes.1.waiting.try_recv().is_err(), "it came back to its sender");
    }

    #[tokio::test]
    async fn channels_are_apart_and_keep_the_order() {
        let keys = members(2);
        let mut links = Links::new(keys.clone(), Duration::from_micros(200)).unwrap();
        let (mut first, mut second) = (links.channels(0).unwrap(), links.channels(1).unwrap());
        for n in 0..100u8 {
            let channel = if n % 2 == 0 { &mut first.push.0 } else { &mut first.pull.0 };
            assert_eq!(channel.send(Recipients::One(keys[1].clone()), vec![n], false).len(), 1);
        }
        for n in 0..50u8 {
            let (_, even) = timeout(PATIENCE, second.push.1.recv()).await.unwrap().unwrap();
            let (_, odd) = timeout(PATIENCE, second.pull.1.recv()).await.unwrap().unwrap();
            assert!(even == [2 * n] && odd == [2 * n + 1], "message {n} is out of order");
        }
    }

    #[tokio::test]
    async fn strangers_and_oneself_are_no_recipients_and_channels_are_given_once() {
        let keys = members(3);
        let mut links = Links::new(keys[..2].to_vec(), Duration::ZERO).unwrap();
        let mut channels = links.channels(0).unwrap();
        assert!(links.channels(0).is_none() && links.channels(2).is_none());
        assert!(channels.votes.0.send(Recipients::Some(vec![keys[0].clone(), keys[2].clone()]), vec![1], false).is_empty());
    }

    #[tokio::test]
    async fn the_links_end_with_what_can_send() {
        let mut links = Links::new(members(2), Duration::ZERO).unwrap();
        let (first, mut second) = (links.channels(0).unwrap(), links.channels(1).unwrap());
        drop((links, first));
        let LinkReceiver { waiting } = &mut second.votes.1;
        let open = mpsc::channel::<Message<PublicKey>>(1).1;
        let mut waiting = std::mem::replace(waiting, open);
        drop(second);
        assert!(timeout(PATIENCE, waiting.recv()).await.unwrap().is_none());
    }
}
