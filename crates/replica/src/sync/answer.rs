//! The side that is asked.

use super::wire::{Counted, Question, RECORDS_MAX, Records, Summit};
use super::{ANSWER_BYTES_MAX, CUTS};
use crate::core::{Core, CoreError};
use crate::state::Point;
use crate::store::Disk;
use commonware_codec::Encode as _;
use commonware_consensus::types::Height;
use commonware_runtime::Spawner;
use protocol::{Decode as _, Encode, Handover, Milestone};
use std::collections::VecDeque;

/// Milestones between two places to join at.
const SUMMIT_INTERVAL: u64 = 256;
/// Places that are still served when newer ones were told: joining takes a while.
const SERVED: usize = 4;
/// The first place comes early, so that a young network can be joined too.
const FIRST_SUMMIT: u64 = 16;

/// Where others can join.
#[derive(Default)]
pub(crate) struct Summits {
    /// A state whose next milestone has no certificate here yet.
    candidate: Option<Point>,
    current: Option<Summit>,
    /// Height and first operation of each place that is served, oldest first.
    served: VecDeque<(u64, u64)>,
}

impl Summits {
    /// Milestones from this one on must not be pruned: whoever joins asks for them.
    pub(crate) fn needed_from(&self) -> u64 {
        self.served.front().map_or(0, |(height, _)| height.saturating_sub(CUTS))
    }
}

impl<E: Disk + Spawner> Core<E> {
    /// Keeps a place to join at, after a commit; lets go of what only older places needed.
    pub(crate) async fn raise_summit(&mut self) -> Result<(), CoreError> {
        let height = self.state.height();
        let last = self.summits.current.as_ref().map_or(0, |s| s.height);
        let executed = self.executed_height();
        if let Some(point) = self.summits.candidate.take_if(|p| p.height < executed) {
            let certificate = self.chain.get_finalization(Height::new(point.height + 1)).await;
            let floor = self.header(point.height + 1).await?;
            if let (Some(certificate), Some(floor)) = (certificate, floor) {
                let Point { height, size, start, ops_root, witness } = point;
                let certificate = certificate.encode().to_vec();
                self.summits.current = Some(Summit { height, size, start, ops_root, witness, floor, certificate });
                self.summits.served.push_back((height, start));
                if self.summits.served.len() > SERVED {
                    self.summits.served.pop_front();
                    let oldest = self.summits.served.front().map_or(start, |(_, start)| *start);
                    self.state.prune(oldest).await?;
                }
            }
        } else if self.summits.candidate.is_none() && height >= FIRST_SUMMIT && (last == 0 || height >= last + SUMMIT_INTERVAL) {
            self.summits.candidate = Some(self.state.point().await?);
        }
        Ok(())
    }

    /// Answers a question of a joining node; nothing if it makes no sense, or the answer is not here.
    pub(crate) async fn answer_sync(&self, question: &[u8]) -> Result<Option<Vec<u8>>, CoreError> {
        let Ok(question) = Question::decode(question) else { return Ok(None) };
        Ok(match question {
            Question::Summit => self.summits.current.as_ref().map(Encode::encode),
            Question::Headers { from, count } => {
                let mut headers: Vec<Milestone> = Vec::new();
                for height in span(from, count) {
                    let Some(header) = self.header(height).await? else { break };
                    headers.push(header);
                }
                Some(Records(headers).encode())
            }
            Question::Cuts { from, count } => {
                let (mut cuts, mut bytes): (Vec<Counted>, usize) = (Vec::new(), 0);
                for height in span(from, count) {
                    let Some(cut) = self.cut(height).await?.map(|cut| Counted(cut.counted)) else { break };
                    bytes += cut.encode().len();
                    if bytes + 16 > ANSWER_BYTES_MAX {
                        break;
                    }
                    cuts.push(cut);
                }
                Some(Records(cuts).encode())
            }
            Question::Handovers { from } => {
                let mut handovers: Vec<Handover> = Vec::new();
                for epoch in span(from, RECORDS_MAX as u64 / 4) {
                    let Some(handover) = self.handover(epoch).await? else { break };
                    handovers.push(handover);
                }
                Some(Records(handovers).encode())
            }
            Question::Operations(request) => self.state.serve(&request).await,
        })
    }
}

fn span(from: u64, count: u64) -> std::ops::Range<u64> {
    from..from.saturating_add(count.min(RECORDS_MAX as u64))
}
