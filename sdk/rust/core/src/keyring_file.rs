//! Read a keyring's bytes. A refusal names the entry and the member and holds no value, since an
//! operator may well have put a secret where a name belongs.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::base64::decode_base64;
use crate::error::KeyringError;
use crate::hex::hash_of;
use crate::keyring::{Alg, Identities, Identity, Key, Keyring, Material, Scope};
use crate::parse::{parse_json, RECORD_DEPTH_MAX};
use crate::signer::HMAC_SECRET_BYTES_MIN;
use crate::signing::{ed25519_public, is_strict_point};
use crate::structure::is_key_name;
use crate::timestamp::parse_timestamp;
use crate::value::{Object, Value};

/// Bytes of a keyring.
pub const KEYRING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Legacy keys of one tenant: a record of version 0.1 names no key, and a forged one is tried with all.
pub const LEGACY_KEYS_MAX: usize = 8;

type Resolve<'a> = &'a mut dyn FnMut(&str) -> Option<Vec<u8>>;

impl Keyring {
    /// Returns the keyring a file's bytes hold.
    ///
    /// `resolve` returns the bytes that an `env:NAME` or `file:PATH` stands for, or none. What it
    /// returns is the secret as it is, unless it starts with `base64:`: then the rest, up to one line
    /// end, is decoded.
    ///
    /// # Errors
    ///
    /// The file breaks a rule of `specs/pcs.md` section 3; the error names the entry and the member.
    ///
    /// # Examples
    ///
    /// ```
    /// use fractal_lba_core::Keyring;
    ///
    /// let file = br#"{"keys": [{"kid": "lab-1", "tenant": "lab", "alg": "hmac-sha256",
    ///                            "secret": "env:LAB_1"}]}"#;
    /// let ring = Keyring::parse(file, |name| (name == "env:LAB_1").then(|| vec![7; 32]))?;
    /// assert_eq!(ring.key("lab-1").map(|key| key.tenant.as_str()), Some("lab"));
    /// # Ok::<(), fractal_lba_core::KeyringError>(())
    /// ```
    pub fn parse(
        data: &[u8],
        mut resolve: impl FnMut(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, KeyringError> {
        let whole = |expected, got| KeyringError {
            entry: "keyring".into(),
            kid: None,
            member: None,
            expected,
            got,
        };
        if data.len() > KEYRING_BYTES_MAX {
            return Err(whole("at most 16 MiB", "more"));
        }
        let ring = parse_json(data, RECORD_DEPTH_MAX)
            .map_err(|refusal| whole("strict JSON", refusal.reason))?;
        let top = Entry::of(&ring, "keyring".into())?;
        let entries = top.array("keys")?;
        let tokens = identities(&top, "tokens")?;
        let certificates = identities(&top, "certificates")?;
        top.finish(&["keys", "tokens", "certificates"])?;
        let mut made = Self { tokens, certificates, ..Self::default() };
        let mut legacy_counts: BTreeMap<String, usize> = BTreeMap::new();
        for (index, value) in entries.iter().enumerate() {
            let mut entry = Entry::of(value, format!("keys[{index}]"))?;
            let key = read_key(&mut entry, &mut resolve)?;
            entry.kid = None;
            if made.by_kid.insert(key.kid.clone(), index).is_some() {
                return Err(entry.refusal("kid", "each once", "one again"));
            }
            let of_tenant = legacy_counts.entry(key.tenant.clone()).or_default();
            *of_tenant += usize::from(key.legacy);
            if *of_tenant > LEGACY_KEYS_MAX {
                return Err(entry.refusal("legacy", "at most 8 of a tenant", "more"));
            }
            made.keys.push(key);
        }
        Ok(made)
    }
}

fn read_key(entry: &mut Entry<'_>, resolve: Resolve<'_>) -> Result<Key, KeyringError> {
    let kid = entry.key_name("kid")?;
    entry.kid = Some(kid.clone());
    let tenant = entry.key_name("tenant")?;
    let alg = Alg::named(entry.text("alg")?)
        .ok_or_else(|| entry.refusal("alg", "hmac-sha256 or ed25519", "another text"))?;
    let legacy = entry.boolean("legacy")?;
    let public = read_public(entry)?;
    let secret = read_secret(entry, resolve)?;
    let not_before_ms = entry.timestamp("not_before")?;
    let not_after_ms = entry.timestamp("not_after")?;
    entry.finish(&[
        "kid",
        "tenant",
        "alg",
        "legacy",
        "public",
        "secret",
        "not_before",
        "not_after",
    ])?;
    if matches!((not_before_ms, not_after_ms), (Some(first), Some(last)) if first > last) {
        return Err(entry.refusal("not_after", "a time from not_before on", "an earlier one"));
    }
    let material = match alg {
        Alg::HmacSha256 => hmac_material(entry, public, secret, legacy)?,
        Alg::Ed25519 => ed25519_material(entry, public, secret)?,
    };
    Ok(Key { kid, tenant, not_before_ms, not_after_ms, legacy, material })
}

fn hmac_material(
    entry: &Entry<'_>,
    public: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
    legacy: bool,
) -> Result<Material, KeyringError> {
    if public.is_some() {
        return Err(entry.refusal("public", "none for hmac-sha256", "one"));
    }
    let least = if legacy { 1 } else { HMAC_SECRET_BYTES_MIN };
    match secret {
        None => Err(entry.refusal("secret", "one for hmac-sha256", "none")),
        Some(secret) if secret.len() < least => {
            Err(entry.refusal("secret", "at least 32 bytes, or 1 where legacy", "fewer"))
        }
        Some(secret) => Ok(Material::hmac(secret)),
    }
}

fn ed25519_material(
    entry: &Entry<'_>,
    public: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
) -> Result<Material, KeyringError> {
    if let Some(secret) = secret {
        let seed: [u8; 32] = secret
            .try_into()
            .map_err(|_| entry.refusal("secret", "a seed of 32 bytes", "another length"))?;
        let derived = ed25519_public(&seed);
        if public.is_some_and(|public| public != derived) {
            return Err(entry.refusal("public", "the public key of the secret", "another key"));
        }
        return Ok(Material::ed25519(derived, Some(seed)));
    }
    let public = public.ok_or_else(|| {
        entry.refusal("public", "a public key or a secret for ed25519", "neither")
    })?;
    let public: [u8; 32] =
        public.try_into().map_err(|_| entry.refusal("public", "32 bytes", "another length"))?;
    if !is_strict_point(&public) {
        // With a point of small order one signature verifies for many messages.
        return Err(entry.refusal("public", "a canonical point of large order", "another"));
    }
    Ok(Material::ed25519(public, None))
}

fn read_public(entry: &Entry<'_>) -> Result<Option<Vec<u8>>, KeyringError> {
    if entry.members.get("public").is_none() {
        return Ok(None);
    }
    match entry.text("public")?.strip_prefix("base64:") {
        Some(text) => entry.decoded("public", text).map(Some),
        None => Err(entry.refusal("public", "base64:…", "another text")),
    }
}

fn read_secret(entry: &Entry<'_>, resolve: Resolve<'_>) -> Result<Option<Vec<u8>>, KeyringError> {
    if entry.members.get("secret").is_none() {
        return Ok(None);
    }
    let text = entry.text("secret")?;
    if let Some(text) = text.strip_prefix("base64:") {
        return entry.decoded("secret", text).map(Some);
    }
    if !text.starts_with("env:") && !text.starts_with("file:") {
        return Err(entry.refusal("secret", "base64:…, env:NAME or file:PATH", "another text"));
    }
    let held = resolve(text)
        .ok_or_else(|| entry.refusal("secret", "what env: or file: names", "nothing"))?;
    let Some(rest) = held.strip_prefix(b"base64:") else { return Ok(Some(held)) };
    let line = core::str::from_utf8(rest)
        .map_err(|_| entry.refusal("secret", "base64 after base64:", "other bytes"))?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    entry.decoded("secret", line).map(Some)
}

fn identities(top: &Entry<'_>, member: &'static str) -> Result<Identities, KeyringError> {
    let mut found = Identities::default();
    if top.members.get(member).is_none() {
        return Ok(found);
    }
    for (index, value) in top.array(member)?.iter().enumerate() {
        let entry = Entry::of(value, format!("{member}[{index}]"))?;
        let (identity, digest) = read_identity(&entry)?;
        if found.by_digest.insert(digest, index).is_some() {
            return Err(entry.refusal("sha256", "each once", "one again"));
        }
        found.listed.push(identity);
    }
    Ok(found)
}

fn read_identity(entry: &Entry<'_>) -> Result<(Identity, [u8; 32]), KeyringError> {
    let tenant = entry.key_name("tenant")?;
    let digest = hash_of(entry.text("sha256")?)
        .ok_or_else(|| entry.refusal("sha256", "64 hexadecimal digits", "another text"))?;
    let mut scopes = Vec::new();
    for item in entry.array("scopes")? {
        let scope = item.as_str().and_then(Scope::named);
        match scope.filter(|scope| !scopes.contains(scope)) {
            Some(scope) => scopes.push(scope),
            None => {
                let expected = "submit, read, operate, each at most once";
                return Err(entry.refusal("scopes", expected, "something else"));
            }
        }
    }
    scopes.sort_unstable();
    entry.finish(&["tenant", "sha256", "scopes"])?;
    Ok((Identity { tenant, scopes }, digest))
}

/// One object of the file.
struct Entry<'a> {
    members: &'a Object<'a>,
    place: String,
    kid: Option<String>,
}

impl<'a> Entry<'a> {
    fn of(value: &'a Value<'a>, place: String) -> Result<Self, KeyringError> {
        match value.as_object() {
            Some(members) => Ok(Self { members, place, kid: None }),
            None => Err(KeyringError {
                entry: place,
                kid: None,
                member: None,
                expected: "an object",
                got: "another value",
            }),
        }
    }

    fn refusal(
        &self,
        member: &'static str,
        expected: &'static str,
        got: &'static str,
    ) -> KeyringError {
        let (entry, kid) = (self.place.clone(), self.kid.clone());
        KeyringError { entry, kid, member: Some(member), expected, got }
    }

    fn of_type<T>(
        &self,
        member: &'static str,
        read: impl Fn(&'a Value<'a>) -> Option<T>,
        expected: &'static str,
    ) -> Result<T, KeyringError> {
        let value = self.members.get(member);
        let got = if value.is_none() { "nothing" } else { "another type" };
        value.and_then(read).ok_or_else(|| self.refusal(member, expected, got))
    }

    fn text(&self, member: &'static str) -> Result<&'a str, KeyringError> {
        self.of_type(member, Value::as_str, "a string")
    }

    fn array(&self, member: &'static str) -> Result<&'a [Value<'a>], KeyringError> {
        self.of_type(member, Value::as_array, "an array")
    }

    fn key_name(&self, member: &'static str) -> Result<String, KeyringError> {
        let text = self.text(member)?;
        if !is_key_name(text) {
            return Err(self.refusal(member, "[A-Za-z0-9._-]{1,64}", "another text"));
        }
        Ok(text.into())
    }

    fn boolean(&self, member: &'static str) -> Result<bool, KeyringError> {
        if self.members.get(member).is_none() {
            return Ok(false);
        }
        self.of_type(member, Value::as_bool, "true or false")
    }

    fn timestamp(&self, member: &'static str) -> Result<Option<u64>, KeyringError> {
        if matches!(self.members.get(member), None | Some(Value::Null)) {
            return Ok(None);
        }
        parse_timestamp(self.text(member)?)
            .map(Some)
            .map_err(|_| self.refusal(member, "YYYY-MM-DDTHH:MM:SS.mmmZ or null", "another text"))
    }

    fn decoded(&self, member: &'static str, text: &str) -> Result<Vec<u8>, KeyringError> {
        decode_base64(text).map_err(|_| {
            self.refusal(member, "standard base64 with padding after base64:", "another text")
        })
    }

    fn finish(&self, known: &[&str]) -> Result<(), KeyringError> {
        if self.members.iter().all(|(name, _)| known.contains(&name)) {
            return Ok(());
        }
        // The name is not shown: it may be a secret on the wrong side of the colon.
        let (entry, kid) = (self.place.clone(), self.kid.clone());
        let (expected, got) = ("known members", "an unknown one");
        Err(KeyringError { entry, kid, member: None, expected, got })
    }
}
