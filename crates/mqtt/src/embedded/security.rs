//! How the embedded broker is secured: its listeners, its files, who may connect.

use super::tls::{Tls, TlsFiles};
use crate::access::{AccessConfig, AccessError, Anonymous, Authority, Limits};
use protocol::Name;
use std::net::SocketAddr;
use std::sync::Arc;

/// Listeners beside the plain one of [`EmbeddedConfig::bind`](super::EmbeddedConfig::bind); port 0 takes a free one, see
/// [`Broker::addresses`](crate::Broker::addresses).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners {
    /// MQTT over TLS.
    pub tls: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
    /// MQTT over WebSocket over TLS.
    pub websocket_tls: Option<SocketAddr>,
}

/// How the embedded broker is secured. By default: not, and therefore for this machine only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Listeners beside the plain one.
    pub listeners: Listeners,
    /// The files of TLS; needed by listeners with TLS.
    pub tls: Option<TlsFiles>,
    /// Where identities come from.
    pub access: AccessConfig,
    /// What clients may ask for.
    pub limits: Limits,
}

impl Security {
    /// Whether it can be, with a plain listener at `bind`.
    ///
    /// # Errors
    /// [`AccessError::Setting`] says what does not fit and what to do.
    pub fn check(&self, bind: SocketAddr) -> Result<(), AccessError> {
        let Listeners { tls, websocket, websocket_tls } = self.listeners;
        if (tls.is_some() || websocket_tls.is_some()) && self.tls.is_none() {
            return Err(AccessError::Setting("a listener with TLS needs a certificate and its key".into()));
        }
        // a client that must show a certificate is not anonymous
        let anonymous_tls = !self.tls.as_ref().is_some_and(|files| files.require_client_certificate);
        let open = [Some(bind), websocket].into_iter().chain([tls, websocket_tls].map(|a| a.filter(|_| anonymous_tls)));
        let anonymous = self.access.anonymous == Anonymous::Device && !self.access.allow_anonymous_beyond_loopback;
        match open.flatten().find(|address| !address.ip().is_loopback()) {
            Some(address) if anonymous => Err(AccessError::Setting(format!(
                "the listener {address} is reached from outside this machine, and clients without credentials may publish: set \
                 anonymous = \"refuse\", or allow_anonymous_beyond_loopback = true if that is meant"
            ))),
            _ => Ok(()),
        }
    }

    /// Reads the files once, for the broker of `site`: what is wrong with them can be told before anything runs.
    ///
    /// # Errors
    /// [`AccessError`] says which file cannot be used, and why.
    pub fn try_files(&self, site: &Name) -> Result<(), AccessError> {
        Authority::new(site.clone(), self.access.clone(), Arc::default())?;
        self.tls.clone().map(Tls::new).transpose()?;
        Ok(())
    }

    /// The files it names.
    pub(super) fn files(&self) -> Vec<std::path::PathBuf> {
        let tls = self.tls.as_ref().map(TlsFiles::files).unwrap_or_default();
        self.access.files().into_iter().chain(tls).collect()
    }
}
