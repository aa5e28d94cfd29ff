//! The Fractal LBA core for WebAssembly: raw exports, JSON in and JSON out.
//!
//! A caller asks [`reserve`] for room, writes a request there, and calls [`call`] or [`sign`] with its
//! length; [`answer_at`] says where the answer of the returned length lies. It stays there until the next
//! call. All state is the module's own: one thread, one request at a time.
#![deny(unsafe_code)]

use std::cell::RefCell;

mod calls;
mod fields;
mod keys;
mod state;
mod summaries;

use state::State;

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Returns where a request of at most so many bytes is to be written.
// Exported under its own name, which is all that is unsafe about it.
#[allow(unsafe_code)]
#[no_mangle]
pub extern "C" fn reserve(length: usize) -> *mut u8 {
    STATE.with_borrow_mut(|state| {
        // It only grows: to fill it anew for every request costs as much as a short one.
        if state.request.len() < length {
            state.request.resize(length, 0);
        }
        state.request.as_mut_ptr()
    })
}

/// Answers the request of this length; returns the length of the answer.
#[allow(unsafe_code)]
#[no_mangle]
pub extern "C" fn call(length: usize) -> usize {
    STATE.with_borrow_mut(|state| {
        let request = state.request.get(..length).unwrap_or_default();
        state.answer = calls::answer(request, &mut state.held);
        state.answer.len()
    })
}

/// Signs the record that the request of this length holds as JSON, by the signer of this handle; returns the length of
/// its stored bytes, or 0 where it is refused: [`call`] says why.
#[allow(unsafe_code)]
#[no_mangle]
pub extern "C" fn sign(handle: u32, length: usize) -> usize {
    STATE.with_borrow_mut(|state| {
        let State { request, answer, held } = state;
        let request = request.get(..length).unwrap_or_default();
        if keys::sign_into(request, handle, held, answer).is_err() {
            answer.clear();
        }
        answer.len()
    })
}

/// Returns where the answer lies.
#[allow(unsafe_code)]
#[no_mangle]
pub extern "C" fn answer_at() -> *const u8 {
    STATE.with_borrow(|state| state.answer.as_ptr())
}
