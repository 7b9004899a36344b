//! Where a validator can be reached: `host:port`, as it says itself when it registers.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes};
use crate::limits::ADDRESS_BYTES_MAX;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use thiserror::Error;

/// Why text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Longer than [`ADDRESS_BYTES_MAX`].
    #[error("it has {0} bytes, the limit is {ADDRESS_BYTES_MAX}")]
    TooLong(usize),
    /// No host, or one with characters that hosts do not have.
    #[error("its host is not a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// No port, or not a number from 1 to 65535 in its shortest form.
    #[error("its port is not a number from 1 to 65535: write host:port")]
    Port,
}

/// A validator's address, `host:port`. The host is a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// Checks `text`. Nothing is looked up.
    ///
    /// # Errors
    /// [`AddressError`] if it is too long or not of the form `host:port`.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong(text.len()));
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        let holds = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(inner) => !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.'),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')),
        };
        if !holds {
            return Err(AddressError::Host);
        }
        let shortest = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
        match port.parse::<u16>() {
            Ok(_) if shortest => Ok(Self(text.to_string())),
            _ => Err(AddressError::Port),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for Address {
    type Err = AddressError;
    fn from_str(s: &str) -> Result<Self, AddressError> {
        Self::new(s)
    }
}
impl Encode for Address {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.0.as_bytes());
    }
}
impl Decode for Address {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(reader.text(ADDRESS_BYTES_MAX, "an address")?).map_err(|_| DecodeError::Invalid("an address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for good in ["10.0.0.1:7700", "node-1.example:1", "[::1]:65535", "[2001:db8::7]:7700", "a_b:80"] {
            assert_eq!(Address::new(good).map(|a| a.to_string()), Ok(good.to_string()));
        }
        for bad in ["", "host", "host:", "host:0", "host:07", "host:65536", "host:+1", "host:-1", "host: 1", "host:1 "] {
            assert_eq!(Address::new(bad), Err(AddressError::Port), "{bad:?}");
        }
        for bad in [":1", "a b:1", "::1:7700", "[]:1", "[::1:1", "[host]:1", "hóst:1", "a/b:1", "a@b:1", "[::1]]:1"] {
            assert_eq!(Address::new(bad), Err(AddressError::Host), "{bad:?}");
        }
        let long = alloc::format!("{}:1", "a".repeat(ADDRESS_BYTES_MAX - 2));
        assert!(Address::new(&long).is_ok());
        assert_eq!(Address::new(&alloc::format!("a{long}")), Err(AddressError::TooLong(ADDRESS_BYTES_MAX + 1)));
    }
}
