//! A secured site in this process, its authority, and clients of it.

#[allow(unused_imports, reason = "others use the rest")]
pub use crate::waiting::{PATIENCE, patiently, until};
use mqtt::access::{Role, UserEntry, UserFile, hash_password};
use mqtt::{AccessConfig, Anonymous, Broker, EmbeddedConfig, Ingress, Limits, Listeners, LogConfig, Security, SiteLog, TlsFiles, embedded};
use protocol::Name;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The site.
pub const SITE: &str = "s1";

/// Who vouches for certificates.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `name`, valid until the end of the year `until`.
    pub fn certify(&self, name: &str, serial: u64, until: i32) -> Pair {
        self.certify_between(name, serial, 1975, until)
    }

    /// A certificate for `name`, valid from the beginning of the year `from` until the end of the year `until`.
    pub fn certify_between(&self, name: &str, serial: u64, from: i32, until: i32) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_string(), "127.0.0.1".to_string()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(serial.into());
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    /// A list that revokes these serial numbers.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| rcgen::RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: rcgen::date_time_ymd(2024, 1, 2),
            reason_code: None,
            invalidity_date: None,
        };
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 2),
            next_update: rcgen::date_time_ymd(2090, 1, 1),
            crl_number: 1u64.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// Year until which certificates are valid that should be.
pub const LONG: i32 = 2090;

/// A site with an embedded broker and its files.
pub struct Secured {
    pub dir: TempDir,
    pub log: SiteLog,
    pub broker: Arc<dyn Broker>,
}

/// Settings with `anonymous = refuse` and a file of users, which [`Secured::start`] writes if the test did not.
pub fn settings(dir: &TempDir) -> Security {
    let access = AccessConfig { anonymous: Anonymous::Refuse, users: Some(dir.path().join("users.toml")), ..AccessConfig::default() };
    Security { access, limits: Limits::default(), ..Security::default() }
}

/// Adds listeners with TLS, a certificate of `ca`, and clients' certificates of `ca`.
pub fn with_tls(security: &mut Security, dir: &TempDir, ca: &Ca) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let pair = ca.certify("localhost", 1, LONG);
    let file = |name: &str, text: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    security.listeners = Listeners { tls: Some(any), websocket: Some(any), websocket_tls: Some(any) };
    security.tls = Some(TlsFiles {
        certificate: file("broker.pem", &pair.certificate),
        key: file("broker.key", &pair.key),
        client_ca: Some(file("ca.pem", &ca.pem)),
        require_client_certificate: false,
        crl: None,
    });
}

/// A user whose password is its name.
pub fn user(name: &str, role: Role) -> UserEntry {
    let password = Some(hash_password(name.as_bytes()).unwrap());
    UserEntry { name: name.into(), role, password, ..UserEntry::default() }
}

/// Writes the file of users.
pub fn write_users(dir: &TempDir, users: Vec<UserEntry>) {
    UserFile { users, ..UserFile::default() }.save(&dir.path().join("users.toml")).unwrap();
}

impl Secured {
    pub async fn start(dir: TempDir, security: Security) -> Self {
        Self::start_at("127.0.0.1:0", dir, security).await
    }

    pub async fn start_at(bind: &str, dir: TempDir, security: Security) -> Self {
        if !dir.path().join("users.toml").exists() {
            write_users(&dir, vec![]);
        }
        let log_dir = dir.path().join("log");
        std::fs::create_dir_all(&log_dir).unwrap();
        let log = SiteLog::open(&log_dir, LogConfig::default()).unwrap();
        let site = Name::new(SITE).unwrap();
        let ingress = Arc::new(Ingress::new(site.clone(), log.clone()));
        let config = EmbeddedConfig { bind: bind.parse().unwrap(), site, on_active: None };
        let broker = embedded::start(config, security, None, ingress).await.unwrap();
        Self { dir, log, broker }
    }

    /// The address of the listener with this scheme.
    pub fn address(&self, scheme: &str) -> SocketAddr {
        let all = self.broker.addresses();
        let prefix = format!("{scheme}://");
        let url = all.iter().find_map(|url| url.strip_prefix(&prefix)).unwrap_or_else(|| panic!("no {scheme} among {all:?}"));
        url.parse().unwrap()
    }

    /// Options for the plain listener, with a user whose password is its name.
    pub fn plain(&self, client_id: &str, user: Option<&str>) -> MqttOptions {
        let address = self.address("mqtt");
        let mut options = MqttOptions::new(client_id, "127.0.0.1", address.port());
        if let Some(user) = user {
            options.set_credentials(user, user);
        }
        options
    }

    /// Options for the listener with TLS, and with what `trust` and `own` say.
    pub fn tls(&self, client_id: &str, trust: &Ca, own: Option<&Pair>) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", self.address("mqtts").port());
        options.set_transport(Transport::Tls(tls_configuration(trust, own)));
        options
    }

    /// How often something was refused.
    pub fn refused(&self, kind: &str, reason: &str) -> u64 {
        let report = self.broker.access();
        report.refused.iter().find(|(k, r, _)| (*k, *r) == (kind, reason)).expect("no such counter").2
    }
}

pub fn tls_configuration(trust: &Ca, own: Option<&Pair>) -> TlsConfiguration {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trust.pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    TlsConfiguration::Rustls(Arc::new(config))
}

/// A client that is connected. The channel ends when the connection does.
pub struct Client {
    client: AsyncClient,
    arrived: mpsc::UnboundedReceiver<Packet>,
}

/// Connects; gives the client, or why not.
pub async fn connect(options: MqttOptions) -> Result<Client, ConnectionError> {
    let (client, mut events) = AsyncClient::new(options, 100);
    let first = patiently("an answer to CONNECT", async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    });
    first.await?;
    let (packets, arrived) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(packet) = event {
                let _ = packets.send(packet);
            }
        }
    });
    Ok(Client { client, arrived })
}

/// The code that a CONNECT is refused with.
pub async fn refusal(options: MqttOptions) -> ConnectReturnCode {
    match connect(options).await {
        Err(ConnectionError::ConnectionRefused(code)) => code,
        Err(error) => panic!("no CONNACK: {error}"),
        Ok(_) => panic!("let in"),
    }
}

impl Client {
    /// Publishes at QoS 1 and gives the answer.
    pub async fn publish(&mut self, topic: &str) -> PubAckReason {
        self.client.publish(topic, QoS::AtLeastOnce, false, "1").await.unwrap();
        loop {
            let packet = patiently("a PUBACK", self.arrived.recv()).await.expect("the connection was closed");
            if let Packet::PubAck(ack) = packet {
                return ack.reason;
            }
        }
    }

    /// Subscribes at QoS 1 and gives the answer.
    pub async fn subscribe(&mut self, filter: &str) -> SubscribeReasonCode {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        loop {
            let packet = patiently("a SUBACK", self.arrived.recv()).await.expect("the connection was closed");
            if let Packet::SubAck(ack) = packet {
                return ack.return_codes[0];
            }
        }
    }

    /// The next publish that arrives: its topic.
    pub async fn message(&mut self) -> String {
        loop {
            let packet = patiently("a message", self.arrived.recv()).await.expect("the connection was closed");
            if let Packet::Publish(publish) = packet {
                return String::from_utf8(publish.topic.to_vec()).unwrap();
            }
        }
    }

    /// Waits until the broker has closed the connection.
    pub async fn closed(&mut self) {
        patiently("the end of the connection", async { while self.arrived.recv().await.is_some() {} }).await;
    }
}
