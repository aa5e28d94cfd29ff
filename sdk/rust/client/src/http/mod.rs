//! The HTTP client: records to a server, answers back, tried again until they are final.

mod answer;
mod batch;
mod builder;
mod client;
mod exchange;
mod retry;
mod scheme;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod trust;

pub use answer::Answer;
pub use batch::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Encoding, RECORD_BYTES_MAX, split_batch};
pub use builder::ClientBuilder;
pub use client::Client;
pub use retry::RetryPolicy;

pub(crate) use answer::is_final;
pub(crate) use exchange::Open;
pub(crate) use retry::{Deadline, chance};
