//! What the module keeps between two calls.

use std::collections::BTreeMap;

use fractal_lba_core::{Keyring, Signer};

/// The bytes of the request and of the answer, and what handles stand for.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Vec<u8>,
    pub(crate) held: Held,
}

/// What handles stand for, until they are given back.
#[derive(Default)]
pub(crate) struct Held {
    last: u32,
    pub(crate) signers: BTreeMap<u32, Signer>,
    pub(crate) keyrings: BTreeMap<u32, Keyring>,
}

impl Held {
    /// Returns a handle that was never used.
    pub(crate) fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }
}
