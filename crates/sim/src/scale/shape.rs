//! Who is how many (SC-1, SC-2), and how many devices the busiest of each kind serves.

use super::settings::Settings;

/// A level of brokers above the sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// 2 is the level above the sites' own brokers.
    pub level: u32,
    /// Brokers of it.
    pub brokers: u64,
    /// Devices below the busiest of them.
    pub devices: u64,
    /// Links from the level below, all together.
    pub links: u64,
    /// Devices below the busiest of these links.
    pub link_devices: u64,
}

/// The network that so many devices make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sites.
    pub sites: u64,
    /// Devices of the fullest site.
    pub site_devices: u64,
    /// Subnets.
    pub subnets: u64,
    /// Devices of the fullest subnet.
    pub subnet_devices: u64,
    /// Sites of the fullest subnet.
    pub subnet_sites: u64,
    /// Nodes of the fullest subnet: its sites, and as many more as its committee needs.
    pub nodes: u64,
    /// Brokers above the sites, from below.
    pub tiers: Vec<Tier>,
    /// Committees above the subnets, from below; the last level has one, the root. None if there is one subnet.
    pub parents: Vec<u64>,
    /// Children of the busiest of the first level of parents.
    pub children: u64,
}

impl Shape {
    /// That of settings that were checked.
    pub(super) fn of(settings: &Settings) -> Self {
        let devices = settings.devices;
        let per_site = u64::from(settings.devices_per_site).max(1);
        let per_subnet = per_site * u64::from(settings.sites_per_subnet).max(1);
        let sites = devices.div_ceil(per_site);
        let subnets = devices.div_ceil(per_subnet);
        let subnet_sites = sites.min(settings.sites_per_subnet.into());
        let (parents, children) = parents(subnets, u64::from(settings.subnets_per_parent).max(2));
        Self {
            sites,
            site_devices: devices.min(per_site),
            subnets,
            subnet_devices: devices.min(per_subnet),
            subnet_sites,
            nodes: subnet_sites.max(settings.committee.into()),
            tiers: tiers(settings, sites, per_site),
            parents,
            children,
        }
    }
}

fn tiers(settings: &Settings, sites: u64, per_site: u64) -> Vec<Tier> {
    let fan = u64::from(settings.brokers_below).max(1);
    let (mut below, mut link_devices) = (sites, settings.devices.min(per_site));
    let mut tiers = Vec::new();
    for level in 2..=settings.tiers {
        let central = level == settings.tiers;
        let brokers = if central { 1 } else { below.div_ceil(fan) };
        let devices = if central { settings.devices } else { link_devices.saturating_mul(fan).min(settings.devices) };
        tiers.push(Tier { level, brokers, devices, links: below, link_devices });
        (below, link_devices) = (brokers, devices);
    }
    tiers
}

fn parents(subnets: u64, fan: u64) -> (Vec<u64>, u64) {
    let (mut below, mut levels) = (subnets, Vec::new());
    while below > 1 {
        below = below.div_ceil(fan);
        levels.push(below);
    }
    (levels, if subnets > 1 { subnets.min(fan) } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_fills_up_site_by_site() {
        let settings = Settings {
            devices: 2_500,
            devices_per_site: 100,
            sites_per_subnet: 10,
            brokers_below: 4,
            tiers: 3,
            subnets_per_parent: 2,
            ..Settings::default()
        };
        let shape = Shape::of(&settings);
        assert_eq!((shape.sites, shape.site_devices, shape.subnets, shape.subnet_devices), (25, 100, 3, 1_000));
        assert_eq!((shape.subnet_sites, shape.nodes), (10, 16));
        assert_eq!((shape.parents, shape.children), (vec![2, 1], 2));
        let aggregation = Tier { level: 2, brokers: 7, devices: 400, links: 25, link_devices: 100 };
        let central = Tier { level: 3, brokers: 1, devices: 2_500, links: 7, link_devices: 400 };
        assert_eq!(shape.tiers, vec![aggregation, central]);
        let alone = Shape::of(&Settings { devices: 1, tiers: 1, ..settings });
        assert_eq!((alone.sites, alone.site_devices, alone.parents.len(), alone.tiers.len(), alone.children), (1, 1, 0, 0, 0));
    }
}
