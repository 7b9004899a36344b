//! The query of a list: how many, and of what.

use super::problem::Problem;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use protocol::{DeviceTopic, PublicKey};
use serde::Deserialize;

/// Entries of a list, unless asked otherwise.
const LIMIT_DEFAULT: u32 = 20;
/// Entries of a list at most.
pub(super) const LIMIT_MAX: u32 = 1000;

/// What may stand after the `?`. Unknown names are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listing {
    limit: Option<String>,
    topic: Option<String>,
    wallet: Option<String>,
    provider: Option<String>,
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

    /// Of which device topic; `None` for all.
    pub(super) fn topic(&self) -> Result<Option<DeviceTopic>, Problem> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Problem::bad_request(format!("topic={text} is not of the form site/ID/sense|act/<dataType>")))
        };
        self.topic.as_deref().map(parse).transpose()
    }

    /// Of which wallet; `None` for all.
    pub(super) fn wallet(&self) -> Result<Option<PublicKey>, Problem> {
        self.wallet.as_deref().map(|text| key("wallet", text)).transpose()
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
        self.provider.as_deref().map(|text| key("provider", text)).transpose()
    }
}

fn key(name: &str, text: &str) -> Result<PublicKey, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{name}={text} is not a key: 64 lower-case hexadecimal digits")))
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
        assert_eq!(listing("").limit().unwrap(), 20);
        assert_eq!(listing("limit=1000&other=1").limit().unwrap(), 1000);
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=many", "limit="] {
            assert_eq!(listing(bad).limit().unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(listing("").topic().unwrap(), None);
        assert_eq!(listing("topic=z1%2Fm1%2Fsense%2Fpower").topic().unwrap().unwrap().to_string(), "z1/m1/sense/power");
        assert!(listing("topic=z1").topic().is_err());
        let key = "ab".repeat(32);
        assert_eq!(listing(&format!("wallet={key}")).wallet().unwrap(), Some(PublicKey([0xab; 32])));
        assert_eq!(listing(&format!("provider={key}")).provider().unwrap(), Some(PublicKey([0xab; 32])));
        assert_eq!(listing("wallet=AB").wallet().unwrap_err().status(), 400);
        assert_eq!([listing("").bodies().unwrap(), listing("bodies=true").bodies().unwrap()], [false, true]);
        assert_eq!(listing("bodies=1").bodies().unwrap_err().status(), 400);
        assert_eq!((listing("").wallet().unwrap(), listing("").provider().unwrap()), (None, None));
    }
}
