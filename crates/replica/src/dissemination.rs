//! How messages travel: pushed once to every peer, pulled by hash where a push was missed.
//!
//! - **push**: frames of own messages, as soon as they are durable; and to one peer why its clients' requests get no vote;
//! - **announce**: the tips, now and then: nothing re-sends a lost push, so this is what heals a partition;
//! - **pull**: a message by its id; the answer brings its nearest ancestors along, so that a long gap costs few rounds.

use crate::core::{Outlets, Request, Requests};
use crate::epochs::Cue;
use crate::wire::{Digest, FRAME_BYTES_MAX, Frame, id};
use bytes::Bytes;
use commonware_codec::RangeCfg;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Provider, Receiver, Recipients, Sender, utils::codec::wrap};
use commonware_resolver::{Consumer, Delivery, Outcome, Resolver as _, p2p as pull};
use commonware_utils::channel::{mpsc, oneshot};
use commonware_utils::{NZDuration, NZUsize};
use std::time::Duration;

use crate::core::ANNOUNCED_MAX;
use crate::replica::Engine;

/// Bytes of the largest frame on any of the three channels.
pub(crate) fn max_payload_bytes() -> usize {
    pull::max_message_size::<Digest>(FRAME_BYTES_MAX + 16)
}

/// The way in from the peers. It never waits: what the core cannot take is dropped, and pulled again later.
#[derive(Clone)]
pub(crate) struct Port(pub(crate) Requests);

impl Consumer for Port {
    type Key = Digest;
    type Value = Bytes;
    type Subscriber = ();
    type Outcome = Outcome;

    fn deliver(&mut self, delivery: Delivery<Digest, ()>, value: Bytes) -> oneshot::Receiver<Outcome> {
        let (verdict, receiver) = oneshot::channel();
        let request = Request::Delivered { key: id(delivery.key), value, verdict };
        if let Err(full) = self.0.try_send(request)
            && let Request::Delivered { verdict, .. } = full.into_inner()
        {
            let _ = verdict.send(Outcome::Unresolved);
        }
        receiver
    }
}

impl pull::Producer for Port {
    type Key = Digest;

    fn produce(&mut self, key: Digest) -> oneshot::Receiver<Bytes> {
        let (answer, receiver) = oneshot::channel();
        let _ = self.0.try_send(Request::Asked { key: id(key), answer });
        receiver
    }
}

/// The channels of dissemination.
pub(crate) struct Channels<S, R> {
    pub(crate) push: (S, R),
    pub(crate) announce: (S, R),
    pub(crate) pull: (S, R),
}

/// Starts the three and gives the ways out.
pub(crate) fn start<E, S, R>(
    context: &E,
    me: PublicKey,
    peers: impl Provider<PublicKey = PublicKey>,
    blocker: impl Blocker<PublicKey = PublicKey>,
    port: Port,
    channels: Channels<S, R>,
    cues: mpsc::UnboundedSender<Cue>,
) -> Outlets
where
    E: Engine,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let (engine, mut resolver) = pull::Engine::new(
        context.child("pull"),
        pull::Config {
            peer_provider: peers,
            blocker: blocker.clone(),
            consumer: port.clone(),
            producer: port.clone(),
            mailbox_size: NZUsize!(1024),
            me: Some(me),
            fetch_timeout: NZDuration!(Duration::from_millis(500)),
            fetch_retry_delay: Duration::from_millis(100),
            priority_requests: false,
            priority_responses: false,
        },
    );
    engine.start(channels.pull);

    let (mut push, mut pushed) = wrap::<_, _, Frame>((), channels.push.0, channels.push.1);
    let (inbox, mut guard) = (port.0.clone(), blocker.clone());
    context.child("push").spawn(move |_| async move {
        while let Ok((peer, frame)) = pushed.recv().await {
            match frame {
                // a full core drops the frame: the announcements bring it back
                Ok(frame) => drop(inbox.try_send(Request::Pushed { peer, frame })),
                Err(why) => {
                    tracing::warn!(%peer, %why, "blocked a peer: it pushed what is no message");
                    guard.block(peer);
                }
            }
        }
    });

    let config = (RangeCfg::new(0..=ANNOUNCED_MAX), ());
    let (mut announce, mut announced) = wrap::<_, _, Vec<Digest>>(config, channels.announce.0, channels.announce.1);
    let (inbox, mut guard) = (port.0, blocker);
    context.child("announce").spawn(move |_| async move {
        while let Ok((peer, tips)) = announced.recv().await {
            match tips {
                Ok(tips) => {
                    let tips = tips.into_iter().map(id).collect();
                    drop(inbox.try_send(Request::Announced { peer: peer.clone(), tips }));
                }
                Err(why) => {
                    tracing::warn!(%peer, %why, "blocked a peer: it announced what is no list of tips");
                    guard.block(peer);
                }
            }
        }
    });

    Outlets {
        push: Box::new(move |to, frame| drop(push.send(to.map_or(Recipients::All, Recipients::One), frame, false))),
        announce: Box::new(move |tips| drop(announce.send(Recipients::All, tips, false))),
        fetch: Box::new(move |digest| {
            let _ = resolver.fetch(digest);
        }),
        registered: Box::new(|_| ()),
        cues,
    }
}
