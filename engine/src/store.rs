//! Stores: one limiter over all memories and tables, answered by C.

use std::ffi::c_void;
use wasmtime::{ResourceLimiter, Result};
use wasmtime_c_api::{WasmtimeStore, wasmtime, wasmtime_store_t};

type Growing = extern "C" fn(*mut c_void, u64, u64, bool, u64) -> bool;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limiter {
    this: *mut c_void,
    memory_growing: Growing,
    table_growing: Growing,
    max_instances: u64,
    max_tables: u64,
    max_memories: u64,
}

// SAFETY: the pointer is only handed back to C, on the thread that uses the store.
unsafe impl Send for Limiter {}
// SAFETY: as above.
unsafe impl Sync for Limiter {}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Limiter {
    /// Wasmtime tells of failed growth also where it never asked, so C could not know what to take
    /// back. Instead what is bound to fail is answered here and never charged.
    fn ask(&self, f: Growing, now: usize, want: usize, max: Option<usize>) -> bool {
        if max.is_some_and(|m| want > m) {
            return false;
        }
        f(
            self.this,
            now as u64,
            want as u64,
            max.is_some(),
            max.unwrap_or(0) as u64,
        )
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, now: usize, want: usize, max: Option<usize>) -> Result<bool> {
        Ok(self.ask(self.memory_growing, now, want, max))
    }
    fn table_growing(&mut self, now: usize, want: usize, max: Option<usize>) -> Result<bool> {
        Ok(self.ask(self.table_growing, now, want, max))
    }
    fn instances(&self) -> usize {
        count(self.max_instances)
    }
    fn tables(&self) -> usize {
        count(self.max_tables)
    }
    fn memories(&self) -> usize {
        count(self.max_memories)
    }
}

/// # Safety
/// `store` is a live store that nobody else uses now.
unsafe fn store_of<'a>(store: *mut wasmtime_store_t) -> &'a mut WasmtimeStore {
    const {
        assert!(size_of::<wasmtime_store_t>() == size_of::<WasmtimeStore>());
        assert!(align_of::<wasmtime_store_t>() == align_of::<WasmtimeStore>());
    }
    // SAFETY: repr(C) with this one field, asserted above.
    unsafe { &mut *store.cast::<WasmtimeStore>() }
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_store_limiter(
    store: *mut wasmtime_store_t,
    limiter: *const Limiter,
) {
    // SAFETY: by the contract.
    let (store, mut limiter) = unsafe { (store_of(store), *limiter) };
    // Wasmtime wants a reference into the store's data; the data type belongs to the C API and has
    // no room for ours, so the closure owns the limiter and lends it out for as long as it lives,
    // which is as long as the store.
    store.limiter(move |_| {
        let p: *mut Limiter = &raw mut limiter;
        // SAFETY: the closure lives in the store and is called by it alone, one call at a time; the
        // reference is used before the next call.
        unsafe { &mut *p }
    });
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_store_hostcall_fuel(store: *mut wasmtime_store_t, bytes: u64) {
    // SAFETY: by the contract.
    unsafe { store_of(store) }.set_hostcall_fuel(count(bytes));
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_store_max_handles(store: *mut wasmtime_store_t, handles: u64) {
    // SAFETY: by the contract.
    unsafe { store_of(store) }.set_max_component_handles(count(handles));
}
