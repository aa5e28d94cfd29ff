//! The driver's own line protocol.

use fractal_lba_driver::ops::{answer_line, CoreOps, Ops};

fn answered(line: &str) -> String {
    let mut groups: Vec<Box<dyn Ops>> = vec![Box::new(CoreOps)];
    String::from_utf8(answer_line(&mut groups, line.as_bytes())).expect("an answer is text")
}

#[test]
fn an_op_it_does_not_have_is_said_to_be_unknown() {
    assert_eq!(answered(r#"{"op":"fly"}"#), r#"{"unknown":"fly"}"#);
}

#[test]
fn a_panic_is_answered_as_a_crash() {
    assert!(answered(r#"{"op":"answer","file":"ids.json","input":{}}"#).starts_with(r#"{"crash":"#));
}
