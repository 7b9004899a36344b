//! A whole committee in one process, over links of a stated latency.
//!
//! Purpose: to measure how consensus behaves when its members are so many milliseconds apart, on a machine where they
//! are not. Everything but the network is what a node runs: real time, real files, real signatures.
//!
//! # Rules
//! - All replicas share the runtime's storage directory; number `k` of the keys has the prefix `node<k>`.
//! - The links are private to the process: nothing is encrypted, nobody is blocked, no quota delays anything. What is
//!   left is the latency, and queues that drop what does not fit (`links.rs`).
//! - Not for tests of behaviour: those run on the engine's deterministic runtime, where a seed replays a course.

mod links;
mod peers;

use crate::application::Pace;
use crate::handle::Handle;
use crate::replica::{Options, StartError, start};
use crate::runtime::Runtime;
use crate::wire::public_key;
use commonware_runtime::Supervisor as _;
use links::Links;
use peers::{Lenient, Peers};
use protocol::{Genesis, PublicKey, SecretKey};
use std::io;
use std::time::Duration;
use thiserror::Error;

/// What a laboratory is started with.
#[derive(Clone, Debug)]
pub struct LaboratoryConfig {
    /// The network.
    pub genesis: Genesis,
    /// The keys of the members that run, each once. A member without a key here is as one that is down.
    pub keys: Vec<SecretKey>,
    /// How milestones follow each other.
    pub pace: Pace,
    /// How long a message takes from one member to another.
    pub latency: Duration,
}

/// Why a laboratory cannot start.
#[derive(Debug, Error)]
pub enum LaboratoryError {
    /// A replica cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A key was given twice.
    #[error("the key {0} is given twice: a member runs once")]
    Twice(PublicKey),
    /// The system gives no thread for the links.
    #[error("no thread for the links ({0}): check the limits of this account (ulimit -u)")]
    Thread(#[from] io::Error),
}

/// The running replicas. They run until the runtime ends, whether or not this is kept.
#[derive(Clone, Debug)]
pub struct Laboratory {
    handles: Vec<Handle>,
}

impl Laboratory {
    /// Starts a replica for each key and waits until all answer.
    ///
    /// # Errors
    /// [`LaboratoryError`] if the configuration does not fit together, or the storage directory cannot be used (the
    /// log then says why).
    pub async fn start(runtime: &Runtime, config: LaboratoryConfig) -> Result<Self, LaboratoryError> {
        let LaboratoryConfig { genesis, keys, pace, latency } = config;
        let validators = genesis.committee.validators();
        let members: Option<Vec<_>> = validators.iter().map(|v| public_key(&v.key)).collect();
        let members = members.ok_or(StartError::Key)?;
        let peers = Peers::new(&members);
        let mut links = Links::new(members, latency)?;
        let context = runtime.context("laboratory");
        let mut handles = Vec::new();
        for (number, key) in keys.into_iter().enumerate() {
            let public = key.public_key();
            let place = validators.iter().position(|v| v.key == public).ok_or(StartError::Key)?;
            let channels = links.channels(place).ok_or(LaboratoryError::Twice(public))?;
            let options = Options::new(genesis.clone(), key, pace, format!("node{number}"));
            let context = context.child("node").with_attribute("number", number);
            let (handle, task) = start(context, options, peers.clone(), Lenient, channels)?;
            runtime.watch(task);
            handles.push(handle);
        }
        for handle in &handles {
            handle.status().await.ok_or(StartError::Stopped)?;
        }
        Ok(Self { handles })
    }

    /// One handle for each key, in the order of the keys.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}
