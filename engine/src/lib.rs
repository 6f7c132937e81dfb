//! Wasmtime's C API and the glue that C cannot reach, as one static library. The contract is
//! include/cis_glue.h; every function there is implemented in one of these modules. No policy, no
//! I/O, and nothing sized by a number that a guest chose.

pub use wasmtime_c_api::*;

mod config;
mod depth;
mod fault;
mod heap;
mod imports;
mod load;
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
}

impl GlueText {
    pub(crate) fn set(out: *mut GlueText, text: impl Into<Vec<u8>>) {
        let bytes = text.into().into_boxed_slice();
        let len = bytes.len();
        let ptr = Box::into_raw(bytes) as *mut u8;
        // SAFETY: the header asks for a valid, writable struct.
        unsafe { out.write(GlueText { ptr, len }) };
    }
}

/// # Safety
/// `text` is NULL or was filled by a function of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_text_free(text: *mut GlueText) {
    if text.is_null() {
        return;
    }
    // SAFETY: by the contract above; the pointer came from Box::into_raw of a slice of this length.
    unsafe {
        let t = &mut *text;
        if !t.ptr.is_null() {
            drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(
                t.ptr, t.len,
            )));
        }
        t.ptr = std::ptr::null_mut();
        t.len = 0;
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
