//! How long zlib makes some bytes.
//!
//! Implementations of deflate differ; what follows from the length is compared within 0.02. This one
//! writes blocks with codes of their own only, where zlib takes the fixed codes for a block that they
//! make shorter, so the shorter of both is taken.

use miniz_oxide::deflate::core::{
    compress_to_output, create_comp_flags_from_zip_params, CompressionStrategy, CompressorOxide,
    TDEFLFlush,
};

const LEVEL: i32 = 6;
/// More than 0 asks for the zlib header and checksum.
const WINDOW_BITS: i32 = 15;
/// A block's own codes take some 300 bytes at most to write down: no fiftieth of more than this.
const FIXED_CODES_MAX: usize = 16_384;

/// Returns the length of the compressed bytes, header and checksum counted.
pub(crate) fn zlib_len(data: &[u8]) -> usize {
    let own = len_with(data, CompressionStrategy::Default);
    if data.len() > FIXED_CODES_MAX {
        return own;
    }
    own.min(len_with(data, CompressionStrategy::Fixed))
}

fn len_with(data: &[u8], strategy: CompressionStrategy) -> usize {
    let flags = create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, strategy as i32);
    let mut length = 0;
    compress_to_output(&mut CompressorOxide::new(flags), data, TDEFLFlush::Finish, |written| {
        length += written.len();
        true
    });
    length
}
