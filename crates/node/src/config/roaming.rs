//! `[roaming]`: where the site's devices may go, and whose devices may come.

use super::wrong;
use protocol::Name;
use serde::{Deserialize, Serialize};

/// Sites of one list.
const SITES_MAX: usize = 256;

/// Devices that roam.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RoamingConfig {
    /// The sites to which devices are handed over.
    pub(crate) hosts: Vec<String>,
    /// The sites whose devices are taken here.
    pub(crate) visitors: Vec<String>,
}

impl RoamingConfig {
    pub(super) fn check(&self, own: &str) -> Result<(), (String, String)> {
        for (key, sites) in [("roaming.hosts", &self.hosts), ("roaming.visitors", &self.visitors)] {
            if sites.len() > SITES_MAX {
                return wrong(key, format!("{} sites, the limit is {SITES_MAX}", sites.len()));
            }
            for site in sites {
                if site == own {
                    return wrong(key, format!("{site:?} is this site itself"));
                }
                if let Err(why) = Name::site(site) {
                    return wrong(key, format!("{site:?} cannot be a site: {why}"));
                }
            }
        }
        Ok(())
    }

    /// The sites to which devices are handed over.
    #[must_use]
    pub(crate) fn hosts(&self) -> Vec<Name> {
        self.hosts.iter().filter_map(|site| Name::site(site).ok()).collect()
    }

    /// The sites whose devices are taken here.
    #[must_use]
    pub(crate) fn visitors(&self) -> Vec<Name> {
        self.visitors.iter().filter_map(|site| Name::site(site).ok()).collect()
    }
}
