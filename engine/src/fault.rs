//! What an error says: its chain of causes, the code of a trap, the frames of the guest. Text goes
//! into the caller's bytes. The chain has no backtrace in it: that one is asked for by itself, and
//! never with names of any length.

use crate::text::Slip;
use std::fmt::{self, Write};
use wasmtime::{Error, OutOfMemory, Trap, WasmBacktrace};
use wasmtime_c_api::{wasm_trap_t, wasmtime_error_t};

/// # Safety
/// One of both is a live object.
unsafe fn error_of<'a>(error: *const wasmtime_error_t, trap: *const wasm_trap_t) -> Option<&'a Error> {
    const {
        assert!(size_of::<wasmtime_error_t>() == size_of::<Error>());
        assert!(size_of::<wasm_trap_t>() == size_of::<Error>());
    }
    // SAFETY: repr(C) with the Error as their only field, asserted above.
    unsafe { error.cast::<Error>().as_ref().or_else(|| trap.cast::<Error>().as_ref()) }
}

/// # Safety
/// `error` is a live error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_error_trap_code(error: *const wasmtime_error_t) -> i32 {
    // SAFETY: by the contract.
    let error = unsafe { error_of(error, std::ptr::null()) };
    error.and_then(|e| e.downcast_ref::<Trap>()).map_or(-1, |t| *t as i32)
}

/// # Safety
/// `error` is a live error, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_error_no_memory(error: *const wasmtime_error_t) -> bool {
    // SAFETY: by the contract.
    let error = unsafe { error_of(error, std::ptr::null()) };
    error.is_some_and(|e| e.is::<OutOfMemory>())
}

/// One link of the chain. The link that is the backtrace begins with its heading, in one piece, and
/// is refused there: names are neither demangled nor written.
struct Link<'a, 'b> {
    out: &'a mut Slip<'b>,
    first: bool,
    traced: bool,
}

impl Write for Link<'_, '_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if std::mem::take(&mut self.first)
            && self.traced
            && s.starts_with("error while executing at wasm backtrace:")
        {
            return Err(fmt::Error);
        }
        self.out.write_str(s)
    }
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_error_text(
    error: *const wasmtime_error_t,
    trap: *const wasm_trap_t,
    out: *mut u8,
    max: usize,
) -> usize {
    // SAFETY: by the contract.
    let (error, bytes) =
        unsafe { (error_of(error, trap), std::slice::from_raw_parts_mut(out, max)) };
    let mut text = Slip::new(bytes);
    let Some(error) = error else { return 0 };
    let traced = error.is::<WasmBacktrace>();
    for cause in error.chain() {
        let before = text.len();
        let mut link = Link { out: &mut text, first: true, traced };
        let _ = write!(link, "{cause}");
        if text.len() != before && text.write_char('\n').is_err() {
            break;
        }
    }
    text.len()
}

/// struct cis_glue_frame
#[repr(C)]
pub struct Frame {
    function: u32,
    name_len: u32, // 0: no name
    offset: u64,
    name: [u8; 256],
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_frames(
    error: *const wasmtime_error_t,
    trap: *const wasm_trap_t,
    out: *mut Frame,
    max: usize,
) -> usize {
    // SAFETY: by the contract.
    let error = unsafe { error_of(error, trap) };
    let Some(trace) = error.and_then(|e| e.downcast_ref::<WasmBacktrace>()) else {
        return 0;
    };
    let mut n = 0;
    for frame in trace.frames().iter().take(max) {
        let mut made = Frame {
            function: frame.func_index(),
            name_len: 0,
            offset: frame.module_offset().map_or(u64::MAX, |o| o as u64),
            name: [0; 256],
        };
        let mut name = Slip::new(&mut made.name);
        let _ = name.write_str(frame.func_name().unwrap_or(""));
        made.name_len = name.len() as u32;
        // SAFETY: there is room for max of them.
        unsafe { out.add(n).write(made) };
        n += 1;
    }
    n
}
