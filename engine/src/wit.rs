//! Components as documents: a core module made into one, and the interfaces of one as WIT text. What
//! is read here may be hostile: callers do it in the compiling child, as they do compilation.

use crate::depth::{self, Packages};
use crate::text::{Cut, Sheet};
use crate::{GlueText, lists, slice};
use wasmtime::{Result, format_err};
use wasmtime_c_api::wasmtime_error_t;
use wasmparser::{Parser, Payload};
use wit_component::{
    ComponentEncoder, DecodedWasm, Output, StringEncoding, WitPrinter,
    embed_component_metadata,
};
use wit_parser::Resolve;

const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Adapters that are built in: version of WASI, for a command, for a reactor. The last is the one
/// that is taken when none is asked for.
const ADAPTERS: [(&str, &[u8], &[u8]); 3] = [
    (
        "0.2.0",
        adapter_0_2_0::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        adapter_0_2_0::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    ),
    (
        "0.2.3",
        adapter_0_2_3::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        adapter_0_2_3::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    ),
    (
        "0.2.12",
        adapter_0_2_12::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        adapter_0_2_12::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    ),
];

/// The adapter that is given, or a built-in one by its version.
fn adapter_of(given: &[u8], reactor: bool) -> Result<&[u8]> {
    if given.starts_with(b"\0asm") {
        return Ok(given);
    }
    let newest = ADAPTERS[ADAPTERS.len() - 1].0;
    let wanted = if given.is_empty() { newest.as_bytes() } else { given };
    let found = ADAPTERS.iter().find(|a| a.0.as_bytes() == wanted);
    let Some((_, command, reactors)) = found else {
        let names: Vec<&str> = ADAPTERS.iter().map(|a| a.0).collect();
        let wanted = String::from_utf8_lossy(&wanted[..wanted.len().min(32)]);
        return Err(format_err!(
            "adapter {wanted:?}: neither a module nor one of {}",
            names.join(", ")
        ));
    };
    Ok(if reactor { reactors } else { command })
}

/// A custom section with the module's interfaces as WIT text: packages, and one world.
const WIT: &str = "cis:wit";

/// The module with what its text says in the form that the encoder reads, when there is a text.
fn with_wit(module: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut text = None;
    for payload in Parser::new(0).parse_all(module) {
        match payload {
            Ok(Payload::CustomSection(c)) if c.name() == WIT => text = Some(c.data()),
            Ok(_) => {}
            Err(_) => return Ok(None), // the encoder says what is wrong
        }
    }
    let Some(text) = text else { return Ok(None) };
    let text = std::str::from_utf8(text)
        .map_err(|_| format_err!("section {WIT}: the text is not UTF-8"))?;
    depth::wit(text).map_err(|e| format_err!("section {WIT}: {e}"))?;
    let mut resolve = Resolve::default();
    let world = resolve
        .push_source(WIT, text)
        .and_then(|package| resolve.select_world(&[package], None))
        .map_err(|e| format_err!("section {WIT}: {e:#}"))?;
    let mut out = lists::copy(module)?;
    embed_component_metadata(&mut out, &resolve, world, StringEncoding::UTF8)
        .map_err(|e| format_err!("section {WIT}: {e:#}"))?;
    Ok(Some(out))
}

fn encode(module: &[u8], adapter: &[u8], reactor: bool) -> Result<Vec<u8>> {
    let adapter = adapter_of(adapter, reactor)?;
    let embedded = with_wit(module)?;
    let module = embedded.as_deref().unwrap_or(module);
    let mut packages = Packages::default(); // of both: the encoder merges them
    packages.module(module)?;
    packages.module(adapter)?;
    packages.check()?;
    let made = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|e| e.adapter(PREVIEW1, adapter))
        .and_then(|mut e| e.encode());
    made.map_err(|e| format_err!("{e:#}"))
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_component_new(
    module: *const u8,
    len: usize,
    adapter: *const u8,
    adapter_len: usize,
    reactor: bool,
    out: *mut GlueText,
) -> Option<Box<wasmtime_error_t>> {
    // SAFETY: by the contract.
    let (module, adapter) = unsafe { (slice(module, len), slice(adapter, adapter_len)) };
    match encode(module, adapter, reactor) {
        Ok(bytes) => {
            GlueText::set(out, bytes);
            None
        }
        Err(e) => Some(Box::new(e.into())),
    }
}

/// WIT text larger than this is refused: types that share their parts are written in full.
const WIT_MAX: usize = 16 << 20;

/// The printer's paper; what is beyond the maximum is not kept.
struct Paper {
    sheet: Sheet,
    indent: usize,
    at_start: bool,
}

impl Output for Paper {
    fn push_str(&mut self, src: &str) {
        self.sheet.push(src);
    }

    fn indent_if_needed(&mut self) -> bool {
        if !std::mem::take(&mut self.at_start) {
            return false;
        }
        for _ in 0..self.indent {
            self.sheet.push("  ");
        }
        true
    }

    fn indent_start(&mut self) {
        self.sheet.push(" {");
        self.indent += 1;
        self.newline();
    }

    fn indent_end(&mut self) {
        self.indent = self.indent.saturating_sub(1);
        self.indent_if_needed();
        self.sheet.push("}");
        self.newline();
    }

    fn newline(&mut self) {
        self.sheet.push("\n");
        self.at_start = true;
    }
}

fn print(wasm: &[u8]) -> Result<String> {
    let mut packages = Packages::default();
    packages.component(wasm)?;
    packages.check()?;
    let decoded = wit_component::decode(wasm).map_err(|e| format_err!("{e:#}"))?;
    let resolve = decoded.resolve();
    let paper = Paper { sheet: Sheet::new(WIT_MAX), indent: 0, at_start: false };
    let mut printer = WitPrinter::new(paper);
    let nested: Vec<_> = resolve
        .packages
        .iter()
        .map(|(id, _)| id)
        .filter(|id| *id != decoded.package())
        .collect();
    let printed = match &decoded {
        DecodedWasm::WitPackage(..) | DecodedWasm::Component(..) => {
            printer.print(resolve, decoded.package(), &nested)
        }
    };
    printed.map_err(|e| format_err!("{e:#}"))?;
    printer.output.sheet.whole().map_err(|cut| match cut {
        Cut::Full => format_err!("its interfaces are larger than {WIT_MAX} bytes as text"),
        Cut::NoMemory => format_err!("no memory for its interfaces as text"),
    })
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_wit(
    wasm: *const u8,
    len: usize,
    out: *mut GlueText,
) -> Option<Box<wasmtime_error_t>> {
    // SAFETY: by the contract.
    match print(unsafe { slice(wasm, len) }) {
        Ok(text) => {
            GlueText::set(out, text);
            None
        }
        Err(e) => Some(Box::new(e.into())),
    }
}
