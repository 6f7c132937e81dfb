//! What is in a module or component, without compiling it.
//!
//! JSON of a core module (pages are in units of 64 KiB, rounded up; absent maximum: no key):
//! ```json
//! {"layer":"module","features":["memory64"],"name":"from the name section",
//!  "imports":[{"module":"env","name":"log","kind":"func","type":"ii:"}, …],
//!  "exports":[{"name":"memory","kind":"memory","type":"memory","min":2,"max":10}, …],
//!  "memories":[{"min":2,"max":10,"imported":false,"bits":32}],
//!  "tables":[{"min":1,"max":1,"imported":false,"type":"funcref"}],
//!  "table_grow":false,"functions":12,"globals":3,"start":false,"code_bytes":900,"data_bytes":80,
//!  "custom":["name","producers"],"name_section":"ok","state_bytes":1024}
//! ```
//! (state_bytes: what the engine keeps for the instances of a run, state.rs).
//! A component has "layer":"component", imports and exports with "name" and "kind" (module, func,
//! value, type, instance, component), "modules" and "components" (nested, counted at all depths),
//! and memories, tables, functions summed over its modules. Imports have no "module". Of one that was
//! composed of others, "composed" says of which (parts.rs).

use crate::config::{EXCEPTIONS, MEMORY64, features};
use crate::parts;
use crate::state::State;
use crate::text::{Cut, Sheet};
use crate::{GlueText, lists, slice};
use std::ffi::c_void;
use std::fmt::Write;
use wasmparser::types::{EntityType, Types};
use wasmparser::{
    Encoding, Error, Export, Import, Imports, KnownCustom, MemoryType, Name, Operator, Parser,
    Payload, TableType, TypeRef, ValType, ValidPayload, Validator, WasmFeatures,
};
use wasmtime::OutOfMemory;

const OK: i32 = 0;
const INVALID: i32 = 1;
const FEATURE: i32 = 2;
const TOO_LARGE: i32 = 3;
const STOPPED: i32 = 4;
const MEMORY: i32 = 5;

/// Names, types and punctuation of all imports and exports.
const MAX_JSON: usize = 32 << 20;
/// The whole of it: a byte of a name may take six.
const MAX_TEXT: usize = 8 * MAX_JSON;
const MAX_EXTERNS: usize = 200_000;
const MAX_CUSTOM: usize = 64;
/// Instances that a component makes of its modules and components: the compiler lays each of them
/// out. A run may have far fewer.
const MAX_INSTANCES: u64 = 10_000;
/// Tables with at most this maximum need no look at the code (CIS_ENGINE_POOL_ELEMENTS).
const POOL_ELEMENTS: u64 = 20_000;
/// Validated code between two questions whether to go on.
const TICK_BYTES: usize = 1 << 18;

pub enum Fault {
    Invalid(Error),
    TooLarge(String),
    Stopped,
    NoMemory,
}

impl From<Error> for Fault {
    fn from(e: Error) -> Fault {
        Fault::Invalid(e)
    }
}

impl From<OutOfMemory> for Fault {
    fn from(_: OutOfMemory) -> Fault {
        Fault::NoMemory
    }
}

type Keep = Option<extern "C" fn(*mut c_void) -> bool>;

struct Scan<'a> {
    component: bool,
    depth: usize,
    imports: Vec<Import<'a>>,
    exports: Vec<Export<'a>>,
    component_externs: [Vec<(&'a str, &'static str)>; 2],
    memories: Vec<(MemoryType, bool)>,
    tables: Vec<(TableType, bool)>,
    tags: u64,
    functions: u64,
    grows: bool,
    globals: u64,
    modules: u64,
    components: u64,
    start: bool,
    code_bytes: u64,
    data_bytes: u64,
    custom: Vec<String>,
    name: String,
    name_section: &'static str,
    size: usize,
    state: State,
    types: Option<Types>,
}

impl<'a> Scan<'a> {
    fn new() -> Scan<'a> {
        Scan {
            component: false,
            depth: 0,
            imports: Vec::new(),
            exports: Vec::new(),
            component_externs: [Vec::new(), Vec::new()],
            memories: Vec::new(),
            tables: Vec::new(),
            tags: 0,
            functions: 0,
            grows: false,
            globals: 0,
            modules: 0,
            components: 0,
            start: false,
            code_bytes: 0,
            data_bytes: 0,
            custom: Vec::new(),
            name: String::new(),
            name_section: "none",
            size: 0,
            state: State::default(),
            types: None,
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.size += bytes + 64;
        if self.size > MAX_JSON {
            return Err(Fault::TooLarge(format!(
                "the names and types of its imports and exports are larger than {MAX_JSON} bytes"
            )));
        }
        Ok(())
    }

    fn import(&mut self, import: Import<'a>) -> Result<(), Fault> {
        self.state.import(&import.ty);
        match import.ty {
            TypeRef::Memory(m) => lists::push(&mut self.memories, (m, true))?,
            TypeRef::Table(t) => lists::push(&mut self.tables, (t, true))?,
            TypeRef::Func(_) | TypeRef::FuncExact(_) => self.functions += 1,
            TypeRef::Global(_) => self.globals += 1,
            TypeRef::Tag(_) => self.tags += 1,
        }
        if self.depth > 0 {
            return Ok(()); // a module inside a component: only its sizes count
        }
        if self.imports.len() == MAX_EXTERNS {
            return Err(Fault::TooLarge(format!(
                "it has more than {MAX_EXTERNS} imports"
            )));
        }
        self.charge(import.module.len() + import.name.len())?;
        lists::push(&mut self.imports, import)?;
        Ok(())
    }

    fn component_extern(
        &mut self,
        which: usize,
        name: &'a str,
        kind: &'static str,
    ) -> Result<(), Fault> {
        if self.depth > 0 {
            return Ok(());
        }
        if self.component_externs[which].len() == MAX_EXTERNS {
            return Err(Fault::TooLarge(format!(
                "it has more than {MAX_EXTERNS} imports or exports"
            )));
        }
        self.charge(name.len())?;
        lists::push(&mut self.component_externs[which], (name, kind))?;
        Ok(())
    }

    /// The name section is no part of validation: what cannot be read is noted and left alone.
    fn names(&mut self, reader: wasmparser::NameSectionReader<'a>) {
        self.name_section = "ok";
        for sub in reader {
            match sub {
                Ok(Name::Module { name, .. }) => {
                    self.name = name.chars().take(256).collect();
                }
                Ok(_) => {}
                Err(_) => {
                    self.name_section = "malformed";
                    return;
                }
            }
        }
    }

    fn payload(&mut self, payload: &Payload<'a>) -> Result<(), Fault> {
        match payload {
            Payload::Version { encoding, .. } if self.depth == 0 => {
                self.component = *encoding == Encoding::Component;
            }
            Payload::ImportSection(s) => {
                for group in s.clone() {
                    match group? {
                        Imports::Single(_, import) => self.import(import)?,
                        Imports::Compact1 { module, items } => {
                            for item in items {
                                let item = item?;
                                self.import(Import {
                                    module,
                                    name: item.name,
                                    ty: item.ty,
                                })?;
                            }
                        }
                        Imports::Compact2 { module, ty, names } => {
                            for name in names {
                                self.import(Import {
                                    module,
                                    name: name?,
                                    ty,
                                })?;
                            }
                        }
                    }
                }
            }
            Payload::FunctionSection(s) => self.functions += u64::from(s.count()),
            Payload::GlobalSection(s) => self.globals += u64::from(s.count()),
            Payload::TagSection(s) => self.tags += u64::from(s.count()),
            Payload::MemorySection(s) => {
                for m in s.clone() {
                    lists::push(&mut self.memories, (m?, false))?;
                }
            }
            Payload::TableSection(s) => {
                for t in s.clone() {
                    lists::push(&mut self.tables, (t?.ty, false))?;
                }
            }
            Payload::ExportSection(s) if self.depth == 0 => {
                for export in s.clone() {
                    let export = export?;
                    if self.exports.len() == MAX_EXTERNS {
                        return Err(Fault::TooLarge(format!(
                            "it has more than {MAX_EXTERNS} exports"
                        )));
                    }
                    self.charge(export.name.len())?;
                    lists::push(&mut self.exports, export)?;
                }
            }
            Payload::StartSection { .. } => self.start = true,
            Payload::CodeSectionEntry(body) => self.code_bytes += body.range().len() as u64,
            Payload::DataSection(s) => self.data_bytes += s.range().len() as u64,
            Payload::ModuleSection { .. } => self.modules += 1,
            Payload::ComponentSection { .. } => self.components += 1,
            Payload::ComponentImportSection(s) => {
                for import in s.clone() {
                    let import = import?;
                    self.component_extern(0, import.name.name, component_kind(import.ty.kind()))?;
                }
            }
            Payload::ComponentExportSection(s) => {
                for export in s.clone() {
                    let export = export?;
                    self.component_extern(1, export.name.name, component_kind(export.kind))?;
                }
            }
            Payload::CustomSection(s) if self.depth == 0 => {
                if self.custom.len() < MAX_CUSTOM {
                    self.custom.push(s.name().chars().take(256).collect());
                }
                if let KnownCustom::Name(reader) = s.as_known() {
                    self.names(reader);
                } else if s.name() == "name" && !self.component {
                    self.name_section = "malformed";
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Does the body grow a table? Asked only while it is not known and some table has no small
    /// maximum: a pool slot holds tables of a fixed size.
    fn look_for_growth(&mut self, body: &wasmparser::FunctionBody<'a>) -> Result<(), Fault> {
        let open = |t: &TableType| t.maximum.is_none_or(|max| max > POOL_ELEMENTS);
        if self.grows || !self.tables.iter().any(|(t, _)| open(t)) {
            return Ok(());
        }
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            if matches!(reader.read()?, Operator::TableGrow { .. }) {
                self.grows = true;
                return Ok(());
            }
        }
        Ok(())
    }

    fn run(
        bytes: &'a [u8],
        set: WasmFeatures,
        keep: Keep,
        this: *mut c_void,
    ) -> Result<Scan<'a>, Fault> {
        let mut scan = Scan::new();
        let mut validator = Validator::new_with_features(set);
        let mut parser = Parser::new(0);
        parser.set_features(set);
        let mut allocations = Default::default();
        let mut since = 0;
        for payload in parser.parse_all(bytes) {
            let payload = payload?;
            let step = validator.payload(&payload)?;
            scan.payload(&payload)?;
            scan.state.payload(&payload)?;
            match step {
                ValidPayload::Parser(_) => scan.depth += 1,
                ValidPayload::End(types) => {
                    if scan.depth == 0 {
                        scan.types = Some(types);
                    } else {
                        scan.depth -= 1;
                    }
                }
                ValidPayload::Func(func, body) => {
                    since += body.range().len() + 64;
                    let mut check = func.into_validator(allocations);
                    check.validate(&body)?;
                    scan.look_for_growth(&body)?;
                    allocations = check.into_allocations();
                }
                ValidPayload::Ok => since += 1024,
            }
            if since > TICK_BYTES {
                since = 0;
                if keep.is_some_and(|f| !f(this)) {
                    return Err(Fault::Stopped);
                }
            }
        }
        if scan.state.instances() > MAX_INSTANCES {
            return Err(Fault::TooLarge(format!(
                "it makes more than {MAX_INSTANCES} instances of its modules and components"
            )));
        }
        Ok(scan)
    }

    fn json(mut self, used: u32, bytes: &[u8]) -> Result<String, Fault> {
        let mut out = Sheet::new(MAX_TEXT);
        let layer = if self.component { "component" } else { "module" };
        let _ = write!(out, "{{\"layer\":\"{layer}\"");
        let names = [(MEMORY64, "memory64"), (EXCEPTIONS, "exceptions")];
        let used = names.iter().filter(|(bit, _)| used & bit != 0);
        list(&mut out, "features", used, |out, (_, name)| out.push_json(name));
        if !self.name.is_empty() {
            out.push(",\"name\":");
            out.push_json(&self.name);
        }
        if self.component {
            for (which, key) in [(0, "imports"), (1, "exports")] {
                list(&mut out, key, self.component_externs[which].iter(), |out, (name, kind)| {
                    out.push("{\"name\":");
                    out.push_json(name);
                    let _ = write!(out, ",\"kind\":\"{kind}\",\"type\":\"{kind}\"}}");
                });
            }
            number(&mut out, "modules", self.modules);
            number(&mut out, "components", self.components);
            if let Some(composed) = parts::describe(bytes) {
                let _ = write!(out, ",\"composed\":{}", serde_json::Value::Object(composed));
            }
        } else {
            self.externs(&mut out)?;
        }
        list(&mut out, "memories", self.memories.iter(), |out, (m, imported)| {
            let bits = if m.memory64 { 64 } else { 32 };
            let _ = write!(out, "{{\"imported\":{imported},\"bits\":{bits}");
            memory(out, m);
            out.push("}");
        });
        list(&mut out, "tables", self.tables.iter(), |out, (t, imported)| {
            let _ = write!(out, "{{\"imported\":{imported},\"type\":\"{}\"", t.element_type);
            limits(out, t.initial, t.maximum);
            out.push("}");
        });
        let _ = write!(out, ",\"table_grow\":{},\"start\":{}", self.grows, self.start);
        number(&mut out, "functions", self.functions);
        number(&mut out, "globals", self.globals);
        number(&mut out, "tags", self.tags);
        number(&mut out, "code_bytes", self.code_bytes);
        number(&mut out, "data_bytes", self.data_bytes);
        list(&mut out, "custom", self.custom.iter(), |out, name| out.push_json(name));
        let _ = write!(out, ",\"name_section\":\"{}\"", self.name_section);
        number(&mut out, "state_bytes", self.state.bytes());
        out.push("}");
        out.whole().map_err(|cut| match cut {
            Cut::Full => Fault::TooLarge(format!("what is in it is larger than {MAX_TEXT} bytes")),
            Cut::NoMemory => Fault::NoMemory,
        })
    }

    /// Imports and exports of a core module.
    fn externs(&mut self, out: &mut Sheet) -> Result<(), Fault> {
        let types = self.types.take();
        let types = types.as_ref();
        out.push(",\"imports\":[");
        for (i, import) in std::mem::take(&mut self.imports).iter().enumerate() {
            let ty = types.and_then(|t| t.as_ref().entity_type_from_import(import));
            out.push(if i == 0 { "{\"module\":" } else { ",{\"module\":" });
            out.push_json(import.module);
            out.push(",\"name\":");
            out.push_json(import.name);
            self.entity(out, ty, types)?;
            out.push("}");
        }
        out.push("],\"exports\":[");
        for (i, export) in std::mem::take(&mut self.exports).iter().enumerate() {
            let ty = types.and_then(|t| t.as_ref().entity_type_from_export(export));
            out.push(if i == 0 { "{\"name\":" } else { ",{\"name\":" });
            out.push_json(export.name);
            self.entity(out, ty, types)?;
            out.push("}");
        }
        out.push("]");
        Ok(())
    }

    fn entity(
        &mut self,
        out: &mut Sheet,
        ty: Option<EntityType>,
        types: Option<&Types>,
    ) -> Result<(), Fault> {
        let before = out.len();
        let _ = match ty {
            Some(EntityType::Func(id) | EntityType::FuncExact(id)) => {
                out.push(",\"kind\":\"func\",\"type\":\"");
                signature(out, types, id);
                Ok(())
            }
            Some(EntityType::Memory(m)) => {
                memory(out, &m);
                write!(out, ",\"kind\":\"memory\",\"type\":\"memory")
            }
            Some(EntityType::Table(t)) => {
                limits(out, t.initial, t.maximum);
                write!(out, ",\"kind\":\"table\",\"type\":\"{}", t.element_type)
            }
            Some(EntityType::Global(g)) if g.mutable => {
                write!(out, ",\"kind\":\"global\",\"type\":\"(mut {})", g.content_type)
            }
            Some(EntityType::Global(g)) => {
                write!(out, ",\"kind\":\"global\",\"type\":\"{}", g.content_type)
            }
            Some(EntityType::Tag(id)) => {
                out.push(",\"kind\":\"tag\",\"type\":\"");
                signature(out, types, id);
                Ok(())
            }
            None => write!(out, ",\"kind\":\"other\",\"type\":\""),
        };
        out.push("\"");
        self.charge(out.len() - before)
    }
}

/// Members of an object are written behind the first one; what fails is the sheet, and it knows why.
fn number(out: &mut Sheet, key: &str, n: u64) {
    // Readers of JSON stop at 63 bits; nothing of that size can be had anyway.
    let _ = write!(out, ",\"{key}\":{}", n.min(i64::MAX as u64));
}

fn list<T>(
    out: &mut Sheet,
    key: &str,
    items: impl Iterator<Item = T>,
    mut put: impl FnMut(&mut Sheet, T),
) {
    let _ = write!(out, ",\"{key}\":[");
    for (i, item) in items.enumerate() {
        if i != 0 {
            out.push(",");
        }
        put(out, item);
    }
    out.push("]");
}

fn component_kind(kind: wasmparser::ComponentExternalKind) -> &'static str {
    use wasmparser::ComponentExternalKind as K;
    match kind {
        K::Module => "module",
        K::Func => "func",
        K::Value => "value",
        K::Type => "type",
        K::Instance => "instance",
        K::Component => "component",
    }
}

fn letter(ty: &ValType) -> &'static str {
    match ty {
        ValType::I32 => "i",
        ValType::I64 => "I",
        ValType::F32 => "f",
        ValType::F64 => "F",
        ValType::V128 => "v",
        ValType::Ref(_) => "r",
    }
}

fn signature(out: &mut Sheet, types: Option<&Types>, id: wasmparser::types::CoreTypeId) {
    let Some(types) = types else { return };
    if let wasmparser::CompositeInnerType::Func(f) = &types[id].composite_type.inner {
        f.params().iter().for_each(|ty| out.push(letter(ty)));
        out.push(":");
        f.results().iter().for_each(|ty| out.push(letter(ty)));
    }
}

fn limits(out: &mut Sheet, min: u64, max: Option<u64>) {
    number(out, "min", min);
    if let Some(max) = max {
        number(out, "max", max);
    }
}

fn memory(out: &mut Sheet, m: &MemoryType) {
    let log2 = m.page_size_log2();
    let pages = |n: u64| {
        let bytes = u128::from(n) << log2;
        u64::try_from(bytes.div_ceil(65536)).unwrap_or(u64::MAX)
    };
    limits(out, pages(m.initial), m.maximum.map(pages));
}

/// Name of the feature without which validation failed, as the header lists them.
fn feature_name(error: &Error) -> Option<String> {
    let set = error.missing_wasm_feature()?;
    let name = match set {
        s if s == WasmFeatures::MEMORY64 => "memory64",
        s if s == WasmFeatures::EXCEPTIONS => "exceptions",
        s if s == WasmFeatures::LEGACY_EXCEPTIONS => "legacy-exceptions",
        s if s == WasmFeatures::THREADS || s == WasmFeatures::SHARED_EVERYTHING_THREADS => {
            "threads"
        }
        s if s == WasmFeatures::GC || s == WasmFeatures::GC_TYPES => "gc",
        s if s == WasmFeatures::FUNCTION_REFERENCES => "function-references",
        s if s.intersects(
            WasmFeatures::CM_ASYNC
                | WasmFeatures::CM_ASYNC_STACKFUL
                | WasmFeatures::CM_MORE_ASYNC_BUILTINS
                | WasmFeatures::CM_THREADING
                | WasmFeatures::CM_ERROR_CONTEXT,
        ) =>
        {
            "component-async"
        }
        s => {
            let (name, _) = s.iter_names().next()?;
            return Some(name.to_lowercase().replace('_', "-"));
        }
    };
    Some(name.into())
}

/// Everything that could be named in a refusal: used only to find out which feature is missing
/// where the validator's error does not say it.
fn everything() -> WasmFeatures {
    features(MEMORY64 | EXCEPTIONS)
        | WasmFeatures::THREADS
        | WasmFeatures::GC
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::LEGACY_EXCEPTIONS
        | WasmFeatures::CM_ASYNC
        | WasmFeatures::CM_ASYNC_STACKFUL
        | WasmFeatures::CM_MORE_ASYNC_BUILTINS
        | WasmFeatures::CM_ERROR_CONTEXT
        | WasmFeatures::CM_THREADING
        | WasmFeatures::SHARED_EVERYTHING_THREADS
        | WasmFeatures::STACK_SWITCHING
        | WasmFeatures::WIDE_ARITHMETIC
        | WasmFeatures::CUSTOM_PAGE_SIZES
}

/// A feature whose absence alone makes the module invalid.
fn missing(
    bytes: &[u8],
    on: u32,
    keep: Keep,
    this: *mut c_void,
) -> Result<Option<&'static str>, Fault> {
    let all = everything();
    if let Err(fault) = Scan::run(bytes, all, keep, this) {
        return match fault {
            Fault::Invalid(_) => Ok(None), // invalid whatever is switched on
            other => Err(other),
        };
    }
    let asked = [
        (
            WasmFeatures::THREADS | WasmFeatures::SHARED_EVERYTHING_THREADS,
            "threads",
        ),
        (WasmFeatures::LEGACY_EXCEPTIONS, "legacy-exceptions"),
        (WasmFeatures::EXCEPTIONS, "exceptions"),
        (WasmFeatures::MEMORY64, "memory64"),
        (WasmFeatures::FUNCTION_REFERENCES, "function-references"),
        (WasmFeatures::GC | WasmFeatures::GC_TYPES, "gc"),
        (
            WasmFeatures::CM_ASYNC
                | WasmFeatures::CM_ASYNC_STACKFUL
                | WasmFeatures::CM_MORE_ASYNC_BUILTINS
                | WasmFeatures::CM_ERROR_CONTEXT
                | WasmFeatures::CM_THREADING,
            "component-async",
        ),
        (WasmFeatures::STACK_SWITCHING, "stack-switching"),
        (WasmFeatures::WIDE_ARITHMETIC, "wide-arithmetic"),
        (WasmFeatures::CUSTOM_PAGE_SIZES, "custom-page-sizes"),
    ];
    for (set, name) in asked {
        if features(on).contains(set) {
            continue; // on already: not what is missing
        }
        match Scan::run(bytes, all.difference(set), keep, this) {
            Err(Fault::Invalid(_)) => return Ok(Some(name)),
            Err(other) => return Err(other),
            Ok(_) => {}
        }
    }
    Ok(None)
}

/// The smallest set of switches with which the bytes are valid, then whether they are on.
fn scan(bytes: &[u8], on: u32, keep: Keep, this: *mut c_void) -> (i32, String) {
    let mut first: Option<Error> = None;
    for used in [0, MEMORY64, EXCEPTIONS, MEMORY64 | EXCEPTIONS] {
        match Scan::run(bytes, features(used), keep, this) {
            Ok(found) if used & !on == 0 => {
                return match found.json(used, bytes) {
                    Ok(json) => (OK, json),
                    Err(fault) => explain(fault),
                };
            }
            Ok(_) => {
                let name = match (used & !on & MEMORY64 != 0, &first) {
                    (true, _) => "memory64",
                    (_, Some(e)) if e.missing_wasm_feature() == Some(WasmFeatures::GC_TYPES) => {
                        "externref" // only asks for the heap that comes with exceptions
                    }
                    _ => "exceptions",
                };
                return (FEATURE, name.into());
            }
            Err(Fault::Invalid(e)) => {
                // The validator does not always say which feature it misses (a 64-bit limit read
                // as a 32-bit one is just malformed), so only another feature ends the search.
                let hopeful = matches!(
                    feature_name(&e).as_deref(),
                    None | Some("memory64" | "exceptions" | "gc")
                );
                first = Some(first.unwrap_or(e));
                if !hopeful {
                    break;
                }
            }
            Err(other) => return explain(other),
        }
    }
    let Some(error) = first else {
        return (INVALID, "cannot be read".into());
    };
    if let Some(name) = feature_name(&error) {
        if !matches!(name.as_str(), "memory64" | "exceptions") {
            return (FEATURE, name);
        }
    }
    match missing(bytes, on, keep, this) {
        Ok(Some(name)) => (FEATURE, name.into()),
        // Invalid for another reason: say the one that is left when everything allowed is on.
        Ok(None) => match Scan::run(bytes, features(on), keep, this) {
            Err(fault) => explain(fault),
            Ok(_) => explain(Fault::Invalid(error)),
        },
        Err(fault) => explain(fault),
    }
}

fn explain(fault: Fault) -> (i32, String) {
    match fault {
        Fault::Invalid(e) => {
            let text = e.message().replace('\n', ": ");
            (INVALID, format!("{text} (at offset 0x{:x})", e.offset()))
        }
        Fault::TooLarge(text) => (TOO_LARGE, text),
        Fault::Stopped => (STOPPED, "stopped".into()),
        Fault::NoMemory => (MEMORY, "out of memory".into()),
    }
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_scan(
    wasm: *const u8,
    len: usize,
    features: u32,
    keep_going: Keep,
    this: *mut c_void,
    out: *mut GlueText,
) -> i32 {
    // SAFETY: by the contract.
    let (status, text) = scan(unsafe { slice(wasm, len) }, features, keep_going, this);
    GlueText::set(out, text);
    status
}
