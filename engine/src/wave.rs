//! Calls and values as text (WAVE): `f("a", {x: 1})` typed by the function it names.

use crate::{GlueText, slice};
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::wasm_wave::wasm::DisplayType;
use wasmtime::component::{Func, Type, Val, wasm_wave};
use wasmtime::AsContext;
use wasmtime_c_api::{WasmtimeStoreContextMut, wasmtime_error_t};

const OK: i32 = 0;
const TEXT: i32 = 1; // the text is wrong: message and where
const TYPE: i32 = 2; // the function's type cannot be written: why
const CALL: i32 = 3; // the call failed: the error

/// The first type inside that has no text form.
fn unwritable(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Own(_) | Type::Borrow(_) => Some("a resource"),
        Type::Future(_) => Some("a future"),
        Type::Stream(_) => Some("a stream"),
        Type::ErrorContext => Some("an error-context"),
        Type::Map(_) => Some("a map"),
        Type::List(l) => unwritable(&l.ty()),
        Type::FixedLengthList(l) => unwritable(&l.ty()),
        Type::Option(o) => unwritable(&o.ty()),
        Type::Record(r) => r.fields().find_map(|f| unwritable(&f.ty)),
        Type::Tuple(t) => t.types().find_map(|t| unwritable(&t)),
        Type::Variant(v) => v.cases().find_map(|c| c.ty.and_then(|t| unwritable(&t))),
        Type::Result(r) => r
            .ok()
            .and_then(|t| unwritable(&t))
            .or_else(|| r.err().and_then(|t| unwritable(&t))),
        _ => None,
    }
}

fn describe(func: &Func, store: impl AsContext, name: &str) -> String {
    let ty = func.ty(store);
    let shown = |t: &Type| match unwritable(t) {
        Some(what) => format!("<{what}>"),
        None => DisplayType(t).to_string(),
    };
    let params: Vec<String> = ty
        .params()
        .map(|(name, t)| format!("{name}: {}", shown(&t)))
        .collect();
    let results: Vec<String> = ty.results().map(|t| shown(&t)).collect();
    let arrow = if results.is_empty() { "" } else { " -> " };
    format!("{name}: func({}){arrow}{}", params.join(", "), results.join(", "))
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_wave_type(
    func: *const Func,
    context: WasmtimeStoreContextMut<'_>,
    name: *const u8,
    len: usize,
    out: *mut GlueText,
) {
    // SAFETY: by the contract.
    let (func, name) = unsafe { (&*func, slice(name, len)) };
    GlueText::set(out, describe(func, &context, &String::from_utf8_lossy(name)));
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_wave_call(
    func: *const Func,
    mut context: WasmtimeStoreContextMut<'_>,
    text: *const u8,
    len: usize,
    run: bool,
    out: *mut GlueText,
    out_at: *mut usize,
    out_error: *mut Option<Box<wasmtime_error_t>>,
) -> i32 {
    let wrong = |at: usize, message: String| {
        GlueText::set(out, message);
        // SAFETY: the header asks for a valid, writable pointer.
        unsafe { out_at.write(at) };
        TEXT
    };
    // SAFETY: by the contract.
    let (func, text) = unsafe { (&*func, slice(text, len)) };
    let Ok(text) = std::str::from_utf8(text) else {
        return wrong(0, "not UTF-8".into());
    };
    let ty = func.ty(&context);
    let params: Vec<Type> = ty.params().map(|(_, t)| t).collect();
    let results: Vec<Type> = ty.results().collect();
    if let Some(what) = params.iter().chain(&results).find_map(unwritable) {
        GlueText::set(out, what);
        return TYPE;
    }
    let args: Vec<Val> = match UntypedFuncCall::parse(text).and_then(|c| c.to_wasm_params(&params)) {
        Ok(args) => args,
        Err(e) => return wrong(e.span().start, e.to_string()),
    };
    if !run {
        GlueText::set(out, "");
        return OK;
    }
    let mut values = vec![Val::Bool(false); results.len()];
    if let Err(e) = func.call(&mut context, &args, &mut values) {
        // SAFETY: the header asks for a valid, writable pointer.
        unsafe { out_error.write(Some(Box::new(e.into()))) };
        return CALL;
    }
    let shown: Result<Vec<String>, _> = values.iter().map(wasm_wave::to_string).collect();
    match shown {
        Ok(parts) => {
            GlueText::set(out, parts.join("\n"));
            OK
        }
        Err(e) => {
            GlueText::set(out, e.to_string());
            TYPE
        }
    }
}
