//! The official vectors, where they lie beside the checkout: JCS with its 10,000 numbers, Wycheproof,
//! CCTV and RFC 6962 proofs. Without the usual harness, so that counts and skips are always shown.

use std::fs;
use std::path::{Path, PathBuf};

use fractal_lba_core::{
    canonical, parse_json, verify_consistency, verify_ed25519, verify_ed25519_batch, verify_hmac,
    Object, SignedMessage, Value, JCS_DEPTH_MAX,
};
use fractal_lba_driver::fields::{base64, bytes_of_hex, flag, hexadecimal, items, member, text};

/// Of CCTV's 914 signatures, those that libsodium accepts.
const CCTV_ACCEPTED: usize = 43;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors");
    if !folder.is_dir() {
        println!("official vectors: skipped: ../shared/vectors is not beside this checkout");
        let required = std::env::var("FLBA_REQUIRE").is_ok_and(|value| value == "all");
        assert!(!required, "FLBA_REQUIRE=all: expected ../shared/vectors, got none");
        return;
    }
    let counts = [
        ("JCS documents", jcs_documents(&folder.join("jcs"))),
        ("JCS numbers", jcs_numbers(&folder.join("jcs/es6testfile_10k.txt"))),
        ("Wycheproof Ed25519", wycheproof_ed25519(&folder.join("wycheproof/ed25519_test.json"))),
        ("Wycheproof HMAC", wycheproof_hmac(&folder.join("wycheproof/hmac_sha256_test.json"))),
        ("CCTV Ed25519", cctv(&folder.join("cctv_ed25519/ed25519vectors.json"))),
        ("Merkle inclusion", merkle(&folder.join("merkle/inclusion"), inclusion_holds)),
        ("Merkle consistency", merkle(&folder.join("merkle/consistency"), consistency_holds)),
    ];
    for (name, count) in counts {
        println!("{name}: {count} cases, 0 failed");
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads a file as strict JSON, which these are.
fn document(path: &Path) -> Value<'static> {
    // Read once and kept until the tests end.
    let parsed = parse_json(read(path).leak(), JCS_DEPTH_MAX);
    parsed.unwrap_or_else(|refusal| panic!("{}: {refusal}", path.display()))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn jcs_documents(folder: &Path) -> usize {
    let inputs = files_below(&folder.join("input"));
    for path in &inputs {
        let name = path.file_name().expect("a name");
        let value = document(path);
        let given = canonical(&value).expect("canonical bytes");
        assert_eq!(given, read(&folder.join("output").join(name)), "{}", path.display());
    }
    inputs.len()
}

fn jcs_numbers(path: &Path) -> usize {
    let file = String::from_utf8(read(path)).expect("text");
    for line in file.lines() {
        let (bits, expected) = line.split_once(',').expect("bits, text");
        let double = f64::from_bits(u64::from_str_radix(bits, 16).expect("bits"));
        let written = canonical(&Value::Number(double)).expect("a finite double");
        assert_eq!(written, expected.as_bytes(), "{bits}");
        let read = parse_json(expected.as_bytes(), JCS_DEPTH_MAX).expect("a number");
        assert_eq!(read.as_f64(), Some(double), "{bits}");
    }
    let count = file.lines().count();
    assert_eq!(count, 10_000);
    count
}

/// Calls `check` with each group and each of its tests, and returns how many tests there are.
fn each_test(path: &Path, check: impl Fn(&Object, &Object)) -> usize {
    let document = document(path);
    let document = document.as_object().expect("an object");
    let mut count = 0;
    for group in items(document, "testGroups") {
        let group = group.as_object().expect("a group");
        for test in items(group, "tests") {
            check(group, test.as_object().expect("a test"));
            count += 1;
        }
    }
    assert_eq!(member(document, "numberOfTests").as_integer(), Some(count));
    count as usize
}

fn wycheproof_ed25519(path: &Path) -> usize {
    each_test(path, |group, test| {
        let public = hexadecimal(member(group, "publicKey").as_object().expect("a key"), "pk");
        let (message, signature) = (hexadecimal(test, "msg"), hexadecimal(test, "sig"));
        let holds = verify_ed25519(&public, &message, &signature);
        assert_eq!(holds, text(test, "result") == "valid", "tcId {:?}", test.get("tcId"));
    })
}

fn wycheproof_hmac(path: &Path) -> usize {
    each_test(path, |group, test| {
        let (secret, message) = (hexadecimal(test, "key"), hexadecimal(test, "msg"));
        let tag = hexadecimal(test, "tag");
        // A tag that was cut to its first bytes is none here: on the wire it has 32.
        let is_whole = member(group, "tagSize").as_integer() == Some(256);
        let expected = is_whole && text(test, "result") == "valid";
        assert_eq!(verify_hmac(&secret, &message, &tag), expected, "tcId {:?}", test.get("tcId"));
    })
}

/// Verifies each alone, and all of them in one batch, each eight times so that every key has a table.
fn cctv(path: &Path) -> usize {
    let document = document(path);
    let cases: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = document
        .as_array()
        .expect("an array")
        .iter()
        .map(|case| {
            let case = case.as_object().expect("a case");
            let message = text(case, "msg").as_bytes().to_vec();
            (hexadecimal(case, "key"), message, hexadecimal(case, "sig"))
        })
        .collect();
    let alone: Vec<bool> =
        cases.iter().map(|(key, msg, sig)| verify_ed25519(key, msg, sig)).collect();
    assert_eq!(alone.iter().filter(|holds| **holds).count(), CCTV_ACCEPTED);
    let signed = cases.iter().map(|(public, message, signature)| SignedMessage {
        public,
        message,
        signature,
    });
    let repeated: Vec<SignedMessage<'_>> = signed.flat_map(|each| [each; 8]).collect();
    let together = verify_ed25519_batch(&repeated);
    for (place, holds) in together.iter().enumerate() {
        assert_eq!(*holds, alone[place / 8], "number {}", place / 8);
    }
    cases.len()
}

fn merkle(folder: &Path, holds: fn(&Object) -> bool) -> usize {
    let files = files_below(folder);
    let (mut count, mut refused) = (0, 0);
    for path in &files {
        let case = document(path);
        let case = case.as_object().expect("an object");
        let is_refused = flag(case, "wantErr");
        assert_eq!(holds(case), !is_refused, "{}", path.display());
        refused += usize::from(is_refused);
        count += 1;
    }
    assert_eq!((count, refused), (98, 92));
    count
}

fn proof(case: &Object) -> Vec<Vec<u8>> {
    let hashes = member(case, "proof").as_array().unwrap_or_default();
    let text = |hash: &Value| hash.as_str().map(str::to_owned).expect("a hash");
    hashes
        .iter()
        .map(|hash| fractal_lba_core::decode_base64(&text(hash)).expect("base64"))
        .collect()
}

fn bytes_or_none(case: &Object, name: &str) -> Vec<u8> {
    match member(case, name) {
        Value::Null => bytes_of_hex(""),
        _ => base64(case, name),
    }
}

/// Returns a size or an index as the SDK takes it; one below zero cannot be said to it.
fn unsigned(case: &Object, name: &str) -> Option<u64> {
    let number = member(case, name).as_f64().expect("a number");
    (number >= 0.0).then_some(number as u64)
}

fn inclusion_holds(case: &Object) -> bool {
    let (Some(size), Some(index)) = (unsigned(case, "treeSize"), unsigned(case, "leafIdx")) else {
        return false;
    };
    let (root, leaf) = (bytes_or_none(case, "root"), bytes_or_none(case, "leafHash"));
    fractal_lba_core::verify_inclusion(&root, size, index, &leaf, &proof(case)).is_ok()
}

fn consistency_holds(case: &Object) -> bool {
    let (Some(size1), Some(size2)) = (unsigned(case, "size1"), unsigned(case, "size2")) else {
        return false;
    };
    let (root1, root2) = (bytes_or_none(case, "root1"), bytes_or_none(case, "root2"));
    verify_consistency(size1, size2, &root1, &root2, &proof(case)).is_ok()
}
