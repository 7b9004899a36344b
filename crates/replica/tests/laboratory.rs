//! A committee in one process, over links that take their time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use protocol::{Body, Committee, Genesis, Id, Name, SecretKey, Validator};
use replica::{Event, Laboratory, LaboratoryConfig, LaboratoryError, Pace, StartError};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// How long anything awaited may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn configuration(nodes: u8) -> LaboratoryConfig {
    let mut keys: Vec<SecretKey> = (1..=nodes).map(|n| SecretKey::from_seed(&[n; 32])).collect();
    keys.sort_by_key(SecretKey::public_key);
    let validator = |(n, key): (usize, &SecretKey)| Validator { key: key.public_key(), name: Name::new(&format!("node{n}")).unwrap() };
    let committee = Committee::new(keys.iter().enumerate().map(validator).collect()).unwrap();
    let genesis = Genesis::plain(Name::new("laboratory").unwrap(), 0, 1, committee);
    LaboratoryConfig { genesis, keys, pace: Pace::default(), latency: Duration::from_micros(1_500) }
}

/// Whether some partition of the storage directory belongs to `node`.
fn has_storage(directory: &Path, node: &str) -> bool {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).any(|name| name.starts_with(&format!("{node}-")))
}

#[test]
fn what_each_member_issues_is_confirmed_at_every_other() {
    let directory = tempfile::tempdir().unwrap();
    replica::run(directory.path(), 2, |runtime| async move {
        let laboratory = Laboratory::start(&runtime, configuration(4)).await.unwrap();
        let handles = laboratory.handles();
        assert_eq!(handles.len(), 4);
        let mut events = Vec::new();
        for handle in handles {
            events.push(handle.subscribe(1_024).await.unwrap());
        }
        let mut issued = BTreeSet::new();
        for (n, handle) in (0u8..).zip(handles) {
            issued.insert(handle.issue(Body::Data(vec![n]), None).await.unwrap());
        }
        for mut events in events {
            let mut missing: BTreeSet<Id> = issued.clone();
            while !missing.is_empty() {
                let event = timeout(PATIENCE, events.recv()).await.expect("no progress").expect("a replica stopped");
                let Event::Milestone { confirmed, .. } = event else { continue };
                for message in confirmed.iter() {
                    missing.remove(&message.id);
                }
            }
        }
    });
    for node in ["node0", "node1", "node2", "node3"] {
        assert!(has_storage(directory.path(), node), "{node} keeps nothing");
    }
}

#[test]
fn a_key_runs_once_and_only_if_the_genesis_names_it() {
    let directory = tempfile::tempdir().unwrap();
    replica::run(directory.path(), 1, |runtime| async move {
        let mut twice = configuration(2);
        twice.keys[1] = twice.keys[0].clone();
        let refused = Laboratory::start(&runtime, twice).await.unwrap_err();
        assert!(matches!(refused, LaboratoryError::Twice(_)), "{refused}");
        let mut stranger = configuration(2);
        stranger.keys = vec![SecretKey::from_seed(&[9; 32])];
        let refused = Laboratory::start(&runtime, stranger).await.unwrap_err();
        assert!(matches!(refused, LaboratoryError::Start(StartError::Key)), "{refused}");
    });
}
