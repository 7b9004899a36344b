//! Puts records on the ledger: those that wait together go into one message.
//!
//! ```text
//! desk, delivery, roaming ──job──▶ [ bounded queue ] ──as many as fit──▶ one Data message ──▶ noted ──▶ each job is answered
//! ```
//! What comes while a message is being issued waits for the next one: alone a record leaves at once, under load they share.

use super::counters::{Counters, count};
use super::notices::Notices;
use super::payload::Notice;
use super::store::{self, Issued};
use crate::sqlite::Store;
use protocol::exchange::{Record, RecordsWriter};
use protocol::{Body, DeviceRequest, Id};
use replica::{Handle, IssueError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, oneshot};

/// Records that may wait to be issued.
pub(super) const JOBS_MAX: usize = 1024;
/// How long a message is tried again that the node must not issue yet.
const ISSUE_PATIENCE: Duration = Duration::from_secs(5);
/// The shortest and longest pause before it is tried again, in milliseconds.
const RETRY_MS: (u64, u64) = (20, 1_000);

/// A record to be issued.
pub(super) struct Job {
    /// What is said.
    pub(super) record: Record,
    /// For a request: the hash of the payload that it came with.
    pub(super) fingerprint: Option<Id>,
    /// Who waits for the message's id; nothing comes if it could not be issued.
    pub(super) reply: Option<oneshot::Sender<Id>>,
}

/// Hands records to the issuer. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Jobs(mpsc::Sender<Job>);

impl Jobs {
    pub(super) fn new() -> (Self, mpsc::Receiver<Job>) {
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        (Self(jobs), queue)
    }

    /// Issues a record and waits until it is durable; the message, or nothing if it cannot be issued now.
    pub(super) async fn issue(&self, record: Record, fingerprint: Option<Id>) -> Option<Id> {
        let (reply, issued) = oneshot::channel();
        self.0.try_send(Job { record, fingerprint, reply: Some(reply) }).ok()?;
        issued.await.ok()
    }

    /// Issues a record without waiting for it. False if there is no room.
    pub(super) fn mention(&self, record: Record) -> bool {
        self.0.try_send(Job { record, fingerprint: None, reply: None }).is_ok()
    }
}

/// The task that issues.
pub(super) struct Issuer {
    pub(super) ledger: Handle,
    pub(super) store: Arc<Store>,
    pub(super) notices: Notices,
    pub(super) counters: Arc<Counters>,
    /// Held from a message's issue until it is noted.
    pub(super) gate: Arc<Mutex<()>>,
}

/// What a device is told whose request is on the ledger.
fn accepted(request: &DeviceRequest, message: Id) -> Notice {
    let (number, to) = (Some(request.number), Some(request.to.to_string()));
    Notice { number, to, state: "accepted", request: Some(request.id()), message: Some(message), ..Notice::default() }
}

impl Issuer {
    /// Issues until nobody is left to ask for it.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut next = None;
        loop {
            let first: Job = match next.take() {
                Some(job) => job,
                None => match queue.recv().await {
                    Some(job) => job,
                    None => return,
                },
            };
            let mut writer = RecordsWriter::default();
            let mut jobs = Vec::new();
            if !writer.add(&first.record) {
                tracing::error!(record = ?first.record, "a record is longer than a message may be: please report this");
                continue;
            }
            jobs.push(first);
            while let Ok(job) = queue.try_recv() {
                if !writer.add(&job.record) {
                    next = Some(job);
                    break;
                }
                jobs.push(job);
            }
            self.issue(writer.finish(), jobs).await;
        }
    }

    /// Issues a message and answers the jobs in it. If it cannot be issued, whoever waits hears that by its silence.
    async fn issue(&self, body: Vec<u8>, jobs: Vec<Job>) {
        let start = Instant::now();
        loop {
            // until it is noted, nobody reads its confirmation
            let gate = self.gate.lock().await;
            let retry_ms = match self.ledger.issue(Body::Data(body.clone()), None).await {
                Ok(message) => return self.issued(jobs, message).await,
                Err(IssueError::Rate { retry_ms }) => retry_ms,
                Err(IssueError::Backlog(_)) => RETRY_MS.1,
                Err(why) => {
                    tracing::warn!("what the site has to say is not issued: {why}");
                    return;
                }
            };
            drop(gate);
            let pause = Duration::from_millis(retry_ms.clamp(RETRY_MS.0, RETRY_MS.1));
            if start.elapsed() + pause > ISSUE_PATIENCE {
                tracing::warn!("what the site has to say is not issued: this node must not issue as fast");
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn issued(&self, jobs: Vec<Job>, message: Id) {
        let at_ms = super::now_us() / 1_000;
        let (mut rows, mut told) = (Vec::new(), Vec::new());
        for job in &jobs {
            if let (Record::Request(request), Some(fingerprint)) = (&job.record, job.fingerprint) {
                count(&self.counters.issued);
                told.push((request.from.clone(), accepted(request, message)));
                rows.push(Issued { request: (**request).clone(), fingerprint, message, at_ms });
            }
        }
        if !rows.is_empty() {
            let trim = self.counters.trim_is_due(rows.len());
            let noted = self.store.transact(move |t| {
                rows.iter().try_for_each(|row| store::issued(t, row))?;
                if trim { store::trim(t) } else { Ok(()) }
            });
            if let Err(why) = noted.await {
                tracing::warn!(%message, "requests that were issued are not listed: {why}");
            }
        }
        for (device, notice) in told {
            self.notices.tell(device, notice);
        }
        for job in jobs {
            if let Some(reply) = job.reply {
                let _ = reply.send(message); // whoever asked may be gone
            }
        }
    }
}
