//! Base64 with one spelling for each byte string (RFC 4648 section 4, pad bits zero).

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::ContractError;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns the standard base64 text with padding.
#[must_use]
pub fn encode_base64(data: &[u8]) -> String {
    let mut text = Vec::new();
    text.resize(data.len().div_ceil(3) * 4, b'=');
    encode_into(&mut text, data);
    text.into_iter().map(char::from).collect()
}

/// Writes four characters for each three bytes of `data`.
pub(crate) fn encode_into(text: &mut [u8], data: &[u8]) {
    for (quad, group) in text.chunks_exact_mut(4).zip(data.chunks(3)) {
        let mut bytes = [0; 4];
        bytes[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bytes);
        for (place, character) in quad.iter_mut().enumerate() {
            *character = match place <= group.len() {
                true => ALPHABET[(bits >> (18 - 6 * place)) as usize & 63],
                false => b'=',
            };
        }
    }
}

/// Returns the bytes a standard base64 text stands for.
///
/// # Errors
///
/// Another alphabet, white space, missing padding, or pad bits that are not zero: what
/// [`encode_base64`] would not have written.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, ContractError> {
    decode(text.as_bytes()).ok_or_else(|| {
        ContractError::of("base64", "the standard alphabet and padding", "another text")
    })
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if text.len() % 4 != 0 {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let mut data = Vec::with_capacity(text.len() / 4 * 3);
    for group in text[..text.len() - padding].chunks(4) {
        let mut bits = 0;
        for character in group {
            bits = (bits << 6) | sextet(*character)?;
        }
        bits <<= 6 * (4 - group.len());
        let kept = group.len() - 1;
        // What is beyond the kept bytes is padding, and has one spelling.
        if bits & ((1 << (24 - 8 * kept)) - 1) != 0 {
            return None;
        }
        data.extend_from_slice(&bits.to_be_bytes()[1..=kept]);
    }
    Some(data)
}

fn sextet(character: u8) -> Option<u32> {
    let value = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}
