//! The text of a number in JSON: whether it is one, and the short way to its double.

/// Returns the double nearest to a number without an exponent and of at most 15 digits, and none for any
/// other text: the way of nearly all numbers.
///
/// The digits as an integer and the power of ten are doubles themselves, so one division rounds once.
///
/// Source: Clinger (1990), doi:10.1145/93542.93557.
pub(crate) fn short_number(literal: &[u8]) -> Option<f64> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];
    let unsigned = literal.strip_prefix(b"-").unwrap_or(literal);
    let mut point = None;
    let mut units = 0_u64;
    for (place, byte) in unsigned.iter().enumerate().take(DIGITS_MAX + 2) {
        match byte {
            b'0'..=b'9' => units = 10 * units + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(place),
            _ => return None,
        }
    }
    let whole = point.unwrap_or(unsigned.len());
    let decimals = point.map_or(0, |point| unsigned.len() - point - 1);
    let is_spelled =
        whole > 0 && (whole == 1 || unsigned[0] != b'0') && point.is_none() == (decimals == 0);
    if !is_spelled || whole + decimals > DIGITS_MAX {
        return None;
    }
    let size = units as f64 / POWERS[decimals];
    // No -0.
    Some(if literal.len() > unsigned.len() && units > 0 { -size } else { size })
}

/// Returns whether a run of number characters is a number of RFC 8259 section 6.
pub(crate) fn is_number(literal: &[u8]) -> bool {
    let digits_of = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = literal.strip_prefix(b"-").unwrap_or(literal);
    let whole = digits_of(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = digits_of(fraction);
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let unsigned = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            _ => exponent,
        };
        let digits = digits_of(unsigned);
        if digits == 0 {
            return false;
        }
        rest = &unsigned[digits..];
    }
    rest.is_empty()
}
