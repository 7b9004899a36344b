//! How long one message takes from one replica to another: what the Wallance paper's Table II has for its votes.
//!
//! There a Raspberry Pi sends a transaction over 5 GHz WiFi to its router and has it back. Here a message counts from the moment
//! it is handed to a replica to the moment another one has it in its graph: signed, on disk, encrypted and sent, decoded,
//! verified, inserted. The other one is asked again and again, which takes some tens of microseconds each time.

use super::committee::Member;
use super::figures::{Figures, fields, latency};
use crate::cli::{Exit, Failure};
use protocol::Body;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends so many messages with so many bytes of data, one after the other, from the first replica to the second.
///
/// # Errors
/// [`Failure`] if a replica stops, or a message does not arrive.
pub(super) async fn run(members: &[Member], samples: u32, data_bytes: usize) -> Result<Figures, Failure> {
    let broken = |why: String| Failure::new(Exit::Fault, why, "bench vote", "run it with -v to see the log");
    let [(from, _), (to, _), ..] = members else { return Err(broken("two replicas are needed".to_owned())) };
    let (mut times_ms, mut message_bytes) = (Vec::new(), 0);
    for _ in 0..samples {
        let start = Instant::now();
        let id = from.issue(Body::Data(vec![0; data_bytes]), None).await.map_err(|e| broken(e.to_string()))?;
        let record = loop {
            if let Some(record) = to.message(id).await {
                break record;
            }
            if start.elapsed() > PATIENCE {
                return Err(broken(format!("message {id} has not arrived after {} s", PATIENCE.as_secs())));
            }
            tokio::task::yield_now().await;
        };
        times_ms.push(start.elapsed().as_secs_f64() * 1e3);
        message_bytes = record.message.bytes().len();
    }
    let mean = mean(&times_ms);
    let least = times_ms.iter().copied().min_by(f64::total_cmp);
    let latency = latency(times_ms);
    Ok(fields(json!({ "message_bytes": message_bytes, "mean_ms": mean, "min_ms": least, "latency_ms": latency })))
}

fn mean(samples: &[f64]) -> Option<f64> {
    (!samples.is_empty()).then(|| samples.iter().sum::<f64>() / samples.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_of_all_and_of_nothing_there_is_none() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(mean(&[]), None);
    }
}
