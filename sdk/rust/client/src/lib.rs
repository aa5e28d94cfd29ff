//! Sends Fractal LBA records to a server, and keeps them on disk until it answers.
#![forbid(unsafe_code)]
