//! Bounds on documents whose parsers recurse. Each is checked on the flat form of the document (the
//! events of TOML, the words of WIT, the types of a component), before the parser sees it: a stack
//! that overflows ends the process, and no caller can stop that.

use crate::lists;
use std::collections::{HashMap, HashSet};
use toml_parser::parser::EventReceiver;
use toml_parser::{ErrorSink, Source, Span};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem};
use wasmparser::types::Types;
use wasmparser::{Parser, Payload, ValidPayload, Validator, WasmFeatures};
use wasmtime::{Result, format_err};

// ---- TOML ----

/// Tables and arrays inside each other, however they are written.
pub const TOML_MAX: usize = 64;

/// The parser bounds brackets and dots each by itself: together they multiply.
#[derive(Default)]
struct Nesting {
    above: usize,      // depth of the table or array that is being read
    header: bool,      // inside of [ ] or [[ ]] of a table
    keys: usize,       // parts of the key that is being read
    open: Vec<usize>,  // `above` outside of each inline table and array
    too_deep: Option<usize>, // where
}

impl Nesting {
    fn look(&mut self, depth: usize, span: Span) {
        if depth > TOML_MAX && self.too_deep.is_none() {
            self.too_deep = Some(span.start());
        }
    }

    fn header(&mut self) {
        (self.above, self.keys, self.header) = (0, 0, true);
        self.open.clear();
    }

    fn header_ends(&mut self, more: usize) {
        (self.above, self.keys, self.header) = (self.keys + more, 0, false);
    }

    /// False: the parser does not go into it.
    fn enter(&mut self, span: Span) -> bool {
        self.open.push(self.above);
        self.above += self.keys + 1;
        self.keys = 0;
        self.look(self.above, span);
        self.too_deep.is_none()
    }

    fn leave(&mut self) {
        self.above = self.open.pop().unwrap_or(0);
        self.keys = 0;
    }
}

impl EventReceiver for Nesting {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header();
    }
    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header_ends(0);
    }
    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header();
    }
    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header_ends(1);
    }
    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.enter(span)
    }
    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.leave();
    }
    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.enter(span)
    }
    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.leave();
    }
    fn simple_key(
        &mut self,
        span: Span,
        _: Option<toml_parser::decoder::Encoding>,
        _: &mut dyn ErrorSink,
    ) {
        self.keys += 1;
        self.look(self.above + self.keys, span);
    }
    fn value_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.keys = 0;
    }
    fn newline(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if self.open.is_empty() && !self.header {
            self.keys = 0;
        }
    }
}

/// Where the text goes deeper than TOML_MAX; None: nowhere.
pub fn toml(text: &str) -> Option<usize> {
    let tokens = Source::new(text).lex().into_vec();
    let mut nesting = Nesting::default();
    toml_parser::parser::parse_document(&tokens, &mut nesting, &mut ());
    nesting.too_deep
}

// ---- WIT as text ----

const WIT_MAX: usize = 1 << 20;
/// Packages, interfaces and worlds: each may need the one before it. The binary form has no more.
const WIT_ITEMS_MAX: usize = 1000;

/// The text without comments, as words.
fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let rest = &bytes[at..];
            if rest.starts_with(b"//") {
                at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            } else if rest.starts_with(b"/*") {
                at += comment(rest);
            } else {
                let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"-_%".contains(b);
                let n = rest.iter().position(|b| !is_word(b)).unwrap_or(rest.len());
                at += n.max(1);
                if n != 0 {
                    return Some(&rest[..n]);
                }
            }
        }
        None
    })
}

/// Length of the comment that begins here; comments nest.
fn comment(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0usize);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

pub fn wit(text: &str) -> Result<()> {
    if text.len() > WIT_MAX {
        return Err(format_err!("the text is larger than {WIT_MAX} bytes"));
    }
    let items: [&[u8]; 3] = [b"package", b"interface", b"world"];
    let n = words(text).filter(|word| items.contains(word)).count();
    if n > WIT_ITEMS_MAX {
        return Err(format_err!("more than {WIT_ITEMS_MAX} packages, interfaces and worlds"));
    }
    Ok(())
}

// ---- WAC as text ----

/// Brackets inside each other, of any kind: expressions and types nest by them alone.
const WAC_DEPTH_MAX: usize = 64;
const WAC_MAX: usize = 1 << 20;

pub fn wac(text: &str) -> Result<()> {
    let bytes = text.as_bytes();
    if bytes.len() > WAC_MAX {
        return Err(format_err!("the text is larger than {WAC_MAX} bytes"));
    }
    let (mut at, mut depth) = (0, 0usize);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let until = |end: u8| rest[1..].iter().position(|b| *b == end).map_or(rest.len(), |n| n + 2);
        at += match rest[0] {
            b'/' if rest.starts_with(b"//") => until(b'\n'),
            b'/' if rest.starts_with(b"/*") => comment(rest),
            b'"' => until(b'"'),
            b'-' if rest.starts_with(b"->") => 2,
            b'(' | b'[' | b'{' | b'<' => {
                depth += 1;
                1
            }
            b')' | b']' | b'}' | b'>' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ => 1,
        };
        if depth > WAC_DEPTH_MAX {
            let line = text[..at].matches('\n').count() + 1;
            return Err(format_err!("line {line}: more than {WAC_DEPTH_MAX} brackets inside each other"));
        }
    }
    Ok(())
}

// ---- interfaces in binary form ----

/// Packages that need one another in a row.
const CHAIN_MAX: usize = 256;

/// Which package uses types of which. The decoder follows this to its end, and a circle has none.
#[derive(Default)]
pub struct Packages {
    whole: bool, // interfaces by themselves, not the packages they are of
    names: Vec<String>,
    ids: HashMap<String, usize>,
    needs: Vec<HashSet<usize>>,
}

/// Who a type was first named by; None: a world.
type Owners = HashMap<ComponentAnyTypeId, Option<usize>>;

impl Packages {
    /// The package of an interface: "a:b/c@1.0.0" is of "a:b@1.0.0". Another name is its own.
    fn package(&mut self, name: &str) -> Result<usize> {
        let (head, version) = name.split_once('@').unwrap_or((name, ""));
        let package = match head.split_once('/') {
            Some((package, _)) if !self.whole => package,
            _ => head,
        };
        let key = format!("{package}@{version}");
        if let Some(id) = self.ids.get(&key) {
            return Ok(*id);
        }
        let id = self.names.len();
        lists::push(&mut self.names, package.to_owned())?;
        lists::push(&mut self.needs, HashSet::new())?;
        lists::put(&mut self.ids, key, id)?;
        Ok(id)
    }

    fn item(
        &mut self,
        types: &Types,
        owners: &mut Owners,
        name: &str,
        item: &ComponentItem,
    ) -> Result<()> {
        match item.ty {
            ComponentEntityType::Component(id)
            | ComponentEntityType::Type { created: ComponentAnyTypeId::Component(id), .. } => {
                // The validator bounds how deep this goes.
                let ty = &types[id];
                for (name, item) in ty.imports.iter().chain(ty.exports.iter()) {
                    self.item(types, owners, name, item)?;
                }
            }
            ComponentEntityType::Instance(id)
            | ComponentEntityType::Type { created: ComponentAnyTypeId::Instance(id), .. } => {
                let package = self.package(name)?;
                for (_, item) in types[id].exports.iter() {
                    if let ComponentEntityType::Type { referenced, created } = item.ty {
                        self.named(types, owners, package, referenced)?;
                        lists::put(owners, created, Some(package))?;
                    }
                }
            }
            ComponentEntityType::Type { created, .. } => {
                lists::put(owners, created, None)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// `package` has a name for this type: it needs whoever named it before.
    fn named(
        &mut self,
        types: &Types,
        owners: &Owners,
        package: usize,
        ty: ComponentAnyTypeId,
    ) -> Result<()> {
        let mut at = ty;
        loop {
            if let Some(owner) = owners.get(&at) {
                if let Some(other) = owner.filter(|other| *other != package) {
                    lists::add(&mut self.needs[package], other)?;
                }
                return Ok(());
            }
            match types.peel_alias(at) {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
    }

    /// What a component or an encoded package takes and gives.
    pub fn component(&mut self, wasm: &[u8]) -> Result<()> {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        let (mut depth, mut types) = (1, None);
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            match validator.payload(&payload)? {
                ValidPayload::Parser(_) => depth += 1,
                ValidPayload::End(ended) => {
                    depth -= 1;
                    if depth == 0 {
                        types = Some(ended);
                    }
                }
                ValidPayload::Ok | ValidPayload::Func(..) => {}
            }
            match payload {
                Payload::ComponentImportSection(s) if depth == 1 => {
                    for import in s {
                        lists::push(&mut imports, import?.name.name)?;
                    }
                }
                Payload::ComponentExportSection(s) if depth == 1 => {
                    for export in s {
                        lists::push(&mut exports, export?.name.name)?;
                    }
                }
                _ => {}
            }
        }
        let Some(types) = types else { return Ok(()) };
        let mut owners = Owners::new();
        for name in imports {
            if let Some(item) = types.component_item_for_import(name) {
                self.item(&types, &mut owners, name, item)?;
            }
        }
        for name in exports {
            if let Some(item) = types.component_item_for_export(name) {
                // What it exports may be made of what it imports by the same name.
                let name = if self.whole { format!("{name}=") } else { name.to_owned() };
                self.item(&types, &mut owners, &name, item)?;
            }
        }
        Ok(())
    }

    /// The interfaces that a core module carries for the encoder.
    pub fn module(&mut self, wasm: &[u8]) -> Result<()> {
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::CustomSection(s) = payload?
                && s.name().starts_with("component-type")
            {
                self.component(s.data())?;
            }
        }
        Ok(())
    }

    /// No circle, and no chain that is too long.
    pub fn check(&self) -> Result<()> {
        let what = if self.whole { "interfaces" } else { "packages" };
        let n = self.names.len();
        let mut users = lists::made((0..n).map(|_| Vec::new()))?;
        let mut left = lists::made(self.needs.iter().map(HashSet::len))?;
        for (user, needs) in self.needs.iter().enumerate() {
            for needed in needs {
                lists::push(&mut users[*needed], user)?;
            }
        }
        let mut ready = lists::room(n)?; // each is ready once
        for i in (0..n).filter(|i| left[*i] == 0) {
            lists::push(&mut ready, i)?;
        }
        let mut chain = lists::made((0..n).map(|_| 1))?;
        let mut done = 0;
        while let Some(i) = ready.pop() {
            done += 1;
            if chain[i] > CHAIN_MAX {
                return Err(format_err!("a chain of more than {CHAIN_MAX} {what}"));
            }
            for user in &users[i] {
                chain[*user] = chain[*user].max(chain[i] + 1);
                left[*user] -= 1;
                if left[*user] == 0 {
                    lists::push(&mut ready, *user)?;
                }
            }
        }
        match (0..n).find(|i| done < n && left[*i] != 0) {
            Some(i) => Err(format_err!("package {} depends on itself", self.names[i])),
            None => Ok(()),
        }
    }
}

/// The interfaces of a component use types of one another: whoever follows that recurses as deep.
pub fn interfaces(wasm: &[u8]) -> Result<()> {
    let mut all = Packages { whole: true, ..Packages::default() };
    all.component(wasm)?;
    all.check()
}
