//! Send Fractal LBA records to a server, and keep them on disk until it has answered.
//!
//! [`Client`] speaks HTTP: it submits signed records, alone or in batches, tries again with full
//! jitter and the server's `Retry-After` until an answer is final, and reads records back.
//! [`Outbox`] is durable: what [`Outbox::append`] returned is on disk, survives a crash, and is sent
//! by [`Outbox::ship`] until each record has its final answer. Its files are those of the project's
//! agent, so that each program reads and recovers what the others wrote.
//!
//! Records are signed by the crate `fractal-lba-core`; this crate takes their bytes. Nothing here
//! logs a record or a token, no error holds one, and nothing waits without a bound.
//!
//! # Features
//!
//! Neither is on by default, so that a sender within a private network builds in seconds.
//!
//! - `tls`: `https` by rustls.
//! - `zstd`: batches compressed by zstd beside gzip.

#![forbid(unsafe_code)]

mod error;
mod http;
#[cfg(unix)]
mod outbox;
#[cfg(all(test, unix))]
mod tests;
#[cfg(unix)]
mod wal;

pub use error::{Error, ErrorKind, Result};
pub use http::{
    Answer, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Client, ClientBuilder, Encoding, RECORD_BYTES_MAX,
    RetryPolicy, split_batch,
};
#[cfg(unix)]
pub use outbox::{Outbox, OutboxOptions, Shipped, Window};
