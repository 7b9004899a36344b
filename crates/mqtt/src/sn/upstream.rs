//! A link: one connection to the broker, in MQTT 5. The only file of the gateway that names `rumqttc`.
//!
//! Why not its client: a link must use the client's message ids as packet ids, so that what the client sends again is
//! recognised end to end; must know which publish an acknowledgement belongs to; and must take little memory, as there
//! are thousands. So only the codec is used. Why MQTT 5: refusals have reasons, a session outlives a link whatever its kind,
//! and Receive Maximum bounds what the broker sends before it is acknowledged.
//!
//! ```text
//! open ─CONNECT─▶ CONNACK ─▶ put … flush ─▶ broker
//!                            hear ◀──────── broker        close: DISCONNECT, with or without the end of the session
//! ```

use super::session::{Arrival, Close, FromBroker, Open, RECEIVE_MAX, ToBroker};
use crate::broker::PACKET_BYTES_MAX;
use crate::client::ConnectError;
use crate::credentials::{Credentials, ServerUrl};
use bytes::{Bytes, BytesMut};
use protocol::sn::{Qos, ReturnCode};
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectProperties, DisconnectReasonCode, Filter, LastWill,
    Login, Packet, PingReq, PubAck, PubAckReason, PubComp, PubRec, PubRecReason, PubRel, Publish, Subscribe, SubscribeReasonCode,
    Unsubscribe,
};
use rumqttc::v5::mqttbytes::{Error as CodecError, QoS};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// How long opening may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a write may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long taking leave may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// What the broker is told as keep-alive.
const KEEP_ALIVE_S: u16 = 120;
/// Silence after which it is probed.
const PING_AFTER: Duration = Duration::from_secs(50);
/// How long the answer may take.
const PONG_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the broker keeps the session of a client that left for good: for a link that breaks.
const SESSION_S: u32 = 120;
/// How long it keeps a persistent session: 7 days.
const DURABLE_SESSION_S: u32 = 7 * 86_400;
/// Bytes that are read at a time.
const READ_BYTES: usize = 512;

/// What a link goes over: TCP, or TLS on it.
trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// Where links go, and as whom.
pub(super) struct Target {
    url: ServerUrl,
    /// User name and password.
    login: Option<(String, String)>,
    /// How TLS is spoken, and with whom.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    /// The broker at `url`, where the gateway logs in with `credentials`.
    pub(super) fn new(url: &str, credentials: &Credentials) -> Result<Self, ConnectError> {
        let url: ServerUrl = url.parse()?;
        credentials.check(&url)?;
        let tls = match url.tls() {
            true => {
                let host = url.host().trim_start_matches('[').trim_end_matches(']').to_owned();
                let no_name = |_| ConnectError::Url { url: url.to_string(), why: "no certificate can be for its host" };
                let name = ServerName::try_from(host).map_err(no_name)?;
                Some((TlsConnector::from(Arc::new(credentials.client_config()?)), name))
            }
            false => None,
        };
        let login = credentials.user.clone().map(|user| (user, credentials.password.clone().unwrap_or_default()));
        Ok(Self { url, login, tls })
    }

    async fn dial(&self) -> std::io::Result<Box<dyn Carrier>> {
        let stream = TcpStream::connect(format!("{}:{}", self.url.host(), self.url.port())).await?;
        stream.set_nodelay(true)?;
        let carrier: Box<dyn Carrier> = match &self.tls {
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
            None => Box::new(stream),
        };
        Ok(carrier)
    }
}

/// Why there is no link.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The broker said no.
    Refused(ReturnCode, String),
    /// It could not be asked.
    Failed(String),
}

/// What a link tells.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something for the session.
    News(FromBroker),
    /// Nothing that matters.
    Nothing,
    /// It is over.
    Gone(String),
}

/// An open link.
pub(super) struct Upstream {
    stream: Box<dyn Carrier>,
    inbound: BytesMut,
    outbound: BytesMut,
    /// When to probe, or when the answer to a probe is too late.
    due: Instant,
    probed: bool,
}

impl Upstream {
    /// Opens a link as `client_id`; whether the broker still had the session.
    pub(super) async fn open(target: &Target, client_id: &str, open: &Open) -> Result<(Self, bool), OpenError> {
        match timeout(OPEN_TIMEOUT, Self::connect(target, client_id, open)).await {
            Ok(result) => result,
            Err(_) => Err(OpenError::Failed(format!("{} did not answer within {} s", target.url, OPEN_TIMEOUT.as_secs()))),
        }
    }

    async fn connect(target: &Target, client_id: &str, open: &Open) -> Result<(Self, bool), OpenError> {
        let failed = |why: std::io::Error| OpenError::Failed(format!("{}: {why}", target.url));
        let stream = target.dial().await.map_err(failed)?;
        let due = Instant::now() + PING_AFTER;
        let mut link = Self { stream, inbound: BytesMut::new(), outbound: BytesMut::new(), due, probed: false };
        let properties = ConnectProperties {
            session_expiry_interval: Some(if open.durable { DURABLE_SESSION_S } else { SESSION_S }),
            receive_maximum: Some(RECEIVE_MAX),
            max_packet_size: u32::try_from(PACKET_BYTES_MAX).ok(),
            ..ConnectProperties::new()
        };
        let connect = Connect {
            keep_alive: KEEP_ALIVE_S,
            client_id: client_id.to_string(),
            clean_start: open.clean_start,
            properties: Some(properties),
        };
        let will = open.will.as_ref().map(|w| LastWill::new(w.topic.clone(), w.message.clone(), qos(w.qos), w.retain, None));
        let login = target.login.as_ref().map(|(user, password)| Login::new(user.as_str(), password.as_str()));
        link.write(&Packet::Connect(connect, will, login)).map_err(OpenError::Failed)?;
        link.flush().await.map_err(OpenError::Failed)?;
        match link.packet().await.map_err(|why| OpenError::Failed(format!("{} does not answer in MQTT 5: {why}", target.url)))? {
            Packet::ConnAck(ConnAck { session_present, code: ConnectReturnCode::Success, .. }) => Ok((link, session_present)),
            Packet::ConnAck(ConnAck { code, .. }) => Err(OpenError::Refused(refused(code), format!("{code:?}"))),
            _ => Err(OpenError::Failed(format!("{} does not answer CONNECT", target.url))),
        }
    }

    /// When [`Upstream::probe`] is due.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Sends PINGREQ, or finds that the last one was not answered.
    pub(super) fn probe(&mut self) -> Result<(), String> {
        if self.probed {
            return Err("it is silent".to_string());
        }
        self.probed = true;
        self.due = Instant::now() + PONG_TIMEOUT;
        self.write(&Packet::PingReq(PingReq))
    }

    /// What the broker says next. May be dropped at any time without losing anything.
    pub(super) async fn hear(&mut self) -> Heard {
        let heard = match self.packet().await {
            Ok(packet) => news(packet),
            Err(why) => return Heard::Gone(why),
        };
        self.probed = false;
        self.due = Instant::now() + PING_AFTER;
        heard
    }

    async fn packet(&mut self) -> Result<Packet, String> {
        loop {
            let limit = u32::try_from(PACKET_BYTES_MAX).ok();
            match Packet::read(&mut self.inbound, limit) {
                Ok(packet) => return Ok(packet),
                Err(CodecError::InsufficientBytes(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
            if self.inbound.is_empty() {
                self.inbound = BytesMut::new(); // an idle link holds no large buffer
            }
            self.inbound.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.inbound).await {
                Ok(0) => return Err("the broker closed the connection".to_string()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn write(&mut self, packet: &Packet) -> Result<(), String> {
        // the codec writes CONNECT at the beginning of a buffer only
        packet.write(&mut self.outbound, None).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Writes a request; [`Upstream::flush`] sends it.
    pub(super) fn put(&mut self, to: ToBroker) -> Result<(), String> {
        let packet = match to {
            ToBroker::Publish { packet_id, topic, payload, qos: level, retain, dup } => Packet::Publish(Publish {
                dup,
                qos: qos(level),
                retain,
                topic: Bytes::from(topic),
                pkid: packet_id,
                payload: Bytes::from(payload),
                properties: None,
            }),
            ToBroker::PubAck(id) => Packet::PubAck(PubAck::new(id, None)),
            ToBroker::PubRec(id) => Packet::PubRec(PubRec::new(id, None)),
            ToBroker::PubRel(id) => Packet::PubRel(PubRel::new(id, None)),
            ToBroker::PubComp(id) => Packet::PubComp(PubComp::new(id, None)),
            ToBroker::Subscribe { packet_id, filter, qos: level } => {
                Packet::Subscribe(Subscribe { pkid: packet_id, ..Subscribe::new(Filter::new(filter, qos(level)), None) })
            }
            ToBroker::Unsubscribe { packet_id, filter } => {
                Packet::Unsubscribe(Unsubscribe { pkid: packet_id, ..Unsubscribe::new(filter, None) })
            }
        };
        self.write(&packet)
    }

    /// Sends what was written.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        if self.outbound.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.outbound);
        let sent = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await // TLS holds back what was not asked for
        };
        match timeout(WRITE_TIMEOUT, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the broker takes nothing for {} s", WRITE_TIMEOUT.as_secs())),
        }
    }

    /// Takes leave.
    pub(super) async fn close(mut self, close: Close) {
        let properties = match close {
            Close::Abort => return,
            Close::Keep => None,
            Close::Forget => Some(DisconnectProperties {
                session_expiry_interval: Some(0),
                reason_string: None,
                user_properties: Vec::new(),
                server_reference: None,
            }),
        };
        let bye = Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection, properties };
        let leave = async {
            if self.write(&Packet::Disconnect(bye)).is_err() || self.flush().await.is_err() || self.stream.shutdown().await.is_err() {
                return;
            }
            // When the broker closes too, it has heard us: the next link of this client cannot overtake the DISCONNECT,
            // which would publish the will.
            self.inbound.clear();
            while matches!(self.stream.read_buf(&mut self.inbound).await, Ok(1..)) {
                self.inbound.clear();
            }
        };
        let _ = timeout(CLOSE_TIMEOUT, leave).await;
    }
}

const fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// What a packet means to a session.
fn news(packet: Packet) -> Heard {
    Heard::News(match packet {
        Packet::Publish(publish) => match String::from_utf8(publish.topic.to_vec()) {
            Ok(topic) => FromBroker::Publish(Arrival {
                topic,
                payload: publish.payload.to_vec(),
                qos: match publish.qos {
                    QoS::AtMostOnce => 0,
                    QoS::AtLeastOnce => 1,
                    QoS::ExactlyOnce => 2,
                },
                retain: publish.retain,
                packet_id: publish.pkid,
            }),
            Err(_) => return Heard::Gone("a topic is not UTF-8".to_string()),
        },
        Packet::PubAck(ack) => FromBroker::PubAck(ack.pkid, answered(ack.reason)),
        Packet::PubRec(ack) => FromBroker::PubRec(ack.pkid, received(ack.reason)),
        Packet::PubRel(release) => FromBroker::PubRel(release.pkid),
        Packet::PubComp(complete) => FromBroker::PubComp(complete.pkid),
        Packet::SubAck(ack) => FromBroker::SubAck(ack.pkid, ack.return_codes.first().map_or(Err(ReturnCode::NotSupported), granted)),
        Packet::UnsubAck(ack) => FromBroker::UnsubAck(ack.pkid),
        Packet::PingResp(_) => return Heard::Nothing,
        Packet::Disconnect(bye) => return Heard::Gone(format!("the broker says {:?}", bye.reason_code)),
        other => return Heard::Gone(format!("the broker says {other:?}")),
    })
}

/// SN-35: what a reason means to a client.
const fn answered(reason: PubAckReason) -> ReturnCode {
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => ReturnCode::Accepted,
        PubAckReason::QuotaExceeded | PubAckReason::PacketIdentifierInUse | PubAckReason::UnspecifiedError => ReturnCode::Congestion,
        PubAckReason::ImplementationSpecificError
        | PubAckReason::NotAuthorized
        | PubAckReason::TopicNameInvalid
        | PubAckReason::PayloadFormatInvalid => ReturnCode::NotSupported,
    }
}

const fn received(reason: PubRecReason) -> ReturnCode {
    match reason {
        PubRecReason::Success | PubRecReason::NoMatchingSubscribers => ReturnCode::Accepted,
        PubRecReason::QuotaExceeded | PubRecReason::PacketIdentifierInUse | PubRecReason::UnspecifiedError => ReturnCode::Congestion,
        PubRecReason::ImplementationSpecificError
        | PubRecReason::NotAuthorized
        | PubRecReason::TopicNameInvalid
        | PubRecReason::PayloadFormatInvalid => ReturnCode::NotSupported,
    }
}

const fn granted(reason: &SubscribeReasonCode) -> Result<Qos, ReturnCode> {
    match reason {
        SubscribeReasonCode::Success(QoS::AtMostOnce) => Ok(Qos::AtMostOnce),
        SubscribeReasonCode::Success(QoS::AtLeastOnce) => Ok(Qos::AtLeastOnce),
        SubscribeReasonCode::Success(QoS::ExactlyOnce) => Ok(Qos::ExactlyOnce),
        SubscribeReasonCode::QuotaExceeded | SubscribeReasonCode::PkidInUse | SubscribeReasonCode::Unspecified => {
            Err(ReturnCode::Congestion)
        }
        _ => Err(ReturnCode::NotSupported),
    }
}

const fn refused(code: ConnectReturnCode) -> ReturnCode {
    match code {
        ConnectReturnCode::ServiceUnavailable
        | ConnectReturnCode::ServerUnavailable
        | ConnectReturnCode::ServerBusy
        | ConnectReturnCode::QuotaExceeded
        | ConnectReturnCode::ConnectionRateExceeded
        | ConnectReturnCode::UseAnotherServer
        | ConnectReturnCode::ServerMoved
        | ConnectReturnCode::UnspecifiedError => ReturnCode::Congestion,
        _ => ReturnCode::NotSupported,
    }
}
