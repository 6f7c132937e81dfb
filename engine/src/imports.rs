//! What a component imports, told in one pass. The C API gives the n-th import, and the n-th export
//! of an interface, in n steps each.

use std::ffi::c_void;
use wasmtime::component::{Component, types::ComponentItem};
use wasmtime_c_api::{wasmtime_component_item_t, wasmtime_component_t};

type Visit = extern "C" fn(
    this: *mut c_void,
    outer: *const u8,
    outer_len: usize,
    name: *const u8,
    name_len: usize,
    item: *const wasmtime_component_item_t,
) -> bool;

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_component_imports(
    component: *const wasmtime_component_t,
    visit: Visit,
    this: *mut c_void,
) {
    const {
        assert!(size_of::<wasmtime_component_t>() == size_of::<Component>());
    }
    // SAFETY: the struct has the wrapped type as its only field, asserted above.
    let component = unsafe { &*component.cast::<Component>() };
    let engine = component.engine();
    let ty = component.component_type();
    let tell = |outer: &str, name: &str, item: ComponentItem| {
        let item = wasmtime_component_item_t::from(item);
        let (o, n) = (outer.as_bytes(), name.as_bytes());
        visit(this, o.as_ptr(), o.len(), n.as_ptr(), n.len(), &item)
    };
    for (name, item) in ty.imports(engine) {
        let inside = match &item.ty {
            ComponentItem::ComponentInstance(instance) => Some(instance.clone()),
            _ => None,
        };
        if !tell("", name, item.ty) {
            return;
        }
        let Some(instance) = inside else { continue };
        for (part, item) in instance.exports(engine) {
            if !tell(name, part, item.ty) {
                return;
            }
        }
    }
}
