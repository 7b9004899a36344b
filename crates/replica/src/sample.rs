//! A network for unit tests: its keys are known, so its committee certifies whatever a test wants.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use protocol::finalization::consensus_namespace;
use protocol::{Committee, Finalization, Genesis, Handover, Id, Milestone, Name, PublicKey, SecretKey, Validator, Vote, merkle};

/// Milestones of an epoch: 0 to 2, 3 to 5 and so on.
pub(crate) const EPOCH_MILESTONES: u64 = 3;
/// Wallets in the genesis: more than a chunk of the state's bitmap.
const WALLETS: u16 = 600;

/// A network of four validators. The odd epochs have a committee of the last three.
pub(crate) struct Sample {
    pub(crate) genesis: Genesis,
    keys: Vec<SecretKey>,
}

/// The wallets that are no validator's, ascending.
pub(crate) fn wallet(n: u16) -> PublicKey {
    let mut key = [0xee; 32];
    key[30..].copy_from_slice(&n.to_be_bytes());
    PublicKey(key)
}

impl Sample {
    pub(crate) fn new() -> Self {
        let mut keys: Vec<SecretKey> = (1..=4).map(|i| SecretKey::from_seed(&[i; 32])).collect();
        keys.sort_by_key(SecretKey::public_key);
        let validator = |(k, name): (&SecretKey, &str)| Validator { key: k.public_key(), name: Name::new(name).unwrap() };
        let committee = Committee::new(keys.iter().zip(["a", "b", "c", "d"]).map(validator).collect()).unwrap();
        let mut genesis = Genesis::plain(Name::new("sample").unwrap(), 0, 1_000, committee);
        genesis.parameters.epoch_milestones = EPOCH_MILESTONES;
        genesis.wallets.extend((0..WALLETS).map(|n| (wallet(n), 1_000 + u64::from(n))));
        genesis.wallets.sort_by_key(|(key, _)| *key);
        genesis.check().unwrap();
        Self { genesis, keys }
    }

    /// Who signs in an epoch.
    fn signers(&self, epoch: u64) -> &[SecretKey] {
        &self.keys[usize::from(epoch % 2 == 1)..]
    }

    /// The first `count` milestones, the genesis' included. All have this state root; `mark` makes chains differ.
    pub(crate) fn chain(&self, count: u64, state_root: Id, mark: u64) -> Vec<Milestone> {
        let mut chain = vec![self.genesis.milestone()];
        for height in 1..count {
            let history: Vec<Id> = chain.iter().map(|m| Milestone::history_leaf(&m.digest())).collect();
            let epoch = self.genesis.parameters.epoch_of(height);
            let next = self.signers(epoch + 1).iter().map(SecretKey::public_key).collect();
            chain.push(Milestone {
                subnet: 0,
                parent: chain.last().unwrap().digest(),
                height,
                epoch,
                time_ms: 1_000 + height * 10 + mark,
                tips: Vec::new(),
                message_count: 0,
                messages_root: merkle::empty_root(),
                state_root,
                history_root: merkle::root(&history),
                next_committee: self.genesis.parameters.closes(height).then_some(next),
            });
        }
        chain
    }

    /// The certificate of a milestone's own committee.
    pub(crate) fn certify(&self, milestone: &Milestone) -> Finalization {
        let (epoch, digest) = (milestone.epoch, milestone.digest());
        let view = milestone.height + 1;
        let mut finalization = Finalization { epoch, view, parent_view: view - 1, digest, votes: Vec::new() };
        let namespace = [consensus_namespace(&self.genesis.network()).as_slice(), b"_FINALIZE"].concat();
        for (validator, key) in (0u8..).zip(self.signers(epoch)) {
            let signature = key.sign(&namespace, &finalization.proposal());
            finalization.votes.push(Vote { validator, signature });
        }
        finalization
    }

    /// The handovers of the epochs `from` to `to`, the last one excluded.
    pub(crate) fn handovers(&self, chain: &[Milestone], from: u64, to: u64) -> Vec<Handover> {
        let closing = chain.iter().filter(|m| m.next_committee.is_some() && (from..to).contains(&m.epoch));
        closing.map(|m| Handover { milestone: m.clone(), finalization: self.certify(m) }).collect()
    }
}
