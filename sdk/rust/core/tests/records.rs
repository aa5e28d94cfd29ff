//! Records made here are read here, and nothing that is sent makes the reader panic.

use std::collections::BTreeMap;

use fractal_lba_core::{
    encode_base64, summarise_bytes, AnyRecord, Delivery, Draft, Keyring, MetaValue, Record,
    RefusalCode, Signer, DEFAULT_SCALES, DEFAULT_SEED,
};

const SECRET: [u8; 32] = [7; 32];

type Break = fn(&mut Draft);

fn draft() -> Draft {
    let window = b"the quick brown fox jumps over the lazy dog, and again: the quick brown fox";
    let summary = summarise_bytes(window, DEFAULT_SEED, &DEFAULT_SCALES).expect("a window");
    let mut draft = summary.draft("lab:shard-1", 7, 1_795_000_000_123);
    draft.ft.fallbacks = vec!["zlib \"level\" \u{1}\u{e9}\u{1f600}".into()];
    draft.meta = Some(BTreeMap::from([
        ("model".into(), MetaValue::Text("line\nbreak".into())),
        ("tries".into(), MetaValue::Integer(-3)),
        ("warm".into(), MetaValue::Bool(true)),
    ]));
    draft
}

fn signer() -> Signer {
    Signer::hmac("lab-1", &SECRET).expect("a signer")
}

fn ring() -> Keyring {
    let secret = encode_base64(&SECRET);
    let key = format!(
        r#"{{"kid":"lab-1","tenant":"lab","alg":"hmac-sha256","secret":"base64:{secret}","legacy":true}}"#
    );
    Keyring::parse(format!(r#"{{"keys":[{key}]}}"#).as_bytes(), |_| None).expect("a ring")
}

#[test]
fn a_signed_record_is_read_back_and_authenticated() {
    let record = signer().sign(draft()).expect("a sound draft");
    let stored = record.stored_bytes();
    assert_eq!(Record::parse(&stored).expect("a record"), record);
    let (ring, expected) = (ring(), record.record_digest());
    let found = ring.authenticate(&stored, None).expect("its own signature");
    assert_eq!((found.record_digest, found.record.stored_bytes()), (expected, stored));
}

#[test]
fn what_a_run_finds_is_what_each_record_alone_gives() {
    let ring = ring();
    let record = signer().sign(draft()).expect("a sound draft");
    let delivery = Delivery { attempt: 1, sent_at_ms: 1_795_000_000_123, outbox_seq: 7 };
    let (stored, sent) = (record.stored_bytes(), record.sent_bytes(delivery));
    let spaced = [b" ", &*stored].concat();
    let found = ring.check_plain(&[&stored, &sent, &spaced, b"{}"]);
    let alone = ring.authenticate(&stored, None).expect("its own signature");
    for found in &found[..2] {
        let found = found.as_ref().expect("its one spelling");
        assert_eq!(found.stored.concat(), stored);
        assert_eq!(found.record_digest, alone.record_digest);
        assert_eq!(found.content_digest, alone.content_digest);
        assert_eq!(found.outcome, alone.record.judge());
        assert_eq!((found.pcs_id, found.epoch), (record.pcs_id(), record.said().epoch));
    }
    assert!(found[2].is_none() && found[3].is_none());
}

#[test]
fn both_ways_of_signing_give_the_same_bytes() {
    for signer in [signer(), Signer::ed25519("lab-2", &[9; 32]).expect("a signer")] {
        let mut out = b"left over".to_vec();
        signer.sign_into(&draft(), &mut out).expect("a sound draft");
        assert_eq!(out, signer.sign(draft()).expect("a sound draft").stored_bytes());
    }
}

#[test]
fn a_delivery_travels_beside_what_is_signed() {
    let record = signer().sign(draft()).expect("a sound draft");
    let delivery = Delivery { attempt: 2, sent_at_ms: 1_795_000_001_000, outbox_seq: 9 };
    let sent = record.sent_bytes(delivery);
    let ring = ring();
    let found = ring.authenticate(&sent, None).expect("its own signature");
    assert_eq!(found.record.stored_bytes(), record.stored_bytes());
    let AnyRecord::Current(found) = found.record else { panic!("another version") };
    assert_eq!(found.delivery(), Some(delivery));
}

#[test]
fn a_draft_that_breaks_a_rule_is_not_signed() {
    let breaks: [(&str, &str, Break); 12] = [
        ("wrong_format", "merkle_root", |draft| draft.merkle_root.make_ascii_uppercase()),
        ("not_an_integer", "epoch", |draft| draft.epoch = 1 << 53),
        ("wrong_format", "shard_id", |draft| draft.shard_id = "a|b".into()),
        ("wrong_format", "created_at", |draft| draft.created_at_ms = 253_402_300_800_000),
        ("out_of_range", "d", |draft| draft.d = 2),
        ("not_doubled", "scales.1", |draft| draft.scales[1] = 3),
        ("out_of_range", "N_j.2", |draft| draft.n_j[0] = 0),
        ("missing", "N_j.32", |draft| draft.n_j.truncate(4)),
        ("out_of_range", "coh_star", |draft| draft.coh_star = f64::NAN),
        ("not_a_unit_vector", "v_star", |draft| draft.v_star = [0.5, 0.5, 0.5]),
        ("too_long", "ft.fallbacks.0", |draft| draft.ft.fallbacks[0] = "x".repeat(65)),
        ("wrong_format", "meta.?", |draft| {
            draft.meta = Some(BTreeMap::from([("Über".into(), MetaValue::Bool(true))]));
        }),
    ];
    for (reason, member, breaks) in breaks {
        let mut broken = draft();
        breaks(&mut broken);
        let refusal = signer().sign(broken).expect_err(member);
        assert_eq!((refusal.reason, refusal.member.as_deref()), (reason, Some(member)));
        assert_eq!(refusal.code, RefusalCode::InvalidRecord);
    }
}

#[test]
fn no_single_byte_of_a_record_can_be_changed() {
    let stored = signer().sign(draft()).expect("a sound draft").stored_bytes();
    let ring = ring();
    for place in 0..stored.len() {
        for flip in [1, 0x20, 0x80] {
            let mut bent = stored.clone();
            bent[place] ^= flip;
            assert!(ring.authenticate(&bent, Some("lab")).is_err(), "byte {place} ^ {flip}");
        }
    }
}

#[test]
fn a_cut_record_is_refused_as_json() {
    let stored = signer().sign(draft()).expect("a sound draft").stored_bytes();
    for end in 0..stored.len() {
        let refusal = Record::parse(&stored[..end]).expect_err("a part of a record");
        let is_json = matches!(refusal.code, RefusalCode::MalformedJson | RefusalCode::BadEncoding);
        assert!(is_json, "cut at {end}: {refusal}");
    }
}

/// A small generator, so that a failure comes again.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn no_bytes_make_a_reader_panic() {
    const PIECES: [&[u8]; 16] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\u",
        b"\\",
        b"d800",
        b":",
        b",",
        b"-",
        b"1e999",
        b"\xed\xa0",
        b"0.1",
        b"\xf0\x9f\x98\x80",
        b"version",
    ];
    let stored = signer().sign(draft()).expect("a sound draft").stored_bytes();
    let (ring, mut random) = (ring(), Xorshift(42));
    for _ in 0..20_000 {
        let mut bent = stored.clone();
        for _ in 0..=random.below(4) {
            let (start, piece) = (random.below(bent.len() + 1), PIECES[random.below(PIECES.len())]);
            let end = (start + random.below(12)).min(bent.len());
            bent.splice(start..end, piece.iter().copied());
        }
        let _ = ring.authenticate(&bent, Some("lab"));
        let _ = Keyring::parse(&bent, |_| None);
    }
}
