//! `signals_points.json` and `signals_bytes.json`: every value a record takes from its window.

use fractal_lba_core::{summarise_bytes, summarise_points, Object, Summary, Value, WindowError};

use crate::answers::{real, Answer};
use crate::fields::{base64, bytes_of_hex, items, member, object};

/// Answers `signals_points.json`; the text and the bits of each value must agree.
///
/// # Panics
///
/// They do not.
pub fn signals_points(given: &Object) -> Answer {
    let (texts, bits) = (items(given, "rows"), items(given, "rows_bits"));
    assert_eq!(texts.len(), bits.len(), "one window in two spellings");
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for (texts, bits) in texts.iter().zip(bits) {
        let bytes = bytes_of_hex(bits.as_str().expect("bits are text"));
        let doubles = bytes.chunks_exact(8).map(|chunk| chunk.try_into().expect("8 bytes"));
        let row: Vec<f64> = doubles.map(f64::from_be_bytes).collect();
        check_texts(&row, texts.as_array().expect("a row is an array"));
        rows.push(row);
    }
    let columns = rows.first().map_or(0, Vec::len);
    answered(summarise_points(&rows.concat(), columns, seed(given), &scales(given)))
}

fn check_texts(row: &[f64], texts: &[Value]) {
    assert_eq!(row.len(), texts.len(), "one row in two spellings");
    for (value, text) in row.iter().zip(texts) {
        let read: f64 = text.as_str().and_then(|text| text.parse().ok()).expect("a number");
        assert!(read.to_bits() == value.to_bits() || read.is_nan(), "one value in two spellings");
    }
}

/// Answers `signals_bytes.json`.
pub fn signals_bytes(given: &Object) -> Answer {
    answered(summarise_bytes(&base64(given, "data"), seed(given), &scales(given)))
}

/// Returns the seed; one below zero or no integer is as far out of range as the largest.
fn seed(given: &Object) -> u64 {
    let seed = member(given, "seed").as_integer();
    seed.and_then(|seed| u64::try_from(seed).ok()).unwrap_or(u64::MAX)
}

/// Returns the scales; one that is no `u32` is far outside of what they may be.
fn scales(given: &Object) -> Vec<u32> {
    let scale = |value: &Value| value.as_integer().and_then(|scale| u32::try_from(scale).ok());
    items(given, "scales").iter().map(|value| scale(value).unwrap_or(u32::MAX)).collect()
}

fn answered(made: Result<Summary, WindowError>) -> Answer {
    made.map(|summary| members(&summary)).map_err(|error| {
        let place = |place: Option<usize>| place.map_or(Value::Null, |at| Value::Number(at as f64));
        object([
            ("code", "window_refused".into()),
            ("row", place(error.at.map(|(row, _)| row))),
            ("column", place(error.at.map(|(_, column)| column))),
        ])
    })
}

fn members(summary: &Summary) -> Object<'static> {
    let mut n_j = Object::new();
    for (scale, cells) in summary.scales.iter().zip(&summary.n_j) {
        n_j.insert(scale.to_string(), Value::Number((*cells).into()));
    }
    object([
        ("profile", summary.profile.as_str().into()),
        ("n", Value::Number(summary.n.into())),
        ("d", Value::Number(summary.d.into())),
        ("merkle_root", summary.merkle_root.as_str().into()),
        ("N_j", n_j.into()),
        ("D_hat", real(summary.d_hat)),
        ("coh_star", real(summary.coh_star)),
        ("v_star", summary.v_star.map(real).to_vec().into()),
        ("r", real(summary.r)),
        ("regime", summary.regime.as_str().into()),
        ("budget", real(summary.budget)),
    ])
}
