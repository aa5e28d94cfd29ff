//! The bounds of an outbox.

use std::time::Duration;

use crate::{Error, Result};

/// How much an outbox holds, and in what segments. Nothing is ever dropped to make room: an append
/// that finds none is refused.
///
/// ```
/// use fractal_lba_client::OutboxOptions;
///
/// let options = OutboxOptions { records_max: 10_000, ..OutboxOptions::default() };
/// assert_eq!(options.segment_bytes_max, 8 << 20);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxOptions {
    /// Windows without a final answer, 1 or more. The default, 1,000,000, is a weekend of some
    /// windows a second.
    pub records_max: usize,
    /// Bytes of their frames, 1 or more; 1 GiB by default. A window is taken as long as fewer wait,
    /// so that the last one may pass it.
    pub bytes_max: u64,
    /// A segment is closed before it grows beyond, 4 MiB … 1 GiB; 8 MiB by default. It is what
    /// opening reads whole, and what is given up at once.
    pub segment_bytes_max: u64,
    /// A segment that holds something is closed at this age, a minute or more, so that what it holds
    /// can be checked as a whole; a day by default, `None` for never.
    pub segment_age_max: Option<Duration>,
}

const SEGMENT_BYTES_MIN: u64 = 4 << 20;
const SEGMENT_BYTES_LIMIT: u64 = 1 << 30;
const SEGMENT_AGE_MIN: Duration = Duration::from_secs(60);

impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            records_max: 1_000_000,
            bytes_max: 1 << 30,
            segment_bytes_max: 8 << 20,
            segment_age_max: Some(Duration::from_secs(86_400)),
        }
    }
}

impl OutboxOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if self.records_max == 0 || self.bytes_max == 0 {
            return Err(Error::contract("outbox: expected room for a window, got none"));
        }
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_LIMIT).contains(&self.segment_bytes_max) {
            return Err(Error::contract(format!(
                "outbox: expected segments of {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_LIMIT} bytes, \
                 got {}",
                self.segment_bytes_max
            )));
        }
        match self.segment_age_max.filter(|age| *age < SEGMENT_AGE_MIN) {
            Some(age) => Err(Error::contract(format!(
                "outbox: expected segments closed at {SEGMENT_AGE_MIN:?} or later, got {age:?}"
            ))),
            None => Ok(()),
        }
    }
}
