//! Which numbers of the devices' keys were taken before this start.

use super::processing::Processing;
use crate::devices::Devices;
use crate::exchange::Foreigners;
use crate::index::Index;
use anyhow::Context as _;
use mqtt::{Identities, SiteLog};

/// Readings of the log that are looked at together.
const LOG_READINGS_AT_ONCE: usize = 4096;

/// Notes which numbers of the devices' keys were taken before this start: those that are anchored, and those in the log.
pub(super) async fn note_numbers(
    identities: &Identities,
    (devices, foreigners): (&Devices, &Foreigners),
    index: &Index,
    log: &SiteLog,
) -> anyhow::Result<()> {
    // a key that is no device's any more needs no place
    let mut keys = devices.keys();
    keys.extend(foreigners.keys());
    for (key, number) in index.taken().await?.into_iter().filter(|(key, _)| keys.contains(key)) {
        identities.replays().note(key, number);
    }
    note_log(identities, log).await
}

/// The same of what the fog processor has taken out of its intake, and of what is still there.
pub(super) async fn note_processed(
    identities: &Identities,
    (devices, foreigners): (&Devices, &Foreigners),
    fog: &Processing,
) -> anyhow::Result<()> {
    let mut keys = devices.keys();
    keys.extend(foreigners.keys());
    for (key, greatest, bits) in fog.runner.numbers().into_iter().filter(|(key, ..)| keys.contains(key)) {
        identities.replays().note_all(key, greatest, bits);
    }
    note_log(identities, &fog.intake).await
}

/// Notes the numbers of the readings in a log.
async fn note_log(identities: &Identities, log: &SiteLog) -> anyhow::Result<()> {
    let mut at = log.forgotten();
    while at < log.end() {
        let reader = log.clone();
        let rows = tokio::task::spawn_blocking(move || reader.read(at, LOG_READINGS_AT_ONCE)).await.context("reading the site's log")??;
        let Some((last, _)) = rows.last() else { break };
        at = last.saturating_add(1);
        for (_, reading) in rows {
            if let (Some(by), Some(number)) = (reading.signed, reading.sequence) {
                identities.replays().note(by.key, number);
            }
        }
    }
    Ok(())
}
