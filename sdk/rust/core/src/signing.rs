//! Signatures: HMAC-SHA256 with the full tag, and Ed25519 under one strict rule.
//!
//! RFC 8032 leaves a verifier room, and libraries use it differently: the same signature then holds
//! in one language and fails in another. The rule here leaves none. A signature is refused when its
//! scalar is not reduced (S ≥ L), when the key or R is not encoded canonically (y ≥ p), or when either
//! is a point of small order; what is left is the cofactorless equation, which libsodium checks.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of an HMAC-SHA256 tag.
pub const HMAC_SHA256_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
pub const ED25519_SIGNATURE_BYTES: usize = 64;

/// 2^252 + 27742317777372353535851937790883648493, little-endian.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
/// 2^255 − 19, little-endian.
const FIELD_PRIME: [u8; 32] = encoding(0xed, 0xff, 0x7f);
/// A y of the points of order 8; the other is its negative.
const ORDER_8_Y: [u8; 32] = [
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
    0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
];
const OTHER_ORDER_8_Y: [u8; 32] = [
    0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
    0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
];
/// The y below p of the points of order 1, 2, 4 and 8.
const SMALL_ORDER_Y: [[u8; 32]; 5] =
    [encoding(0, 0, 0), encoding(1, 0, 0), encoding(0xec, 0xff, 0x7f), ORDER_8_Y, OTHER_ORDER_8_Y];

const fn encoding(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Returns the 32-byte HMAC-SHA256 tag of a message (RFC 2104); any secret will do.
#[must_use]
pub fn sign_hmac(secret: &[u8], message: &[u8]) -> [u8; HMAC_SHA256_BYTES] {
    keyed(secret).chain_update(message).finalize().into_bytes().into()
}

/// Returns whether the whole 32-byte tag is the message's, compared in constant time.
#[must_use]
pub fn verify_hmac(secret: &[u8], message: &[u8], tag: &[u8]) -> bool {
    keyed(secret).chain_update(message).verify_slice(tag).is_ok()
}

/// HMAC with its secret taken in.
pub(crate) fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(secret) {
        Ok(keyed) => keyed,
        // HMAC takes a secret of any length (RFC 2104 section 2).
        Err(_) => unreachable!("HMAC refused the length of a secret"),
    }
}

/// Returns the 64-byte Ed25519 signature of a message (RFC 8032 section 5.1.6, no pre-hash).
///
/// A [`Signer`](crate::Signer) keeps what is derived from the seed.
#[must_use]
pub fn sign_ed25519(seed: &[u8; 32], message: &[u8]) -> [u8; ED25519_SIGNATURE_BYTES] {
    use ed25519_dalek::Signer;
    SigningKey::from_bytes(seed).sign(message).to_bytes()
}

/// Returns the 32-byte public key of a 32-byte seed (RFC 8032 section 5.1.5).
#[must_use]
pub fn ed25519_public(seed: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

/// Returns whether a signature holds under the strict rule.
///
/// # Examples
///
/// ```
/// use fractal_lba_core::{ed25519_public, sign_ed25519, verify_ed25519};
///
/// let (seed, message) = ([7; 32], b"a window");
/// let signature = sign_ed25519(&seed, message);
/// assert!(verify_ed25519(&ed25519_public(&seed), message, &signature));
/// assert!(!verify_ed25519(&ed25519_public(&seed), b"another", &signature));
/// ```
#[must_use]
pub fn verify_ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = <&[u8; 32]>::try_from(public).ok().and_then(strict_key);
    key.is_some_and(|key| holds(&key, message, signature))
}

/// Returns the key that 32 bytes name: none where they are not canonical, of small order, or no point.
pub(crate) fn strict_key(public: &[u8; 32]) -> Option<VerifyingKey> {
    is_strict_point(public).then(|| VerifyingKey::from_bytes(public).ok()).flatten()
}

/// Returns whether a signature by a strict key holds.
pub(crate) fn holds(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    strict_parts(signature).is_some_and(|parts| {
        key.verify_strict(message, &Signature::from_components(parts.r, parts.s)).is_ok()
    })
}

/// A signature of the right length, R canonical and of large order, S reduced.
pub(crate) struct StrictParts {
    pub(crate) r: [u8; 32],
    pub(crate) s: [u8; 32],
}

pub(crate) fn strict_parts(signature: &[u8]) -> Option<StrictParts> {
    let signature: &[u8; ED25519_SIGNATURE_BYTES] = signature.try_into().ok()?;
    let (mut r, mut s) = ([0; 32], [0; 32]);
    r.copy_from_slice(&signature[..32]);
    s.copy_from_slice(&signature[32..]);
    (is_below(&s, &GROUP_ORDER) && is_strict_point(&r)).then_some(StrictParts { r, s })
}

/// Returns whether 32 bytes are canonical (y < p) and of none of the small-order points.
///
/// Bytes that name no point at all pass here and fail in the equation.
pub(crate) fn is_strict_point(encoding: &[u8; 32]) -> bool {
    let mut y = *encoding;
    y[31] &= 0x7f;
    is_below(&y, &FIELD_PRIME) && !SMALL_ORDER_Y.contains(&y)
}

/// Compares little-endian numbers.
fn is_below(number: &[u8; 32], bound: &[u8; 32]) -> bool {
    number.iter().rev().lt(bound.iter().rev())
}
