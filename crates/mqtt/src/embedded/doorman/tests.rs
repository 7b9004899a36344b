//! Which client ids are for whom.
#![allow(clippy::unwrap_used)]

use super::entrance::may_be_called;
use crate::access::Identity;
use protocol::Name;

/// TIER-11
#[test]
fn client_ids_of_links_are_for_links() {
    let link = |site: &str| Identity::Link { name: "up".into(), site: Name::site(site).unwrap() };
    let service = Identity::Service { name: "fog".into() };
    for (who, client_id, local, may) in [
        (link("agg1/loc1"), "wattle-link@agg1/loc1", false, true),
        (link("agg1/loc1"), "wattle-link@agg1/loc1@b", false, true),
        (link("agg1/loc1"), "wattle-link@agg1/loc2", true, false),
        (link("agg1/loc1"), "wattle-link@agg1", true, false),
        (link("agg1"), "wattle-link@agg1/loc1", true, false),
        (link("agg1"), "up", true, false),
        (Identity::Anonymous, "wattle-link@agg1", true, true),
        (Identity::Anonymous, "wattle-link@agg1", false, false),
        (Identity::Anonymous, "meter", false, true),
        (service.clone(), "wattle-link@agg1", true, false),
        (service, "dashboard", false, true),
    ] {
        assert_eq!(may_be_called(client_id, &who, local), may, "{client_id} of {who}, local: {local}");
    }
}
