//! A node's own disk, slow or failing: the deterministic runtime's storage is instant, and its faults strike every
//! node at once.
//!
//! ```text
//! replica ──▶ Machine ──▶ the runtime's context
//!                └ storage: waits before each sync, or writes half of what it was given and fails from then on
//! ```
//! What is never synced is lost when a blob is opened again: the runtime sees to that.

use crate::world::Ctx;
use commonware_runtime::telemetry::metrics::{Metric, Registered};
use commonware_runtime::{
    Blob, BlobVersion, Clock, Error, Handle, IoBufs, IoBufsMut, Metrics, Name, ReadOptions, Spawner, Storage, Supervisor, WriteOptions,
    signal,
};
use governor::clock::{Clock as Instants, ReasonablyRealtime};
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// A disk and how it does. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Condition>>);

#[derive(Debug, Default)]
struct Condition {
    /// How long each sync takes.
    delay: Duration,
    /// Writes and syncs that still work; `None` if all do.
    left: Option<u64>,
}

/// What becomes of a write or sync.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// The first one that fails: half of it reaches the disk.
    Torn,
    Failed,
}

impl Disk {
    /// Makes each sync take this long.
    pub fn slow(&self, delay: Duration) {
        self.0.lock().unwrap().delay = delay;
    }

    /// Lets `writes` more writes and syncs work; the next one is torn, and all that follow fail.
    pub fn fail_after(&self, writes: u64) {
        self.0.lock().unwrap().left = Some(writes + 1);
    }

    /// A sound and quick disk again, with what is on it.
    pub fn mend(&self) {
        *self.0.lock().unwrap() = Condition::default();
    }

    fn delay(&self) -> Duration {
        self.0.lock().unwrap().delay
    }

    fn fate(&self) -> Fate {
        match &mut self.0.lock().unwrap().left {
            None => Fate::Done,
            Some(0) => Fate::Failed,
            Some(left) => {
                *left -= 1;
                if *left == 0 { Fate::Torn } else { Fate::Done }
            }
        }
    }
}

fn broken() -> Error {
    Error::from(io::Error::other("the simulated disk fails"))
}

/// The runtime's context with a disk of its own.
pub struct Machine {
    inner: Ctx,
    disk: Disk,
}

impl Machine {
    pub const fn new(inner: Ctx, disk: Disk) -> Self {
        Self { inner, disk }
    }
}

impl Supervisor for Machine {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self { inner: self.inner.child(label), disk: self.disk.clone() }
    }

    fn with_attribute(self, key: &'static str, value: impl Display) -> Self {
        Self { inner: self.inner.with_attribute(key, value), disk: self.disk }
    }
}

impl Spawner for Machine {
    fn shared(self, blocking: bool) -> Self {
        Self { inner: self.inner.shared(blocking), disk: self.disk }
    }

    fn dedicated(self) -> Self {
        Self { inner: self.inner.dedicated(), disk: self.disk }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self { inner, disk } = self;
        inner.spawn(move |inner| f(Self { inner, disk }))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> signal::Signal {
        self.inner.stopped()
    }
}

impl Metrics for Machine {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(&self, name: N, help: H, metric: M) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl Instants for Machine {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.inner.current()
    }
}

impl ReasonablyRealtime for Machine {}

impl Clock for Machine {
    fn current(&self) -> SystemTime {
        self.inner.current()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep_until(deadline)
    }
}

impl TryRng for Machine {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(dest)
    }
}

impl TryCryptoRng for Machine {}

impl Storage for Machine {
    type Blob = File;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(File, u64, BlobVersion), Error> {
        let (inner, size, version) = self.inner.open_versioned(partition, name, versions).await?;
        let clock = self.inner.child("file");
        Ok((File { inner, clock, disk: self.disk.clone() }, size, version))
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.inner.remove(partition, name).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.inner.scan(partition).await
    }
}

/// A file on such a disk.
pub struct File {
    inner: <Ctx as Storage>::Blob,
    clock: Ctx,
    disk: Disk,
}

impl File {
    async fn pause(&self) {
        let delay = self.disk.delay();
        if !delay.is_zero() {
            self.clock.sleep(delay).await;
        }
    }
}

impl Blob for File {
    async fn read_at_buf(
        &self,
        offset: u64,
        len: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        self.inner.read_at_buf(offset, len, bufs, options).await
    }

    async fn read_at(&self, offset: u64, len: usize, options: ReadOptions) -> Result<IoBufsMut, Error> {
        self.inner.read_at(offset, len, options).await
    }

    async fn write_at(&self, offset: u64, bufs: impl Into<IoBufs> + Send, options: WriteOptions) -> Result<(), Error> {
        let bufs: IoBufs = bufs.into();
        if options.contains(WriteOptions::SYNC) {
            self.pause().await;
        }
        match self.disk.fate() {
            Fate::Done => self.inner.write_at(offset, bufs, options).await,
            Fate::Torn => {
                let whole = bufs.coalesce();
                self.inner.write_at(offset, whole.slice(..whole.len() / 2), options).await?;
                Err(broken())
            }
            Fate::Failed => Err(broken()),
        }
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        match self.disk.fate() {
            Fate::Done => self.inner.resize(len).await,
            _ => Err(broken()),
        }
    }

    async fn sync(&self) -> Result<(), Error> {
        self.pause().await;
        match self.disk.fate() {
            Fate::Done => self.inner.sync().await,
            _ => Err(broken()),
        }
    }

    #[allow(clippy::async_yields_async, reason = "the engine's own signature")]
    async fn start_sync(&self) -> Handle<()> {
        let delay = self.disk.delay();
        match self.disk.fate() {
            Fate::Done => {
                let (done, wait) = (self.inner.start_sync().await, self.clock.sleep(delay));
                Handle::from_future(async move {
                    wait.await;
                    done.await
                })
            }
            _ => Handle::ready(Err(broken())),
        }
    }
}
