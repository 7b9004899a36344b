//! An MQTT 3.1.1 client: what `wattle replay`, the demo, the benches and the external broker publish with.
//!
//! Rules:
//! - [`Publisher::publish`] returns when the broker has acknowledged. What was not acknowledged when a connection
//!   broke is sent again on the next one, under its packet id and flagged DUP, so that a site recognises it.
//! - At most [`IN_FLIGHT_MAX`] publishes wait for their acknowledgement; the next caller waits.
//! - A broker that cannot be reached is an error when connecting, and a reason to try again afterwards.
//!
//! A client id must belong to one running client only, and should be new for each run: two clients with one id throw
//! each other out, and a resend is recognised by client id, packet id and bytes.

mod publisher;
mod subscriber;

pub(crate) use publisher::check;
pub use publisher::{Acknowledgement, IN_FLIGHT_MAX, PublishError, Publisher};
pub use subscriber::{Received, Subscriber};

use crate::broker::PACKET_BYTES_MAX;
use crate::credentials::{Credentials, CredentialsError, ServerUrl};
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, EventLoop, MqttOptions, NetworkOptions, QoS};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// The port of MQTT without TLS.
pub const DEFAULT_PORT: u16 = 1883;
/// How long connecting and subscribing may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a client id.
pub const CLIENT_ID_BYTES_MAX: usize = 256;
/// Silence after which the connection is probed.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The pause before the first attempt to reconnect; it doubles up to [`RETRY_PAUSE_MAX`].
pub(crate) const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between attempts to reconnect.
pub(crate) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why a client did not get to its broker.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The URL is not one of a broker.
    #[error("'{url}' is not a broker's URL: {why}; write mqtt://host or mqtt://host:port")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The client id is empty or too long.
    #[error("the MQTT client id has {0} bytes; give it 1 to {CLIENT_ID_BYTES_MAX}")]
    ClientId(usize),
    /// Nobody answers there, or not as a broker does.
    #[error("no MQTT broker answers at {url}: {why}; check the URL and that the broker runs")]
    Unreachable {
        /// The broker's URL.
        url: String,
        /// What happened.
        why: String,
    },
    /// The broker does not let us in.
    #[error("the broker at {url} does not let us in: {why}")]
    Denied {
        /// The broker's URL.
        url: String,
        /// What it says, and what to look at.
        why: &'static str,
    },
    /// The broker does not let us subscribe.
    #[error("the broker at {url} refused the subscription to {filters}; allow it in the broker's access control")]
    Refused {
        /// The broker's URL.
        url: String,
        /// The topic filters, separated by commas.
        filters: String,
    },
    /// What we would log in with cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// Where a broker listens: `mqtt://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    host: String,
    port: u16,
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

impl FromStr for BrokerUrl {
    type Err = ConnectError;
    fn from_str(text: &str) -> Result<Self, ConnectError> {
        Self::with_default_port(text, DEFAULT_PORT)
    }
}

impl BrokerUrl {
    /// Its host; the brackets of an IPv6 address stay.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Reads `mqtt://host[:port]`.
    pub(crate) fn with_default_port(text: &str, default_port: u16) -> Result<Self, ConnectError> {
        let bad = |why| ConnectError::Url { url: text.to_string(), why };
        let rest = text.strip_prefix("mqtt://").ok_or_else(|| bad("it does not start with mqtt://"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(bad("user names and passwords in it are not supported"));
        }
        if rest.contains(['/', '?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(bad("only a host and a port may follow"));
        }
        // The brackets of an IPv6 address stay: that is how the resolver wants it.
        let end = match rest.rfind(']') {
            Some(bracket) if rest.starts_with('[') => bracket + 1,
            Some(_) => return Err(bad("its brackets do not match")),
            None => rest.find(':').unwrap_or(rest.len()),
        };
        let (host, port) = rest.split_at(end);
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(|| bad("its port is not a number from 1 to 65535"))?,
            None if port.is_empty() => default_port,
            None => return Err(bad("only a port may follow the host")),
        };
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        Ok(Self { host: host.to_string(), port })
    }
}

/// How a connection is to behave.
pub(crate) struct Link {
    /// Forget everything of this client id when the connection ends.
    pub(crate) clean_session: bool,
    /// Acknowledge arriving publishes only when told to.
    pub(crate) manual_acks: bool,
    /// Packet ids in use: they are given out in turn from 1 to this.
    pub(crate) packet_ids: u16,
    /// Requests that may wait for the connection.
    pub(crate) requests_max: usize,
}

impl Link {
    /// A client that logs in, by TLS if the URL says so, and its event loop; nothing is sent before the loop is polled.
    pub(crate) fn open_as(
        self,
        url: &ServerUrl,
        client_id: &str,
        credentials: &Credentials,
    ) -> Result<(AsyncClient, EventLoop), ConnectError> {
        let mut options = self.options(url.host(), url.port(), client_id)?;
        credentials.apply(url.tls(), &mut options)?;
        Ok(self.start(options))
    }

    fn options(&self, host: &str, port: u16, client_id: &str) -> Result<MqttOptions, ConnectError> {
        if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX {
            return Err(ConnectError::ClientId(client_id.len()));
        }
        let mut options = MqttOptions::new(client_id, host, port);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_clean_session(self.clean_session);
        options.set_manual_acks(self.manual_acks);
        options.set_inflight(self.packet_ids);
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        Ok(options)
    }

    fn start(&self, options: MqttOptions) -> (AsyncClient, EventLoop) {
        let (client, mut events) = AsyncClient::new(options, self.requests_max);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
        events.set_network_options(network);
        (client, events)
    }
}

/// Why a first connection to `url` failed.
pub(crate) fn not_connected(url: &impl fmt::Display, error: &ConnectionError) -> ConnectError {
    let denied = match error {
        ConnectionError::ConnectionRefused(code) => denial(*code),
        _ => None,
    };
    match denied {
        Some(why) => ConnectError::Denied { url: url.to_string(), why },
        None => ConnectError::Unreachable { url: url.to_string(), why: error.to_string() },
    }
}

/// What a broker means that does not want us, if it is about us.
const fn denial(code: ConnectReturnCode) -> Option<&'static str> {
    match code {
        ConnectReturnCode::BadUserNamePassword => Some("wrong user name or password; check both"),
        ConnectReturnCode::NotAuthorized => Some("not authorised; give a user name and password, or a certificate, that it knows"),
        ConnectReturnCode::BadClientId => Some("it does not take our client id; check what its access control wants"),
        ConnectReturnCode::Success | ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::ServiceUnavailable => None,
    }
}

/// The quality of service a number names; `None` above 2.
pub(crate) fn quality(qos: u8) -> Option<QoS> {
    match qos {
        0 => Some(QoS::AtMostOnce),
        1 => Some(QoS::AtLeastOnce),
        2 => Some(QoS::ExactlyOnce),
        _ => None,
    }
}

/// The number of a quality of service.
pub(crate) fn level(qos: QoS) -> u8 {
    match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    }
}

/// Locks; a thread that panicked with the lock held leaves the value as it was.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_are_fine() {
        for (text, meant) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtt://broker/", "mqtt://broker:1883"),
            ("mqtt://127.0.0.1:2883", "mqtt://127.0.0.1:2883"),
            ("mqtt://[::1]:2883", "mqtt://[::1]:2883"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
        ] {
            assert_eq!(text.parse::<BrokerUrl>().unwrap().to_string(), meant);
        }
    }

    #[test]
    fn urls_that_are_not() {
        for text in [
            "",
            "broker",
            "mqtt://",
            "mqtt://:1883",
            "mqtts://broker",
            "http://broker",
            "mqtt://broker:0",
            "mqtt://broker:65536",
            "mqtt://broker:port",
            "mqtt://user:password@broker",
            "mqtt://broker/topic",
            "mqtt://bro ker",
            "mqtt://::1",
            "mqtt://[::1",
            "mqtt://::1]",
            "mqtt://[::1]1883",
        ] {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(error.to_string().contains("mqtt://host:port"), "{text}: {error} does not say what to write");
        }
    }

    #[test]
    fn a_broker_that_does_not_want_us_is_told_from_one_that_is_not_there() {
        let refused = |code| not_connected(&"mqtt://b", &ConnectionError::ConnectionRefused(code));
        assert!(matches!(refused(ConnectReturnCode::BadUserNamePassword), ConnectError::Denied { .. }));
        assert!(matches!(refused(ConnectReturnCode::NotAuthorized), ConnectError::Denied { .. }));
        assert!(matches!(refused(ConnectReturnCode::ServiceUnavailable), ConnectError::Unreachable { .. }));
        assert!(matches!(not_connected(&"mqtt://b", &ConnectionError::NetworkTimeout), ConnectError::Unreachable { .. }));
    }

    #[test]
    fn client_ids_have_bounds() {
        let url: ServerUrl = "mqtt://broker".parse().unwrap();
        for id in [String::new(), "x".repeat(CLIENT_ID_BYTES_MAX + 1)] {
            let link = Link { clean_session: false, manual_acks: false, packet_ids: 10, requests_max: 10 };
            assert_eq!(link.open_as(&url, &id, &Credentials::default()).err(), Some(ConnectError::ClientId(id.len())));
        }
    }
}
