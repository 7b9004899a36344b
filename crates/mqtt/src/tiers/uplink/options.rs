//! How the link connects.

use super::super::config::{LinkTls, Parent, TierError};
use super::super::hub::Tiers;
use super::super::passport::link_client_id;
use super::{DOWN_WINDOW, UP_WINDOW};
use crate::broker::PACKET_BYTES_MAX;
use crate::client::CONNECT_TIMEOUT;
use rumqttc::v5::MqttOptions;
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Silence after which the connection is probed; a parent that is gone is noticed after two.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a parent of another kind is asked to collect for us while we are away.
const SESSION_EXPIRY_S: u32 = 7 * 86_400;

/// The options of the link; none without a parent.
pub(super) fn options(tiers: &Tiers) -> Result<Option<MqttOptions>, TierError> {
    let config = tiers.config();
    let Some(Parent { url, login, tls }) = &config.parent else { return Ok(None) };
    let member = config.member.as_ref();
    let client_id = link_client_id(&config.scope, member.map(|m| m.name.as_str()));
    let mut options = MqttOptions::new(client_id, url.address.host(), url.address.port());
    options.set_keep_alive(KEEP_ALIVE);
    options.set_manual_acks(true);
    options.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    options.set_session_expiry_interval(Some(SESSION_EXPIRY_S));
    options.set_receive_maximum(Some(DOWN_WINDOW));
    options.set_max_packet_size(u32::try_from(PACKET_BYTES_MAX).ok());
    // twice the window: a packet id comes back late
    options.set_outgoing_inflight_upper_limit(2 * UP_WINDOW);
    options.set_user_properties(vec![
        ("wattle-broker".into(), tiers.id().to_owned()),
        ("wattle-weight".into(), member.map_or(1, |m| m.weight).to_string()),
        ("wattle-shared".into(), u8::from(member.is_some()).to_string()),
    ]);
    if let Some((name, password)) = login {
        options.set_credentials(name.as_str(), password.as_str());
    }
    if url.tls {
        let tls = tls.as_ref().ok_or_else(|| TierError::Place("a link over TLS needs the certificate of an authority (ca)".into()))?;
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(client_config(tls)?))));
    }
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT.as_secs());
    options.set_network_options(network);
    Ok(Some(options))
}

/// What TLS needs: whom we believe, and who we are.
fn client_config(tls: &LinkTls) -> Result<ClientConfig, TierError> {
    let bad = |what: &'static str| move |why: String| TierError::Tls { what, why };
    let certificates = |pem: &[u8], what: &'static str| -> Result<Vec<CertificateDer<'static>>, TierError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|e| bad(what)(e.to_string()))?;
        if found.is_empty() { Err(bad(what)("there is no certificate in it".into())) } else { Ok(found) }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca, "authority (ca)")? {
        roots.add(certificate).map_err(|e| bad("authority (ca)")(e.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|e| bad("TLS version")(e.to_string()))?.with_root_certificates(roots);
    let Some((certificate, key)) = &tls.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| bad("key")(e.to_string()))?;
    builder.with_client_auth_cert(chain, key).map_err(|e| bad("key")(e.to_string()))
}
