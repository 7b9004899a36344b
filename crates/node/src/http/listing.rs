//! The queries of lists: from where on, how many, between which times, of whom.
//!
//! A list is answered page by page: `{"<name>": […], "next": CURSOR}`. A cursor is text of the list's own; whoever asks gives
//! it back as `cursor` and gets what follows, whatever arrived meanwhile. `next` is null behind the last page.

use super::problem::Problem;
use crate::index::Span;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use protocol::{DeviceName, DeviceTopic, PublicKey};
use serde::Deserialize;
use std::fmt::Display;
use std::str::FromStr;

/// Entries of a list, unless asked otherwise.
pub(super) const LIMIT_DEFAULT: u32 = 100;
/// Entries of a list at most.
pub(super) const LIMIT_MAX: u32 = 1000;
/// Entries that one page looks at, if it is of some of them only.
pub(super) const LOOKED_AT_MAX: usize = 10_000;
/// Words for what a message says,
pub(super) const BODIES: [&str; 7] = ["readings", "data", "orders", "evidence", "requests", "certificates", "end of epoch"];
/// for where it stands,
pub(super) const STANDINGS: [&str; 4] = ["pending", "confirmed", "settled", "void"];
/// and for how far a request of a wallet is.
pub(super) const STATUSES: [&str; 6] = ["pending", "certified", "final", "refused", "locked", "lapsed"];

/// What may stand after the `?`. Unknown names are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listing {
    cursor: Option<String>,
    limit: Option<String>,
    from: Option<String>,
    to: Option<String>,
    topic: Option<String>,
    device: Option<String>,
    wallet: Option<String>,
    provider: Option<String>,
    issuer: Option<String>,
    body: Option<String>,
    standing: Option<String>,
    status: Option<String>,
    format: Option<String>,
    bodies: Option<String>,
}

/// The query as axum hands it over.
pub(super) type ListingQuery = Result<Query<Listing>, QueryRejection>;

impl Listing {
    /// Takes the query apart.
    pub(super) fn of(query: ListingQuery) -> Result<Self, Problem> {
        query.map(|Query(listing)| listing).map_err(|e| Problem::bad_request(format!("the query cannot be read: {e}")))
    }

    /// How many entries.
    pub(super) fn limit(&self) -> Result<u32, Problem> {
        match self.limit.as_deref() {
            None => Ok(LIMIT_DEFAULT),
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (1..=LIMIT_MAX).contains(n))
                .ok_or_else(|| Problem::bad_request(format!("limit={text} is not a number from 1 to {LIMIT_MAX}"))),
        }
    }

    /// Where the page begins; `None` for the first. `N` parts, joined by `-`.
    pub(super) fn cursor<const N: usize>(&self) -> Result<Option<[u64; N]>, Problem> {
        let Some(text) = self.cursor.as_deref() else { return Ok(None) };
        let parts: Option<Vec<u64>> = text.split('-').map(|part| part.parse().ok()).collect();
        let parts = parts.and_then(|parts| <[u64; N]>::try_from(parts).ok());
        parts.map(Some).ok_or_else(|| self.bad_cursor())
    }

    /// The same as text.
    pub(super) fn cursor_text(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The problem that the cursor is none of this list.
    pub(super) fn bad_cursor(&self) -> Problem {
        let text = self.cursor.as_deref().unwrap_or_default();
        Problem::bad_request(format!("cursor={text} is not of this list: give what the page before said as `next`"))
    }

    /// Between which times; each as RFC 3339, or in microseconds since 1970. `to` is the first moment that is not meant.
    pub(super) fn span(&self) -> Result<Span, Problem> {
        let time = |name: &str, text: &Option<String>| text.as_deref().map(|text| time_us(name, text)).transpose();
        let (from_us, to_us) = (time("from", &self.from)?.unwrap_or(0), time("to", &self.to)?.unwrap_or(u64::MAX));
        Ok(Span { from_us, to_us })
    }

    /// Of which device topic; `None` for all.
    pub(super) fn topic(&self) -> Result<Option<DeviceTopic>, Problem> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Problem::bad_request(format!("topic={text} is not of the form site/ID/sense|act/<dataType>")))
        };
        self.topic.as_deref().map(parse).transpose()
    }

    /// Of which device; `None` for all.
    pub(super) fn device(&self) -> Result<Option<DeviceName>, Problem> {
        parsed("device", self.device.as_deref(), "a device: site/ID")
    }

    /// Of which wallet; `None` for all.
    pub(super) fn wallet(&self) -> Result<Option<PublicKey>, Problem> {
        parsed("wallet", self.wallet.as_deref(), A_KEY)
    }

    /// Whether messages are to be counted by what they say.
    pub(super) fn bodies(&self) -> Result<bool, Problem> {
        match self.bodies.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => Err(Problem::bad_request(format!("bodies={text} is neither true nor false"))),
        }
    }

    /// Of which provider; `None` for all.
    pub(super) fn provider(&self) -> Result<Option<PublicKey>, Problem> {
        parsed("provider", self.provider.as_deref(), A_KEY)
    }

    /// Of which issuer; `None` for all.
    pub(super) fn issuer(&self) -> Result<Option<PublicKey>, Problem> {
        parsed("issuer", self.issuer.as_deref(), A_KEY)
    }

    /// With which word for a body; `None` for all.
    pub(super) fn body(&self) -> Result<Option<&str>, Problem> {
        word("body", self.body.as_deref(), &BODIES)
    }

    /// With which standing; `None` for all.
    pub(super) fn standing(&self) -> Result<Option<&str>, Problem> {
        word("standing", self.standing.as_deref(), &STANDINGS)
    }

    /// With which status; `None` for all.
    pub(super) fn status(&self) -> Result<Option<&str>, Problem> {
        word("status", self.status.as_deref(), &STATUSES)
    }

    /// In which format, if that is said.
    pub(super) fn format(&self) -> Option<&str> {
        self.format.as_deref()
    }
}

const A_KEY: &str = "a key: 64 lower-case hexadecimal digits";

fn parsed<T: FromStr>(name: &str, text: Option<&str>, what: &str) -> Result<Option<T>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| Problem::bad_request(format!("{name}={text} is not {what}")));
    text.map(parse).transpose()
}

/// A word that a filter knows. Another one would find nothing, and seem to say that there is nothing.
fn word<'a>(name: &str, text: Option<&'a str>, known: &[&str]) -> Result<Option<&'a str>, Problem> {
    match text {
        Some(text) if !known.contains(&text) => Err(Problem::bad_request(format!("{name}={text} is none of: {}", known.join(", ")))),
        text => Ok(text),
    }
}

/// A time of a query in microseconds since 1970.
pub(super) fn time_us(name: &str, text: &str) -> Result<u64, Problem> {
    if let Ok(us) = text.parse() {
        return Ok(us);
    }
    let time = text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_microsecond()).ok());
    time.ok_or_else(|| Problem::bad_request(format!("{name}={text} is no time: give RFC 3339, or microseconds since 1970")))
}

/// Parts of a cursor as text.
pub(super) fn cursor<T: Display>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn listing(query: &str) -> Listing {
        let uri: axum::http::Uri = format!("http://x/y?{query}").parse().unwrap();
        Listing::of(Query::try_from_uri(&uri)).unwrap()
    }

    #[test]
    fn limits_and_topics() {
        assert_eq!(listing("").limit().unwrap(), 100);
        assert_eq!(listing("limit=1000&other=1").limit().unwrap(), 1000);
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=many", "limit="] {
            assert_eq!(listing(bad).limit().unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(listing("").topic().unwrap(), None);
        assert_eq!(listing("topic=z1%2Fm1%2Fsense%2Fpower").topic().unwrap().unwrap().to_string(), "z1/m1/sense/power");
        assert!(listing("topic=z1").topic().is_err());
        assert_eq!(listing("device=z1/m1").device().unwrap().unwrap().to_string(), "z1/m1");
        let key = "ab".repeat(32);
        assert_eq!(listing(&format!("wallet={key}")).wallet().unwrap(), Some(PublicKey([0xab; 32])));
        assert_eq!(listing(&format!("provider={key}")).provider().unwrap(), Some(PublicKey([0xab; 32])));
        assert_eq!(listing("wallet=AB").wallet().unwrap_err().status(), 400);
        assert_eq!([listing("").bodies().unwrap(), listing("bodies=true").bodies().unwrap()], [false, true]);
        assert_eq!(listing("bodies=1").bodies().unwrap_err().status(), 400);
        assert_eq!((listing("").wallet().unwrap(), listing("").provider().unwrap()), (None, None));
    }

    #[test]
    fn a_filter_knows_its_words() {
        assert_eq!((listing("").body().unwrap(), listing("standing=void").standing().unwrap()), (None, Some("void")));
        assert_eq!(listing("body=end%20of%20epoch").body().unwrap(), Some("end of epoch"));
        assert_eq!(listing("body=order").body().unwrap_err().status(), 400);
        assert_eq!(listing("standing=").standing().unwrap_err().status(), 400);
        assert_eq!(listing("status=Final").status().unwrap_err().status(), 400);
    }

    #[test]
    fn cursors_come_back_as_they_were_given() {
        assert_eq!(listing("").cursor::<1>().unwrap(), None);
        assert_eq!(listing(&format!("cursor={}", cursor([7, 12]))).cursor().unwrap(), Some([7, 12]));
        for bad in ["cursor=", "cursor=1-2", "cursor=x", "cursor=-1", "cursor=99999999999999999999"] {
            assert_eq!(listing(bad).cursor::<1>().unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(listing("").span().unwrap(), Span::ALL);
        let span = listing("from=2016-08-01T00:00:00Z&to=1470009600000001").span().unwrap();
        assert_eq!(span, Span { from_us: 1_470_009_600_000_000, to_us: 1_470_009_600_000_001 });
        assert_eq!(listing("from=2016-08-01T02:00:00%2B02:00").span().unwrap().from_us, 1_470_009_600_000_000);
        for bad in ["from=", "from=yesterday", "to=-5", "to=1950-01-01T00:00:00Z", "from=2016-08-01"] {
            assert_eq!(listing(bad).span().unwrap_err().status(), 400, "{bad}");
        }
    }
}
