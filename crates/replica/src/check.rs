//! `fsck`: reads everything a replica has on disk and says what does not hold.
//!
//! Twice: as files, whose checksums must match; and as records, which must decode, verify and fit together.
//! The engine repairs what a crash left torn when it opens a file, so records are read from a copy.

mod blobs;

use self::blobs::Layout;
use crate::core::history;
use crate::replica::archive;
use crate::state::State;
use crate::store::{Ballot, Confirmation, CutRecord, SECTION, Spent, Store, Table, split_payload};
use crate::wire::{self, Block, Certificate, Digest, Scheme};
use commonware_cryptography::{Digestible as _, certificate::Verifier as _};
use commonware_runtime::{Runner as _, Supervisor as _, buffer::paged::CacheRef, tokio};
use commonware_storage::archive::{Archive as _, Identifier, prunable};
use commonware_storage::translator::EightCap;
use commonware_utils::{NZU16, NZUsize};
use ledger::{Changes, Key, MemoryStore, Overlay, Rules};
use protocol::{Batch, Body, Committee, Decode, Genesis, Id, Message, Milestone, NetworkId, PublicKey, merkle};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Messages read and verified.
    pub messages: u64,
    /// Milestones read and verified.
    pub milestones: u64,
    /// Payloads read and verified.
    pub payloads: u64,
    /// What does not hold, each with its place.
    pub damages: Vec<String>,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
}

impl CheckReport {
    fn damage(&mut self, what: impl Display) {
        self.damages.push(what.to_string());
    }
}

/// Checks the storage of the replica with prefix `"node"` in `directory`, which no process may be using.
/// Changes nothing; needs room for a copy in the temporary directory. Hands each batch that this node anchored
/// to `batches`, with its place among the node's payloads, so that a caller can compare what it keeps of them.
///
/// # Errors
/// What kept it from checking at all: no copy could be made.
pub fn check(directory: &Path, genesis: &Genesis, batches: &mut dyn FnMut(u64, &Batch)) -> Result<CheckReport, String> {
    let copy =
        tempfile::Builder::new().prefix("wattle-check-").tempdir().map_err(|e| format!("no temporary directory can be made: {e}"))?;
    let files = copy_tree(directory, copy.path()).map_err(|e| format!("{} cannot be copied: {e}", directory.display()))?;
    let mut report = CheckReport::default();
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let config = tokio::Config::new().with_storage_directory(copy.path()).with_worker_threads(1);
        tokio::Runner::new(config).start(|context| async {
            let checker = Checker::open(context, genesis).await?;
            checker.run(&mut report, batches).await
        })
    }));
    match opened {
        Ok(Ok(())) => {}
        Ok(Err(why)) => report.damage(format!("the storage cannot be read: {why}")),
        Err(_) => report.damage("the engine cannot open the storage: a file it needs is damaged"),
    }
    for file in files {
        compare(&file, directory, copy.path(), &mut report);
    }
    Ok(report)
}

/// Checks a file's own checksums, and whether opening the tables cut something off it.
fn compare(file: &Path, original: &Path, copy: &Path, report: &mut CheckReport) {
    let layout = Layout::of(file);
    let before = match fs::read(original.join(file)) {
        Ok(before) => before,
        Err(why) => return report.damage(format!("{}: cannot be read: {why}", file.display())),
    };
    for fault in blobs::faults(layout, &before) {
        report.damage(format!("{}: {fault}", file.display()));
    }
    if layout == Layout::Values && fs::read(copy.join(file)).ok().as_ref() != Some(&before) {
        report.damage(format!("{}: torn or damaged at its end: the next start would cut it", file.display()));
    }
}

/// Copies every file below `from`; gives their names relative to it.
fn copy_tree(from: &Path, to: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        fs::create_dir_all(to.join(&folder))?;
        for entry in fs::read_dir(from.join(&folder))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(name);
            } else if entry.file_type()?.is_file() {
                fs::copy(from.join(&name), to.join(&name))?;
                files.push(name);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The ledger, applied once more from the beginning.
struct Replay<'a> {
    genesis: &'a Genesis,
    network: NetworkId,
    state: MemoryStore,
    keys: BTreeSet<Key>,
    /// Requests executed, and at which height.
    spent: BTreeMap<Id, Spent>,
}

impl<'a> Replay<'a> {
    fn new(genesis: &'a Genesis) -> Self {
        let (state, keys, spent) = (MemoryStore::default(), BTreeSet::new(), BTreeMap::new());
        let mut replay = Self { genesis, network: genesis.network(), state, keys, spent };
        replay.take(ledger::genesis_state(genesis).into_iter().map(|(key, value)| (key, Some(value))).collect());
        replay
    }

    fn take(&mut self, changes: Changes) {
        self.keys.extend(changes.keys());
        self.state.absorb(changes);
    }

    const fn rules(&self, m: &Milestone) -> Rules<'_> {
        Rules {
            network: &self.network,
            subnet: self.genesis.subnet,
            epoch: m.epoch,
            height: m.height,
            time_ms: m.time_ms,
            parameters: &self.genesis.parameters,
            wallets: &self.genesis.wallet_parameters,
        }
    }

    fn apply(&mut self, message: &Message, m: &Milestone, report: &mut CheckReport) {
        let mut overlay = Overlay::new(&self.state);
        match ledger::apply_with_effects(&mut overlay, &self.rules(m), message) {
            Err(why) => report.damage(format!("milestone {}: {why}", m.height)),
            Ok(effects) => {
                let changes = overlay.into_changes();
                self.take(changes);
                self.spent.extend(effects.executed.iter().map(|e| (e.request, Spent { height: m.height })));
            }
        }
    }

    fn remember(&mut self, void: &[Message], m: &Milestone, report: &mut CheckReport) {
        let mut overlay = Overlay::new(&self.state);
        match ledger::remember(&mut overlay, &self.rules(m), void) {
            Err(why) => report.damage(format!("milestone {}: {why}", m.height)),
            Ok(()) => {
                let changes = overlay.into_changes();
                self.take(changes);
            }
        }
    }

    fn close(&mut self, m: &Milestone, committee: &[PublicKey]) {
        let mut overlay = Overlay::new(&self.state);
        ledger::close_epoch(&mut overlay, &self.rules(m), committee);
        let changes = overlay.into_changes();
        self.take(changes);
    }
}

/// What messages anchor: by their index the id, and the payload's digest.
type Anchors = BTreeMap<u64, (Id, Id)>;

type Milestones = prunable::Archive<EightCap, tokio::Context, Digest, Arc<Block>>;
type Certificates = prunable::Archive<EightCap, tokio::Context, Digest, Certificate>;

struct Checker<'a> {
    genesis: &'a Genesis,
    store: Store<tokio::Context>,
    state: State<tokio::Context>,
    milestones: Milestones,
    certificates: Certificates,
}

impl<'a> Checker<'a> {
    async fn open(context: tokio::Context, genesis: &'a Genesis) -> Result<Self, String> {
        let text = |e: &dyn Display| e.to_string();
        let cache = CacheRef::new(NZU16!(4096), NZUsize!(1024));
        let config = archive("node", "certificates", &cache, Scheme::certificate_codec_config_unbounded());
        Ok(Self {
            genesis,
            store: Store::open(&context, "node", &cache, SECTION, Id([0; 32])).await.map_err(|e| text(&e))?,
            state: State::open(context.child("state"), "node", &cache, genesis).await.map_err(|e| text(&e))?,
            certificates: Certificates::init(context.child("certificates"), config).await.map_err(|e| text(&e))?,
            milestones: Milestones::init(context.child("milestones"), archive("node", "milestones", &cache, ()))
                .await
                .map_err(|e| text(&e))?,
        })
    }

    async fn run(&self, report: &mut CheckReport, batches: &mut dyn FnMut(u64, &Batch)) -> Result<(), String> {
        let (messages, anchors) = self.messages(report).await;
        self.payloads(report, &anchors, batches).await;
        self.cuts(report, &messages).await;
        self.ballots(report).await;
        self.certificates(report).await;
        Ok(())
    }

    /// Every message decodes, is its issuer's, and has its parents before it. Gives their ids, and by its index what each
    /// anchors.
    async fn messages(&self, report: &mut CheckReport) -> (BTreeSet<Id>, Anchors) {
        let network = self.genesis.network();
        let mut known = BTreeSet::from([protocol::Unsigned::root(network)]);
        let mut anchors = Anchors::new();
        // what a pruned or joined node has begins somewhere
        let first = self.store.messages.first().unwrap_or(0);
        let whole = first == 0 && !self.joined().await;
        for index in first..self.store.messages.next() {
            let Some(message) = self.read::<Message>(&self.store.messages, "message", index, report).await else { continue };
            if let Err(why) = message.verify(&network, self.genesis.subnet) {
                report.damage(format!("message {index} ({}): {why}", message.id()));
            }
            if let Some(parent) = message.parents.iter().find(|p| whole && !known.contains(*p)) {
                report.damage(format!("message {index} ({}): its parent {parent} is missing", message.id()));
            }
            if let Body::Readings { blob, .. } = &message.body {
                anchors.insert(index, (message.id(), *blob));
            }
            known.insert(message.id());
            report.messages += 1;
        }
        (known, anchors)
    }

    /// What this node voted for: one request for each wallet and number in an epoch.
    async fn ballots(&self, report: &mut CheckReport) {
        let mut voted = BTreeMap::new();
        for index in self.store.ballots.first().unwrap_or(0)..self.store.ballots.next() {
            let Some(ballot) = self.read::<Ballot>(&self.store.ballots, "ballot", index, report).await else { continue };
            let Ballot::Vote { epoch, wallet, number, request } = ballot else { continue };
            if *voted.entry((epoch, wallet, number)).or_insert(request) != request {
                report.damage(format!("ballot {index}: it contradicts another for number {number} of {wallet} in epoch {epoch}"));
            }
        }
    }

    /// Every payload is the one its message names.
    async fn payloads(&self, report: &mut CheckReport, anchors: &Anchors, batches: &mut dyn FnMut(u64, &Batch)) {
        for index in self.store.payloads.first().unwrap_or(0)..self.store.payloads.next() {
            let Some(record) = self.bytes(&self.store.payloads, "payload", index, report).await else { continue };
            let (message, payload) = match split_payload(&record) {
                Ok(parts) => parts,
                Err(why) => {
                    report.damage(format!("payload {index}: {why}"));
                    continue;
                }
            };
            report.payloads += 1;
            let digest = Batch::blob_digest(payload);
            let written = self.store.payloads.has(digest).await.unwrap_or(false);
            match anchors.get(&message) {
                _ if !written => report.damage(format!("payload {index} is not the one that was written")),
                Some((id, blob)) if *blob == digest => match Batch::decode(payload) {
                    Ok(batch) => batches(index, &batch),
                    Err(why) => report.damage(format!("payload {index} of message {id} cannot be read: {why}")),
                },
                _ => report.notes.push(format!("payload {index} has no message: a crash came between; nobody was told of it")),
            }
        }
    }

    /// Whether the node joined a network that was there before.
    async fn joined(&self) -> bool {
        self.store.origin.at(0).await.is_ok_and(|begun| begun.is_some())
    }

    /// The milestones executed: one chain, in the tree of history, with the messages and the state that they say. Where
    /// a node has everything, the ledger is applied once more from the beginning.
    async fn cuts(&self, report: &mut CheckReport, messages: &BTreeSet<Id>) {
        let mut parent = self.genesis.milestone().digest();
        let mut range = merkle::Range::default();
        range.push(Milestone::history_leaf(&parent));
        let height = self.state.height();
        let first = self.store.cuts.first().unwrap_or(1);
        let whole = first <= 1 && !self.joined().await;
        let mut replay = Replay::new(self.genesis);
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        for h in 1..=height {
            let Some(m) = self.read::<Milestone>(&self.store.headers, "milestone", h, report).await else { return };
            let holds = [
                (m.height == h && m.parent == parent, "it does not follow the one before"),
                (m.history_root == range.root(), "its history root is not the history"),
                (m.epoch == self.genesis.parameters.epoch_of(h), "it is of another epoch than its height"),
            ];
            for (_, why) in holds.iter().filter(|(ok, _)| !ok) {
                report.damage(format!("milestone {h}: {why}"));
            }
            parent = m.digest();
            range.push(Milestone::history_leaf(&parent));
            report.milestones += 1;
            if h < first {
                continue;
            }
            let Some(cut) = self.read::<CutRecord>(&self.store.cuts, "what a milestone confirmed", h, report).await else { return };
            let holds = [
                (m.messages_root == Milestone::root_of_messages(&cut.counted), "its messages are not those of its root"),
                (!whole || cut.counted.iter().chain(&cut.void).all(|id| messages.contains(id)), "a message it confirmed is missing"),
                (cut.counted.iter().chain(&cut.void).all(|id| seen.insert(*id)), "a message it confirmed was confirmed before"),
            ];
            for (_, why) in holds.iter().filter(|(ok, _)| !ok) {
                report.damage(format!("milestone {h}: {why}"));
            }
            let places = (0u64..).zip(&cut.counted).map(|(i, id)| (*id, Some(i))).chain(cut.void.iter().map(|id| (*id, None)));
            order.extend(places.map(|(id, index)| (id, Confirmation { height: h, index })));
            if whole {
                self.replay(&mut replay, &m, &cut, report).await;
            }
        }
        if whole {
            match self.state.read(None, replay.keys.clone()).await {
                Ok(stored) if stored == replay.state => {}
                Ok(_) => report.damage("the ledger's state is not the one that its milestones lead to"),
                Err(why) => report.damage(why),
            }
        } else {
            report.notes.push(format!("messages below milestone {first} are not kept here: the state was not computed again"));
        }
        match history(&self.store.history, height + 1).await {
            Ok(stored) if stored == range => {}
            Ok(_) => report.damage("the tree of history is not that of the milestones"),
            Err(why) => report.damage(why),
        }
        for position in 0..self.store.history.next() {
            self.read::<Id>(&self.store.history, "node of the history", position, report).await;
        }
        for index in self.store.confirmations.first().unwrap_or(0)..self.store.confirmations.next() {
            self.read::<Confirmation>(&self.store.confirmations, "confirmation", index, report).await;
        }
        for (id, spent) in &replay.spent {
            match self.store.spent.get(*id).await.map(|b| b.map(|b| Spent::decode(&b))) {
                Ok(Some(Ok(stored))) if stored == *spent => {}
                _ => report.damage(format!("where request {id} was executed is missing or wrong")),
            }
        }
        for index in self.store.spent.first().unwrap_or(0)..self.store.spent.next() {
            self.read::<Spent>(&self.store.spent, "executed request", index, report).await;
        }
        let expected: BTreeMap<Id, Confirmation> = order.into_iter().collect();
        for (id, confirmation) in expected {
            match self.store.confirmations.get(id).await.map(|b| b.map(|b| Confirmation::decode(&b))) {
                Ok(Some(Ok(stored))) if stored == confirmation => {}
                _ => report.damage(format!("the confirmation of message {id} is missing or wrong")),
            }
        }
    }

    /// Applies what a milestone confirmed.
    async fn replay(&self, replay: &mut Replay<'_>, m: &Milestone, cut: &CutRecord, report: &mut CheckReport) {
        let mut void = Vec::new();
        for (id, counts) in cut.counted.iter().map(|id| (id, true)).chain(cut.void.iter().map(|id| (id, false))) {
            match self.store.messages.get(*id).await.map(|b| b.map(|b| Message::decode(&b))) {
                Ok(Some(Ok(message))) if counts => replay.apply(&message, m, report),
                Ok(Some(Ok(message))) => void.push(message),
                _ => report.damage(format!("milestone {}: message {id} cannot be read", m.height)),
            }
        }
        replay.remember(&void, m, report);
        if let Some(committee) = &m.next_committee {
            replay.close(m, committee);
        }
    }

    /// Marshal's milestones and certificates: each certificate holds.
    async fn certificates(&self, report: &mut CheckReport) {
        let network = self.genesis.network();
        for (first, last) in self.milestones.ranges().collect::<Vec<_>>() {
            for height in first..=last {
                match self.milestones.get(Identifier::Index(height)).await {
                    Ok(Some(block)) if block.0.height == height => {}
                    Ok(_) => report.damage(format!("archived milestone {height} is missing or another")),
                    Err(why) => report.damage(format!("archived milestone {height}: {why}")),
                }
            }
        }
        for (first, last) in self.certificates.ranges().collect::<Vec<_>>() {
            for height in first..=last {
                let certificate = match self.certificates.get(Identifier::Index(height)).await {
                    Ok(certificate) => certificate,
                    Err(why) => {
                        report.damage(format!("the certificate of milestone {height}: {why}"));
                        continue;
                    }
                };
                let Some(finalization) = certificate.as_ref().and_then(wire::finalization) else {
                    report.damage(format!("the certificate of milestone {height} cannot be read"));
                    continue;
                };
                let Some(committee) = self.committee(finalization.epoch).await else {
                    report.damage(format!("the certificate of milestone {height} is of an epoch that is not known"));
                    continue;
                };
                if let Err(why) = finalization.verify(&network, &committee) {
                    report.damage(format!("the certificate of milestone {height}: {why}"));
                }
                if let Ok(Some(block)) = self.milestones.get(Identifier::Index(height)).await
                    && wire::id(block.digest()) != finalization.digest
                {
                    report.damage(format!("the certificate at height {height} is of another milestone"));
                }
            }
        }
    }

    /// Who signed in an epoch: the closing milestone before says it.
    async fn committee(&self, epoch: u64) -> Option<Committee> {
        let Some(before) = epoch.checked_sub(1) else { return Some(self.genesis.committee.clone()) };
        let height = self.genesis.parameters.closing_height(before)?;
        let header = Milestone::decode(&self.store.headers.at(height).await.ok()??).ok()?;
        Committee::from_keys(&header.next_committee?, self.genesis).ok()
    }

    async fn bytes(&self, table: &Table<tokio::Context>, what: &str, index: u64, report: &mut CheckReport) -> Option<Vec<u8>> {
        match table.at(index).await {
            Ok(Some(bytes)) => Some(bytes),
            Ok(None) => {
                report.damage(format!("{what} {index} is missing"));
                None
            }
            Err(why) => {
                report.damage(format!("{what} {index}: {why}"));
                None
            }
        }
    }

    async fn read<T: Decode>(&self, table: &Table<tokio::Context>, what: &str, index: u64, report: &mut CheckReport) -> Option<T> {
        let bytes = self.bytes(table, what, index, report).await?;
        match T::decode(&bytes) {
            Ok(value) => Some(value),
            Err(why) => {
                report.damage(format!("{what} {index}: {why}"));
                None
            }
        }
    }
}
