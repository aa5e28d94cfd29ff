//! The driver's requests: each group of ops answers its own, in `sdk/driver.md`'s words.

use std::panic::{catch_unwind, AssertUnwindSafe};

use fractal_lba_core::{
    canonical, encode_base64, parse_json, Draft, Object, Signer, Value, JCS_DEPTH_MAX,
};

use crate::answers::refused;
use crate::fields::{base64, member, object, text};
use crate::suites::{suite, SUITES};

/// Some of the driver's ops.
pub trait Ops {
    /// The names of the ops that [`Ops::answer`] has.
    fn names(&self) -> &[&'static str];

    /// Answers a request whose `op` is one of [`Ops::names`]; a panic is answered for it.
    fn answer(&mut self, op: &str, request: &Object) -> Object<'static>;
}

/// Answers one line of input.
#[must_use]
pub fn answer_line(groups: &mut [Box<dyn Ops>], line: &[u8]) -> Vec<u8> {
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let request = parse_json(line, JCS_DEPTH_MAX).expect("a request is strict JSON");
        let request = request.as_object().expect("a request is an object");
        canonical(&answer(groups, request).into()).expect("an answer has canonical bytes")
    }));
    answered.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        let crash = object([("crash", said.into())]).into();
        canonical(&crash).expect("a text has canonical bytes")
    })
}

fn answer(groups: &mut [Box<dyn Ops>], request: &Object) -> Object<'static> {
    let op = text(request, "op");
    if op == "hello" {
        return hello(groups);
    }
    match groups.iter_mut().find(|group| group.names().contains(&op)) {
        Some(group) => group.answer(op, request),
        None => object([("unknown", op.into())]),
    }
}

fn hello(groups: &[Box<dyn Ops>]) -> Object<'static> {
    let files = SUITES.iter().filter(|suite| suite.answer.is_some());
    let files: Vec<Value> = files.map(|suite| format!("{}.json", suite.name).into()).collect();
    let names = groups.iter().flat_map(|group| group.names());
    let mut ops: Vec<Value> = vec!["hello".into()];
    ops.extend(names.map(|name| Value::from(*name)));
    object([
        ("sdk", "rust".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("files", files.into()),
        ("ops", ops.into()),
    ])
}

/// The ops of the core: golden vectors and signing.
pub struct CoreOps;

impl Ops for CoreOps {
    fn names(&self) -> &[&'static str] {
        &["answer", "sign"]
    }

    fn answer(&mut self, op: &str, request: &Object) -> Object<'static> {
        match op {
            "answer" => answer_case(request),
            "sign" => sign(request),
            _ => unreachable!("{op} is not among the names"),
        }
    }
}

fn answer_case(request: &Object) -> Object<'static> {
    let file = text(request, "file");
    let input = member(request, "input").as_object().expect("an input is an object");
    let known = file.strip_suffix(".json").and_then(suite).and_then(|suite| suite.answer);
    let Some(answer) = known else {
        return object([("unknown", file.into())]);
    };
    let (result, expected) = match answer(input) {
        Ok(expected) => ("valid", expected),
        Err(expected) => ("invalid", expected),
    };
    object([("result", result.into()), ("expected", expected.into())])
}

fn sign(request: &Object) -> Object<'static> {
    let (kid, secret) = (text(request, "kid"), base64(request, "secret"));
    let signer = match text(request, "alg") {
        "hmac" => Signer::hmac(kid, &secret),
        "ed25519" => Signer::ed25519(kid, &secret),
        _ => panic!("alg: expected hmac or ed25519"),
    };
    let signer = signer.unwrap_or_else(|error| panic!("{error}"));
    let members = member(request, "record").as_object().expect("a record is an object");
    match Draft::from_members(members).and_then(|draft| signer.sign(draft)) {
        Ok(record) => object([("body", encode_base64(&record.stored_bytes()).into())]),
        Err(refusal) => object([("refused", refused(&refusal).into())]),
    }
}
