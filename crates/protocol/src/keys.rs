//! Identities: keys, signatures and the ids that hashes give.
//!
//! Signatures are Ed25519 under **ZIP-215** verification: `A` and `R` may be any encodings of curve points,
//! `s` must be below the group order, and the equation is checked with the cofactor. It is the rule of the
//! consensus engine, it lets signatures be verified in batches, and everybody applying it reaches one
//! verdict. What is signed is `varint(len ns) ‖ ns ‖ bytes`, where `ns` names the purpose and the network,
//! so that no signature can be carried to another purpose or network.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use curve25519_dalek::{EdwardsPoint, Scalar, edwards::CompressedEdwardsY};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256, Sha512};

macro_rules! bytes_newtype {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))?;
                f.write_str("…")
            }
        }
        impl FromStr for $name {
            type Err = DecodeError;
            /// Reads lower-case hexadecimal.
            fn from_str(s: &str) -> Result<Self, DecodeError> {
                let (digits, rest) = s.as_bytes().as_chunks::<2>();
                if digits.len() != $len || !rest.is_empty() {
                    return Err(DecodeError::Invalid($what));
                }
                let mut out = [0u8; $len];
                for (byte, [high, low]) in out.iter_mut().zip(digits) {
                    let digit = |c: &u8| match c {
                        b'0'..=b'9' => Ok(c - b'0'),
                        b'a'..=b'f' => Ok(c - b'a' + 10),
                        _ => Err(DecodeError::Invalid($what)),
                    };
                    *byte = digit(high)? << 4 | digit(low)?;
                }
                Ok(Self(out))
            }
        }
        impl Encode for $name {
            fn encode_to(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
        }
        impl Decode for $name {
            fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self(reader.array($what)?))
            }
        }
    };
}

bytes_newtype!(
    /// A SHA-256 hash that names something: a message, a milestone, a reading, a tree's root.
    Id, 32, "an id (64 hexadecimal digits)"
);
bytes_newtype!(
    /// An Ed25519 public key: the identity of an issuer, validator or device.
    PublicKey, 32, "a public key (64 hexadecimal digits)"
);
bytes_newtype!(
    /// An Ed25519 signature, `R ‖ s`.
    Signature, 64, "a signature (128 hexadecimal digits)"
);
bytes_newtype!(
    /// The hash of a network's genesis.
    NetworkId, 32, "a network id (64 hexadecimal digits)"
);

impl Id {
    /// SHA-256 of the parts, one after another.
    #[must_use]
    pub fn hash(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|p| hasher.update(p));
        Self(hasher.finalize().into())
    }
}

/// What is really signed for `message` under `namespace`.
#[must_use]
pub fn signing_bytes(namespace: &[u8], message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(namespace.len() + message.len() + 2);
    put_bytes(&mut out, namespace);
    out.extend_from_slice(message);
    out
}

impl PublicKey {
    /// Whether `signature` is this key's for `message` under `namespace`, by ZIP-215.
    #[must_use]
    pub fn verify(&self, namespace: &[u8], message: &[u8], signature: &Signature) -> bool {
        self.verify_raw(&signing_bytes(namespace, message), signature)
    }

    /// Whether `signature` is this key's for exactly `bytes`, by ZIP-215.
    #[must_use]
    pub fn verify_raw(&self, bytes: &[u8], signature: &Signature) -> bool {
        let Some((r_bytes, s)) = signature.parts() else {
            return false;
        };
        let (Some(a), Some(r)) = (CompressedEdwardsY(self.0).decompress(), CompressedEdwardsY(r_bytes).decompress()) else {
            return false;
        };
        let k = Scalar::from_bytes_mod_order_wide(&self.challenge(&r_bytes, bytes));
        // [8](s·B − k·A − R) = 0
        (EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-a, &s) - r).mul_by_cofactor().is_identity()
    }

    /// `SHA-512(R ‖ A ‖ bytes)`.
    fn challenge(&self, r_bytes: &[u8; 32], bytes: &[u8]) -> [u8; 64] {
        Sha512::new().chain_update(r_bytes).chain_update(self.0).chain_update(bytes).finalize().into()
    }

    /// Whether the key is a point of the curve that is not of small order. A committee or registry admits no
    /// other: a small-order key "signs" everything.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        CompressedEdwardsY(self.0).decompress().is_some_and(|p| !p.is_small_order())
    }
}

impl Signature {
    /// The encoding of `R`, and `s`; `None` if `s` is not below the group order.
    fn parts(&self) -> Option<([u8; 32], Scalar)> {
        let (r, s) = self.0.split_first_chunk::<32>()?;
        let s: [u8; 32] = s.try_into().ok()?;
        Some((*r, Option::<Scalar>::from(Scalar::from_canonical_bytes(s))?))
    }
}

/// Whether every signature is its key's: of each item the key, the namespace, the message and the signature.
///
/// It is one equation for all, `[8](Σ zᵢ·sᵢ·B − Σ zᵢ·kᵢ·Aᵢ − Σ zᵢ·Rᵢ) = 0`, and so says the same as
/// [`PublicKey::verify`] for each, up to a chance of 2⁻¹²⁸: the coefficients `zᵢ` have 128 bits and are drawn by
/// SHA-512 from `seed` and all of the input. The verdict on good signatures does not depend on `seed`; a seed that
/// nobody else knows keeps somebody with much computing power from searching for input that a known seed accepts.
/// Which item is bad it does not say: verify them one by one, or in halves. No items are all good.
#[must_use]
pub fn verify_batch(items: &[(PublicKey, &[u8], &[u8], Signature)], seed: [u8; 32]) -> bool {
    let mut transcript = Sha512::new().chain_update(b"wattle/batch/v1").chain_update(seed);
    let mut terms = Vec::with_capacity(items.len());
    for (key, namespace, message, signature) in items {
        let Some((r_bytes, s)) = signature.parts() else { return false };
        let k = key.challenge(&r_bytes, &signing_bytes(namespace, message));
        // k stands for R, A and the message
        transcript = transcript.chain_update(k).chain_update(s.as_bytes());
        terms.push((key.0, r_bytes, s, Scalar::from_bytes_mod_order_wide(&k)));
    }
    let root: [u8; 64] = transcript.finalize().into();
    let mut scalars = Vec::with_capacity(2 * terms.len() + 1);
    let mut points = Vec::with_capacity(2 * terms.len() + 1);
    let (mut of_base, mut of_keys) = (Scalar::ZERO, BTreeMap::<[u8; 32], Scalar>::new());
    for (index, (key, r_bytes, s, k)) in (0u64..).zip(terms) {
        let hash: [u8; 64] = Sha512::new().chain_update(root).chain_update(index.to_be_bytes()).finalize().into();
        let z = Scalar::from(u128::from_be_bytes(*hash.first_chunk().unwrap_or(&[1; 16])));
        of_base += z * s;
        *of_keys.entry(key).or_insert(Scalar::ZERO) -= z * k;
        scalars.push(-z);
        points.push(CompressedEdwardsY(r_bytes).decompress());
    }
    // many signatures of one key need its point once
    for (key, scalar) in of_keys {
        scalars.push(scalar);
        points.push(CompressedEdwardsY(key).decompress());
    }
    scalars.push(of_base);
    points.push(Some(ED25519_BASEPOINT_POINT));
    EdwardsPoint::optional_multiscalar_mul(scalars, points).is_some_and(|sum| sum.mul_by_cofactor().is_identity())
}

/// An Ed25519 secret key. It is wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of a 32-byte seed, as RFC 8032 derives it.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed.
    #[must_use]
    pub fn to_seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` under `namespace`.
    #[must_use]
    pub fn sign(&self, namespace: &[u8], message: &[u8]) -> Signature {
        Signature(self.0.sign(&signing_bytes(namespace, message)).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({:?})", self.public_key())
    }
}
