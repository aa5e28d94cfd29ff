//! Requests that summarise a window.

use fractal_lba_core::{summarise_bytes, summarise_points, Object, Summary, Value};

use crate::fields::{bytes, count, items, number, object, wrong, Refused};

/// Answers with the members of a table's record; `values` is base64 of little-endian doubles.
pub(crate) fn points(request: &Object) -> Result<Value<'static>, Refused> {
    let packed = bytes(request, "values")?;
    if packed.len() % 8 != 0 {
        return Err(wrong("values", "doubles of 8 bytes"));
    }
    let doubles = packed.chunks_exact(8).map(|chunk| {
        let mut bits = [0; 8];
        bits.copy_from_slice(chunk);
        f64::from_le_bytes(bits)
    });
    let columns = usize::try_from(count(request, "columns")?).unwrap_or(usize::MAX);
    let values: Vec<f64> = doubles.collect();
    Ok(members(&summarise_points(&values, columns, seed(request), &scales(request)?)?))
}

/// Answers with the members of a byte string's record.
pub(crate) fn bytes_window(request: &Object) -> Result<Value<'static>, Refused> {
    let data = bytes(request, "data")?;
    Ok(members(&summarise_bytes(&data, seed(request), &scales(request)?)?))
}

/// Returns the seed; what is no count is as far out of range as the largest.
fn seed(request: &Object) -> u64 {
    count(request, "seed").unwrap_or(u64::MAX)
}

/// Returns the scales; one that is none is far outside of what they may be.
fn scales(request: &Object) -> Result<Vec<u32>, Refused> {
    let scale = |item: &Value| item.as_integer().and_then(|scale| u32::try_from(scale).ok());
    Ok(items(request, "scales")?.iter().map(|item| scale(item).unwrap_or(u32::MAX)).collect())
}

fn members(summary: &Summary) -> Value<'static> {
    let mut n_j = Object::new();
    for (scale, cells) in summary.scales.iter().zip(&summary.n_j) {
        n_j.insert(scale.to_string(), number(*cells));
    }
    let scales: Vec<Value> = summary.scales.iter().map(|scale| number(*scale)).collect();
    let members = object([
        ("profile", summary.profile.as_str().into()),
        ("n", number(summary.n)),
        ("d", number(summary.d)),
        ("seed", Value::Number(summary.seed as f64)),
        ("scales", scales.into()),
        ("N_j", n_j.into()),
        ("D_hat", number(summary.d_hat)),
        ("coh_star", number(summary.coh_star)),
        ("r", number(summary.r)),
        ("budget", number(summary.budget)),
        ("v_star", summary.v_star.map(Value::Number).to_vec().into()),
        ("regime", summary.regime.as_str().into()),
        ("merkle_root", summary.merkle_root.as_str().into()),
    ]);
    members.into()
}
