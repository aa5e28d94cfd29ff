//! A dead letter: one record whose final answer was no acceptance, as one line of JSON.
//!
//! ```text
//! {"outbox_seq","pcs_id","epoch","shard_id","status","code","answer","record","at","v"}
//! ```
//!
//! The number stands first, so that what is left of a torn line shows whose it was; `record` is the
//! record's own bytes (`specs/agent.md` section 4).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Window;
use super::record::Named;
use crate::http::Answer;
use crate::{Error, Result};

const FORMAT: u64 = 1;
/// Problem documents and decisions are far below; a proxy's page is cut, the record is not.
const ANSWER_CHARACTERS_MAX: usize = 16_384;
const SEQ_MAX: u64 = (1 << 53) - 1;
const BEGINS: &[u8] = br#"{"outbox_seq":"#;
const DAY_S: u64 = 86_400;

/// The line of a window and its final answer, with its line end.
pub(crate) fn letter_line(window: &Window, named: &Named, answer: &Answer, now_ns: u64) -> Vec<u8> {
    let said: String =
        String::from_utf8_lossy(&answer.body).chars().take(ANSWER_CHARACTERS_MAX).collect();
    let mut line = format!(
        "{{\"outbox_seq\":{},\"pcs_id\":{},\"epoch\":{},\"shard_id\":{},\"status\":{},\"code\":{},\"answer\":{},\"record\":",
        window.seq,
        json!(named.pcs_id),
        named.epoch,
        json!(named.shard_id),
        answer.status,
        json!(answer.code),
        json!(said),
    )
    .into_bytes();
    line.extend_from_slice(&window.body);
    line.extend_from_slice(
        format!(",\"at\":\"{}\",\"v\":{FORMAT}}}\n", timestamp(now_ns)).as_bytes(),
    );
    line
}

/// The number of the letter that a line holds, `None` where it holds none.
///
/// # Errors
///
/// `Newer`: a later program wrote it.
pub(crate) fn read_letter(line: &[u8]) -> Result<Option<u64>> {
    let Ok(members) = serde_json::from_slice::<Map<String, Value>>(line) else {
        return Ok(None);
    };
    let whole = |name: &str| members.get(name).and_then(Value::as_u64);
    if let Some(version) = whole("v").filter(|version| *version > FORMAT) {
        return Err(Error::Newer {
            message: format!("dead letters: expected format {FORMAT}, got {version}"),
        });
    }
    let is = |name: &str, is_it: fn(&Value) -> bool| members.get(name).is_some_and(is_it);
    let texts = ["pcs_id", "shard_id", "answer", "at"];
    let is_letter = texts.iter().all(|name| is(name, Value::is_string))
        && ["epoch", "status", "v"].iter().all(|name| is(name, Value::is_i64))
        && is("code", |code| code.is_string() || code.is_null())
        && members.contains_key("record");
    Ok(whole("outbox_seq").filter(|seq| is_letter && (1..=SEQ_MAX).contains(seq)))
}

/// The number that a line begins with, whatever is left of the rest; `None` for none.
pub(crate) fn begun_with(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(BEGINS)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    if rest[end] != b',' {
        return None;
    }
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// A moment as records have it: `2026-11-22T06:00:00.000Z`.
fn timestamp(now_ns: u64) -> String {
    let since = Duration::from_nanos(now_ns);
    let (days, second) = (since.as_secs() / DAY_S, since.as_secs() % DAY_S);
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day so many days behind 1970-01-01.
fn date_of(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    loop {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [31, 28 + u64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (1..).zip(lengths) {
            if days < length {
                return (year, month, days + 1);
            }
            days -= length;
        }
        year += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(body: &str) -> Vec<u8> {
        let window = Window { seq: 7, received_ns: 0, body: br#"{"a": 1.50}"#.to_vec() };
        let named = Named { pcs_id: "ab".to_owned(), shard_id: "p\"7".to_owned(), epoch: 3 };
        let answer = Answer {
            status: 409,
            body: body.as_bytes().to_vec(),
            replayed: false,
            received_at: None,
            retry_after: None,
            code: Some("pcs_id_conflict".to_owned()),
            attempts: 1,
        };
        letter_line(&window, &named, &answer, 1_795_000_000_123_456_789)
    }

    #[test]
    fn a_line_has_the_agents_members_and_the_records_own_bytes() {
        let text = String::from_utf8(line("{\n}")).expect("UTF-8");
        assert_eq!(
            text,
            concat!(
                r#"{"outbox_seq":7,"pcs_id":"ab","epoch":3,"shard_id":"p\"7","status":409,"#,
                r#""code":"pcs_id_conflict","answer":"{\n}","record":{"a": 1.50},"#,
                r#""at":"2026-11-18T11:06:40.123Z","v":1}"#,
                "\n"
            )
        );
        assert_eq!(read_letter(text.trim_end().as_bytes()).expect("known"), Some(7));
        let long = line(&"é".repeat(20_000));
        assert_eq!(String::from_utf8(long).expect("UTF-8").matches('é').count(), 16_384);
    }

    #[test]
    fn what_is_no_letter_has_no_number_and_a_later_programs_is_refused() {
        let whole = String::from_utf8(line("{}")).expect("UTF-8");
        let whole = whole.trim_end();
        for bent in [
            whole.replace("\"outbox_seq\":7", "\"outbox_seq\":0"),
            whole.replace("\"outbox_seq\":7", "\"outbox_seq\":9007199254740992"),
            whole.replace("\"epoch\":3", "\"epoch\":\"3\""),
            whole.replace("\"v\":1", "\"w\":1"),
            whole.replace("\"code\":", "\"kode\":"),
            whole[..60].to_owned(),
            "[]".to_owned(),
            String::new(),
        ] {
            assert_eq!(read_letter(bent.as_bytes()).expect("no letter"), None, "{bent}");
        }
        let newer = read_letter(whole.replace("\"v\":1", "\"v\":2").as_bytes()).expect_err("newer");
        assert_eq!(newer.kind(), crate::ErrorKind::Newer);
        assert_eq!(begun_with(&whole.as_bytes()[..20]), Some(7));
        assert_eq!(begun_with(b"{\"outbox_seq\":7"), None);
        assert_eq!(begun_with(b"\0\0"), None);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(date_of(11_016), (2000, 2, 29));
        assert_eq!(date_of(20_778), (2026, 11, 21));
        assert_eq!(timestamp(u64::MAX).len(), 24);
    }
}
