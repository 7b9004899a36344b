//! Who a connection is.

use protocol::Name;
use std::fmt;
use thiserror::Error;

/// Who a connection is. What it may do follows from this, see [`super::Policy`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Nobody in particular: a client without credentials, where that is allowed.
    Anonymous,
    /// A device.
    Device {
        /// Its site.
        site: Name,
        /// Its ID within the site.
        id: Name,
    },
    /// A part of the system or an application: fog processor, cache, ledger node, dashboard.
    Service {
        /// Its user name.
        name: String,
    },
    /// The uplink of a broker below this one.
    Link {
        /// Its user name.
        name: String,
        /// The scope of the broker below: its site, or the first levels of the sites that it is for.
        site: Name,
    },
    /// A gateway that speaks for devices that cannot speak MQTT themselves.
    Gateway {
        /// Its user name.
        name: String,
        /// The device of the broker's site that this connection speaks for: the one its client id names. None: a
        /// connection of the gateway's own (its client id begins with `$`), which may publish for every device.
        device: Option<Name>,
    },
}

/// Why text names no device of a site.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The device is of another site.
    #[error("it is a device of the site {0}")]
    OtherSite(String),
    /// It is neither `site/device` nor `device`.
    #[error("it is neither site/device nor device")]
    Shape,
}

impl Identity {
    /// The device of `site` that `text` names: `device`, or `site/device`, where the site may have several levels.
    ///
    /// # Errors
    /// [`IdentityError`] if it names none, or one of another site.
    pub fn device(text: &str, site: &Name) -> Result<Self, IdentityError> {
        let (place, id) = text.rsplit_once('/').unwrap_or((site.as_str(), text));
        let id = Name::new(id).map_err(|_| IdentityError::Shape)?;
        let place = Name::site(place).map_err(|_| IdentityError::Shape)?;
        if place != *site {
            return Err(IdentityError::OtherSite(place.to_string()));
        }
        Ok(Self::Device { site: place, id })
    }

    /// The device's ID, if this is one of `site` or speaks for one.
    #[must_use]
    pub fn speaks_for(&self, site: &Name) -> Option<&Name> {
        match self {
            Self::Device { site: place, id } if place == site => Some(id),
            Self::Gateway { device, .. } => device.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Device { site, id } => write!(f, "device {site}/{id}"),
            Self::Service { name } => write!(f, "service {name}"),
            Self::Link { name, site } => write!(f, "link {name} of site {site}"),
            Self::Gateway { name, device: Some(device) } => write!(f, "gateway {name} for {device}"),
            Self::Gateway { name, device: None } => write!(f, "gateway {name}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_with_or_without_its_site() {
        let site = Name::new("z1").unwrap();
        let device = Identity::Device { site: site.clone(), id: Name::new("m1").unwrap() };
        assert_eq!(Identity::device("m1", &site), Ok(device.clone()));
        assert_eq!(Identity::device("z1/m1", &site), Ok(device.clone()));
        assert_eq!(device.to_string(), "device z1/m1");
        assert_eq!(Identity::device("z2/m1", &site), Err(IdentityError::OtherSite("z2".into())));
        assert_eq!(Identity::device("z1/m1/x", &site), Err(IdentityError::OtherSite("z1/m1".into())));
        for text in ["", "/", "z1/", "z1//m1", "z1/act/m1", "z1/+", "#", "$m", "m\n"] {
            assert_eq!(Identity::device(text, &site), Err(IdentityError::Shape), "{text:?}");
        }
        let site = Name::site("agg1/loc1").unwrap();
        let device = Identity::Device { site: site.clone(), id: Name::new("m1").unwrap() };
        assert_eq!((Identity::device("m1", &site), Identity::device("agg1/loc1/m1", &site)), (Ok(device.clone()), Ok(device)));
        assert_eq!(Identity::device("loc1/m1", &site), Err(IdentityError::OtherSite("loc1".into())));
    }
}
