//! Artefacts that are loaded where they lie: in an open file, mapped instead of copied.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};
use wasmtime_c_api::{wasm_engine_t, wasmtime_component_t, wasmtime_error_t, wasmtime_module_t};

fn answer<T, C>(made: wasmtime::Result<T>, out: *mut *mut C) -> Option<Box<wasmtime_error_t>> {
    const {
        assert!(size_of::<T>() == size_of::<C>());
        assert!(align_of::<T>() == align_of::<C>());
    }
    match made {
        Ok(value) => {
            // SAFETY: C is a struct with a T as its only field; the box is freed as that struct,
            // which drops the T. `out` is writable by the header.
            unsafe { out.write(Box::into_raw(Box::new(value)).cast()) };
            None
        }
        Err(e) => Some(Box::new(e.into())),
    }
}

fn own(fd: RawFd) -> wasmtime::Result<File> {
    // SAFETY: the header asks for an open descriptor.
    let file = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()?;
    Ok(file.into())
}

/// # Safety
/// As the header says: the file holds an artefact of this engine's making and never changes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_module_load(
    engine: *const wasm_engine_t,
    fd: RawFd,
    out: *mut *mut wasmtime_module_t,
) -> Option<Box<wasmtime_error_t>> {
    // SAFETY: layout asserted in cis_glue_engine_new; the rest by the contract.
    let made = own(fd)
        .and_then(|file| unsafe { Module::deserialize_open_file(&*engine.cast::<Engine>(), file) });
    answer(made, out)
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_component_load(
    engine: *const wasm_engine_t,
    fd: RawFd,
    out: *mut *mut wasmtime_component_t,
) -> Option<Box<wasmtime_error_t>> {
    // Components have no loader for an open file; this name is that file and no other.
    let made = own(fd).and_then(|file| {
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: as above.
        unsafe { Component::deserialize_file(&*engine.cast::<Engine>(), name) }
    });
    answer(made, out)
}
