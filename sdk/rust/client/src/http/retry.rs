//! The retry policy: exponential backoff with full jitter, and the server's word above it.

use std::time::{Duration, Instant};

/// How a call is repeated until an answer is final.
///
/// ```
/// use std::time::Duration;
///
/// let policy = fractal_lba_client::RetryPolicy { retries: 3, ..Default::default() };
/// assert_eq!(policy.deadline, Duration::from_secs(120));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts behind the first one; 10 by default, which outlasts a server's restart.
    pub retries: u32,
    /// For one call with all its attempts and waits; 2 minutes by default.
    pub deadline: Duration,
    /// Upper bound of the first wait, 100 ms by default; each further one doubles it. A tenth of a
    /// second is what a server needs to bind its port again.
    pub wait_first: Duration,
    /// Where the doubling ends, 10 s by default: it keeps a fleet's load on a server that is down
    /// low, and its delay after the server is back short.
    pub wait_max: Duration,
    /// A longer `Retry-After` counts as this, 5 minutes by default: a mistaken date must not silence
    /// a sender for a year.
    pub retry_after_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 10,
            deadline: Duration::from_secs(120),
            wait_first: Duration::from_millis(100),
            wait_max: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// How long to wait behind an attempt (1 and up): full jitter, on top of what the server asked.
    ///
    /// The jitter is added, not replaced: a server that tells everyone "in one second" would
    /// otherwise be met by everyone in the same instant. `chance` is from 0 to below 1.
    ///
    /// Source: Brooker (2015), "Exponential backoff and jitter", the variant called full jitter.
    pub(crate) fn wait(&self, attempt: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let ceiling = self.wait_first.saturating_mul(doubled).min(self.wait_max);
        let asked = asked.unwrap_or_default().min(self.retry_after_max);
        asked.saturating_add(ceiling.mul_f64(chance))
    }
}

/// A number from 0 to below 1; the middle where the system gives none.
pub(crate) fn chance() -> f64 {
    let bits = getrandom::u32().unwrap_or(1 << 31);
    f64::from(bits) / 4_294_967_296.0
}

/// When a call has to have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn within(length: Duration) -> Self {
        // Without end where the sum has none: a century is longer than any process.
        let far = Duration::from_secs(3_000_000_000);
        let now = Instant::now();
        Self(now.checked_add(length.min(far)).unwrap_or(now))
    }

    /// What is left, zero where nothing is.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_add_what_the_server_asked() {
        let policy = RetryPolicy::default();
        let millis = |attempt, asked, chance| policy.wait(attempt, asked, chance).as_millis();
        assert_eq!(millis(1, None, 0.0), 0);
        assert_eq!(millis(1, None, 0.5), 50);
        assert_eq!(millis(4, None, 0.5), 400);
        assert_eq!(millis(u32::MAX, None, 0.5), 5_000);
        assert_eq!(millis(1, Some(Duration::from_secs(2)), 0.5), 2_050);
        assert_eq!(millis(1, Some(Duration::MAX), 0.0), 300_000);
    }

    #[test]
    fn chance_stays_below_one() {
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&chance()));
        }
    }
}
