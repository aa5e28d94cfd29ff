//! The SDK before the suite: the inputs of golden vectors in, what the SDK says of them out.
#![forbid(unsafe_code)]

pub mod answers;
pub mod client;
pub mod fields;
pub mod ops;
pub mod outbox;
pub mod suites;
pub mod vectors;
