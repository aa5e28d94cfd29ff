//! Signatures made to part a batch from single verification: parts of small order, errors that cancel.
//!
//! For each the answer is computed with the discrete logarithms that only its maker knows, so that
//! neither way of verifying is the other's judge.

use curve25519_dalek::constants::{ED25519_BASEPOINT_TABLE, EIGHT_TORSION};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use fractal_lba_core::{verify_ed25519, verify_ed25519_batch, SignedMessage};
use sha2::{Digest, Sha512};

/// 2^252 + 27742317777372353535851937790883648493, its low half.
const GROUP_ORDER_LOW: u128 = 27_742_317_777_372_353_535_851_937_790_883_648_493;
const LARGE: usize = 1_000;

#[derive(Clone)]
struct Made {
    public: [u8; 32],
    message: Vec<u8>,
    signature: Vec<u8>,
    is_sound: bool,
}

/// splitmix64: the same draws in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn bytes(&mut self) -> [u8; 32] {
        core::array::from_fn(|_| self.below(256) as u8)
    }

    fn scalar(&mut self) -> Scalar {
        Scalar::from_bytes_mod_order(self.bytes())
    }
}

/// A key a·B + t·T of which both parts are known, T being of order 8.
struct Key {
    scalar: Scalar,
    torsion: usize,
    public: [u8; 32],
}

impl Key {
    fn new(scalar: Scalar, torsion: usize) -> Self {
        let point = &scalar * ED25519_BASEPOINT_TABLE + EIGHT_TORSION[torsion];
        Self { scalar, torsion, public: point.compress().to_bytes() }
    }

    /// Returns a signature of which R has a part of small order and S an error.
    fn sign(&self, message: Vec<u8>, nonce: Scalar, torsion: usize, error: Scalar) -> Made {
        let r: EdwardsPoint = &nonce * ED25519_BASEPOINT_TABLE + EIGHT_TORSION[torsion];
        let r = r.compress().to_bytes();
        let hash = Sha512::new().chain_update(r).chain_update(self.public).chain_update(&message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        let s = nonce + k * self.scalar + error;
        let parts = torsion + usize::from(k.to_bytes()[0] % 8) * self.torsion;
        // S·B = R + k·A: in the part of large order, and in that of small order.
        let is_sound = error == Scalar::ZERO
            && parts % 8 == 0
            && self.scalar != Scalar::ZERO
            && nonce != Scalar::ZERO;
        Made { public: self.public, message, signature: [r, s.to_bytes()].concat(), is_sound }
    }
}

/// Returns S + L, another scalar of the same point.
fn raised(made: &Made) -> Made {
    let mut bent = Made { is_sound: false, ..made.clone() };
    let low = u128::from_le_bytes(bent.signature[32..48].try_into().expect("16 bytes"));
    let high = u128::from_le_bytes(bent.signature[48..].try_into().expect("16 bytes"));
    let (sum, carried) = low.overflowing_add(GROUP_ORDER_LOW);
    bent.signature[32..48].copy_from_slice(&sum.to_le_bytes());
    bent.signature[48..].copy_from_slice(&(high + (1 << 124) + u128::from(carried)).to_le_bytes());
    bent
}

/// Returns signatures by one key: sound ones, and pairs of wrong ones whose errors add up to nothing.
fn of_one_key(draws: &mut Draws, count: usize) -> Vec<Made> {
    // One key in nine is of small order itself.
    let scalar = if draws.below(9) == 0 { Scalar::ZERO } else { draws.scalar() };
    let key = Key::new(scalar, draws.below(8));
    let mut made = Vec::new();
    while made.len() < count {
        let message = draws.bytes()[..draws.below(33)].to_vec();
        let nonce = if draws.below(20) == 0 { Scalar::ZERO } else { draws.scalar() };
        let torsion = draws.below(8);
        match draws.below(6) {
            // Of eight, one R has the part that makes up for the key's: it is looked for.
            0 | 1 => made.extend(
                (0..8)
                    .map(|torsion| key.sign(message.clone(), nonce, torsion, Scalar::ZERO))
                    .find(|made| made.is_sound),
            ),
            2 => {
                let opposite = (8 - torsion) % 8;
                made.push(key.sign(message.clone(), nonce, torsion, Scalar::ZERO));
                made.push(key.sign(message, nonce, opposite, Scalar::ZERO));
            }
            3 => {
                let error = draws.scalar();
                made.push(key.sign(message.clone(), nonce, 0, error));
                made.push(key.sign(message, nonce, 0, -error));
            }
            4 => {
                let sound = key.sign(message, nonce, 0, Scalar::ZERO);
                made.push(raised(&sound));
                made.push(sound);
            }
            _ => {
                let twice = key.sign(message, nonce, 4, Scalar::ZERO);
                made.extend([twice.clone(), twice]);
            }
        }
    }
    made.truncate(count);
    made
}

fn shuffled(draws: &mut Draws, mut made: Vec<Made>) -> Vec<Made> {
    for place in (1..made.len()).rev() {
        made.swap(place, draws.below(place + 1));
    }
    made
}

/// Returns how many of a batch hold, once it says of each what is true.
fn check(made: &[Made]) -> usize {
    let items: Vec<SignedMessage<'_>> = made
        .iter()
        .map(|Made { public, message, signature, .. }| SignedMessage { public, message, signature })
        .collect();
    let together = verify_ed25519_batch(&items);
    assert_eq!(together.len(), made.len());
    for (made, together) in made.iter().zip(&together) {
        let alone = verify_ed25519(&made.public, &made.message, &made.signature);
        assert_eq!((alone, *together), (made.is_sound, made.is_sound), "{:02x?}", made.signature);
    }
    together.into_iter().filter(|holds| *holds).count()
}

#[test]
fn a_batch_is_never_parted_from_single_verification_by_errors_that_cancel() {
    // The sizes at which a key gets a table of its own, and those about them.
    for (seed, size) in [0, 1, 2, 15, 16, 17, 31, 64, 64, 64, 64, 64].into_iter().enumerate() {
        let mut draws = Draws(seed as u64);
        let made = of_one_key(&mut draws, size);
        check(&shuffled(&mut draws, made));
    }
}

#[test]
fn a_large_batch_of_keys_of_every_small_part_says_of_each_what_is_true() {
    let mut draws = Draws(1_000);
    let mut made = Vec::new();
    while made.len() < LARGE {
        let count = [1, 3, 15, 16, 40, 100][draws.below(6)];
        made.extend(of_one_key(&mut draws, count.min(LARGE - made.len())));
    }
    let made = shuffled(&mut draws, made);
    let sound = check(&made);
    // Neither is rare, so that agreement says something.
    assert!((LARGE / 10..LARGE * 9 / 10).contains(&sound), "{sound} sound");
    // A whole batch of one signature, and of its twin that only the cofactor would take.
    let one = made.iter().find(|made| made.is_sound).expect("a sound one");
    let twin = made.iter().find(|made| !made.is_sound).expect("a wrong one");
    assert_eq!(check(&vec![one.clone(); 64]), 64);
    assert_eq!(check(&vec![twin.clone(); 64]), 0);
}
