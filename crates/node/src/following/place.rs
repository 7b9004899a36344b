//! How far the ledger was followed, as a [`Store`] has it: in its table `place`.

use crate::sqlite::{Store, StoreError, signed};
use rusqlite::{OptionalExtension as _, Transaction, params};
use std::sync::Arc;

/// Where to follow from. What was told before anybody followed, now at the height of `present`, is nothing to a new store.
///
/// # Errors
/// [`StoreError`] if it cannot be read or noted.
pub(crate) async fn begin(store: &Arc<Store>, present: u64) -> Result<u64, StoreError> {
    store
        .transact(move |t| {
            let known = height(t)?;
            if known.is_none() {
                set_height(t, present)?;
            }
            Ok(known.unwrap_or(present))
        })
        .await
}

/// Up to where the ledger was followed.
pub(crate) fn height(t: &Transaction<'_>) -> rusqlite::Result<Option<u64>> {
    t.query_row("SELECT height FROM place", [], |r| r.get(0)).optional()
}

/// Notes up to where the ledger was followed.
pub(crate) fn set_height(t: &Transaction<'_>, height: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO place (one, height) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET height = max(height, ?1)";
    t.prepare_cached(sql)?.execute(params![signed(height)]).map(drop)
}
