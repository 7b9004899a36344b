//! Base64 with the URL-safe alphabet and no padding (RFC 4648 §5), as SenML's data values use it.
//!
//! One text per byte string: a character outside the alphabet, padding, a lone last character or set bits
//! after the last byte are refused.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut block = [0u8; 3];
        block.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        let [a, b, c] = block;
        let bits = (u32::from(a) << 16) | (u32::from(b) << 8) | u32::from(c);
        for place in 0..=chunk.len() {
            let six = (bits >> (18 - 6 * place)) & 0x3f;
            out.extend(ALPHABET.get(six as usize).map(|symbol| char::from(*symbol)));
        }
    }
    out
}

/// The bytes of `text`; `None` if it is not what [`encode`] writes.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0u32, 0u32);
    for symbol in text.bytes() {
        let six = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            let [_, _, _, byte] = (bits >> held).to_be_bytes();
            out.push(byte);
            bits &= (1 << held) - 1;
        }
    }
    (held < 6 && bits == 0).then_some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::{decode, encode};

    /// The vectors of RFC 4648 §10, without padding.
    #[test]
    fn vectors_of_the_rfc() {
        for (plain, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn every_byte_returns() {
        let all: Vec<u8> = (0..=255).collect();
        for length in 0..=all.len() {
            assert_eq!(decode(&encode(&all[..length])).unwrap(), all[..length]);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["Z", "Zg==", "Zh", "Zm9", "Zm9vY", "+_8", "Zm 9v", "Zé"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
