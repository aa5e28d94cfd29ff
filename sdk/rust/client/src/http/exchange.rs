//! One request and its answer: HTTP in and out on one side, values on the other.
//!
//! Four rules: a redirect is not followed, an answer's size is bounded, a compressed answer, which
//! nobody asked for, is not undone, and no error holds a body or the token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, Request, Response};
use ureq::{Agent, AsSendBody, Body};

use super::answer::{Answer, parse_retry_after, problem_code};
use super::batch::{ANSWER_LINE_BYTES_MAX, Encoding, joined, read_lines};
use super::scheme::speaks_tls;
use crate::Error;

/// A read answer is the largest: a record of at most 64 KiB, its outcome and at most 8 conflicts of
/// 64 KiB. A page of a listing is smaller.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// A whole listing as lines has no such bound; this many bytes are held of one.
pub(super) const LISTING_BYTES_MAX: u64 = 64 << 20;

/// What left the fate of a request open.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub message: String,
    pub code: Option<String>,
    pub retry_after: Option<Duration>,
    pub fault: Option<Fault>,
}

/// What makes every further attempt end like this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    #[cfg(feature = "tls")]
    Untrusted,
    Scheme,
}

impl Open {
    /// An answer that is not final, or is none about the record that was sent.
    pub(crate) fn of_answer(answer: &Answer) -> Self {
        Self::of("server", answer)
    }

    /// No time for a request is left.
    pub(crate) fn late(requests: u32) -> Self {
        Self::saying(format!("expected an answer, got none in the time of {requests} requests"))
    }

    pub(super) fn of(place: &str, answer: &Answer) -> Self {
        let code = answer.code.as_deref().map(|code| format!(" {}", code.escape_debug()));
        Self {
            message: format!(
                "{place}: expected a final answer, got {}{}",
                answer.status,
                code.unwrap_or_default()
            ),
            code: answer.code.clone(),
            retry_after: answer.retry_after,
            fault: None,
        }
    }

    /// The error that ends all attempts after so many, where another would end like this one.
    pub(crate) fn ending(&self, attempts: u32) -> Option<Error> {
        let message = self.message.clone();
        self.fault.map(|fault| match fault {
            #[cfg(feature = "tls")]
            Fault::Untrusted => Error::Untrusted { message, attempts },
            Fault::Scheme => Error::Scheme { message, attempts },
        })
    }

    fn saying(message: String) -> Self {
        Self { message, code: None, retry_after: None, fault: None }
    }
}

/// What a server said to a batch as a whole.
pub(crate) enum Whole {
    /// An answer for each line, final or not.
    Lines(Vec<Answer>),
    /// A final refusal, which says nothing about any of the records.
    Refused(Answer),
}

/// A way to one server.
#[derive(Clone)]
pub(super) struct Exchange {
    agent: Agent,
    base: String,
    authorization: Option<String>,
    timeout: Duration,
    /// Something that is HTTP came back once: the scheme is right.
    has_answered: Arc<AtomicBool>,
}

impl Exchange {
    pub(super) fn new(
        agent: Agent,
        base: String,
        authorization: Option<String>,
        timeout: Duration,
    ) -> Self {
        Self { agent, base, authorization, timeout, has_answered: Arc::default() }
    }

    /// The server's URL, which holds no secret.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Send one record once.
    pub(super) fn submit(&self, body: &[u8], left: Duration) -> Result<Answer, Open> {
        let request =
            self.request("POST", "/v1/pcs/submit", &[("content-type", "application/json")]);
        self.call("POST submit", request.body(body), ANSWER_BYTES_MAX, left)
    }

    /// Send records in one request once.
    pub(super) fn batch(
        &self,
        bodies: &[&[u8]],
        encoding: Encoding,
        left: Duration,
    ) -> Result<Whole, Open> {
        let place = "POST batch";
        let lines =
            encoding.encode(joined(bodies)).map_err(|error| Open::saying(error.to_string()))?;
        let mut headers = vec![("content-type", "application/x-ndjson")];
        headers.extend(encoding.name().map(|name| ("content-encoding", name)));
        let request = self.request("POST", "/v1/pcs/batch", &headers);
        let bytes_max = ANSWER_BYTES_MAX.max(bodies.len() as u64 * ANSWER_LINE_BYTES_MAX);
        let answer = self.call(place, request.body(lines.as_slice()), bytes_max, left)?;
        match answer.status {
            200 => read_lines(&answer.body, bodies.len())
                .map(Whole::Lines)
                .map_err(|wrong| Open::saying(format!("{place}: {wrong}"))),
            status if status / 100 == 4 && super::answer::is_final(status) => {
                Ok(Whole::Refused(answer))
            }
            _ => Err(Open::of(place, &answer)),
        }
    }

    /// Ask for something once; `path` is encoded as it has to be.
    pub(super) fn get(
        &self,
        path: &str,
        accept: &str,
        bytes_max: u64,
        left: Duration,
    ) -> Result<Answer, Open> {
        let request = self.request("GET", path, &[("accept", accept)]);
        self.call("GET", request.body(()), bytes_max, left)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> ureq::http::request::Builder {
        let url = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(url);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    fn call(
        &self,
        place: &str,
        request: ureq::http::Result<Request<impl AsSendBody>>,
        bytes_max: u64,
        left: Duration,
    ) -> Result<Answer, Open> {
        let place = format!("{place} {}", self.base);
        let failed = |error: &ureq::Error| {
            let got = words_of(error, bytes_max);
            let open = Open::saying(format!("{place}: expected an answer, got {got}"));
            self.fault_in(error, left).map_or(open, |(fault, words)| Open {
                fault: Some(fault),
                ..Open::saying(format!("{place}: {words}"))
            })
        };
        let request = request.map_err(|_| {
            Open::saying(format!("{place}: expected a request, got one that is no HTTP"))
        })?;
        let timeout = self.timeout.min(left);
        let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
        let mut response = self.agent.run(request).map_err(|error| failed(&error))?;
        self.has_answered.store(true, Ordering::Relaxed);
        let encoding = text_of(response.headers(), "content-encoding");
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(Open::saying(format!(
                "{place}: expected an answer that is not compressed, got one that is"
            )));
        }
        let body = read_bounded(&mut response, bytes_max).map_err(|error| failed(&error))?;
        Ok(answer_of(&response, body))
    }

    /// What would end every further attempt in the same way, and how it reads.
    fn fault_in(&self, error: &ureq::Error, left: Duration) -> Option<(Fault, String)> {
        let has_answered = self.has_answered.load(Ordering::Relaxed);
        #[cfg(feature = "tls")]
        if let Some(found) = super::trust::fault_of(error, has_answered) {
            return Some(found);
        }
        // Whoever speaks TLS hangs up on HTTP, or sends what is none.
        let is_no_answer = matches!(error, ureq::Error::Io(_) | ureq::Error::Protocol(_));
        let authority = self.base.strip_prefix("http://")?.split('/').next()?;
        if has_answered || !is_no_answer || !speaks_tls(authority, left) {
            return None;
        }
        let words =
            "expected HTTP, as http:// says, got a server that speaks TLS: https:// is its URL";
        Some((Fault::Scheme, words.to_owned()))
    }
}

fn read_bounded(response: &mut Response<Body>, bytes_max: u64) -> Result<Vec<u8>, ureq::Error> {
    // One more is asked for, so that an answer of just so many bytes is one.
    let body = response.body_mut().with_config().limit(bytes_max + 1).read_to_vec()?;
    if body.len() as u64 > bytes_max {
        return Err(ureq::Error::BodyExceedsLimit(bytes_max));
    }
    Ok(body)
}

fn answer_of(response: &Response<Body>, body: Vec<u8>) -> Answer {
    let headers = response.headers();
    let status = response.status().as_u16();
    let replayed = text_of(headers, "idempotent-replayed");
    Answer {
        status,
        replayed: replayed.is_some_and(|text| text.eq_ignore_ascii_case("true")),
        received_at: text_of(headers, "x-received-at").map(str::to_owned),
        retry_after: parse_retry_after(
            text_of(headers, "retry-after"),
            text_of(headers, "date"),
            SystemTime::now(),
        ),
        code: problem_code(status, &body),
        attempts: 1,
        body,
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// What went wrong, in words that hold nothing that was sent or received.
fn words_of(error: &ureq::Error, bytes_max: u64) -> String {
    match error {
        ureq::Error::Timeout(_) => "none in time".to_owned(),
        ureq::Error::HostNotFound => "no such host".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::BodyExceedsLimit(_) => format!("one over {bytes_max} bytes"),
        ureq::Error::Io(error) => error.kind().to_string(),
        ureq::Error::Tls(_) => "no TLS that is trusted".to_owned(),
        #[cfg(feature = "tls")]
        ureq::Error::Rustls(_) => "no TLS that is trusted".to_owned(),
        _ => "something that is no whole HTTP answer".to_owned(),
    }
}
