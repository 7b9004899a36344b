//! A node with its broker, in a process of its own: idle connections, publishes as fast as they are taken, and devices that tell their
//! readings when they are due.

use super::measure::Effort;
use crate::bench::{Burst, Crowd, bytes_per_connection, one_node, settled, usage_of};
use crate::cli::Failure;
use crate::demo::Network;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Publishes of a burst at most.
const BURST_MAX: u32 = 5_000_000;
/// Which loopback addresses idle connections come from; the check's have 2,
const IDLE_TURN: u8 = 1;
/// and devices that tell their readings these.
const PACED_TURN: u8 = 3;
/// Share of the rate of a burst at which devices tell their readings.
const PACED_SHARE: f64 = 0.25;
/// Shortest time from one reading of such a device to its next, in milliseconds, and longest.
const PACED_MS: (u32, u32) = (10, 1_000);

/// A node with a broker, and its publishers on the same host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broker {
    /// Publishes that are acknowledged and confirmed.
    pub(super) publishes_per_second: f64,
    /// Processor time of the node for each reading of devices that tell theirs when they are due, ledger included.
    pub(super) cpu_us: f64,
    /// Memory for each connection.
    pub(super) connection_bytes: f64,
}

impl Broker {
    /// Measures with a node below `directory`.
    ///
    /// # Errors
    /// [`Failure`] if the node does not start or ends, or does not acknowledge and confirm.
    pub(super) async fn measure(directory: &Path, effort: &Effort) -> Result<Self, Failure> {
        let mut network = one_node(directory).await?;
        let connection_bytes = bytes_per_connection(&network, effort.connections, IDLE_TURN).await?;
        let pilot = Burst { publishers: effort.publishers, qos: 1, messages: effort.pilot, first: 0 };
        let took = pilot.publish(&network.broker).await?;
        settled(&mut network).await?;
        let messages = messages(effort, took);
        let before = usage_of(&network.pids());
        let burst = Burst { messages, first: effort.pilot, ..pilot };
        let acknowledged = burst.publish(&network.broker).await?;
        let start = Instant::now();
        settled(&mut network).await?;
        // what is acknowledged faster than it is confirmed piles up
        let took = acknowledged + start.elapsed();
        let publishes_per_second = f64::from(messages) / took.as_secs_f64().max(f64::MIN_POSITIVE);
        let used_s = usage_of(&network.pids()).cpu_seconds - before.cpu_seconds;
        let in_burst_us = used_s.max(0.0) * 1e6 / f64::from(messages);
        let paced_us = paced_us(&mut network, &paced(effort, publishes_per_second)).await?;
        Ok(Self { publishes_per_second, cpu_us: paced_us.max(in_burst_us), connection_bytes })
    }
}

/// Processor time of the node for a reading of these devices, in microseconds.
async fn paced_us(network: &mut Network, crowd: &Crowd) -> Result<f64, Failure> {
    let figures = crowd.tell(network, PACED_TURN).await?;
    let figure = |name: &str| figures.get(name).and_then(Value::as_f64).unwrap_or_default();
    Ok(figure("load_cpu_seconds") * 1e6 / figure("readings_acknowledged").max(1.0))
}

/// Devices that together tell readings at a share of this rate.
fn paced(effort: &Effort, publishes_per_second: f64) -> Crowd {
    let every_s = f64::from(effort.connections) / (PACED_SHARE * publishes_per_second);
    let ms = Duration::try_from_secs_f64(every_s).map_or(u128::MAX, |every| every.as_millis());
    let interval_ms = u32::try_from(ms).unwrap_or(u32::MAX).clamp(PACED_MS.0, PACED_MS.1);
    let readings = u32::try_from(effort.paced.as_millis() / u128::from(interval_ms)).unwrap_or(u32::MAX).max(1);
    Crowd { devices: effort.connections, readings, interval_ms, qos: 1 }
}

/// As many publishes as will take as long as they should, at the rate of the pilot.
fn messages(effort: &Effort, pilot_took: Duration) -> u32 {
    let rate = f64::from(effort.pilot) / pilot_took.as_secs_f64().max(1e-3);
    let whole = Duration::try_from_secs_f64(rate * effort.burst.as_secs_f64()).map_or(u64::MAX, |n| n.as_secs());
    u32::try_from(whole).unwrap_or(u32::MAX).clamp(effort.pilot, BURST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_as_long_as_the_pilot_says() {
        // 5 000 in half a second: 40 000 in four
        assert_eq!(messages(&Effort::FULL, Duration::from_millis(500)), 40_000);
        assert_eq!(messages(&Effort::FULL, Duration::from_secs(3_600)), 5_000);
        assert_eq!(messages(&Effort::FULL, Duration::ZERO), BURST_MAX);
    }

    #[test]
    fn devices_that_are_paced_ask_for_a_share_of_what_a_burst_does() {
        // 1 000 devices, a quarter of 20 000 readings a second: one each 200 ms
        let crowd = paced(&Effort::FULL, 20_000.0);
        assert_eq!((crowd.devices, crowd.interval_ms, crowd.readings), (1_000, 200, 20));
        assert_eq!((paced(&Effort::FULL, 1.0).interval_ms, paced(&Effort::FULL, 1e9).interval_ms), (PACED_MS.1, PACED_MS.0));
    }
}
