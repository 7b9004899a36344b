//! MQTT as bytes, right or wrong, and a socket that speaks them.

use super::secured::patiently;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The protocol levels of MQTT 3.1.1 and of MQTT 5.
pub const LEVELS: [u8; 2] = [4, 5];

/// A packet with the remaining length that it should have.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let byte = (left % 128) as u8;
        left /= 128;
        bytes.push(if left > 0 { byte | 128 } else { byte });
        if left == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

/// What stands behind a packet's fixed header.
pub fn body(packet: &[u8]) -> &[u8] {
    let last = packet.iter().skip(1).position(|byte| byte & 128 == 0).expect("a remaining length");
    &packet[last + 2..]
}

/// Bytes with their length before them.
pub fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// What stands between the packet id and the rest: nothing in MQTT 3.1.1, no properties in MQTT 5.
pub fn no_properties(level: u8) -> &'static [u8] {
    if level == 5 { &[0] } else { &[] }
}

/// PUBLISH at QoS 1 under the id 7.
pub fn publish(level: u8, topic: &[u8], payload: &[u8]) -> Vec<u8> {
    packet(0x32, &[&prefixed(topic)[..], &[0, 7], no_properties(level), payload].concat())
}

/// PUBLISH of MQTT 5 at QoS 1 under the id 7 with these properties.
pub fn publish_with(topic: &[u8], properties: &[u8]) -> Vec<u8> {
    packet(0x32, &[&prefixed(topic)[..], &[0, 7, properties.len() as u8], properties, b"1"].concat())
}

/// SUBSCRIBE under the id 8.
pub fn subscribe(level: u8, filter: &[u8], options: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 8][..], no_properties(level), &prefixed(filter), &[options]].concat())
}

/// UNSUBSCRIBE under the id 9.
pub fn unsubscribe(level: u8, filter: &[u8]) -> Vec<u8> {
    packet(0xA2, &[&[0, 9][..], no_properties(level), &prefixed(filter)].concat())
}

/// A CONNECT to be changed. Without a will; `flags` say what `tail` holds after the client id.
#[derive(Clone)]
pub struct Connect {
    pub first: u8,
    pub name: Vec<u8>,
    pub level: u8,
    pub flags: u8,
    pub properties: Vec<u8>,
    pub client_id: Vec<u8>,
    pub tail: Vec<u8>,
}

impl Connect {
    /// A good one, with a user whose password is its name.
    pub fn good(level: u8, client_id: &str, user: &str) -> Self {
        let user = prefixed(user.as_bytes());
        Self {
            first: 0x10,
            name: b"MQTT".to_vec(),
            level,
            flags: 0b1100_0010,
            properties: vec![],
            client_id: client_id.as_bytes().to_vec(),
            tail: [user.clone(), user].concat(),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = [prefixed(&self.name), vec![self.level, self.flags, 0, 60]].concat();
        if self.level == 5 {
            body.push(self.properties.len() as u8);
            body.extend_from_slice(&self.properties);
        }
        body.extend(prefixed(&self.client_id));
        body.extend_from_slice(&self.tail);
        packet(self.first, &body)
    }
}

/// A connection that says what it is told to.
pub struct Raw<S>(pub S);

impl Raw<TcpStream> {
    pub async fn open(to: SocketAddr) -> Self {
        Self(TcpStream::connect(to).await.unwrap())
    }

    /// Opens and is let in.
    pub async fn admitted(to: SocketAddr, level: u8, client_id: &str, user: &str) -> Self {
        let mut raw = Self::open(to).await;
        raw.send(&Connect::good(level, client_id, user).bytes()).await;
        assert_eq!(raw.answer().await.map(|answer| (answer[0], answer[3])), Some((0x20, 0)), "not let in");
        raw
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// The other side may close while we still send: what it answers is looked at, not this.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
        let _ = self.0.flush().await;
    }

    /// The next packet, all of it; `None` when the other side has closed.
    pub async fn answer(&mut self) -> Option<Vec<u8>> {
        patiently("a packet or the end of the connection", async {
            let mut bytes = vec![self.0.read_u8().await.ok()?];
            let (mut length, mut shift) = (0usize, 0);
            loop {
                let byte = self.0.read_u8().await.ok()?;
                bytes.push(byte);
                length |= usize::from(byte & 127) << shift;
                shift += 7;
                if byte & 128 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.ok()?;
            bytes.extend(body);
            Some(bytes)
        })
        .await
    }

    /// The head of an answer in HTTP. A connection that is reset later would take it along.
    pub async fn head(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.unwrap());
            }
        };
        patiently("the head of an answer", read).await;
        head
    }

    /// Everything up to the end of the connection, which must come.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // a reset is an end as well
        let _ = patiently("the end of the connection", self.0.read_to_end(&mut rest)).await;
        rest
    }
}
