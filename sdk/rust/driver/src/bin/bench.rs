//! What signing and verifying cost on one core, beside the bare primitives on the same bytes in the
//! same run. The last line is a JSON object of the figures: rates a second, allocations a record.
//!
//! Each rate is that of the fastest of many slices, shorter than a scheduler's and taken in turn, so that
//! what else the machine does is left out and meets both sides of a comparison.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use fractal_lba_core::{
    ed25519_public, encode_base64, sign_ed25519, summarise_bytes, verify_ed25519,
    verify_ed25519_batch, Draft, Keyring, SignedMessage, Signer, DEFAULT_SCALES, DEFAULT_SEED,
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

const RECORDS: usize = 2_000;
const SLICES: usize = 150;
const SLICE: Duration = Duration::from_millis(2);
/// The clock is read once for so many calls: to read it costs a twentieth of a short one.
const CALLS_BETWEEN: usize = 4;
const BATCHES: &str = "ed25519_verify_batch";
const BATCH: usize = 64;
const SECRET: [u8; 32] = [7; 32];

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on as it came, and the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the place came from `alloc` above, and so from the system.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as of `dealloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A thing to measure: does its work once for the record of that place.
type Work<'a> = (&'static str, Box<dyn FnMut(usize) + 'a>);

fn main() {
    let drafts = drafts();
    let (hmac, ed25519) = signers();
    let inputs: Vec<Vec<u8>> = drafts
        .iter()
        .map(|draft| hmac.sign(draft.clone()).expect("a sound draft").signing_input())
        .collect();
    let signed: Vec<[u8; 64]> = inputs.iter().map(|input| sign_ed25519(&SECRET, input)).collect();
    let public = ed25519_public(&SECRET);
    let batches: Vec<Vec<SignedMessage<'_>>> = inputs
        .chunks_exact(BATCH)
        .zip(signed.chunks_exact(BATCH))
        .map(|(messages, signatures)| {
            let pairs = messages.iter().zip(signatures);
            pairs.map(|(message, signature)| item(&public, message, signature)).collect()
        })
        .collect();
    let ring = ring();
    let bodies: Vec<Vec<u8>> = drafts
        .iter()
        .map(|draft| hmac.sign(draft.clone()).expect("a sound draft").stored_bytes())
        .collect();

    let keyed = Hmac::<Sha256>::new_from_slice(&SECRET).expect("any secret will do");
    let bare_key = SigningKey::from_bytes(&SECRET);
    let (mut out, mut other) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let works: Vec<Work<'_>> = vec![
        (
            "hmac_sign_canonical",
            Box::new(|at| hmac.sign_into(&drafts[at], &mut out).expect("sound")),
        ),
        (
            "hmac_bare",
            Box::new(|at| {
                black_box(keyed.clone().chain_update(&inputs[at]).finalize());
            }),
        ),
        ("ed25519_sign", Box::new(|at| ed25519.sign_into(&drafts[at], &mut other).expect("sound"))),
        (
            "ed25519_sign_bare",
            Box::new(|at| {
                black_box(ed25519_dalek::Signer::sign(&bare_key, &inputs[at]));
            }),
        ),
        (
            "ed25519_verify_single",
            Box::new(|at| {
                assert!(verify_ed25519(&public, &inputs[at], &signed[at]));
            }),
        ),
        (
            BATCHES,
            Box::new(|at| {
                let holds = verify_ed25519_batch(&batches[at % batches.len()]);
                assert!(holds.iter().all(|holds| *holds));
            }),
        ),
        (
            "verify",
            Box::new(|at| {
                black_box(ring.authenticate(&bodies[at], None).expect("its own signature"));
            }),
        ),
    ];
    report(works, inputs[0].len());
}

fn report(mut works: Vec<Work<'_>>, bytes: usize) {
    let mut figures = Vec::new();
    for (name, rate, allocations) in measured(&mut works) {
        let rate = if name == BATCHES { rate * BATCH as f64 } else { rate };
        println!("{name}: {rate:.0} a second, {allocations:.2} allocations each");
        figures.push(format!("\"{name}\":{rate:.1}"));
        let counted = match name {
            "hmac_sign_canonical" => "hmac_sign",
            "ed25519_sign" | "verify" => name,
            _ => continue,
        };
        figures.push(format!("\"allocs_{counted}\":{allocations:.3}"));
    }
    println!("of {bytes} signed bytes a record; batches of {BATCH} by one key");
    println!("{{{}}}", figures.join(","));
}

/// Returns each work's name, calls a second in its fastest slice, and allocations a call.
fn measured(works: &mut [Work<'_>]) -> Vec<(&'static str, f64, f64)> {
    let mut found: Vec<(&'static str, f64, f64)> =
        works.iter().map(|(name, _)| (*name, 0.0, 0.0)).collect();
    for _ in 0..SLICES {
        for ((name, work), (_, fastest, allocations)) in works.iter_mut().zip(&mut found) {
            let (before, began) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
            let mut calls = 0;
            let between = if *name == BATCHES { 1 } else { CALLS_BETWEEN };
            while began.elapsed() < SLICE {
                for _ in 0..between {
                    work(calls % RECORDS);
                    calls += 1;
                }
            }
            let rate = calls as f64 / began.elapsed().as_secs_f64();
            let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
            *fastest = fastest.max(rate);
            *allocations = allocated as f64 / calls as f64;
        }
    }
    found
}

fn item<'a>(public: &'a [u8], message: &'a [u8], signature: &'a [u8]) -> SignedMessage<'a> {
    SignedMessage { public, message, signature }
}

/// One real summary at epochs of its own, as the other SDKs' benchmarks have it.
fn drafts() -> Vec<Draft> {
    let window = include_bytes!("bench.rs");
    let summary = summarise_bytes(&window[..4096], DEFAULT_SEED, &DEFAULT_SCALES);
    let summary = summary.expect("a window");
    let epochs = 0..RECORDS as u64;
    epochs.map(|epoch| summary.clone().draft("benchmark", epoch, 1_795_000_000_000)).collect()
}

fn signers() -> (Signer, Signer) {
    let hmac = Signer::hmac("bench-hmac", &SECRET).expect("a signer");
    (hmac, Signer::ed25519("bench-ed25519", &SECRET).expect("a signer"))
}

fn ring() -> Keyring {
    let file = format!(
        r#"{{"keys":[{{"kid":"bench-hmac","tenant":"bench","alg":"hmac-sha256","secret":"base64:{}"}}]}}"#,
        encode_base64(&SECRET)
    );
    Keyring::parse(file.as_bytes(), |_| None).expect("a ring")
}
