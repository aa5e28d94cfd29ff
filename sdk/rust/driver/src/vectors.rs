//! The runner: each file's cases in, what is wrong out.
//!
//! A file, a flag or a field it does not know is a failure: a runner that passes over what it does not
//! know has tested less than it says.

use std::collections::BTreeSet;

use fractal_lba_core::{parse_json, Object, Value, JCS_DEPTH_MAX};

use crate::fields::{count, items, member, text};
use crate::suites::{suite, Suite};

const SCHEMA_VERSION: u64 = 1;
const HEADER: &str = "schema schemaVersion algorithm specification numberOfTests notes tests";
const CASE: &str = "tcId comment flags input result expected";

/// What came of one file.
pub struct Outcome {
    /// How many cases were run; none where a server would have to be asked.
    pub cases: Option<usize>,
    /// What is wrong, a line for each.
    pub failures: Vec<String>,
}

/// Runs the file `name` (without its ending).
#[must_use]
pub fn run(name: &str, file: &[u8]) -> Outcome {
    let Some(suite) = suite(name) else {
        return failed("a file this runner does not know".into());
    };
    let Some(answer) = suite.answer else {
        return Outcome { cases: None, failures: Vec::new() };
    };
    let document = match parse_json(file, JCS_DEPTH_MAX) {
        Ok(Value::Object(document)) => document,
        Ok(_) => return failed("expected an object".into()),
        Err(refusal) => return failed(refusal.to_string()),
    };
    let mut failures = header_failures(suite, &document);
    let cases = items(&document, "tests");
    for (place, case) in cases.iter().enumerate() {
        let wrong = case_failures(suite, answer, place as u64 + 1, case);
        failures.extend(wrong.into_iter().map(|line| format!("{}: {line}", place + 1)));
    }
    Outcome { cases: Some(cases.len()), failures }
}

fn failed(failure: String) -> Outcome {
    Outcome { cases: None, failures: vec![failure] }
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().collect()
}

fn names<'a>(object: &'a Object<'_>) -> BTreeSet<&'a str> {
    object.iter().map(|(name, _)| name).collect()
}

fn differing(what: &str, given: &BTreeSet<&str>, known: &BTreeSet<&str>) -> Vec<String> {
    given.symmetric_difference(known).map(|name| format!("{what} {name}")).collect()
}

fn header_failures(suite: &Suite, document: &Object) -> Vec<String> {
    let mut found = differing("field", &names(document), &words(HEADER));
    if !found.is_empty() {
        return found;
    }
    if count(document, "schemaVersion") != SCHEMA_VERSION {
        found.push("another schemaVersion".into());
    }
    if text(document, "schema") != format!("schemas/{}.schema.json", suite.name) {
        found.push("another schema".into());
    }
    let tests = items(document, "tests");
    if count(document, "numberOfTests") != tests.len() as u64 {
        found.push(format!("{} tests, not numberOfTests", tests.len()));
    }
    let notes = member(document, "notes").as_object().map(names).unwrap_or_default();
    let flags = tests.iter().filter_map(|case| case.as_object()?.get("flags")?.as_array());
    let used: BTreeSet<&str> = flags.flatten().filter_map(Value::as_str).collect();
    let known = words(suite.flags);
    found.extend(notes.difference(&known).map(|flag| format!("unknown flag {flag}")));
    found.extend(differing("not both used and explained: flag", &notes, &used));
    found
}

fn case_failures(
    suite: &Suite,
    answer: fn(&Object) -> crate::answers::Answer,
    place: u64,
    case: &Value,
) -> Vec<String> {
    let Some(case) = case.as_object() else {
        return vec!["expected an object".into()];
    };
    let mut found = differing("field", &names(case), &words(CASE));
    let Some(input) = case.get("input").and_then(Value::as_object) else {
        found.push("no input".into());
        return found;
    };
    found.extend(differing("input field", &names(input), &words(suite.fields)));
    if !found.is_empty() {
        return found;
    }
    if count(case, "tcId") != place {
        found.push("tcId out of order".into());
    }
    let (result, given) = match answer(input) {
        Ok(given) => ("valid", given),
        Err(given) => ("invalid", given),
    };
    let expected = member(case, "expected").as_object();
    // Also `r` and `budget`, for which 0.02 are allowed: the vectors' zlib is the original, and the core
    // counts what the original would write.
    if result != text(case, "result") || expected != Some(&given) {
        let comment = text(case, "comment");
        found.push(format!("{comment}: got {result} {given:?}, expected {expected:?}"));
    }
    found
}
