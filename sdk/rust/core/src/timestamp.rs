//! Points in time on the wire: `YYYY-MM-DDTHH:MM:SS.mmmZ`, and as milliseconds since 1970.
//!
//! One spelling, so that equal times are equal bytes: UTC, three decimals, no leap second.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::ContractError;

/// 9999-12-31T23:59:59.999Z.
pub const TIMESTAMP_MS_MAX: u64 = 253_402_300_799_999;

const DAY_MS: u64 = 86_400_000;

/// Returns the milliseconds since 1970-01-01T00:00:00.000Z.
///
/// # Errors
///
/// Another spelling, no Gregorian date, or before 1970.
pub fn parse_timestamp(text: &str) -> Result<u64, ContractError> {
    parse(text.as_bytes()).ok_or_else(|| {
        let expected = "YYYY-MM-DDTHH:MM:SS.mmmZ from 1970 on";
        ContractError::of("timestamp", expected, "another text")
    })
}

fn parse(text: &[u8]) -> Option<u64> {
    const SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        _ => byte == form,
    };
    if text.len() != SHAPE.len() || !text.iter().zip(SHAPE).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    let is_date = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds = (hour * 60 + minute) * 60 + second;
    is_date.then(|| days_before(year, month, day) * DAY_MS + seconds * 1000 + number(20, 23))
}

/// Returns the text of a time given in milliseconds since 1970.
///
/// # Errors
///
/// The time is after the year 9999.
pub fn format_timestamp(ms: u64) -> Result<String, ContractError> {
    if ms > TIMESTAMP_MS_MAX {
        return Err(ContractError::of("timestamp", "a time up to the year 9999", "a later one"));
    }
    let mut out = Vec::with_capacity(24);
    write_timestamp(&mut out, ms);
    Ok(out.into_iter().map(char::from).collect())
}

/// Writes a time of at most [`TIMESTAMP_MS_MAX`].
pub(crate) fn write_timestamp(out: &mut Vec<u8>, ms: u64) {
    let (year, month, day) = date_of(ms / DAY_MS);
    let of_day = (ms % DAY_MS) as u32;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |from: usize, to: usize, mut number: u32| {
        for digit in text[from..to].iter_mut().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
        }
    };
    put(0, 4, year as u32);
    put(5, 7, month as u32);
    put(8, 10, day as u32);
    put(11, 13, of_day / 3_600_000);
    put(14, 16, of_day / 60_000 % 60);
    put(17, 19, of_day / 1000 % 60);
    put(20, 23, of_day % 1000);
    out.extend_from_slice(&text);
}

fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns how many days of the Gregorian calendar lie before 1 March of the year 0 and this date.
///
/// With March first, the leap day is the last of its year and a month's days follow one line.
fn days_since_march_0(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1
}

const DAYS_TO_1970: u64 = 719_468;

fn days_before(year: u64, month: u64, day: u64) -> u64 {
    days_since_march_0(year, month, day) - DAYS_TO_1970
}

fn date_of(days: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097; // of 400 years
    let shifted = days + DAYS_TO_1970;
    let (era, of_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
    let of_years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_years + of_years / 4 - of_years / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + of_years;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}
