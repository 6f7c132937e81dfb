//! Wasmtime's C API and the glue that C cannot reach, as one static library. The contract is
//! include/cis_glue.h; every function there is implemented in one of these modules. No policy, no
//! I/O, and nothing sized by a number that a guest chose.

pub use wasmtime_c_api::*;

mod compose;
mod config;
mod depth;
mod fault;
mod head;
mod heap;
mod imports;
mod lists;
mod load;
mod parts;
mod pre;
mod scan;
mod state;
mod store;
mod text;
mod toml_json;
mod typed;
mod wave;
mod wit;

use std::ffi::c_char;

/// Owned text that crosses into C.
#[repr(C)]
pub struct GlueText {
    ptr: *mut u8,
    len: usize,
    room: usize,
}

impl GlueText {
    pub(crate) fn set(out: *mut GlueText, text: impl Into<Vec<u8>>) {
        // With the room that it has: to give some of it back may take memory.
        let mut bytes = std::mem::ManuallyDrop::new(text.into());
        let (ptr, len, room) = (bytes.as_mut_ptr(), bytes.len(), bytes.capacity());
        // SAFETY: the header asks for a valid, writable struct.
        unsafe { out.write(GlueText { ptr, len, room }) };
    }
}

/// # Safety
/// `text` is NULL or was filled by a function of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_text_free(text: *mut GlueText) {
    if text.is_null() {
        return;
    }
    // SAFETY: by the contract above; these are the parts of a Vec.
    unsafe {
        let t = &mut *text;
        if !t.ptr.is_null() {
            drop(Vec::from_raw_parts(t.ptr, t.len, t.room));
        }
        t.ptr = std::ptr::null_mut();
        (t.len, t.room) = (0, 0);
    }
}

/// # Safety
/// `ptr` points to `len` readable bytes, or `len` is 0.
pub(crate) unsafe fn slice<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        &[]
    } else {
        // SAFETY: by the contract above.
        unsafe { std::slice::from_raw_parts(ptr, len) }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cis_glue_wasmtime_version() -> *const c_char {
    // The dependency is pinned to exactly this version in Cargo.toml.
    c"48.0.8".as_ptr()
}
