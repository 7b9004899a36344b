//! A device that speaks MQTT 3.1.1 on a socket, and no more of it than `wattle bench connections` needs.
//!
//! Why not `mqtt::client`: a connection of that library has a table for thousands of publishes in flight, which is some hundred
//! kilobytes, and two queues. That is right for a few connections, and gigabytes for ten thousand in one process.
//!
//! ```text
//! connect ─CONNECT─▶ CONNACK      publish ─PUBLISH n─▶      answered ◀─PUBACK n─
//! ```

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence after which the broker may close; a device speaks more often.
const KEEP_ALIVE_S: u16 = 3_600;
/// Bytes of answers that are read at once: a PUBACK has four.
const INBOUND_BYTES: usize = 256;
/// Bytes of a packet's type and length at most.
const FIXED_HEADER_BYTES_MAX: usize = 5;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;

/// A connected device.
pub(super) struct Device {
    stream: TcpStream,
    inbound: [u8; INBOUND_BYTES],
    filled: usize,
    outbound: Vec<u8>,
}

impl Device {
    /// Connects from the address `source` to the broker at `address`, as `client_id` with a clean session.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) async fn connect(address: SocketAddr, source: IpAddr, client_id: &str) -> Result<Self, String> {
        let connecting = async {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.bind(SocketAddr::new(source, 0))?;
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            std::io::Result::Ok(stream)
        };
        let admitted = async {
            let stream = connecting.await.map_err(|e| e.to_string())?;
            let mut device = Self { stream, inbound: [0; INBOUND_BYTES], filled: 0, outbound: Vec::new() };
            let mut body = b"\x00\x04MQTT\x04\x02".to_vec();
            body.extend(KEEP_ALIVE_S.to_be_bytes());
            push_text(&mut body, client_id)?;
            device.send(CONNECT, &[body.as_slice()]).await?;
            match device.packet().await? {
                (CONNACK, 0) => Ok(device),
                (CONNACK, code) => Err(format!("the broker refuses it with return code {}", code & 0xFF)),
                (other, _) => Err(format!("the broker answers CONNECT with a packet of type {other:#04x}")),
            }
        };
        match timeout(CONNECT_TIMEOUT, admitted).await {
            Ok(result) => result,
            Err(_) => Err(format!("it was not let in within {} s", CONNECT_TIMEOUT.as_secs())),
        }
    }

    /// Sends a publish: at QoS 1 with `packet_id`, without one at QoS 0.
    ///
    /// # Errors
    /// The connection is lost; why, in words.
    pub(super) async fn publish(&mut self, topic: &str, payload: &[u8], packet_id: Option<u16>) -> Result<(), String> {
        let mut head = Vec::with_capacity(topic.len() + 4);
        push_text(&mut head, topic)?;
        head.extend(packet_id.into_iter().flat_map(u16::to_be_bytes));
        let qos = u8::from(packet_id.is_some());
        self.send(PUBLISH | (qos << 1), &[head.as_slice(), payload]).await
    }

    /// The packet id of the next acknowledgement. Nothing is lost if this is dropped before it comes.
    ///
    /// # Errors
    /// The connection is lost; why, in words.
    pub(super) async fn answered(&mut self) -> Result<u16, String> {
        match self.packet().await? {
            (PUBACK, packet_id) => Ok(packet_id),
            (other, _) => Err(format!("the broker sends a packet of type {other:#04x}")),
        }
    }

    /// Whether the connection still stands.
    pub(super) fn is_connected(&self) -> bool {
        let mut byte = [0];
        match self.stream.try_read(&mut byte) {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Writes a packet in one piece.
    async fn send(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), String> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        self.outbound.clear();
        self.outbound.reserve(FIXED_HEADER_BYTES_MAX + length);
        self.outbound.push(kind);
        push_length(&mut self.outbound, length)?;
        parts.iter().for_each(|part| self.outbound.extend_from_slice(part));
        self.stream.write_all(&self.outbound).await.map_err(|e| e.to_string())
    }

    /// The next packet: its type, and the two bytes that CONNACK and PUBACK have.
    async fn packet(&mut self) -> Result<(u8, u16), String> {
        loop {
            if let Some([kind, length, high, low, ..]) = self.inbound.get(..self.filled) {
                if *length != 2 {
                    return Err(format!("the broker sends a packet of type {kind:#04x} and length {length}"));
                }
                let packet = (*kind, u16::from_be_bytes([*high, *low]));
                self.inbound.copy_within(4..self.filled, 0);
                self.filled -= 4;
                return Ok(packet);
            }
            let room = self.inbound.get_mut(self.filled..).unwrap_or_default();
            match self.stream.read(room).await {
                Ok(0) => return Err("the broker closed the connection".to_owned()),
                Ok(bytes) => self.filled += bytes,
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

fn push_text(packet: &mut Vec<u8>, text: &str) -> Result<(), String> {
    let length = u16::try_from(text.len()).map_err(|_| format!("a text of {} bytes does not fit a packet", text.len()))?;
    packet.extend(length.to_be_bytes());
    packet.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The remaining length: seven bits a byte, the lowest first.
fn push_length(packet: &mut Vec<u8>, length: usize) -> Result<(), String> {
    let mut rest = length;
    for _ in 1..FIXED_HEADER_BYTES_MAX {
        let seven = u8::try_from(rest & 0x7F).unwrap_or_default();
        rest >>= 7;
        packet.push(if rest > 0 { seven | 0x80 } else { seven });
        if rest == 0 {
            return Ok(());
        }
    }
    Err(format!("{length} bytes do not fit a packet"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    #[test]
    fn lengths_are_written_as_the_protocol_wants() {
        for (length, bytes) in
            [(0, vec![0]), (127, vec![0x7F]), (128, vec![0x80, 1]), (16_383, vec![0xFF, 0x7F]), (16_384, vec![0x80, 0x80, 1])]
        {
            let mut packet = Vec::new();
            push_length(&mut packet, length).unwrap();
            assert_eq!(packet, bytes, "{length}");
        }
        assert!(push_length(&mut Vec::new(), 1 << 28).is_err());
    }

    /// A broker that reads exactly these packets, each followed by its answer.
    async fn broker(script: Vec<(Vec<u8>, Vec<u8>)>) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            for (expected, answer) in script {
                let mut bytes = vec![0; expected.len()];
                socket.read_exact(&mut bytes).await.unwrap();
                assert_eq!(bytes, expected);
                socket.write_all(&answer).await.unwrap();
            }
        });
        (address, serving)
    }

    const CONNECT_D: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x0e\x10\x00\x01d";

    #[tokio::test]
    async fn a_device_says_and_hears_what_it_should() {
        let script = vec![
            (CONNECT_D.to_vec(), vec![0x20, 2, 0, 0]),
            (b"\x32\x06\x00\x01t\x00\x07x".to_vec(), vec![]),
            (b"\x32\x06\x00\x01t\x00\x08y".to_vec(), vec![0x40, 2, 0, 7, 0x40, 2, 0, 8]),
            (b"\x30\x04\x00\x01tz".to_vec(), vec![]),
        ];
        let (address, serving) = broker(script).await;
        let mut device = Device::connect(address, Ipv4Addr::LOCALHOST.into(), "d").await.unwrap();
        device.publish("t", b"x", Some(7)).await.unwrap();
        device.publish("t", b"y", Some(8)).await.unwrap();
        assert_eq!((device.answered().await, device.answered().await), (Ok(7), Ok(8)));
        assert!(device.is_connected());
        device.publish("t", b"z", None).await.unwrap();
        serving.await.unwrap();
        assert!(device.answered().await.unwrap_err().contains("closed"));
        assert!(!device.is_connected());
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let (address, _serving) = broker(vec![(CONNECT_D.to_vec(), vec![0x20, 2, 0, 5])]).await;
        let refused = Device::connect(address, Ipv4Addr::LOCALHOST.into(), "d").await.err().unwrap();
        assert!(refused.contains("return code 5"), "{refused}");
    }
}
