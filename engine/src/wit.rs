//! Components as documents: a core module made into one, and the interfaces of one as WIT text. What
//! is read here may be hostile: callers do it in the compiling child, as they do compilation.

use crate::{GlueText, slice};
use wasmtime::{Result, format_err};
use wasmtime_c_api::wasmtime_error_t;
use wit_component::{ComponentEncoder, DecodedWasm, OutputToString, WitPrinter};

const PREVIEW1: &str = "wasi_snapshot_preview1";

fn encode(module: &[u8], adapter: &[u8], reactor: bool) -> Result<Vec<u8>> {
    use wasi_preview1_component_adapter_provider as provider;
    let adapter = match (adapter.is_empty(), reactor) {
        (false, _) => adapter,
        (true, true) => provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        (true, false) => provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    };
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

fn print(wasm: &[u8]) -> Result<String> {
    let decoded = wit_component::decode(wasm).map_err(|e| format_err!("{e:#}"))?;
    let resolve = decoded.resolve();
    let mut printer = WitPrinter::new(OutputToString::default());
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
    Ok(printer.output.to_string())
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
