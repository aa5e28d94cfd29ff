//! Requests that need a key: signatures, signers and keyrings.

use fractal_lba_core::{
    ed25519_public, encode_base64, parse_json, parse_timestamp, sign_ed25519, sign_hmac,
    verify_ed25519, verify_ed25519_batch, verify_hmac, Draft, Identity, Key, Keyring, Object,
    SignedMessage, Signer, Value, RECORD_DEPTH_MAX,
};

use crate::calls::{legacy_members, outcome_members};
use crate::fields::{
    bytes, handle, items, maybe_text, nullable, number, object, text, wrong, Refused,
};
use crate::state::Held;

pub(crate) fn dispatch(
    op: &str,
    request: &Object,
    held: &mut Held,
) -> Result<Value<'static>, Refused> {
    match op {
        "hmac_sign" => {
            let tag = sign_hmac(&bytes(request, "secret")?, &bytes(request, "message")?);
            Ok(encode_base64(&tag).into())
        }
        "hmac_verify" => {
            let (secret, message) = (bytes(request, "secret")?, bytes(request, "message")?);
            Ok(verify_hmac(&secret, &message, &bytes(request, "tag")?).into())
        }
        "ed25519_public" => Ok(encode_base64(&ed25519_public(&seed(request)?)).into()),
        "ed25519_sign" => {
            let signature = sign_ed25519(&seed(request)?, &bytes(request, "message")?);
            Ok(encode_base64(&signature).into())
        }
        "ed25519_verify" => {
            let (public, message, signature) = signed(request)?;
            Ok(verify_ed25519(&public, &message, &signature).into())
        }
        "ed25519_verify_batch" => batch(request),
        "signer" => new_signer(request, held),
        "sign" => {
            let mut out = Vec::new();
            let record = text(request, "record")?;
            sign_into(record.as_bytes(), handle(request, "signer")?, held, &mut out)?;
            Ok(encode_base64(&out).into())
        }
        "keyring" => new_keyring(request, held),
        "keyring_signer" => ring_signer(request, held),
        "authenticate" => authenticate(request, held),
        "free" => {
            let handle = handle(request, "handle")?;
            let was_signer = held.signers.remove(&handle).is_some();
            Ok((held.keyrings.remove(&handle).is_some() || was_signer).into())
        }
        _ => Err(wrong("op", "a known one")),
    }
}

fn seed(request: &Object) -> Result<[u8; 32], Refused> {
    bytes(request, "seed")?.try_into().map_err(|_| wrong("seed", "32 bytes"))
}

type Signed = (Vec<u8>, Vec<u8>, Vec<u8>);

fn signed(request: &Object) -> Result<Signed, Refused> {
    Ok((bytes(request, "public")?, bytes(request, "message")?, bytes(request, "signature")?))
}

fn batch(request: &Object) -> Result<Value<'static>, Refused> {
    let read = items(request, "signed")?
        .iter()
        .map(|item| signed(item.as_object().ok_or_else(|| wrong("signed", "objects"))?));
    let read = read.collect::<Result<Vec<Signed>, Refused>>()?;
    let items: Vec<SignedMessage<'_>> = read
        .iter()
        .map(|(public, message, signature)| SignedMessage { public, message, signature })
        .collect();
    let holds = verify_ed25519_batch(&items).into_iter().map(Value::from);
    Ok(holds.collect::<Vec<Value>>().into())
}

fn new_signer(request: &Object, held: &mut Held) -> Result<Value<'static>, Refused> {
    let (kid, secret) = (text(request, "kid")?, bytes(request, "secret")?);
    let signer = match text(request, "alg")? {
        "hmac-sha256" => Signer::hmac(kid, &secret)?,
        "ed25519" => Signer::ed25519(kid, &secret)?,
        _ => return Err(wrong("alg", "hmac-sha256 or ed25519")),
    };
    Ok(hold(signer, held))
}

/// Holds the signer of a keyring's key.
fn ring_signer(request: &Object, held: &mut Held) -> Result<Value<'static>, Refused> {
    let signer = ring(request, held)?.signer(text(request, "kid")?)?;
    Ok(hold(signer, held))
}

fn hold(signer: Signer, held: &mut Held) -> Value<'static> {
    let handle = held.next();
    held.signers.insert(handle, signer);
    number(handle)
}

fn ring<'a>(request: &Object, held: &'a Held) -> Result<&'a Keyring, Refused> {
    held.keyrings.get(&handle(request, "keyring")?).ok_or_else(|| wrong("keyring", "one in use"))
}

/// Replaces what `out` holds by the stored bytes of the signed record that JSON members make.
pub(crate) fn sign_into(
    members: &[u8],
    handle: u32,
    held: &Held,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let signer = held.signers.get(&handle).ok_or_else(|| wrong("signer", "one in use"))?;
    let members = parse_json(members, RECORD_DEPTH_MAX)?;
    let members = members.as_object().ok_or_else(|| wrong("record", "an object"))?;
    Ok(signer.sign_into(&Draft::from_members(members)?, out)?)
}

fn new_keyring(request: &Object, held: &mut Held) -> Result<Value<'static>, Refused> {
    let secrets = request.get("secrets").and_then(Value::as_object);
    let resolve = |name: &str| {
        let text = secrets?.get(name)?.as_str()?;
        fractal_lba_core::decode_base64(text).ok()
    };
    let ring = Keyring::parse(&bytes(request, "file")?, resolve)?;
    let handle = held.next();
    let keys: Vec<Value> = ring.keys().iter().map(key).collect();
    let members = object([
        ("handle", number(handle)),
        ("keys", keys.into()),
        ("tokens", identities(ring.tokens())),
        ("certificates", identities(ring.certificates())),
    ]);
    held.keyrings.insert(handle, ring);
    Ok(members.into())
}

fn key(key: &Key) -> Value<'static> {
    let public = key.public().map(|public| encode_base64(public));
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
        let scopes = identity.scopes.iter().map(|scope| Value::from(scope.as_str()));
        let scopes: Vec<Value> = scopes.collect();
        object([("tenant", identity.tenant.as_str().into()), ("scopes", scopes.into())]).into()
    };
    found.iter().map(identity).collect::<Vec<Value>>().into()
}

fn authenticate(request: &Object, held: &Held) -> Result<Value<'static>, Refused> {
    let ring = ring(request, held)?;
    let found =
        ring.authenticate(&bytes(request, "body")?, maybe_text(request, "legacy_tenant")?)?;
    if let Some(received_at) = maybe_text(request, "received_at")? {
        found.require_valid_key(parse_timestamp(received_at)?)?;
    }
    let outcome = found.record.judge();
    let legacy = legacy_members(&found.record, &outcome)?;
    let mut members = outcome_members(&outcome, found.record.pcs_id(), &found.record_digest);
    members.insert("tenant", found.key.tenant.as_str());
    members.insert("kid", found.key.kid.as_str());
    members.insert("pcs_id", found.record.pcs_id());
    members.insert("record_digest", found.record_digest.as_str());
    members.insert("content_digest", found.content_digest.as_str());
    members.insert("stored", encode_base64(&found.record.stored_bytes()));
    for (name, value) in legacy.iter() {
        members.insert(name, value.clone());
    }
    Ok(members.into())
}
