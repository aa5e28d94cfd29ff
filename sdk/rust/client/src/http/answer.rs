//! Answers: what a server said, as a value; and which of them are final.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// One final answer of a server.
#[derive(Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as it came: a decision, a record with its outcome, or a problem document.
    pub body: Vec<u8>,
    /// The server had decided this content before and repeats its first answer.
    pub replayed: bool,
    /// When the server received the record, as it wrote it.
    pub received_at: Option<String>,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The stable `code` of a problem document; `None` for any other body.
    pub code: Option<String>,
    /// Requests that were made for it, 1 or more.
    pub attempts: u32,
}

impl std::fmt::Debug for Answer {
    /// Without the body, which may hold a record.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Answer")
            .field("status", &self.status)
            .field("code", &self.code)
            .field("replayed", &self.replayed)
            .field("received_at", &self.received_at)
            .field("retry_after", &self.retry_after)
            .field("attempts", &self.attempts)
            .field("bytes", &self.body.len())
            .finish()
    }
}

impl Answer {
    /// Whether the server accepted the record: 2xx, `escalated` or not.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        self.status / 100 == 2
    }

    /// Whether the record was accepted and a person should look at it: 202.
    #[must_use]
    pub const fn is_escalated(&self) -> bool {
        self.status == 202
    }

    /// Whether it may be taken as one about the record with this id.
    ///
    /// A success must carry the decision with that id, so that a proxy's friendly page is no
    /// acknowledgement; a refusal that decision, or a problem document with a `code` which names no
    /// other record. A 404 or 405 speaks of the address.
    #[must_use]
    pub fn is_about(&self, pcs_id: &str) -> bool {
        if !is_final(self.status) || matches!(self.status, 404 | 405) {
            return false;
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(&self.body) else {
            return false;
        };
        match members.get("pcs_id") {
            Some(Value::String(named)) => named == pcs_id,
            None | Some(Value::Null) => !self.is_accepted() && self.code.is_some(),
            Some(_) => false,
        }
    }
}

/// Whether a status ends the sending of a record: 2xx and every 4xx but 408 and 429. A redirect does
/// not: following it would carry a record to a host nobody configured.
pub(crate) const fn is_final(status: u16) -> bool {
    !matches!(status, 408 | 429) && matches!(status / 100, 2 | 4)
}

const CODE_BYTES_MAX: usize = 64;

/// The `code` of a problem document, `None` where the body is something else.
///
/// A code is a word of at most 64 letters, digits and `_`: it is printed and logged, and a stranger's
/// text in its place may quote a record or the token.
pub(super) fn problem_code(status: u16, body: &[u8]) -> Option<String> {
    if status < 400 {
        return None;
    }
    let problem: Value = serde_json::from_slice(body).ok()?;
    problem.get("code")?.as_str().filter(|code| is_code(code)).map(ToOwned::to_owned)
}

fn is_code(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= CODE_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_part)
}

/// How long a `Retry-After` asks to wait: seconds, or an HTTP date, which is measured from the same
/// answer's `Date`, so that two clocks which disagree do not turn a second into an hour.
pub(super) fn parse_retry_after(
    value: Option<&str>,
    date: Option<&str>,
    now: SystemTime,
) -> Option<Duration> {
    let text = value?.trim();
    // Ten digits hold three centuries.
    if (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let sent = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or(now);
    Some(until.duration_since(sent).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.as_bytes().to_vec(),
            replayed: false,
            received_at: None,
            retry_after: None,
            code: problem_code(status, body.as_bytes()),
            attempts: 1,
        }
    }

    #[test]
    fn final_are_2xx_and_4xx_but_408_and_429() {
        for status in [200, 202, 400, 401, 404, 409, 410, 422] {
            assert!(is_final(status), "{status}");
        }
        for status in [100, 301, 307, 408, 429, 500, 503] {
            assert!(!is_final(status), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_measured_from_the_answers_own() {
        let now = SystemTime::UNIX_EPOCH;
        let seconds = |value, date| parse_retry_after(Some(value), date, now).map(|d| d.as_secs());
        assert_eq!(seconds("7", None), Some(7));
        assert_eq!(seconds(" 0 ", None), Some(0));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:40 GMT", Some(date)), Some(3));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:40 GMT", Some(date)), Some(3));
        assert_eq!(seconds("Sun Nov  6 08:49:40 1994", Some(date)), Some(3));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:30 GMT", Some(date)), Some(0));
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:09 GMT", None), Some(9));
        for bad in ["", "-1", "1.5", "soon", "99999999999", "+3", "１"] {
            assert_eq!(seconds(bad, None), None, "{bad}");
        }
        assert_eq!(parse_retry_after(None, None, now), None);
    }

    #[test]
    fn a_success_without_the_records_id_is_no_acknowledgement() {
        let id = "a".repeat(64);
        let own = format!(r#"{{"pcs_id":"{id}"}}"#);
        assert!(answer(200, &own).is_about(&id));
        assert!(answer(422, &own).is_about(&id));
        assert!(answer(409, r#"{"code":"pcs_id_conflict"}"#).is_about(&id));
        for (status, body) in [
            (200, "<html>welcome</html>"),
            (200, r#"{"code":"x"}"#),
            (200, r#"{"pcs_id":"b"}"#),
            (409, r#"{"code":"pcs_id_conflict","pcs_id":"b"}"#),
            (403, "<html>blocked</html>"),
            (404, r#"{"code":"not_found"}"#),
            (503, own.as_str()),
        ] {
            assert!(!answer(status, body).is_about(&id), "{status} {body}");
        }
    }
}
