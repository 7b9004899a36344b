//! Drives one session: gives it what arrives and the time, and does what it asks for.
//!
//! ```text
//! gateway ─inbox─▶ ┌─────────┐ ─Send─▶ outlet ─▶ UDP, DTLS
//! link ──hear────▶ │ Session │ ─Broker─▶ link
//! dial ──────────▶ │         │ ─Open─▶ dial      ─Close─▶ link, dial
//! sleep ─────────▶ └─────────┘ ─End─▶ the task ends, what is to be remembered is its result
//! ```

use super::counters::Counters;
use super::peer::{Outlet, Peer};
use super::session::{Action, Actions, Close, End, Event, FromBroker, Open, Remembered, Session};
use super::upstream::{Heard, OpenError, Target, Upstream};
use protocol::sn::{Connect, Packet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// Datagrams of one client that may wait. Beyond, they are dropped: the client sends them again.
pub(super) const INBOX_MAX: usize = 16;
/// A session without a deadline is looked at this often.
const IDLE: Duration = Duration::from_secs(3600);

/// A message of a client, and where it came from.
pub(super) struct Inbound {
    pub(super) peer: Peer,
    pub(super) packet: Packet,
}

/// What a session leaves behind.
#[derive(Default)]
pub(super) struct Ended {
    /// For the client's next session.
    pub(super) remembered: Option<Remembered>,
    /// The client connects again already.
    pub(super) again: Option<(Peer, Connect)>,
}

/// The right to be connecting. It is given back when the client is connected, or gone.
pub(super) struct Admission {
    pub(super) _all: OwnedSemaphorePermit,
    pub(super) _source: OwnedSemaphorePermit,
}

/// What all clients share.
pub(super) struct Shared {
    pub(super) outlet: Outlet,
    pub(super) target: Target,
    pub(super) counters: Arc<Counters>,
    /// Links that may be opened at a time.
    pub(super) dials: Arc<Semaphore>,
}

type Dial = Pin<Box<dyn Future<Output = Result<(Upstream, bool), OpenError>> + Send>>;

/// One client.
pub(super) struct Client {
    id: Arc<str>,
    peer: Peer,
    session: Session,
    inbox: mpsc::Receiver<Inbound>,
    admission: Option<Admission>,
    shared: Arc<Shared>,
    link: Option<Upstream>,
    dial: Option<Dial>,
    epoch: Instant,
    asleep: Asleep,
}

/// Whether the client is counted among those that sleep. Dropping it takes it out.
struct Asleep {
    counters: Arc<Counters>,
    counted: bool,
}

impl Asleep {
    fn set(&mut self, asleep: bool) {
        match (self.counted, asleep) {
            (false, true) => self.counters.asleep.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.counters.asleep.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        self.counted = asleep;
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.set(false);
    }
}

impl Client {
    pub(super) fn new(
        id: Arc<str>,
        peer: Peer,
        session: Session,
        inbox: mpsc::Receiver<Inbound>,
        admission: Admission,
        shared: Arc<Shared>,
    ) -> Self {
        let epoch = Instant::now();
        let asleep = Asleep { counters: shared.counters.clone(), counted: false };
        Self { id, peer, session, inbox, admission: Some(admission), shared, link: None, dial: None, epoch, asleep }
    }

    /// Until the session is over.
    pub(super) async fn run(mut self) -> Ended {
        while !self.session.is_over() {
            let event = self.next().await;
            self.take(event).await;
        }
        let mut again = None;
        while let Ok(Inbound { peer, packet }) = self.inbox.try_recv() {
            if let Packet::Connect(connect) = packet {
                again = Some((peer, connect));
            }
        }
        Ended { remembered: self.session.remembered(), again }
    }

    /// What happens next.
    async fn next(&mut self) -> Event {
        let due = self.session.deadline_ms().map_or_else(|| Instant::now() + IDLE, |ms| self.epoch + Duration::from_millis(ms));
        let probe = self.link.as_ref().map_or_else(|| due + IDLE, Upstream::due);
        tokio::select! {
            inbound = self.inbox.recv() => match inbound {
                Some(Inbound { peer, packet }) => {
                    self.peer = peer;
                    Event::Client(packet)
                }
                None => Event::Stop,
            },
            heard = hear(&mut self.link) => match heard {
                Heard::News(from) => Event::Broker(from),
                Heard::Nothing => Event::Tick,
                Heard::Gone(why) => self.gone(&why),
            },
            dialled = dialled(&mut self.dial) => {
                self.dial = None;
                match dialled {
                    Ok((link, session_present)) => {
                        self.link = Some(link);
                        Event::Broker(FromBroker::Connected { session_present })
                    }
                    Err(OpenError::Refused(code, why)) => {
                        tracing::info!(client = %self.id, %why, "the broker refused an MQTT-SN client");
                        Event::Broker(FromBroker::Refused(code))
                    }
                    Err(OpenError::Failed(why)) => {
                        tracing::debug!(client = %self.id, %why, "no link to the broker");
                        Event::Broker(FromBroker::Lost)
                    }
                }
            },
            () = sleep_until(due.min(probe)) => match self.link.as_mut() {
                Some(link) if Instant::now() >= probe => match link.probe() {
                    Ok(()) => Event::Tick,
                    Err(why) => self.gone(&why),
                },
                _ => Event::Tick,
            },
        }
    }

    fn gone(&mut self, why: &str) -> Event {
        tracing::debug!(client = %self.id, why, "the link to the broker is gone");
        self.link = None;
        Event::Broker(FromBroker::Lost)
    }

    /// Gives the session an event and does what it asks for.
    async fn take(&mut self, event: Event) {
        let mut actions = Actions::new();
        self.session.handle(self.now_ms(), event, &mut actions);
        if self.session.is_over() {
            self.inbox.close(); // the gateway keeps what comes for the next session
        }
        self.perform(actions).await;
        if let Some(link) = &mut self.link
            && let Err(why) = link.flush().await
        {
            let lost = self.gone(&why);
            let mut actions = Actions::new();
            self.session.handle(self.now_ms(), lost, &mut actions);
            self.perform(actions).await;
        }
        self.asleep.set(self.session.is_asleep());
        if self.session.is_connected() && self.admission.take().is_some() {
            self.shared.counters.connected.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn perform(&mut self, actions: Actions) {
        for action in actions {
            match action {
                Action::Send(packet) => self.shared.outlet.send(&self.peer, packet).await,
                Action::Open(open) => self.dial = Some(self.open(open)),
                Action::Broker(to) => {
                    if let Some(link) = &mut self.link
                        && let Err(why) = link.put(to)
                    {
                        tracing::warn!(client = %self.id, %why, "a request cannot be written");
                    }
                }
                Action::Close(close) => self.close(close).await,
                Action::Note(note) => self.shared.counters.note(note),
                Action::End(end) => {
                    tracing::debug!(client = %self.id, ?end, "an MQTT-SN session is over");
                    if end == End::Lost {
                        self.shared.counters.lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    fn open(&self, open: Open) -> Dial {
        let (shared, id) = (self.shared.clone(), self.id.clone());
        Box::pin(async move {
            // It is never closed.
            let _turn = shared.dials.clone().acquire_owned().await.map_err(|e| OpenError::Failed(e.to_string()))?;
            Upstream::open(&shared.target, &id, &open).await
        })
    }

    async fn close(&mut self, close: Close) {
        self.dial = None;
        if let Some(link) = self.link.take() {
            link.close(close).await;
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What the link tells, if there is one.
pub(super) async fn hear(link: &mut Option<Upstream>) -> Heard {
    match link {
        Some(link) => link.hear().await,
        None => std::future::pending().await,
    }
}

async fn dialled(dial: &mut Option<Dial>) -> Result<(Upstream, bool), OpenError> {
    match dial {
        Some(dial) => dial.as_mut().await,
        None => std::future::pending().await,
    }
}
