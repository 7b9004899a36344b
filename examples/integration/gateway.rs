//! Mode A: a sensor that signs nothing, through a gateway. Here the gateway speaks MQTT-SN; with plain MQTT it is
//! `mosquitto_pub -t root/device/z1/thermo/sense/temperature -m 21.5`.

use crate::place::{Failed, PATIENCE, Place, now_us};
use protocol::sn::{Connect, PROTOCOL_ID, Packet, Publish, Qos, ReturnCode, TopicRef};
use std::net::UdpSocket;

/// The number that z1.toml gives to `root/device/z1/thermo/sense/temperature`.
const TOPIC: u16 = 1;

/// One datagram out, one in.
fn ask(socket: &UdpSocket, packet: &Packet) -> Result<Packet, Failed> {
    socket.send(&packet.encode()?)?;
    let mut bytes = [0; 512];
    let length = socket.recv(&mut bytes)?;
    Ok(Packet::decode(bytes.get(..length).unwrap_or_default())?)
}

/// Publishes one temperature and waits until the ledger has it.
pub fn run(place: &Place) -> Result<String, Failed> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(&place.sn)?;
    let connect = Connect { will: false, clean_session: true, protocol_id: PROTOCOL_ID, keep_alive_s: 60, client_id: "thermo".into() };
    if ask(&socket, &Packet::Connect(connect))? != Packet::ConnAck(ReturnCode::Accepted) {
        return Err("the gateway does not let the sensor in".into());
    }
    // whole milliseconds: that is what the short object has
    let time_ms = now_us() / 1_000;
    let data = format!("{{\"v\":21.5,\"u\":\"Cel\",\"t\":{time_ms}}}").into_bytes();
    let publish = Publish { dup: false, qos: Qos::AtLeastOnce, retain: false, topic: TopicRef::Predefined(TOPIC), message_id: 7, data };
    match ask(&socket, &Packet::Publish(publish))? {
        Packet::PubAck { code: ReturnCode::Accepted, .. } => {}
        other => return Err(format!("the reading was not taken: {other:?}").into()),
    }
    let reference = format!("z1/thermo/sense/temperature@{}", time_ms.saturating_mul(1_000));
    let (_, verified) = place.receipt(&place.http, &reference)?;
    match verified.reading.signed {
        None => Ok(format!("A: {reference} = {} is on the ledger; the site's node vouches for it", verified.reading.value)),
        Some(_) => Err("nobody should have signed this reading".into()),
    }
}
