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
//! and memories, tables, functions summed over its modules. Imports have no "module".

use crate::config::{EXCEPTIONS, MEMORY64, features};
use crate::state::State;
use crate::{GlueText, slice};
use serde_json::{Map, Value, json};
use std::ffi::c_void;
use wasmparser::types::{EntityType, Types};
use wasmparser::{
    Encoding, Error, Export, Import, Imports, KnownCustom, MemoryType, Name, Operator, Parser,
    Payload, TableType, TypeRef, ValType, ValidPayload, Validator, WasmFeatures,
};

const OK: i32 = 0;
const INVALID: i32 = 1;
const FEATURE: i32 = 2;
const TOO_LARGE: i32 = 3;
const STOPPED: i32 = 4;

/// Names, types and punctuation of all imports and exports.
const MAX_JSON: usize = 32 << 20;
const MAX_EXTERNS: usize = 200_000;
const MAX_CUSTOM: usize = 64;
/// Instances that a component makes of its modules and components: the compiler lays each of them
/// out. A run may have far fewer.
const MAX_INSTANCES: u64 = 10_000;
/// Tables with at most this maximum need no look at the code (CIS_ENGINE_POOL_ELEMENTS).
const POOL_ELEMENTS: u64 = 20_000;
/// Validated code between two questions whether to go on.
const TICK_BYTES: usize = 1 << 18;

enum Fault {
    Invalid(Error),
    TooLarge(String),
    Stopped,
}

impl From<Error> for Fault {
    fn from(e: Error) -> Fault {
        Fault::Invalid(e)
    }
}

type Keep = Option<extern "C" fn(*mut c_void) -> bool>;

struct Scan<'a> {
    component: bool,
    depth: usize,
    imports: Vec<Import<'a>>,
    exports: Vec<Export<'a>>,
    component_externs: [Vec<(String, &'static str)>; 2],
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
            TypeRef::Memory(m) => self.memories.push((m, true)),
            TypeRef::Table(t) => self.tables.push((t, true)),
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
        self.imports.push(import);
        Ok(())
    }

    fn component_extern(
        &mut self,
        which: usize,
        name: &str,
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
        self.component_externs[which].push((name.to_owned(), kind));
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
                    self.memories.push((m?, false));
                }
            }
            Payload::TableSection(s) => {
                for t in s.clone() {
                    self.tables.push((t?.ty, false));
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
                    self.exports.push(export);
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

    fn json(mut self, used: u32) -> Result<String, Fault> {
        let mut out = Map::new();
        let layer = if self.component {
            "component"
        } else {
            "module"
        };
        out.insert("layer".into(), layer.into());
        let names: Vec<&str> = [(MEMORY64, "memory64"), (EXCEPTIONS, "exceptions")]
            .iter()
            .filter(|(bit, _)| used & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        out.insert("features".into(), json!(names));
        if !self.name.is_empty() {
            out.insert("name".into(), std::mem::take(&mut self.name).into());
        }
        if self.component {
            for (which, key) in [(0, "imports"), (1, "exports")] {
                let list: Vec<Value> = self.component_externs[which]
                    .iter()
                    .map(|(name, kind)| json!({"name": name, "kind": kind, "type": kind}))
                    .collect();
                out.insert(key.into(), list.into());
            }
            out.insert("modules".into(), self.modules.into());
            out.insert("components".into(), self.components.into());
        } else {
            let types = self.types.take();
            let types = types.as_ref();
            let mut imports = Vec::new();
            for import in std::mem::take(&mut self.imports) {
                let ty = types.and_then(|t| t.as_ref().entity_type_from_import(&import));
                let mut item = self.entity(ty, types)?;
                item.insert("module".into(), import.module.into());
                item.insert("name".into(), import.name.into());
                imports.push(Value::Object(item));
            }
            let mut exports = Vec::new();
            for export in std::mem::take(&mut self.exports) {
                let ty = types.and_then(|t| t.as_ref().entity_type_from_export(&export));
                let mut item = self.entity(ty, types)?;
                item.insert("name".into(), export.name.into());
                exports.push(Value::Object(item));
            }
            out.insert("imports".into(), imports.into());
            out.insert("exports".into(), exports.into());
        }
        let memories: Vec<Value> = self
            .memories
            .iter()
            .map(|(m, imported)| {
                let mut item = memory(m);
                item.insert("imported".into(), (*imported).into());
                item.insert("bits".into(), if m.memory64 { 64 } else { 32 }.into());
                Value::Object(item)
            })
            .collect();
        out.insert("memories".into(), memories.into());
        let tables: Vec<Value> = self
            .tables
            .iter()
            .map(|(t, imported)| {
                let mut item = limits(t.initial, t.maximum);
                item.insert("imported".into(), (*imported).into());
                item.insert("type".into(), t.element_type.to_string().into());
                Value::Object(item)
            })
            .collect();
        out.insert("tables".into(), tables.into());
        out.insert("table_grow".into(), self.grows.into());
        out.insert("functions".into(), self.functions.into());
        out.insert("globals".into(), self.globals.into());
        out.insert("tags".into(), self.tags.into());
        out.insert("start".into(), self.start.into());
        out.insert("code_bytes".into(), self.code_bytes.into());
        out.insert("data_bytes".into(), self.data_bytes.into());
        out.insert("custom".into(), json!(self.custom));
        out.insert("name_section".into(), self.name_section.into());
        // Readers of JSON stop at 63 bits.
        let state = self.state.bytes().min(i64::MAX as u64);
        out.insert("state_bytes".into(), state.into());
        Ok(Value::Object(out).to_string())
    }

    fn entity(
        &mut self,
        ty: Option<EntityType>,
        types: Option<&Types>,
    ) -> Result<Map<String, Value>, Fault> {
        let (kind, text, mut item) = match ty {
            Some(EntityType::Func(id) | EntityType::FuncExact(id)) => (
                "func",
                types.map_or(String::new(), |t| signature(t, id)),
                Map::new(),
            ),
            Some(EntityType::Memory(m)) => ("memory", "memory".into(), memory(&m)),
            Some(EntityType::Table(t)) => (
                "table",
                t.element_type.to_string(),
                limits(t.initial, t.maximum),
            ),
            Some(EntityType::Global(g)) => {
                let text = if g.mutable {
                    format!("(mut {})", g.content_type)
                } else {
                    g.content_type.to_string()
                };
                ("global", text, Map::new())
            }
            Some(EntityType::Tag(id)) => (
                "tag",
                types.map_or(String::new(), |t| signature(t, id)),
                Map::new(),
            ),
            None => ("other", String::new(), Map::new()),
        };
        self.charge(text.len())?;
        item.insert("kind".into(), kind.into());
        item.insert("type".into(), text.into());
        Ok(item)
    }
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

fn letter(ty: &ValType) -> char {
    match ty {
        ValType::I32 => 'i',
        ValType::I64 => 'I',
        ValType::F32 => 'f',
        ValType::F64 => 'F',
        ValType::V128 => 'v',
        ValType::Ref(_) => 'r',
    }
}

fn signature(types: &Types, id: wasmparser::types::CoreTypeId) -> String {
    let sub = &types[id];
    match &sub.composite_type.inner {
        wasmparser::CompositeInnerType::Func(f) => {
            let params = f.params().iter().map(letter);
            params
                .chain(std::iter::once(':'))
                .chain(f.results().iter().map(letter))
                .collect()
        }
        _ => String::new(),
    }
}

fn limits(min: u64, max: Option<u64>) -> Map<String, Value> {
    // Readers of JSON stop at 63 bits; nothing of that size can be had anyway.
    let clamp = |n: u64| n.min(i64::MAX as u64);
    let mut item = Map::new();
    item.insert("min".into(), clamp(min).into());
    if let Some(max) = max {
        item.insert("max".into(), clamp(max).into());
    }
    item
}

fn memory(m: &MemoryType) -> Map<String, Value> {
    let log2 = m.page_size_log2();
    let pages = |n: u64| {
        let bytes = u128::from(n) << log2;
        u64::try_from(bytes.div_ceil(65536)).unwrap_or(u64::MAX)
    };
    limits(pages(m.initial), m.maximum.map(pages))
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
                return match found.json(used) {
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
