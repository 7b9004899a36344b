//! Lists of readings, page by page: of all in the order of their arrival, of some topics in the order of their time. A page
//! begins below the last reading of the page before, so what arrives meanwhile neither repeats nor hides anything.

use super::{Found, Index, IndexError, Lookup, LookupError, Payloads, found};
use protocol::{DeviceName, DeviceTopic};
use rusqlite::{OptionalExtension as _, params};
use std::cmp::Reverse;

/// Readings that one page looks at; one with fewer that fit says where to go on.
const LOOKED_AT_MAX: usize = 20_000;
/// Topics of one device.
const TOPICS_MAX: u32 = 64;

/// A span of time, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first moment.
    pub(crate) from_us: u64,
    /// The first moment behind it.
    pub(crate) to_us: u64,
}

impl Span {
    /// All times.
    #[cfg(test)]
    pub(crate) const ALL: Self = Self { from_us: 0, to_us: u64::MAX };

    /// Whether it holds a time.
    #[must_use]
    pub(crate) const fn holds(&self, time_us: u64) -> bool {
        self.from_us <= time_us && time_us < self.to_us
    }
}

/// A page of readings, the newest first.
#[derive(Debug)]
pub(crate) struct ReadingsPage<C> {
    /// The readings.
    pub(crate) readings: Vec<Found>,
    /// Where the next page begins; none if there is none.
    pub(crate) next: Option<C>,
    /// Why there are no more of them, if that is not because there are none.
    pub(crate) cut_short: Option<LookupError>,
}

impl<P: Payloads> Lookup<P> {
    /// Readings in the order of their arrival: those below an offset of the log.
    ///
    /// # Errors
    /// [`LookupError`], but for what is dropped: that cuts the list short.
    pub(crate) async fn arrived(&self, before: Option<u64>, span: Span, limit: usize) -> Result<ReadingsPage<u64>, LookupError> {
        let (mut readings, mut looked_at, mut below) = (Vec::new(), 0_usize, before);
        loop {
            let batches = self.index.newest(below).await?;
            if batches.is_empty() {
                return Ok(ReadingsPage { readings, next: None, cut_short: None });
            }
            for batch in batches {
                let opened = match self.open(batch).await {
                    Ok(opened) => opened,
                    Err(why @ LookupError::Dropped(_)) => return Ok(ReadingsPage { readings, next: None, cut_short: Some(why) }),
                    Err(why) => return Err(why),
                };
                below = Some(batch.first);
                let count = u32::try_from(opened.batch.readings.len()).unwrap_or(u32::MAX);
                for found in (0..count).rev().filter_map(|leaf| found(&opened, leaf)) {
                    let offset = found.offset();
                    if before.is_some_and(|before| offset >= before) {
                        continue;
                    }
                    looked_at = looked_at.saturating_add(1);
                    if span.holds(found.reading.time_us) {
                        readings.push(found);
                    }
                    if readings.len() >= limit || looked_at >= LOOKED_AT_MAX {
                        return Ok(ReadingsPage { readings, next: Some(offset).filter(|offset| *offset > 0), cut_short: None });
                    }
                }
            }
        }
    }

    /// Readings of topics in the order of their time: those below a time and offset.
    ///
    /// # Errors
    /// [`LookupError`], but for what is dropped: that cuts the list short.
    pub(crate) async fn timed(
        &self,
        topics: &[DeviceTopic],
        before: Option<(u64, u64)>,
        span: Span,
        limit: usize,
    ) -> Result<ReadingsPage<(u64, u64)>, LookupError> {
        let (mut readings, mut cut_short) = (Vec::new(), None);
        for topic in topics {
            match self.of_topic(topic, before, span, limit, &mut readings).await {
                Ok(()) => {}
                Err(why @ LookupError::Dropped(_)) => cut_short = Some(why),
                Err(why) => return Err(why),
            }
        }
        let full = readings.len() >= limit;
        let next = readings.last().filter(|_| full).map(place);
        Ok(ReadingsPage { readings, next, cut_short })
    }

    /// Puts the newest readings of a topic among those of others; of all of them `limit` stay.
    async fn of_topic(
        &self,
        topic: &DeviceTopic,
        before: Option<(u64, u64)>,
        span: Span,
        limit: usize,
        readings: &mut Vec<Found>,
    ) -> Result<(), LookupError> {
        let Some(widest_us) = self.index.widest(topic).await? else { return Ok(()) };
        let wanted =
            |f: &Found| f.reading.topic == *topic && span.holds(f.reading.time_us) && before.is_none_or(|before| place(f) < before);
        // a batch with a reading below this time ends less than the widest span behind it
        let top_us = before.map_or(u64::MAX, |(time_us, _)| time_us.saturating_add(1)).min(span.to_us);
        let mut below = Some((top_us.saturating_add(widest_us), u64::MAX));
        loop {
            let batches = self.index.newest_of(topic, below).await?;
            let Some((last, time_us)) = batches.last() else { return Ok(()) };
            below = Some((*time_us, last.first));
            for (batch, newest_us) in batches {
                let full = readings.len() >= limit && readings.last().is_none_or(|oldest| oldest.reading.time_us > newest_us);
                if full || newest_us < span.from_us {
                    return Ok(());
                }
                let opened = self.open(batch).await?;
                let count = u32::try_from(opened.batch.readings.len()).unwrap_or(u32::MAX);
                readings.extend((0..count).filter_map(|leaf| found(&opened, leaf)).filter(wanted));
                readings.sort_by_key(|found| Reverse(place(found)));
                readings.truncate(limit);
            }
        }
    }

    /// The topics of a device of which readings were anchored.
    ///
    /// # Errors
    /// [`IndexError`] if the index cannot be read.
    pub(crate) async fn topics_of(&self, device: &DeviceName) -> Result<Vec<DeviceTopic>, IndexError> {
        self.index.topics_of(device).await
    }
}

/// A reading's time, and its place in the log.
fn place(found: &Found) -> (u64, u64) {
    (found.reading.time_us, found.offset())
}

impl Index {
    /// The widest span that readings of a topic have in one batch; none if there are no such readings.
    async fn widest(&self, topic: &DeviceTopic) -> Result<Option<u64>, IndexError> {
        let topic = topic.to_string();
        self.ask(move |c| {
            c.prepare_cached("SELECT widest_us FROM topics WHERE name = ?1")?.query_row(params![topic], |r| r.get(0)).optional()
        })
        .await
    }

    async fn topics_of(&self, device: &DeviceName) -> Result<Vec<DeviceTopic>, IndexError> {
        // the character behind the slash ends the names that begin with it
        let (from, to) = (format!("{device}/"), format!("{device}0"));
        let sql = "SELECT name FROM topics WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3";
        let names = self.ask(move |c| {
            let mut statement = c.prepare_cached(sql)?;
            let rows = statement.query_map(params![from, to, TOPICS_MAX], |r| r.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let names = names.await?;
        // a site of several levels may begin with the name of a device
        let of_device = |topic: &DeviceTopic| DeviceName::of(topic) == *device;
        Ok(names.iter().filter_map(|name| name.parse().ok()).filter(of_device).collect())
    }
}
