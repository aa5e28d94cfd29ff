//! A number in JSON is the double nearest to it, whichever way the reader takes.

use fractal_lba_core::{parse_json, Value, JCS_DEPTH_MAX};

const LITERALS: usize = 200_000;

fn next(word: &mut u64) -> u64 {
    *word ^= *word << 13;
    *word ^= *word >> 7;
    *word ^= *word << 17;
    *word
}

/// Returns 1 to 18 digits, mostly with a point among them and sometimes with a sign before them.
fn literal(word: &mut u64) -> String {
    let digits = (next(word) % 10_u64.pow(1 + (next(word) % 18) as u32)).to_string();
    let point = next(word) as usize % (digits.len() + 2);
    let sign = ["", "-"][next(word) as usize % 2];
    match point {
        0 => format!("{sign}0.{digits}"),
        _ if point < digits.len() => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
        _ => format!("{sign}{digits}"),
    }
}

#[test]
fn a_literal_is_the_double_that_is_nearest_to_it() {
    let mut word = 42;
    for _ in 0..LITERALS {
        let literal = literal(&mut word);
        let expected = literal.parse::<f64>().expect("a number") + 0.0;
        match parse_json(literal.as_bytes(), JCS_DEPTH_MAX) {
            Ok(Value::Number(read)) => assert_eq!(read.to_bits(), expected.to_bits(), "{literal}"),
            other => panic!("{literal}: {other:?}"),
        }
    }
}

#[test]
fn a_text_that_is_nearly_a_number_is_none() {
    for text in ["", "-", ".", "1.", ".5", "-.5", "01", "-01", "00", "1.2.3", "1-2", "+1", "1..2"] {
        let refusal = parse_json(text.as_bytes(), JCS_DEPTH_MAX).expect_err(text);
        assert_eq!(refusal.reason, "syntax", "{text}");
    }
}
