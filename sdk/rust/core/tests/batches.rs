//! A batch says of each signature what it is said to be alone.

use fractal_lba_core::{
    ed25519_public, sign_ed25519, verify_ed25519, verify_ed25519_batch, SignedMessage,
};

type Signed = (Vec<u8>, Vec<u8>, Vec<u8>);

fn signed() -> Vec<Signed> {
    // Keys of one, of few and of many signatures, not side by side.
    let seeds = (0..60_u8).map(|place| {
        [match place {
            0 => 0,
            1..=20 => 1 + place % 5,
            _ => 9,
        }; 32]
    });
    seeds
        .enumerate()
        .map(|(place, seed)| {
            let message = format!("message {place}").into_bytes();
            let signature = sign_ed25519(&seed, &message).to_vec();
            (ed25519_public(&seed).to_vec(), message, signature)
        })
        .collect()
}

fn together(signed: &[Signed]) -> Vec<bool> {
    let items: Vec<SignedMessage<'_>> = signed
        .iter()
        .map(|(public, message, signature)| SignedMessage { public, message, signature })
        .collect();
    verify_ed25519_batch(&items)
}

#[test]
fn every_sound_signature_holds_in_a_batch() {
    assert_eq!(together(&signed()), vec![true; 60]);
    assert_eq!(together(&[]), Vec::<bool>::new());
}

#[test]
fn what_is_changed_fails_alone_and_in_a_batch_and_nothing_beside_it() {
    for place in (0..60).step_by(9) {
        for change in 0..6 {
            let mut all = signed();
            match change {
                0 => all[place].0[3] ^= 1,
                1 => all[place].1[0] ^= 1,
                2 => all[place].2[0] ^= 1,
                3 => all[place].2[40] ^= 1,
                // S + L is another scalar of the same point.
                4 => all[place].2[63] |= 0x10,
                _ => all[place].2.truncate(63),
            }
            let alone: Vec<bool> =
                all.iter().map(|(key, message, sig)| verify_ed25519(key, message, sig)).collect();
            assert_eq!(alone.iter().filter(|holds| !**holds).count(), 1);
            assert!(!alone[place]);
            assert_eq!(together(&all), alone);
        }
    }
}
