//! The state's log, from sources that nobody trusts.

use super::wire::Question;
use super::{Flaw, Upstream};
use crate::state::{self, Family, Operation};
use crate::wire::Digest;
use commonware_codec::{Decode as _, Encode as _, RangeCfg};
use commonware_storage::qmdb::sync::source::{self, Feedback, Request, Response};
use commonware_utils::channel::{mpsc, oneshot, oneshot::error::TryRecvError};
use commonware_utils::sync::Mutex;

/// Asks one source for operations of the state's log. The first answer that does not verify is the last: whoever
/// gives one is not asked again.
pub(crate) struct StateSource {
    upstream: Upstream,
    verdicts: Mutex<Vec<oneshot::Receiver<bool>>>,
}

impl StateSource {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self { upstream, verdicts: Mutex::default() }
    }

    fn was_wrong(&self) -> bool {
        let mut wrong = false;
        self.verdicts.lock().retain_mut(|verdict| match verdict.try_recv() {
            Ok(holds) => {
                wrong |= !holds;
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => false,
        });
        wrong
    }
}

/// Why there are no operations.
#[derive(Debug, thiserror::Error)]
#[error("the source gave no usable part of the state")]
pub(crate) struct NoState;

impl source::Source for StateSource {
    type Family = Family;
    type Digest = Digest;
    type Op = Operation;
    type Error = NoState;

    async fn serve(&self, request: Request<Family>) -> source::Result<Self> {
        let question = Question::Operations(request.encode().to_vec());
        if self.was_wrong() {
            return Err(NoState);
        }
        let answer = self.upstream.ask(&question).await.ok_or(NoState)?;
        let max = usize::try_from(request.max_ops().get()).map_err(|_| NoState)?;
        let config = (max, ((), (RangeCfg::new(0..=state::STATE_VALUE_BYTES_MAX), ())));
        let response = Response::<Family, Operation, Digest>::decode_cfg(bytes::Bytes::from(answer), &config).map_err(|_| NoState)?;
        // a rejected response has no successor: the request is made again, and fails
        let (verdict, heard) = oneshot::channel();
        let (_, candidates) = mpsc::channel(1);
        self.verdicts.lock().push(heard);
        Ok((response, Some(Feedback::new(verdict, candidates))))
    }
}

impl From<NoState> for Flaw {
    fn from(_: NoState) -> Self {
        Self::Silent
    }
}
