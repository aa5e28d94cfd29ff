//! Streams of segments: frames that are durable before they are acknowledged (`specs/storage.md`).

pub(crate) mod disk;
mod folder;
mod footer;
mod framing;
mod recovery;
mod scan;
mod segment;
mod stream;
mod tail;
mod walk;

pub(crate) use framing::{FRAME_BYTES, Frame, NewFrame};
pub(crate) use scan::{Damage, Position, Scanned};
pub(crate) use stream::{Bounds, Stream};
