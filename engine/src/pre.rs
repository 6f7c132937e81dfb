//! A component with everything it imports looked up once: instances come from it without another
//! search through the linker.

use std::ffi::c_void;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime_c_api::{
    WasmtimeStoreContextMut, WasmtimeStoreData, wasmtime_component_linker_t, wasmtime_component_t,
    wasmtime_error_t,
};

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_pre_new(
    linker: *const wasmtime_component_linker_t,
    component: *const wasmtime_component_t,
    out: *mut *mut c_void,
) -> Option<Box<wasmtime_error_t>> {
    const {
        assert!(size_of::<wasmtime_component_t>() == size_of::<Component>());
        assert!(size_of::<wasmtime_component_linker_t>() == size_of::<Linker<WasmtimeStoreData>>());
    }
    // SAFETY: both structs have the wrapped type as their only field, asserted above.
    let (linker, component) = unsafe {
        (
            &*linker.cast::<Linker<WasmtimeStoreData>>(),
            &*component.cast::<Component>(),
        )
    };
    match linker.instantiate_pre(component) {
        Ok(pre) => {
            // SAFETY: the header asks for a valid, writable pointer.
            unsafe { out.write(Box::into_raw(Box::new(pre)).cast()) };
            None
        }
        Err(e) => Some(Box::new(e.into())),
    }
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_pre_instantiate(
    pre: *const c_void,
    context: WasmtimeStoreContextMut<'_>,
    out: *mut Instance,
) -> Option<Box<wasmtime_error_t>> {
    // SAFETY: made by cis_glue_pre_new.
    let pre = unsafe { &*pre.cast::<InstancePre<WasmtimeStoreData>>() };
    match pre.instantiate(context) {
        Ok(instance) => {
            // SAFETY: the header asks for a valid, writable struct.
            unsafe { out.write(instance) };
            None
        }
        Err(e) => Some(Box::new(e.into())),
    }
}

/// # Safety
/// `pre` is NULL or was made by cis_glue_pre_new and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_pre_free(pre: *mut c_void) {
    if !pre.is_null() {
        // SAFETY: by the contract.
        drop(unsafe { Box::from_raw(pre.cast::<InstancePre<WasmtimeStoreData>>()) });
    }
}
