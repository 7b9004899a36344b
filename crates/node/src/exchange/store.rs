//! What a site remembers of what sites told each other: `<data_dir>/exchange.sqlite`.
//!
//! | table | a row for | until |
//! |---|---|---|
//! | `place` | the height up to which the ledger was followed | |
//! | `slots` | a number of a device that was used, by which request and message | no request of that time is taken any more |
//! | `held` | a command that is accepted and was not handed to the broker | it is, or expires |
//! | `requests` | a request that devices here made or got: for people, and for answers | [`LISTED_MAX`] newer ones of its way |
//! | `guests`, `parcels` | devices that are away or visiting, and what waits for them (`roaming`) | they are at home again |
//!
//! # Rules
//! - What a milestone brings is one transaction, and on the disk before anything follows from it.
//! - What is taken is decided in the transaction, by the slot: so nothing is taken twice, however often a milestone comes.

use crate::sqlite::{Remembered, signed};
use protocol::{Decode as _, DeviceRequest, Encode as _, Id};
use rusqlite::{OptionalExtension as _, Transaction, params};

/// Commands that may wait.
pub(super) const HELD_MAX: u64 = 1024;
/// Numbers that are remembered. Beyond, requests are refused until some are too old.
const SLOTS_MAX: u64 = 262_144;
/// Requests that are listed of each way: what strangers ask for does not push out what devices here asked.
const LISTED_MAX: u32 = 10_000;
/// Requests in one answer.
pub(crate) const LIST_MAX: u32 = 1000;
const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), height INTEGER NOT NULL);
    CREATE TABLE slots (slot BLOB PRIMARY KEY, request BLOB NOT NULL, message BLOB NOT NULL, until_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX slots_until ON slots (until_ms);
    CREATE TABLE held (number INTEGER PRIMARY KEY AUTOINCREMENT, request BLOB NOT NULL UNIQUE, body BLOB NOT NULL,
        message BLOB NOT NULL, height INTEGER NOT NULL, until_ms INTEGER NOT NULL);
    CREATE TABLE requests (request BLOB NOT NULL, way TEXT NOT NULL, sender TEXT NOT NULL, target TEXT NOT NULL, number TEXT NOT NULL,
        value TEXT NOT NULL, slot BLOB NOT NULL, fingerprint BLOB NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, message BLOB,
        height INTEGER, at_ms INTEGER NOT NULL, PRIMARY KEY (request, way)) WITHOUT ROWID;
    CREATE INDEX requests_at ON requests (at_ms);
    CREATE TABLE guests (device TEXT PRIMARY KEY, key BLOB NOT NULL, state TEXT NOT NULL, place TEXT NOT NULL, visit BLOB NOT NULL,
        greatest BLOB NOT NULL, taken BLOB NOT NULL, filters TEXT NOT NULL, asked_us INTEGER NOT NULL, since_ms INTEGER NOT NULL);
    CREATE TABLE parcels (visit BLOB NOT NULL, issuer BLOB NOT NULL, number INTEGER NOT NULL, qos INTEGER NOT NULL, topic TEXT NOT NULL,
        payload BLOB NOT NULL, PRIMARY KEY (visit, issuer, number)) WITHOUT ROWID;
    PRAGMA user_version = 2;
    COMMIT;";
/// The file.
pub(super) const FILE: Remembered = Remembered {
    name: "requests",
    lost: "it remembers which requests of devices were carried out: restore it from a backup, or delete it while the node is stopped if repetitions of the last day do no harm",
    schema: SCHEMA,
    version: 2,
};

/// A request for a device of this site, as a milestone brought it.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    /// The request.
    pub(super) request: DeviceRequest,
    /// The message that carries it.
    pub(super) message: Id,
    /// The milestone.
    pub(super) height: u64,
    /// That milestone's time, in milliseconds since 1970.
    pub(super) time_ms: u64,
    /// Why it is not taken, if that is known.
    pub(super) refused: Option<String>,
    /// Until when its number is remembered.
    pub(super) slot_until_ms: u64,
    /// Until when it waits for a subscriber.
    pub(super) hold_until_ms: u64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits to be handed to the broker.
    Held,
    /// It is refused.
    Refused(String),
    /// It was taken before, from another message.
    Replayed,
    /// Its number was used by another request.
    Used,
    /// It was taken before: the milestone comes a second time.
    Known,
}

/// A command that waits.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// What was asked.
    pub(super) request: DeviceRequest,
    /// The message that carries it.
    pub(super) message: Id,
    /// The milestone that confirmed it.
    pub(super) height: u64,
    /// Until when it waits, in milliseconds since 1970.
    pub(super) until_ms: u64,
}

/// A request as it is listed.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// The request.
    pub(crate) request: Id,
    /// `out`: a device here made it; `in`: a device here got it.
    pub(crate) way: String,
    /// Who asked.
    pub(crate) sender: String,
    /// For what.
    pub(crate) target: String,
    /// Under which number.
    pub(crate) number: String,
    /// With which value.
    pub(crate) value: String,
    /// How far it is.
    pub(crate) state: String,
    /// Why no further.
    pub(crate) reason: String,
    /// The message that carries it.
    pub(crate) message: Option<Id>,
    /// The milestone that confirmed it.
    pub(crate) height: Option<u64>,
    /// When that changed, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// A request that a device here made, as it is noted when it is issued.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    /// The request.
    pub(super) request: DeviceRequest,
    /// The hash of the payload that it came with.
    pub(super) fingerprint: Id,
    /// The message.
    pub(super) message: Id,
    /// When, in milliseconds since 1970.
    pub(super) at_ms: u64,
}

/// Forgets numbers that no request can bear any more.
pub(super) fn forget_slots(t: &Transaction<'_>, time_ms: u64) -> rusqlite::Result<()> {
    t.prepare_cached("DELETE FROM slots WHERE until_ms < ?1")?.execute(params![signed(time_ms)]).map(drop)
}

/// Takes a request, or says why not.
pub(super) fn take(t: &Transaction<'_>, incoming: &Incoming) -> rusqlite::Result<Taken> {
    let Incoming { request, message, height, slot_until_ms, hold_until_ms, .. } = incoming;
    let slot = request.slot();
    let mut find = t.prepare_cached("SELECT request, message FROM slots WHERE slot = ?1")?;
    let used: Option<(Id, Id)> = find.query_row(params![slot.0], |r| Ok((Id(r.get(0)?), Id(r.get(1)?)))).optional()?;
    if used == Some((request.id(), *message)) {
        return Ok(Taken::Known);
    }
    let count = |table: &str| t.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get::<_, u64>(0));
    let refused = match (&incoming.refused, used) {
        // also one that is too old by now, or not allowed any more: what became of it stays so
        (_, Some((same, _))) if same == request.id() => return Ok(Taken::Replayed),
        (Some(why), _) => Some(why.clone()),
        (None, Some(_)) => return Ok(Taken::Used),
        (None, None) if count("held")? >= HELD_MAX => Some("too many commands wait at the target's site".to_owned()),
        (None, None) if count("slots")? >= SLOTS_MAX => Some("the target's site takes no more requests for now".to_owned()),
        (None, None) => None,
    };
    let state = if refused.is_some() { "refused" } else { "held" };
    if refused.is_none() {
        let sql = "INSERT INTO slots (slot, request, message, until_ms) VALUES (?1, ?2, ?3, ?4)";
        t.prepare_cached(sql)?.execute(params![slot.0, request.id().0, message.0, signed(*slot_until_ms)])?;
        let sql = "INSERT OR IGNORE INTO held (request, body, message, height, until_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
        let body = request.encode();
        t.prepare_cached(sql)?.execute(params![request.id().0, body, message.0, signed(*height), signed(*hold_until_ms)])?;
    }
    let row = Entry { way: "in", fingerprint: Id([0; 32]), state, reason: refused.as_deref().unwrap_or_default() };
    list(t, request, &row, Some(*message), Some(*height), incoming.time_ms)?;
    Ok(refused.map_or(Taken::Held, Taken::Refused))
}

/// What a row of `requests` says beside the request.
struct Entry<'a> {
    way: &'a str,
    fingerprint: Id,
    state: &'a str,
    reason: &'a str,
}

fn list(
    t: &Transaction<'_>,
    request: &DeviceRequest,
    row: &Entry<'_>,
    message: Option<Id>,
    height: Option<u64>,
    at_ms: u64,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO requests
        (request, way, sender, target, number, value, slot, fingerprint, state, reason, message, height, at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let (sender, target, number) = (request.from.to_string(), request.to.to_string(), request.number.to_string());
    let (value, slot) = (request.value.to_string(), request.slot().0);
    let (message, height) = (message.map(|m| m.0), height.map(signed));
    t.prepare_cached(sql)?
        .execute(params![
            request.id().0,
            row.way,
            sender,
            target,
            number,
            value,
            slot,
            row.fingerprint.0,
            row.state,
            row.reason,
            message,
            height,
            signed(at_ms)
        ])
        .map(drop)
}

/// Notes a request that was issued here.
pub(super) fn issued(t: &Transaction<'_>, issued: &Issued) -> rusqlite::Result<()> {
    let row = Entry { way: "out", fingerprint: issued.fingerprint, state: "accepted", reason: "" };
    list(t, &issued.request, &row, Some(issued.message), None, issued.at_ms)
}

/// Drops the oldest rows of those that are listed.
pub(super) fn trim(t: &Transaction<'_>) -> rusqlite::Result<()> {
    let sql = "DELETE FROM requests WHERE way = ?1
        AND at_ms < (SELECT at_ms FROM requests WHERE way = ?1 ORDER BY at_ms DESC LIMIT 1 OFFSET ?2)";
    let mut delete = t.prepare_cached(sql)?;
    for way in ["in", "out"] {
        delete.execute(params![way, LISTED_MAX])?;
    }
    Ok(())
}

/// A request that was made here is confirmed. Gives whether that is news.
pub(super) fn confirmed(t: &Transaction<'_>, request: &DeviceRequest, message: Id, height: u64, at_ms: u64) -> rusqlite::Result<bool> {
    let mut find = t.prepare_cached("SELECT state FROM requests WHERE request = ?1 AND way = 'out'")?;
    let state: Option<String> = find.query_row(params![request.id().0], |r| r.get(0)).optional()?;
    match state.as_deref() {
        Some("accepted") => {
            let sql = "UPDATE requests SET state = 'confirmed', message = ?2, height = ?3, at_ms = ?4 WHERE request = ?1 AND way = 'out'";
            t.prepare_cached(sql)?.execute(params![request.id().0, message.0, signed(height), signed(at_ms)])?;
            Ok(true)
        }
        Some(_) => Ok(false),
        // it was issued, and the process killed before that was noted
        None => {
            let row = Entry { way: "out", fingerprint: Id([0; 32]), state: "confirmed", reason: "" };
            list(t, request, &row, Some(message), Some(height), at_ms)?;
            Ok(true)
        }
    }
}

/// The site of the target has answered. Gives who asked, for what, under which number; `None` if it is no request of ours, or
/// was answered before.
pub(super) fn answered(
    t: &Transaction<'_>,
    request: Id,
    (state, reason): (&str, &str),
    at_ms: u64,
) -> rusqlite::Result<Option<(String, String, String)>> {
    let sql = "UPDATE requests SET state = ?2, reason = ?3, at_ms = ?4
        WHERE request = ?1 AND way = 'out' AND state IN ('accepted', 'confirmed') RETURNING sender, target, number";
    let mut statement = t.prepare_cached(sql)?;
    statement.query_row(params![request.0, state, reason, signed(at_ms)], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).optional()
}

/// For whom a request was, as it was made here.
pub(super) fn target(t: &Transaction<'_>, request: Id) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT target FROM requests WHERE request = ?1 AND way = 'out'";
    t.prepare_cached(sql)?.query_row(params![request.0], |r| r.get(0)).optional()
}

/// The commands that wait, in the order in which they were confirmed.
pub(super) fn held(t: &Transaction<'_>) -> rusqlite::Result<Vec<Held>> {
    let mut statement = t.prepare_cached("SELECT body, message, height, until_ms FROM held ORDER BY number")?;
    let rows = statement.query_map([], |r| Ok((r.get::<_, Vec<u8>>(0)?, Id(r.get(1)?), r.get(2)?, r.get(3)?)))?;
    let mut all = Vec::new();
    for row in rows {
        let (body, message, height, until_ms) = row?;
        match DeviceRequest::decode(&body) {
            Ok(request) => all.push(Held { request, message, height, until_ms }),
            // it was written by us, from what was decoded
            Err(why) => tracing::warn!(%message, "a command that waits cannot be read: {why}"),
        }
    }
    Ok(all)
}

/// A command waits no more.
pub(super) fn settle(t: &Transaction<'_>, request: Id, state: &str, at_ms: u64) -> rusqlite::Result<()> {
    t.prepare_cached("DELETE FROM held WHERE request = ?1")?.execute(params![request.0])?;
    let sql = "UPDATE requests SET state = ?2, at_ms = ?3 WHERE request = ?1 AND way = 'in'";
    t.prepare_cached(sql)?.execute(params![request.0, state, signed(at_ms)]).map(drop)
}

/// Slots and fingerprints of what was issued here since `since_ms`.
pub(super) fn recent(t: &Transaction<'_>, since_ms: u64) -> rusqlite::Result<Vec<(Id, Id, u64)>> {
    let sql = "SELECT slot, fingerprint, at_ms FROM requests WHERE way = 'out' AND at_ms >= ?1";
    let mut statement = t.prepare_cached(sql)?;
    let rows = statement.query_map(params![signed(since_ms)], |r| Ok((Id(r.get(0)?), Id(r.get(1)?), r.get(2)?)))?;
    rows.collect()
}

/// The newest requests, or those before a place: a time, a request, and its way.
pub(super) fn newest(t: &Transaction<'_>, before: Option<&(u64, Id, String)>, limit: u32) -> rusqlite::Result<Vec<Listed>> {
    let sql = "SELECT request, way, sender, target, number, value, state, reason, message, height, at_ms
        FROM requests WHERE at_ms <= ?2 AND (?3 IS NULL OR (at_ms, request, way) < (?2, ?3, ?4))
        ORDER BY at_ms DESC, request DESC, way DESC LIMIT ?1";
    let (at_ms, request, way) = match before {
        Some((at_ms, request, way)) => (signed(*at_ms), Some(request.0), way.as_str()),
        None => (i64::MAX, None, ""),
    };
    let mut statement = t.prepare_cached(sql)?;
    let rows = statement.query_map(params![limit.min(LIST_MAX), at_ms, request, way], |r| {
        Ok(Listed {
            request: Id(r.get(0)?),
            way: r.get(1)?,
            sender: r.get(2)?,
            target: r.get(3)?,
            number: r.get(4)?,
            value: r.get(5)?,
            state: r.get(6)?,
            reason: r.get(7)?,
            message: r.get::<_, Option<[u8; 32]>>(8)?.map(Id),
            height: r.get(9)?,
            at_ms: r.get(10)?,
        })
    })?;
    rows.collect()
}

#[cfg(test)]
mod tests;
