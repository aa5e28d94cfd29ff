//! The client: each call is tried again until its answer is final, its retries or its time end.

use super::answer::{Answer, is_final};
use super::batch::{Encoding, check};
use super::builder::ClientBuilder;
use super::exchange::{Exchange, LISTING_BYTES_MAX, Open, Whole};
use super::retry::{Deadline, RetryPolicy, chance};
use crate::{Error, Result};

/// Speaks to one server. Clones share their connections, and every method may be called from any
/// thread; each blocks for the policy's deadline at the most.
///
/// ```
/// # fn main() -> fractal_lba_client::Result<()> {
/// use std::time::Duration;
/// use fractal_lba_client::{Client, ErrorKind, RetryPolicy};
///
/// let client = Client::builder("http://127.0.0.1:9") // nobody is there
///     .token("secret")
///     .retry(RetryPolicy { retries: 1, ..RetryPolicy::default() })
///     .timeout(Duration::from_secs(5))
///     .build()?;
/// let error = client.submit(b"{}").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    exchange: Exchange,
    policy: RetryPolicy,
}

impl std::fmt::Debug for Client {
    /// Without the token.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Client")
            .field("url", &self.exchange.base())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Settings for a client of the server at `http://HOST:PORT` or `https://…`, with a path prefix
    /// if the server has one.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    pub(super) fn new(exchange: Exchange, policy: RetryPolicy) -> Self {
        Self { exchange, policy }
    }

    /// Send one signed record and return the server's final answer, whatever its status: 2xx, or a
    /// 4xx but 408 and 429 (409, 410 and 422 among them).
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Deadline`: no final answer came. Whether the server has the record is unknown;
    /// send the same bytes again. `Untrusted`, `Scheme`: it is not the server that is meant, or is
    /// not spoken to as it speaks.
    pub fn submit(&self, body: &[u8]) -> Result<Answer> {
        self.until_final(|left| self.exchange.submit(body, left))
    }

    /// Send 1 to 10,000 records in one request, each on one line and 16 MiB together, and return the
    /// answer to each. Lines without a final answer are sent again, the others are not.
    /// [`split_batch`](crate::split_batch) makes such pieces of more.
    ///
    /// # Errors
    ///
    /// `Contract`: they are no batch, nothing was sent. Of a record: `Refused`, the server refused
    /// the request as a whole, which says nothing about the record; the others as for
    /// [`Client::submit`].
    pub fn batch(
        &self,
        bodies: &[impl AsRef<[u8]>],
        encoding: Encoding,
    ) -> Result<Vec<Result<Answer>>> {
        let bodies: Vec<&[u8]> = bodies.iter().map(AsRef::as_ref).collect();
        check(&bodies)?;
        let mut answers: Vec<Option<Result<Answer>>> = vec![None; bodies.len()];
        let deadline = Deadline::within(self.policy.deadline);
        let mut attempts = 0;
        let unanswered = loop {
            attempts += 1;
            let open: Vec<usize> = (0..bodies.len()).filter(|at| answers[*at].is_none()).collect();
            let lines: Vec<&[u8]> = open.iter().map(|at| bodies[*at]).collect();
            let why = match self.exchange.batch(&lines, encoding, deadline.left()) {
                Ok(Whole::Refused(answer)) => break refused(&answer, attempts),
                Ok(Whole::Lines(lines)) => {
                    let mut why = None;
                    for (at, line) in open.into_iter().zip(lines) {
                        if is_final(line.status) {
                            answers[at] = Some(Ok(Answer { attempts, ..line }));
                        } else {
                            why = longest(why, Open::of("batch line", &line));
                        }
                    }
                    why
                }
                Err(open) => Some(open),
            };
            let Some(why) = why else {
                break Error::contract("batch: expected every line to be answered");
            };
            if let Err(error) = self.wait(attempts, why, deadline) {
                break error;
            }
        };
        let settled = answers.into_iter();
        Ok(settled.map(|answer| answer.unwrap_or_else(|| Err(unanswered.clone()))).collect())
    }

    /// Read back one record and its outcome; this needs a token with the scope `read`.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Deadline`, `Untrusted`, `Scheme`: no final answer came.
    pub fn get(&self, pcs_id: &str) -> Result<Answer> {
        self.get_version(pcs_id, "1.0")
    }

    /// Read back one record of a version, `"1.0"` or `"0.1"`; see [`Client::get`].
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub fn get_version(&self, pcs_id: &str, version: &str) -> Result<Answer> {
        let path = format!("/v1/pcs/{}?version={}", encoded(pcs_id), encoded(version));
        let bytes_max = 1 << 20;
        self.until_final(|left| self.exchange.get(&path, "application/json", bytes_max, left))
    }

    /// List records: a page as the parameters of `GET /v1/pcs` ask for it (`shard_id`, `from_epoch`,
    /// `outcome`, `limit`, `cursor` …); this needs a token with the scope `read`.
    ///
    /// # Errors
    ///
    /// `Unavailable`, `Deadline`, `Untrusted`, `Scheme`: no final answer came, or one over 64 MiB.
    pub fn list(&self, query: &[(&str, &str)]) -> Result<Answer> {
        let pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        let path = format!("/v1/pcs{mark}{}", pairs.join("&"));
        self.until_final(|left| {
            self.exchange.get(&path, "application/json", LISTING_BYTES_MAX, left)
        })
    }

    pub(crate) fn policy(&self) -> &RetryPolicy {
        &self.policy
    }

    /// Send one record once, within what is left.
    pub(crate) fn submit_once(
        &self,
        body: &[u8],
        left: std::time::Duration,
    ) -> std::result::Result<Answer, Open> {
        self.exchange.submit(body, left)
    }

    /// Send records in one request once; `None` where the whole was refused.
    pub(crate) fn batch_once(
        &self,
        bodies: &[&[u8]],
        left: std::time::Duration,
    ) -> std::result::Result<Option<Vec<Answer>>, Open> {
        match self.exchange.batch(bodies, Encoding::Gzip, left)? {
            Whole::Lines(lines) => Ok(Some(lines)),
            Whole::Refused(_) => Ok(None),
        }
    }

    fn until_final(
        &self,
        attempt: impl Fn(std::time::Duration) -> std::result::Result<Answer, Open>,
    ) -> Result<Answer> {
        let deadline = Deadline::within(self.policy.deadline);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let why = match attempt(deadline.left()) {
                Ok(answer) if is_final(answer.status) => return Ok(Answer { attempts, ..answer }),
                Ok(answer) => Open::of(self.exchange.base(), &answer),
                Err(open) => open,
            };
            self.wait(attempts, why, deadline)?;
        }
    }

    /// Wait before the next attempt, or say why there is none.
    fn wait(&self, attempts: u32, why: Open, deadline: Deadline) -> Result<()> {
        if let Some(ending) = why.ending(attempts) {
            return Err(ending);
        }
        let Open { message, code, retry_after, .. } = why;
        let wait = self.policy.wait(attempts, retry_after, chance());
        let left = deadline.left();
        if left.is_zero() || (wait >= left && attempts <= self.policy.retries) {
            let message = format!("{message}, and the time for another attempt ended");
            return Err(Error::Deadline { message, code, attempts });
        }
        if attempts > self.policy.retries {
            return Err(Error::Unavailable { message, code, retry_after, attempts });
        }
        std::thread::sleep(wait);
        Ok(())
    }
}

fn refused(answer: &Answer, attempts: u32) -> Error {
    let code = answer.code.clone();
    Error::Refused {
        message: format!(
            "batch: expected answers to its lines, got {} {}",
            answer.status,
            code.as_deref().unwrap_or_default().escape_debug()
        ),
        status: answer.status,
        code,
        attempts,
    }
}

/// The one of two that asks for the longer wait.
fn longest(one: Option<Open>, other: Open) -> Option<Open> {
    match one {
        Some(one) if one.retry_after >= other.retry_after => Some(one),
        _ => Some(other),
    }
}

/// A text as it stands in a path or query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
