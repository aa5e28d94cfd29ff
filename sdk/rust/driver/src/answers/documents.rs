//! `canonical.json` and `json_refusals.json`: strict JSON and its canonical bytes.

use fractal_lba_core::{
    canonical, hex, parse_json, Object, Value, JCS_DEPTH_MAX, RECORD_DEPTH_MAX,
};

use crate::answers::{real, refused, Answer};
use crate::fields::{hexadecimal, object, text};

/// Answers `canonical.json`.
pub fn canonical_json(given: &Object) -> Answer {
    parsed(&hexadecimal(given, "document"), JCS_DEPTH_MAX)
}

/// Answers `json_refusals.json`.
///
/// # Panics
///
/// The layer is none.
pub fn json_refusals(given: &Object) -> Answer {
    let depth_max = match text(given, "layer") {
        "jcs" => JCS_DEPTH_MAX,
        "record" => RECORD_DEPTH_MAX,
        _ => panic!("layer: expected jcs or record"),
    };
    parsed(&hexadecimal(given, "document"), depth_max)
}

fn parsed(document: &[u8], depth_max: usize) -> Answer {
    let value = parse_json(document, depth_max).map_err(|refusal| refused(&refusal))?;
    let mut numbers = Vec::new();
    collect_numbers(&value, &mut numbers);
    let bytes = canonical(&value).expect("what was parsed has canonical bytes");
    Ok(object([("canonical", hex(&bytes).into()), ("numbers", numbers.into())]))
}

/// Collects each number of a value in the order of its canonical text.
fn collect_numbers(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Number(number) => found.push(real(*number)),
        Value::Array(items) => items.iter().for_each(|item| collect_numbers(item, found)),
        Value::Object(members) => {
            members.iter().for_each(|(_, item)| collect_numbers(item, found));
        }
        _ => {}
    }
}
