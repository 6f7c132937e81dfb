//! Calls and values as text (WAVE): `f("a", {x: 1})` typed by the function it names.

use crate::text::{Cut, Sheet};
use crate::{GlueText, slice};
use std::ffi::c_void;
use std::fmt::{self, Write};
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::wasm_wave::wasm::DisplayType;
use wasmtime::component::wasm_wave::writer::Writer;
use wasmtime::component::{Func, Type, Val};
use wasmtime::AsContext;
use wasmtime_c_api::{WasmtimeStoreContextMut, wasmtime_error_t};

const OK: i32 = 0;
const TEXT: i32 = 1; // the text is wrong: message and where
const TYPE: i32 = 2; // the function's type cannot be written: why
const CALL: i32 = 3; // the call failed: the error

const LARGE: i32 = 4; // the result is larger as text than what was allowed
const MEMORY: i32 = 5; // no memory for it
const STOPPED: i32 = 6; // who asked for it wants it no more

/// Whether to go on is asked again after as much text, each piece of it counting as its length and
/// a little.
const ASK_BYTES: usize = 1 << 18;
const PIECE: usize = 16;

/// A sheet that is written as long as somebody wants it.
struct Wanted {
    sheet: Sheet,
    go_on: extern "C" fn(*mut c_void) -> bool,
    whose: *mut c_void,
    since: usize,
    stopped: bool,
}

impl Write for Wanted {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.since += s.len() + PIECE;
        if self.since >= ASK_BYTES {
            self.since = 0;
            self.stopped = self.stopped || !(self.go_on)(self.whose);
        }
        if self.stopped { Err(fmt::Error) } else { self.sheet.write_str(s) }
    }
}

/// All of them, a line each.
fn write_values(values: &[Val], out: &mut Wanted) -> fmt::Result {
    for (i, value) in values.iter().enumerate() {
        out.write_str(if i == 0 { "" } else { "\n" })?;
        // What fails is the sheet, or who wants it.
        if Writer::new(&mut *out).write_value(value).is_err() {
            return Err(fmt::Error);
        }
    }
    Ok(())
}

/// Types that are looked at before one counts as too large. Types share their parts, so what a few
/// kilobytes of a component say can be a million of them.
const PARTS_MAX: u32 = 65536;

struct Looked(u32);

impl Looked {
    /// The first type inside that has no text form.
    fn unwritable(&mut self, ty: &Type) -> Option<&'static str> {
        self.0 += 1;
        if self.0 > PARTS_MAX {
            return Some("too many parts");
        }
        match ty {
            Type::Own(_) | Type::Borrow(_) => Some("a resource"),
            Type::Future(_) => Some("a future"),
            Type::Stream(_) => Some("a stream"),
            Type::ErrorContext => Some("an error-context"),
            Type::Map(_) => Some("a map"),
            Type::List(l) => self.unwritable(&l.ty()),
            Type::FixedLengthList(l) => self.unwritable(&l.ty()),
            Type::Option(o) => self.unwritable(&o.ty()),
            Type::Record(r) => r.fields().find_map(|f| self.unwritable(&f.ty)),
            Type::Tuple(t) => t.types().find_map(|t| self.unwritable(&t)),
            Type::Variant(v) => v.cases().find_map(|c| c.ty.and_then(|t| self.unwritable(&t))),
            Type::Result(r) => r
                .ok()
                .and_then(|t| self.unwritable(&t))
                .or_else(|| r.err().and_then(|t| self.unwritable(&t))),
            _ => None,
        }
    }
}

/// A type that is larger than what is left of the sheet shows as "<too many parts>".
fn put_type(out: &mut Sheet, ty: &Type, looked: &mut Looked) {
    let before = out.len();
    match looked.unwritable(ty) {
        Some(what) => {
            let _ = write!(out, "<{what}>");
        }
        None => {
            let _ = write!(out, "{}", DisplayType(ty));
        }
    }
    if out.cut().is_some() {
        out.back_to(before);
        out.push("<too many parts>");
    }
}

fn describe(func: &Func, store: impl AsContext, name: &str, out: &mut Sheet) {
    let ty = func.ty(store);
    let mut looked = Looked(0);
    let _ = write!(out, "{name}: func(");
    for (i, (name, t)) in ty.params().enumerate() {
        let _ = write!(out, "{}{name}: ", if i == 0 { "" } else { ", " });
        put_type(out, &t, &mut looked);
    }
    out.push(")");
    for (i, t) in ty.results().enumerate() {
        out.push(if i == 0 { " -> " } else { ", " });
        put_type(out, &t, &mut looked);
    }
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_wave_type(
    func: *const Func,
    context: WasmtimeStoreContextMut<'_>,
    name: *const u8,
    len: usize,
    max: usize,
    out: *mut GlueText,
) {
    // SAFETY: by the contract.
    let (func, name) = unsafe { (&*func, slice(name, len)) };
    let mut text = Sheet::new(max);
    describe(func, &context, std::str::from_utf8(name).unwrap_or("?"), &mut text);
    GlueText::set(out, text.whole().unwrap_or_default());
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_wave_call(
    func: *const Func,
    mut context: WasmtimeStoreContextMut<'_>,
    text: *const u8,
    len: usize,
    max: usize,
    go_on: extern "C" fn(*mut c_void) -> bool,
    whose: *mut c_void,
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
    let mut looked = Looked(0);
    if let Some(what) = params.iter().chain(&results).find_map(|t| looked.unwritable(t)) {
        GlueText::set(out, what);
        return TYPE;
    }
    let args: Vec<Val> = match UntypedFuncCall::parse(text).and_then(|c| c.to_wasm_params(&params)) {
        Ok(args) => args,
        Err(e) => return wrong(e.span().start, e.to_string()),
    };
    let mut values = vec![Val::Bool(false); results.len()];
    if let Err(e) = func.call(&mut context, &args, &mut values) {
        // SAFETY: the header asks for a valid, writable pointer.
        unsafe { out_error.write(Some(Box::new(e.into()))) };
        return CALL;
    }
    let mut shown =
        Wanted { sheet: Sheet::new(max), go_on, whose, since: 0, stopped: !go_on(whose) };
    let _ = write_values(&values, &mut shown);
    if shown.stopped {
        return STOPPED;
    }
    match shown.sheet.whole() {
        Ok(text) => {
            GlueText::set(out, text);
            OK
        }
        Err(Cut::Full) => LARGE,
        Err(Cut::NoMemory) => MEMORY,
    }
}
