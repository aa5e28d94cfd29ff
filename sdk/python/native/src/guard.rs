//! A panic is a bug, and becomes an exception that says where, never what: its message may quote a body.

use std::cell::Cell;
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};

thread_local! {
    static LINE: Cell<u32> = const { Cell::new(0) };
}

/// Notes where a panic began instead of writing it to stderr.
pub(crate) fn listen() {
    set_hook(Box::new(|info| LINE.set(info.location().map_or(0, |place| place.line()))));
}

/// Returns what `work` returns, or what to say of its panic.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // Nothing that `work` changes is looked at again after a panic.
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| format!("native code: expected an end, got a panic in line {}", LINE.get()))
}
