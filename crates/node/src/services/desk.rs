//! Takes what devices report of commands that were paid for (SRV-8).

use super::command::Report;
use super::store::{self, Noted};
use crate::sqlite::Store;
use async_trait::async_trait;
use mqtt::{NotAsked, ReportDesk};
use protocol::DeviceName;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;

/// Takes reports.
pub(super) struct Desk {
    pub(super) store: Arc<Store>,
    /// Told when there is something to settle.
    pub(super) changed: Arc<Notify>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

#[async_trait]
impl ReportDesk for Desk {
    async fn report(&self, from: DeviceName, payload: &[u8]) -> Result<(), NotAsked> {
        let Report { request, delivered, reason } = Report::read(payload).map_err(NotAsked::Refused)?;
        let device = from.to_string();
        let noted = self.store.transact(move |t| store::report(t, request, &device, delivered, &reason)).await;
        match noted {
            Ok(Noted::New) => {
                tracing::info!(%request, device = %from, delivered, "a device reports of a purchase");
                self.changed.notify_one();
                Ok(())
            }
            Ok(Noted::Known) => Ok(()),
            Ok(Noted::Unknown) => Err(NotAsked::Refused("this device was told of no such purchase".to_owned())),
            Err(why) => {
                tracing::error!("a report waits: {why}");
                Err(NotAsked::Later)
            }
        }
    }
}
