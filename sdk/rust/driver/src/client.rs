//! The ops of the client: a server is opened, and asked.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use fractal_lba_client::{Answer, Client, Encoding, Error, ErrorKind, Result, RetryPolicy};
use fractal_lba_core::{decode_base64, encode_base64, Object, Value};

use crate::fields::{
    base64, count, items, member, nullable, object, optional_text, text, text_or_null,
};
use crate::ops::Ops;

/// The client that is open, and how long a shipping over it may take.
#[derive(Clone, Default)]
pub struct Opened(Rc<RefCell<Option<(Client, Duration)>>>);

impl Opened {
    /// Returns the client that was opened last.
    ///
    /// # Panics
    ///
    /// None was.
    #[must_use]
    pub fn client(&self) -> (Client, Duration) {
        self.0.borrow().clone().expect("client.open comes first")
    }
}

/// The ops `client.*`.
pub struct ClientOps {
    /// Shared with the outbox, which ships over it.
    pub opened: Opened,
}

impl Ops for ClientOps {
    fn names(&self) -> &[&'static str] {
        &["client.open", "client.submit", "client.batch", "client.get", "client.list"]
    }

    fn answer(&mut self, op: &str, request: &Object) -> Object<'static> {
        match op {
            "client.open" => self.open(request),
            "client.submit" => said(self.opened.client().0.submit(&base64(request, "body"))),
            "client.batch" => self.batch(request),
            "client.get" => said(self.opened.client().0.get(text(request, "pcs_id"))),
            "client.list" => self.list(request),
            _ => unreachable!("{op} is not among the names"),
        }
    }
}

impl ClientOps {
    fn open(&self, request: &Object) -> Object<'static> {
        let deadline_s = member(request, "deadline_s").as_f64().expect("deadline_s: a number");
        let deadline = Duration::from_secs_f64(deadline_s);
        let retries = u32::try_from(count(request, "retries")).expect("retries: a count");
        let policy = RetryPolicy { retries, deadline, ..RetryPolicy::default() };
        let mut builder = Client::builder(text(request, "url")).retry(policy);
        if let Some(token) = text_or_null(request, "token") {
            builder = builder.token(token);
        }
        if let Some(pem) = optional_text(request, "ca") {
            builder = builder.ca_pem(pem);
        }
        if let Some(pem) = optional_text(request, "identity") {
            builder = builder.identity_pem(pem);
        }
        match builder.build() {
            Ok(client) => {
                *self.opened.0.borrow_mut() = Some((client, deadline));
                object([("ok", true.into())])
            }
            Err(error) => unanswered(&error),
        }
    }

    fn batch(&self, request: &Object) -> Object<'static> {
        let bodies = bodies(request);
        let encoding = match text_or_null(request, "encoding") {
            None => Encoding::Identity,
            Some("gzip") => Encoding::Gzip,
            Some("zstd") => Encoding::Zstd,
            Some(other) => return object([("unknown", other.into())]),
        };
        let answers = match self.opened.client().0.batch(&bodies, encoding) {
            Ok(answers) => answers,
            Err(error) => return failed(&error),
        };
        let refused = answers.iter().find_map(|answer| match answer {
            Err(Error::Refused { status, code, attempts, .. }) => Some((*status, code, *attempts)),
            _ => None,
        });
        if let Some((status, code, attempts)) = refused {
            let refusal = object([
                ("status", integer(status.into())),
                ("replayed", false.into()),
                ("code", nullable(code.as_deref())),
                ("body", "".into()),
                ("attempts", integer(attempts.into())),
            ]);
            return object([("refusal", refusal.into())]);
        }
        let lines: Vec<Value> = answers.into_iter().map(|answer| said(answer).into()).collect();
        object([("answers", lines.into())])
    }

    fn list(&self, request: &Object) -> Object<'static> {
        let query = member(request, "query").as_object().expect("a query is an object");
        let query: Vec<(&str, &str)> = query
            .iter()
            .map(|(name, value)| (name, value.as_str().expect("a parameter is a text")))
            .collect();
        said(self.opened.client().0.list(&query))
    }
}

fn said(answer: Result<Answer>) -> Object<'static> {
    match answer {
        Ok(answer) => object([
            ("status", integer(answer.status.into())),
            ("replayed", answer.replayed.into()),
            ("code", nullable(answer.code.as_deref())),
            ("body", encode_base64(&answer.body).into()),
            ("attempts", integer(answer.attempts.into())),
        ]),
        Err(error) => unanswered(&error),
    }
}

/// Returns an error's kind and code, as every op says them.
#[must_use]
pub fn failed(error: &Error) -> Object<'static> {
    let told = object([("kind", kind(error).into()), ("code", nullable(error.code()))]);
    object([("error", told.into())])
}

/// Returns the same of a call to a server, with its words and how many requests it took, for who reads
/// a failure.
fn unanswered(error: &Error) -> Object<'static> {
    let mut told = failed(error);
    told.insert("words", error.to_string().as_str());
    let attempts = error.attempts();
    told.insert("attempts", attempts.map_or(Value::Null, |count| integer(count.into())));
    told
}

/// Returns an error's kind: where the disk takes no more, it is the disk's.
#[must_use]
pub fn kind(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Fenced => ErrorKind::Disk.as_str(),
        kind => kind.as_str(),
    }
}

/// Returns the records of a request.
///
/// # Panics
///
/// One is no base64.
#[must_use]
pub fn bodies(request: &Object) -> Vec<Vec<u8>> {
    let texts = items(request, "bodies").iter().map(|body| body.as_str().expect("a text"));
    texts.map(|text| decode_base64(text).expect("base64")).collect()
}

/// Returns a whole number as JSON has it.
#[must_use]
#[allow(clippy::cast_precision_loss)] // far below 2^53: numbers of frames, statuses and attempts
pub fn integer(number: u64) -> Value<'static> {
    Value::Number(number as f64)
}
