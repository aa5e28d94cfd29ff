//! The SDK before the suite: the inputs of golden vectors in, what the SDK says of them out.
#![forbid(unsafe_code)]

pub mod answers;
pub mod fields;
pub mod ops;
pub mod suites;
pub mod vectors;
