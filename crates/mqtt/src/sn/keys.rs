//! Pre-shared keys: who may come by DTLS, and with which key (SN-72).

use super::config::{SnError, check_client_id};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Bytes of the shortest key.
const KEY_BYTES_MIN: usize = 16;
/// Bytes of the longest.
const KEY_BYTES_MAX: usize = 64;
/// Keys in a file.
const KEYS_MAX: usize = 1_000_000;

/// Keys by identity. The identity is the client id.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PskKeys(BTreeMap<String, Vec<u8>>);

impl fmt::Debug for PskKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PskKeys").field("identities", &self.0.len()).finish_non_exhaustive()
    }
}

impl PskKeys {
    /// Reads `text`, which is the content of `file`: one `identity:key` a line, the key in hexadecimal; empty lines and
    /// those that begin with `#` are left out.
    ///
    /// # Errors
    /// [`SnError::Keys`] with the line: an identity that is no client id or comes twice, a key that is not hexadecimal or
    /// has not 16 to 64 bytes.
    pub fn parse(text: &str, file: &Path) -> Result<Self, SnError> {
        let mut keys = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: String| SnError::Keys { file: file.to_path_buf(), line: index + 1, why };
            let (identity, key) = line.rsplit_once(':').ok_or_else(|| wrong("write identity:key".into()))?;
            check_client_id(identity).map_err(|why| wrong(format!("the identity is no client id: {why}")))?;
            let key = unhex(key).ok_or_else(|| wrong("the key is not hexadecimal".into()))?;
            if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
                return Err(wrong(format!("the key has {} bytes; give it {KEY_BYTES_MIN} to {KEY_BYTES_MAX}", key.len())));
            }
            if keys.len() >= KEYS_MAX {
                return Err(wrong(format!("there are more than {KEYS_MAX} keys")));
            }
            if keys.insert(identity.to_string(), key).is_some() {
                return Err(wrong(format!("{identity} is there twice")));
            }
        }
        Ok(Self(keys))
    }

    /// Whether `client_id` has a key, so that it may not come without.
    #[must_use]
    pub fn has(&self, client_id: &str) -> bool {
        self.0.contains_key(client_id)
    }

    /// The key of an identity.
    pub(super) fn key(&self, identity: &str) -> Option<&[u8]> {
        self.0.get(identity).map(Vec::as_slice)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().chars().map(|c| c.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys() {
        let file = Path::new("psk");
        let keys = PskKeys::parse("# devices\n\nd1:000102030405060708090a0b0c0d0e0F\n site/d2:ffffffffffffffffffffffffffffffff \n", file);
        let keys = keys.unwrap();
        assert!(keys.has("d1") && keys.has("site/d2") && !keys.has("d3"));
        assert_eq!(keys.key("d1").unwrap().last(), Some(&15));
        assert!(!format!("{keys:?}").contains("15"), "keys are not shown");
        for (text, line, why) in [
            ("d1", 1, "identity:key"),
            ("\nd1:00", 2, "has 1 bytes"),
            ("d1:0001020304050607 8090a0b0c0d0e0f", 1, "hexadecimal"),
            ("d1:000102030405060708090a0b0c0d0e0", 1, "hexadecimal"),
            ("a//c:000102030405060708090a0b0c0d0e0f", 1, "client id"),
            ("d:000102030405060708090a0b0c0d0e0f\nd:000102030405060708090a0b0c0d0e0f", 2, "twice"),
        ] {
            let error = PskKeys::parse(text, file).unwrap_err().to_string();
            assert!(error.contains(&format!("psk, line {line}:")) && error.contains(why), "{text:?}: {error}");
        }
    }
}
