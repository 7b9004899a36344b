//! What a gateway needs to know, and its bounds.

use super::keys::PskKeys;
use super::topics::is_topic;
use crate::client::ConnectError;
use crate::credentials::Credentials;
use protocol::{Name, NameError};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// The port of MQTT-SN over UDP.
pub const DEFAULT_PORT: u16 = 10_000;
/// T_retry: the pause before something that was not answered is sent again.
pub const RETRY: Duration = Duration::from_secs(10);
/// N_retry: how often.
pub const RETRIES: u32 = 5;
/// T_ADV: the pause between two ADVERTISE.
pub const ADVERTISE_EVERY: Duration = Duration::from_secs(900);
/// Clients at a time.
pub const CLIENTS_MAX: usize = 10_000;
/// Messages that may wait for one client.
pub const CLIENT_MESSAGES_MAX: usize = 64;
/// Bytes of messages that may wait, of all clients.
pub const BUFFERED_BYTES_MAX: usize = 64 << 20;
/// Bytes of one message towards a client.
pub const PACKET_BYTES: usize = 8 * 1024;
/// The most that can be asked for: it must fit a datagram, and a record of DTLS.
pub const PACKET_BYTES_LIMIT: usize = 16_000;
/// Clients that may be connecting at a time.
pub const HANDSHAKES_MAX: usize = 1_000;
/// Those of them behind one IP address.
pub const HANDSHAKES_PER_SOURCE_MAX: usize = 256;
/// Connections to the broker that are opened at a time.
pub(super) const DIALS_MAX: usize = 128;
/// Bytes of a client id: two names and a slash.
pub const CLIENT_ID_BYTES_MAX: usize = 2 * protocol::limits::NAME_BYTES_MAX + 1;

const _: () = assert!(HANDSHAKES_PER_SOURCE_MAX <= HANDSHAKES_MAX);
const _: () = assert!(PACKET_BYTES <= PACKET_BYTES_LIMIT);
const _: () = assert!(CLIENT_ID_BYTES_MAX <= crate::client::CLIENT_ID_BYTES_MAX);

/// Why a gateway cannot be started.
#[derive(Debug, Error)]
pub enum SnError {
    /// The address cannot be listened on.
    #[error("cannot listen for MQTT-SN on {address}: {why}; stop the program that holds the port or choose another address")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        why: String,
    },
    /// The broker's URL is not one, or what the gateway logs in with cannot be used.
    #[error(transparent)]
    Broker(#[from] ConnectError),
    /// A setting is outside its limits.
    #[error("{what} is not possible: {why}")]
    Setting {
        /// Which.
        what: &'static str,
        /// What would be right.
        why: String,
    },
    /// The file of pre-shared keys cannot be used.
    #[error("{file}, line {line}: {why}")]
    Keys {
        /// The file.
        file: PathBuf,
        /// Where, counted from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
    /// The DTLS engine does not take its settings.
    #[error("DTLS cannot be set up: {0}")]
    Dtls(String),
}

/// A second listener, for clients with a pre-shared key.
#[derive(Clone, Debug)]
pub struct DtlsConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who may come, with which key.
    pub keys: PskKeys,
}

/// What a gateway needs to know.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where to listen; port 0 takes a free one, see [`super::Gateway::address`].
    pub listen: SocketAddr,
    /// The broker: `mqtt://host[:port]`, or `mqtts://host[:port]` for TLS. It must speak MQTT 5.
    pub broker: String,
    /// How to log in there, for every client and for the gateway itself (SN-10, SN-36).
    pub credentials: Credentials,
    /// What ADVERTISE and GWINFO tell: 1 to 255.
    pub gateway_id: u8,
    /// Where ADVERTISE goes to; nowhere if `None`. A multicast address is also listened on.
    pub advertise: Option<SocketAddr>,
    /// Pause between two ADVERTISE, in whole seconds up to 65535.
    pub advertise_every: Duration,
    /// Topics that clients may name by an id without registering them.
    pub predefined: BTreeMap<u16, String>,
    /// T_retry.
    pub retry: Duration,
    /// N_retry.
    pub retries: u32,
    /// Clients at a time. Beyond, CONNECT is answered with congestion.
    pub clients_max: usize,
    /// Messages that may wait for one client. Beyond, those of QoS 0 are dropped; the broker keeps the others.
    pub client_messages_max: usize,
    /// Bytes of messages that may wait, of all clients.
    pub buffered_bytes_max: usize,
    /// Bytes of one message towards a client; what is larger is dropped.
    pub packet_bytes_max: usize,
    /// The listener for clients with a pre-shared key.
    pub dtls: Option<DtlsConfig>,
}

impl GatewayConfig {
    /// The defaults, listening on `listen` in front of `broker`.
    #[must_use]
    pub fn new(listen: SocketAddr, broker: impl Into<String>) -> Self {
        Self {
            listen,
            broker: broker.into(),
            credentials: Credentials::default(),
            gateway_id: 1,
            advertise: None,
            advertise_every: ADVERTISE_EVERY,
            predefined: BTreeMap::new(),
            retry: RETRY,
            retries: RETRIES,
            clients_max: CLIENTS_MAX,
            client_messages_max: CLIENT_MESSAGES_MAX,
            buffered_bytes_max: BUFFERED_BYTES_MAX,
            packet_bytes_max: PACKET_BYTES,
            dtls: None,
        }
    }

    /// Checks every setting against its limits.
    ///
    /// # Errors
    /// [`SnError::Setting`] that says what would be right.
    pub fn check(&self) -> Result<(), SnError> {
        let wrong = |what, why: &str| Err(SnError::Setting { what, why: why.to_string() });
        if self.gateway_id == 0 {
            return wrong("a gateway id of 0", "choose 1 to 255");
        }
        if self.retry < Duration::from_millis(10) || self.retry > Duration::from_secs(3600) {
            return wrong("this T_retry", "choose 10 ms to 1 h");
        }
        if self.retries > 100 {
            return wrong("this N_retry", "choose 0 to 100");
        }
        if !(1..=u64::from(u16::MAX)).contains(&self.advertise_every.as_secs()) {
            return wrong("this pause between two ADVERTISE", "choose 1 s to 65535 s");
        }
        if self.clients_max == 0 || self.client_messages_max == 0 {
            return wrong("a bound of 0", "choose at least 1");
        }
        if !(64..=PACKET_BYTES_LIMIT).contains(&self.packet_bytes_max) {
            return wrong("this size of a message towards a client", "choose 64 to 16000 bytes");
        }
        if self.buffered_bytes_max < self.packet_bytes_max {
            return wrong("this room for waiting messages", "choose at least the size of one message");
        }
        for (id, topic) in &self.predefined {
            if matches!(*id, 0 | u16::MAX) || !is_topic(topic) {
                let why = "choose ids from 1 to 65534 and topics without wildcards";
                return Err(SnError::Setting { what: "a predefined topic", why: format!("{id} = {topic:?}: {why}") });
            }
        }
        Ok(())
    }
}

/// Whether a client may be called so: `device`, or `site/device`, each a [`Name`], the site by [`Name::site`] (SN-13).
///
/// # Errors
/// [`NameError`] of the part that is none.
pub fn check_client_id(client_id: &str) -> Result<(), NameError> {
    match client_id.rsplit_once('/') {
        Some((site, device)) => {
            Name::site(site)?;
            Name::new(device)?;
        }
        None => {
            Name::new(client_id)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> GatewayConfig {
        GatewayConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), "mqtt://127.0.0.1:1883")
    }

    #[test]
    fn settings_have_limits() {
        assert!(config().check().is_ok());
        let refused = |config: GatewayConfig| config.check().is_err_and(|e| e.to_string().contains("choose"));
        assert!(refused(GatewayConfig { gateway_id: 0, ..config() }));
        assert!(refused(GatewayConfig { retry: Duration::ZERO, ..config() }));
        assert!(refused(GatewayConfig { retries: 101, ..config() }));
        assert!(refused(GatewayConfig { advertise_every: Duration::from_millis(999), ..config() }));
        assert!(refused(GatewayConfig { clients_max: 0, ..config() }));
        assert!(refused(GatewayConfig { packet_bytes_max: PACKET_BYTES_LIMIT + 1, ..config() }));
        assert!(refused(GatewayConfig { buffered_bytes_max: 100, ..config() }));
        for (id, topic) in [(0, "a/b"), (u16::MAX, "a/b"), (1, "a/#"), (1, "")] {
            assert!(refused(GatewayConfig { predefined: [(id, topic.to_string())].into(), ..config() }), "{id} {topic}");
        }
    }

    #[test]
    fn client_ids_name_devices() {
        for id in ["d", "site/d", "agg1/loc1/d", "mqtt-sn-python-7"] {
            assert_eq!(check_client_id(id), Ok(()), "{id}");
        }
        for id in ["", "/d", "s/", "a//c", "a/act/c", "a/b/c/d/e/f", "a+b", "$d", "$mqttsn-1", "s/$d", "a#", "/", "a\0b"] {
            assert!(check_client_id(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials { user: Some("gateway".into()), password: Some("secret".into()), ..Credentials::default() };
        let shown = format!("{:?}", GatewayConfig { credentials, ..config() });
        assert!(shown.contains("gateway") && !shown.contains("secret"), "{shown}");
    }
}
