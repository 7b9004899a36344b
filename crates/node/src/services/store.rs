//! What a provider remembers of what was bought of it: `<data_dir>/services.sqlite`.
//!
//! ```text
//! heard ─▶ executed ─purchase on the ledger─▶ bought ─published─▶ sent ─report─▶ delivered | failed ─settled─▶ ended
//!   └─ its epoch ended ─▶ (forgotten)
//! ```
//! # Rules
//! - A transaction is on the disk before anything follows from it (SRV-3). A request id has one row, for ever or until
//!   [`ENDED_MAX`] newer ones ended: so nothing is taken twice.
//! - What is owed is the ledger's to say; a row only says what was done about it.

use crate::sqlite::Remembered;
use protocol::{Decode as _, Encode as _, Id, Request};
use rusqlite::{OptionalExtension as _, Transaction, params};

/// Rows that are looked at in one turn.
const OPEN_AT_ONCE_MAX: u32 = 256;
/// Purchases that ended and are remembered.
const ENDED_MAX: u32 = 10_000;
/// Requests that were heard of, and may never be executed. Beyond, the oldest is forgotten: it is heard of again when it is final.
const HEARD_MAX: u32 = 65_536;
const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), height INTEGER NOT NULL);
    CREATE TABLE purchases (number INTEGER PRIMARY KEY AUTOINCREMENT, request BLOB NOT NULL UNIQUE, body BLOB NOT NULL,
        state TEXT NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL);
    CREATE INDEX purchases_state ON purchases (state, number);
    PRAGMA user_version = 1;
    COMMIT;";
/// The file.
pub(super) const FILE: Remembered = Remembered {
    name: "services",
    lost: "it remembers which purchases were carried out: restore it from a backup, or delete it while the node is stopped",
    schema: SCHEMA,
    version: 1,
};

/// How far a purchase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The request is in a message that counted.
    Heard,
    /// The replica told that it is executed. Whoever misses that finds the purchase.
    Executed,
    /// Its purchase was found.
    Bought,
    /// The device was told.
    Sent,
    /// The device did it.
    Delivered,
    /// It could not be done.
    Failed,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Executed => "executed",
            Self::Bought => "bought",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [Self::Heard, Self::Executed, Self::Bought, Self::Sent, Self::Delivered, Self::Failed];
        all.into_iter().find(|state| state.name() == text)
    }
}

/// A purchase that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// What was bought.
    pub(super) request: Request,
    /// Its id.
    pub(super) id: Id,
    /// How far it is.
    pub(super) state: State,
    /// The command's topic, `site/ID/act/type`; empty if it is only heard of.
    pub(super) topic: String,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is news.
    New,
    /// It was reported before, or has ended.
    Known,
    /// No such purchase was told to this device.
    Unknown,
}

/// Notes requests that were heard of. Those that are known stay as they are.
pub(super) fn hear(t: &Transaction<'_>, requests: &[Request]) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO purchases (request, body, state, topic, reason) VALUES (?1, ?2, 'heard', '', '')";
    let mut insert = t.prepare_cached(sql)?;
    for request in requests {
        insert.execute(params![request.id().0, request.encode()])?;
    }
    let sql = "DELETE FROM purchases WHERE state = 'heard' AND number <=
        (SELECT number FROM purchases WHERE state = 'heard' ORDER BY number DESC LIMIT 1 OFFSET ?1)";
    t.prepare_cached(sql)?.execute(params![HEARD_MAX]).map(drop)
}

/// Notes that requests are executed: they are looked at before those that are only heard of, which anybody can send.
pub(super) fn executed(t: &Transaction<'_>, requests: &[Request]) -> rusqlite::Result<()> {
    let mut update = t.prepare_cached("UPDATE purchases SET state = 'executed' WHERE request = ?1 AND state = 'heard'")?;
    requests.iter().try_for_each(|request| update.execute(params![request.id().0]).map(drop))
}

/// The oldest rows that have not ended, and of those that are only heard of the next ones after the row `after`: these come last.
/// Gives where the next turn goes on with them; 0 if it begins anew.
pub(super) fn open(t: &Transaction<'_>, after: i64) -> rusqlite::Result<(Vec<Open>, i64)> {
    let (mut all, mut next) = (Vec::new(), 0);
    for (filter, after) in [("state IN ('executed', 'bought', 'sent', 'delivered', 'failed')", 0), ("state = 'heard'", after)] {
        let sql = format!("SELECT body, state, topic, number FROM purchases WHERE {filter} AND number > ?2 ORDER BY number LIMIT ?1");
        let mut statement = t.prepare_cached(&sql)?;
        let rows = statement.query_map(params![OPEN_AT_ONCE_MAX, after], |r| {
            Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, String>(1)?, r.get::<_, String>(2)?, r.get::<_, i64>(3)?))
        })?;
        let mut count = 0;
        for row in rows {
            let (body, state, topic, number) = row?;
            count += 1;
            next = if count == OPEN_AT_ONCE_MAX && state == State::Heard.name() { number } else { 0 };
            match (Request::decode(&body), State::read(&state)) {
                (Ok(request), Some(state)) => all.push(Open { id: request.id(), request, state, topic }),
                // it was written by us, from what was decoded
                (_, _) => tracing::warn!(state, "a purchase cannot be read"),
            }
        }
    }
    Ok((all, next))
}

/// A request that was heard of is executed: its command goes to `topic`. It never goes back.
pub(super) fn bought(t: &Transaction<'_>, id: Id, topic: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE purchases SET state = 'bought', topic = ?2 WHERE request = ?1 AND state IN ('heard', 'executed')";
    t.prepare_cached(sql)?.execute(params![id.0, topic]).map(drop)
}

/// The device was told.
pub(super) fn sent(t: &Transaction<'_>, id: Id) -> rusqlite::Result<()> {
    t.prepare_cached("UPDATE purchases SET state = 'sent' WHERE request = ?1 AND state = 'bought'")?.execute(params![id.0]).map(drop)
}

/// It cannot be delivered, and that is not from the device.
pub(super) fn fail(t: &Transaction<'_>, id: Id, reason: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE purchases SET state = 'failed', reason = ?2 WHERE request = ?1 AND state IN ('heard', 'executed', 'bought', 'sent')";
    t.prepare_cached(sql)?.execute(params![id.0, reason]).map(drop)
}

/// The purchase is no more on the ledger. Those that ended long ago are forgotten.
pub(super) fn end(t: &Transaction<'_>, id: Id) -> rusqlite::Result<()> {
    t.prepare_cached("UPDATE purchases SET state = 'ended' WHERE request = ?1")?.execute(params![id.0])?;
    let sql = "DELETE FROM purchases WHERE state = 'ended' AND number <=
        (SELECT number FROM purchases WHERE state = 'ended' ORDER BY number DESC LIMIT 1 OFFSET ?1)";
    t.prepare_cached(sql)?.execute(params![ENDED_MAX]).map(drop)
}

/// A request was never executed, and will not be.
pub(super) fn forget(t: &Transaction<'_>, id: Id) -> rusqlite::Result<()> {
    t.prepare_cached("DELETE FROM purchases WHERE request = ?1 AND state = 'heard'")?.execute(params![id.0]).map(drop)
}

/// Takes a report of the device whose topics begin with `device` and `/`.
pub(super) fn report(t: &Transaction<'_>, id: Id, device: &str, delivered: bool, reason: &str) -> rusqlite::Result<Noted> {
    let mut find = t.prepare_cached("SELECT state, topic FROM purchases WHERE request = ?1")?;
    let known: Option<(String, String)> = find.query_row(params![id.0], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let Some((state, _)) = known.filter(|(_, topic)| topic.strip_prefix(device).is_some_and(|rest| rest.starts_with('/'))) else {
        return Ok(Noted::Unknown);
    };
    if state != "bought" && state != "sent" {
        return Ok(Noted::Known);
    }
    let sql = "UPDATE purchases SET state = ?2, reason = ?3 WHERE request = ?1";
    t.prepare_cached(sql)?.execute(params![id.0, if delivered { "delivered" } else { "failed" }, reason])?;
    Ok(Noted::New)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::following::place::{height, set_height};
    use crate::services::command::tests::{certified, network};
    use crate::sqlite::Store;

    fn states(store: &Store) -> Vec<State> {
        store.transact_blocking(|t| open(t, 0)).unwrap().0.iter().map(|o| o.state).collect()
    }

    /// SRV-3, SRV-8
    #[test]
    fn a_purchase_is_taken_once_and_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sqlite");
        let (genesis, keys) = network();
        let request = certified(&genesis, &keys, Id([5; 32]), 2, 3).request;
        let id = request.id();
        let store = FILE.open(&path).unwrap();
        let both = [request.clone(), request.clone()];
        store.transact_blocking(|t| hear(t, &both).and_then(|()| set_height(t, 7))).unwrap();
        let told = |delivered| store.transact_blocking(|t| report(t, id, "z1/espresso", delivered, "")).unwrap();
        assert_eq!((states(&store), told(true)), (vec![State::Heard], Noted::Unknown));
        store.transact_blocking(|t| bought(t, id, "z1/espresso/act/brew")).unwrap();
        store.transact_blocking(|t| hear(t, &both)).unwrap();
        assert_eq!(states(&store), [State::Bought]);
        assert_eq!(store.transact_blocking(|t| report(t, id, "z1/esp", true, "")).unwrap(), Noted::Unknown, "another device");
        store.transact_blocking(|t| sent(t, id)).unwrap();
        assert_eq!((told(true), told(false)), (Noted::New, Noted::Known));
        drop(store);
        let store = FILE.open(&path).unwrap();
        assert_eq!((states(&store), store.transact_blocking(height).unwrap()), (vec![State::Delivered], Some(7)));
        store.transact_blocking(|t| end(t, id)).unwrap();
        store.transact_blocking(|t| hear(t, &both)).unwrap();
        assert!(states(&store).is_empty(), "what ended is not done again");
    }

    /// 256 requests that nobody paid for hid every purchase that was heard of after them, until their epoch ended.
    #[test]
    fn what_is_executed_comes_first_and_all_that_is_heard_has_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let store = FILE.open(&dir.path().join("s.sqlite")).unwrap();
        let (genesis, keys) = network();
        let good = certified(&genesis, &keys, Id([5; 32]), 2, 3).request;
        let many = u64::from(OPEN_AT_ONCE_MAX) + 9;
        let mut all: Vec<Request> = (1..=many).map(|number| Request { number, ..good.clone() }).collect();
        all.push(good.clone());
        store.transact_blocking(|t| hear(t, &all)).unwrap();
        let (first, next) = store.transact_blocking(|t| open(t, 0)).unwrap();
        assert!(first.len() == OPEN_AT_ONCE_MAX as usize && next > 0 && first.iter().all(|row| row.id != good.id()));
        let (second, end) = store.transact_blocking(|t| open(t, next)).unwrap();
        assert_eq!((second.len(), second.last().unwrap().id, end), (10, good.id(), 0));
        store.transact_blocking(|t| executed(t, std::slice::from_ref(&good))).unwrap();
        let (first, _) = store.transact_blocking(|t| open(t, 0)).unwrap();
        assert_eq!((first[0].id, first[0].state), (good.id(), State::Executed));
    }

    #[test]
    fn what_was_never_executed_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = FILE.open(&dir.path().join("s.sqlite")).unwrap();
        let (genesis, keys) = network();
        let request = certified(&genesis, &keys, Id([5; 32]), 2, 3).request;
        store.transact_blocking(|t| hear(t, std::slice::from_ref(&request))).unwrap();
        store.transact_blocking(|t| forget(t, request.id())).unwrap();
        assert!(states(&store).is_empty());
    }
}
