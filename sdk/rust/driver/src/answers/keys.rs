//! `keyrings.json`, `signing_ed25519.json`, `signing_hmac.json` and `signing_records.json`: keys, what
//! they sign and what they verify.

use fractal_lba_core::{
    ed25519_public, hex, parse_timestamp, sign_ed25519, sign_hmac, verify_ed25519, verify_hmac,
    Identity, Key, Keyring, Object, Value,
};

use crate::answers::{body, refused, Answer};
use crate::fields::{base64, hexadecimal, nullable, object, text};

/// Returns the ring a case gives, or what it states of one that is refused.
///
/// # Errors
///
/// The ring is refused.
pub fn keyring(given: &Object) -> Result<Keyring, Object<'static>> {
    // No case names what lies outside of it.
    Keyring::parse(&base64(given, "keyring"), |_| None).map_err(|error| {
        object([
            ("code", "keyring_refused".into()),
            ("entry", error.entry.as_str().into()),
            ("member", nullable(error.member)),
        ])
    })
}

/// Answers `keyrings.json`.
pub fn keyrings(given: &Object) -> Answer {
    let ring = keyring(given)?;
    let keys: Vec<Value> = ring.keys().iter().map(key).collect();
    Ok(object([
        ("keys", keys.into()),
        ("tokens", identities(ring.tokens())),
        ("certificates", identities(ring.certificates())),
    ]))
}

fn key(key: &Key) -> Value<'static> {
    let public = key.public().map(|public| hex(public));
    let members = object([
        ("kid", key.kid.as_str().into()),
        ("tenant", key.tenant.as_str().into()),
        ("alg", key.alg().as_str().into()),
        ("public", nullable(public.as_deref())),
        ("legacy", key.legacy.into()),
    ]);
    members.into()
}

fn identities(found: &[Identity]) -> Value<'static> {
    let identity = |identity: &Identity| {
        let scopes = identity.scopes.iter().map(|scope| scope.as_str().into());
        let scopes = scopes.collect::<Vec<Value>>();
        object([("tenant", identity.tenant.as_str().into()), ("scopes", scopes.into())]).into()
    };
    found.iter().map(identity).collect::<Vec<Value>>().into()
}

/// What a case states of a signature that does not hold.
fn mismatch() -> Object<'static> {
    object([
        ("code", "signature_invalid".into()),
        ("reason", "signature_mismatch".into()),
        ("member", "sig".into()),
    ])
}

/// Answers `signing_ed25519.json`; where a seed is given it must sign to this signature.
///
/// # Panics
///
/// The seed is not 32 bytes long.
pub fn signing_ed25519(given: &Object) -> Answer {
    let (message, signature) = (hexadecimal(given, "message"), hexadecimal(given, "signature"));
    if !verify_ed25519(&hexadecimal(given, "public"), &message, &signature) {
        return Err(mismatch());
    }
    if given.get("seed") == Some(&Value::Null) {
        return Ok(object([("public", Value::Null), ("signature", Value::Null)]));
    }
    let seed: [u8; 32] = hexadecimal(given, "seed").try_into().expect("a seed of 32 bytes");
    Ok(object([
        ("public", hex(&ed25519_public(&seed)).into()),
        ("signature", hex(&sign_ed25519(&seed, &message)).into()),
    ]))
}

/// Answers `signing_hmac.json`.
pub fn signing_hmac(given: &Object) -> Answer {
    let (secret, message) = (hexadecimal(given, "secret"), hexadecimal(given, "message"));
    if !verify_hmac(&secret, &message, &hexadecimal(given, "tag")) {
        return Err(mismatch());
    }
    Ok(object([("tag", hex(&sign_hmac(&secret, &message)).into())]))
}

/// Answers `signing_records.json`: a body, a ring, and the time of receipt.
///
/// # Panics
///
/// The time of receipt is none.
pub fn signing_records(given: &Object) -> Answer {
    let ring = keyring(given)?;
    let received_at = parse_timestamp(text(given, "received_at")).expect("a timestamp");
    let found = ring.authenticate(&body(given), None).map_err(|refusal| refused(&refusal))?;
    found.require_valid_key(received_at).map_err(|refusal| refused(&refusal))?;
    Ok(object([
        ("tenant", found.key.tenant.as_str().into()),
        ("kid", found.key.kid.as_str().into()),
        ("record_digest", found.record_digest.into()),
        ("content_digest", found.content_digest.into()),
    ]))
}
