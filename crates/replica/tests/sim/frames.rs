//! What nodes say to each other about messages, byte by byte: for those who say it without being a replica.
//!
//! ```text
//! push:     length | count | message…         announcement: count | tip [32]…
//! pull:     request id u64 | 0 request, 1 response, 2 error | …
//! ```

use commonware_codec::{Decode as _, Encode as _, RangeCfg};
use commonware_cryptography::sha256;
use protocol::codec::{Reader, put_varint};
use protocol::{Decode as _, Id, Message};

/// Bytes that a frame of the push channel may have.
const FRAME_BYTES_MAX: usize = 256 * 1024 + 16;
/// Where the engine's resolver says what a frame is, and what it says of a question, of an answer, and of none.
const RESOLVER_TAG: usize = 8;
const RESOLVER_REQUEST: u8 = 0;
const RESOLVER_RESPONSE: u8 = 1;
const RESOLVER_ERROR: u8 = 2;

/// A frame of the push channel around anything.
pub fn raw_push(content: Vec<u8>) -> Vec<u8> {
    content.encode().to_vec()
}

/// A frame of the push channel.
pub fn push(messages: &[Message]) -> Vec<u8> {
    let mut content = Vec::new();
    put_varint(&mut content, messages.len() as u64);
    messages.iter().for_each(|m| content.extend_from_slice(m.bytes()));
    raw_push(content)
}

/// The messages in a frame of the push channel; none if it is no such frame.
pub fn pushed(frame: &[u8]) -> Vec<Message> {
    let Ok(content) = Vec::<u8>::decode_cfg(frame.to_vec(), &(RangeCfg::new(0..=FRAME_BYTES_MAX), ())) else { return Vec::new() };
    let mut reader = Reader::new(&content);
    let count = reader.varint("a frame").unwrap_or(0);
    (0..count).map_while(|_| Message::decode_from(&mut reader).ok()).collect()
}

/// An announcement of tips.
pub fn announcement(tips: &[Id]) -> Vec<u8> {
    let tips: Vec<sha256::Digest> = tips.iter().map(|t| sha256::Digest(t.0)).collect();
    tips.encode().to_vec()
}

/// Whether a frame of a pull channel brings what was asked for.
pub fn is_response(frame: &[u8]) -> bool {
    frame.get(RESOLVER_TAG) == Some(&RESOLVER_RESPONSE)
}

/// What a frame of a pull channel asks for: the request's own id, and the message's. `None` if it asks for nothing.
pub fn asked(frame: &[u8]) -> Option<(&[u8], Id)> {
    let (request, rest) = frame.split_at_checked(RESOLVER_TAG)?;
    let (tag, key) = rest.split_first()?;
    let key: [u8; 32] = key.try_into().ok()?;
    (*tag == RESOLVER_REQUEST).then_some((request, Id(key)))
}

/// The answer to a request: a message alone, or that it is not here.
pub fn answer(request: &[u8], found: Option<&Message>) -> Vec<u8> {
    match found {
        Some(message) => [request, &[RESOLVER_RESPONSE][..], &push(std::slice::from_ref(message))[..]].concat(),
        None => [request, &[RESOLVER_ERROR][..]].concat(),
    }
}
