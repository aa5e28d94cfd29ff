//! What may be summarised at all. Messages name rows and columns, from 0, and never a value.

use crate::error::WindowError;
use crate::read::{SCALES_MAX, SCALES_MIN, SCALE_MAX, SCALE_MIN};
use crate::record::{COLUMNS_MAX, ROWS_MAX, ROWS_MIN};
use crate::value::SAFE_INTEGER_MAX;

/// Sums of 4,096 such values, and differences of two, stay far below the largest double.
const MAGNITUDE_MAX: f64 = 1e300;

fn refuse(place: &'static str, expected: &'static str, got: &'static str) -> WindowError {
    WindowError { at: None, place, expected, got }
}

/// Returns how many rows and columns a table has.
pub(crate) fn check_points(values: &[f64], columns: usize) -> Result<(u32, u32), WindowError> {
    let width = u32::try_from(columns).ok().filter(|width| (1..=COLUMNS_MAX).contains(width));
    let width = width.ok_or_else(|| refuse("window", "1 to 4096 columns", "another number"))?;
    if values.len() % columns != 0 {
        return Err(refuse("window", "rows of equal length", "a ragged one"));
    }
    let rows = check_rows(values.len() / columns)?;
    let bad = values.iter().position(|value| value.is_nan() || value.abs() > MAGNITUDE_MAX);
    if let Some(place) = bad {
        let got = match values[place] {
            value if value.is_nan() => "NaN",
            value if value.is_infinite() => "an infinity",
            _ => "a larger one",
        };
        let expected = "a finite number of magnitude at most 1e300";
        let at = Some((place / columns, place % columns));
        return Err(WindowError { at, place: "window", expected, got });
    }
    Ok((rows, width))
}

/// Returns how many bytes there are.
pub(crate) fn check_bytes(data: &[u8]) -> Result<u32, WindowError> {
    check_rows(data.len())
}

fn check_rows(rows: usize) -> Result<u32, WindowError> {
    let rows = u32::try_from(rows).ok().filter(|rows| (ROWS_MIN..=ROWS_MAX).contains(rows));
    rows.ok_or_else(|| refuse("window", "3 to 65536 rows or bytes", "another number"))
}

pub(crate) fn check_seed(seed: u64) -> Result<(), WindowError> {
    if seed > SAFE_INTEGER_MAX {
        return Err(refuse("seed", "an integer of 0 to 2^53−1", "another"));
    }
    Ok(())
}

pub(crate) fn check_scales(scales: &[u32]) -> Result<(), WindowError> {
    let fit = (SCALES_MIN..=SCALES_MAX).contains(&scales.len())
        && scales.iter().all(|scale| (SCALE_MIN..=SCALE_MAX).contains(scale))
        && scales.windows(2).all(|pair| pair[1] >= 2 * pair[0]);
    if !fit {
        let expected = "2 to 10 integers of 2 to 1024, each at least twice the one before";
        return Err(refuse("scales", expected, "others"));
    }
    Ok(())
}
