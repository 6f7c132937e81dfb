//! What a component was composed of: the components inside that have code, what each of them gets
//! and from whom. Read from the valid binary alone, whoever made it.
//!
//! ```json
//! {"parts":[{"name":"scheduler",
//!            "imports":[{"name":"a:b/c@1.0.0","from":"adapter","export":"a:b/c@1.0.1"},
//!                       {"name":"wasi:io/poll@0.2.0","import":"wasi:io/poll@0.2.3"}],
//!            "parts":[…]}],
//!  "exports":[{"name":"run","from":"scheduler","export":"run"}]}
//! ```
//! What is handed on, through instances that are only made of exports and components without code,
//! is told as what it is: an import by one name may stand for several things then, one entry each.
//! An import that stands for nothing of a part and nothing of the outside has its name alone. Code
//! of the composition itself, beside its parts, is a part by the name ITSELF.

use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use wasmparser::{
    CanonicalFunction, Chunk, ComponentAlias, ComponentExternalKind as Kind, ComponentInstance,
    ComponentName, ComponentTypeRef, KnownCustom, Parser, Payload,
};

/// Parts inside of parts are told down to this level.
const LEVELS: usize = 8;
/// Bytes of all names: more, and nothing is told.
const NAMES_MAX: usize = 8 << 20;
/// What one step along what is handed on counts as.
const STEP: usize = 32;
const ITSELF: &str = "(itself)";

/// Where an item of an index space is from.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source<'a> {
    Import(&'a str),
    Export(u32, &'a str), // of an instance
    Made(usize),          // an instance of a component: index into `made`
    Bag(usize),           // an instance made of items: index into `bags`
    Other,
}

/// Who an item comes from in the end.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Giver<'a> {
    Outside(&'a str),
    Part(usize, Option<&'a str>), // by this export of it; None: all of them
}

type Items<'a> = Vec<(&'a str, Kind, u32)>;

struct Made<'a> {
    child: Option<usize>,
    args: Items<'a>,
    name: Option<&'a str>,
}

struct Child<'a> {
    wasm: &'a [u8],
    code: bool,
}

#[derive(Default)]
struct Outer<'a> {
    instances: Vec<Source<'a>>,
    funcs: Vec<Source<'a>>,
    components: Vec<Option<usize>>,
    children: Vec<Child<'a>>,
    made: Vec<Made<'a>>,
    bags: Vec<Items<'a>>,
    exports: Items<'a>,
    code: bool,        // a core module of its own
    lowered: Vec<u32>, // functions that this code calls
}

/// Does it have a core module, at any depth?
fn has_code(wasm: &[u8]) -> bool {
    Parser::new(0)
        .parse_all(wasm)
        .any(|payload| matches!(payload, Ok(Payload::ModuleSection { .. })))
}

impl<'a> Outer<'a> {
    fn space(&mut self, kind: Kind) -> Option<&mut Vec<Source<'a>>> {
        match kind {
            Kind::Instance => Some(&mut self.instances),
            Kind::Func => Some(&mut self.funcs),
            _ => None,
        }
    }

    fn find(&self, kind: Kind, index: u32) -> Source<'a> {
        let space = match kind {
            Kind::Instance => &self.instances,
            Kind::Func => &self.funcs,
            _ => return Source::Other,
        };
        space.get(index as usize).copied().unwrap_or(Source::Other)
    }

    fn payload(&mut self, payload: Payload<'a>) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentImportSection(s) => {
                for import in s {
                    let import = import?;
                    let source = Source::Import(import.name.name);
                    match import.ty {
                        ComponentTypeRef::Instance(_) => self.instances.push(source),
                        ComponentTypeRef::Func(_) => self.funcs.push(source),
                        ComponentTypeRef::Component(_) => self.components.push(None),
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(s) => {
                for alias in s {
                    match alias? {
                        ComponentAlias::InstanceExport { kind, instance_index, name } => {
                            if kind == Kind::Component {
                                self.components.push(None);
                            } else if let Some(space) = self.space(kind) {
                                space.push(Source::Export(instance_index, name));
                            }
                        }
                        ComponentAlias::Outer {
                            kind: wasmparser::ComponentOuterAliasKind::Component, ..
                        } => self.components.push(None),
                        _ => {}
                    }
                }
            }
            Payload::ComponentInstanceSection(s) => {
                for instance in s {
                    let source = match instance? {
                        ComponentInstance::Instantiate { component_index, args } => {
                            let child = self.components.get(component_index as usize);
                            self.made.push(Made {
                                child: child.copied().flatten(),
                                args: args.iter().map(|a| (a.name, a.kind, a.index)).collect(),
                                name: None,
                            });
                            Source::Made(self.made.len() - 1)
                        }
                        ComponentInstance::FromExports(items) => {
                            let items = items.iter().map(|e| (e.name.name, e.kind, e.index));
                            self.bags.push(items.collect());
                            Source::Bag(self.bags.len() - 1)
                        }
                    };
                    self.instances.push(source);
                }
            }
            Payload::ComponentCanonicalSection(s) => {
                for canonical in s {
                    match canonical? {
                        CanonicalFunction::Lift { .. } => self.funcs.push(Source::Other),
                        CanonicalFunction::Lower { func_index, .. } => self.lowered.push(func_index),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(s) => {
                for export in s {
                    let export = export?;
                    let source = self.find(export.kind, export.index);
                    if export.kind == Kind::Component {
                        let child = self.components.get(export.index as usize).copied();
                        self.components.push(child.flatten());
                    } else if let Some(space) = self.space(export.kind) {
                        space.push(source);
                        self.exports.push((export.name.name, export.kind, export.index));
                    }
                }
            }
            Payload::CustomSection(s) => {
                if let KnownCustom::ComponentName(names) = s.as_known() {
                    for name in names {
                        // Names are for people: a section that is broken is no reason to stop.
                        let Ok(ComponentName::Instances(map)) = name else { continue };
                        for naming in map {
                            let Ok(naming) = naming else { break };
                            let at = self.instances.get(naming.index as usize);
                            if let Some(Source::Made(i)) = at.copied() {
                                self.made[i].name = Some(naming.name);
                            }
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn read(wasm: &'a [u8]) -> wasmparser::Result<Outer<'a>> {
        let mut outer = Outer::default();
        let mut parser = Parser::new(0);
        let mut at = 0;
        while at < wasm.len() {
            let Chunk::Parsed { consumed, payload } = parser.parse(&wasm[at..], true)? else {
                break;
            };
            at += consumed;
            match payload {
                // The parser goes on behind it.
                Payload::ModuleSection { unchecked_range, .. } => {
                    outer.code = true;
                    at = unchecked_range.end;
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    at = unchecked_range.end;
                    let inner = wasm.get(unchecked_range).unwrap_or(&[]);
                    outer.components.push(Some(outer.children.len()));
                    outer.children.push(Child { wasm: inner, code: has_code(inner) });
                }
                Payload::End(_) => break,
                payload => outer.payload(payload)?,
            }
        }
        Ok(outer)
    }

    fn is_part(&self, made: &Made) -> bool {
        made.child.is_some_and(|child| self.children[child].code)
    }

    fn name_of(&self, i: usize) -> String {
        match self.made[i].name {
            Some(name) => name.to_owned(),
            None => format!("part {i}"),
        }
    }

    /// Who gives this in the end. Indices point backwards, so that this ends; each step is counted.
    fn givers(&self, source: Source<'a>, left: &mut usize) -> Vec<Giver<'a>> {
        let (mut found, mut todo) = (Vec::new(), vec![source]);
        let (mut seen, mut told) = (HashSet::from([source]), HashSet::new());
        while let Some(source) = todo.pop() {
            *left = left.saturating_sub(STEP);
            if *left == 0 {
                break;
            }
            let (of, export) = match source {
                Source::Export(instance, name) => (self.find(Kind::Instance, instance), Some(name)),
                _ => (source, None),
            };
            let items: &[(&str, Kind, u32)] = match of {
                Source::Import(_) | Source::Other => &[],
                Source::Made(i) if self.is_part(&self.made[i]) => &[],
                Source::Made(i) => &self.made[i].args, // it has no code: it can only hand on
                Source::Bag(i) => &self.bags[i],
                Source::Export(..) => {
                    todo.extend(seen.insert(of).then_some(of));
                    &[]
                }
            };
            let giver = match of {
                Source::Import(name) => Some(Giver::Outside(name)),
                Source::Made(i) if self.is_part(&self.made[i]) => Some(Giver::Part(i, export)),
                _ => None,
            };
            found.extend(giver.filter(|giver| told.insert(*giver)));
            *left = left.saturating_sub(items.len());
            for (name, kind, index) in items {
                if matches!(of, Source::Bag(_)) && export.is_some_and(|export| export != *name) {
                    continue;
                }
                let item = self.find(*kind, *index);
                if seen.insert(item) {
                    todo.push(item);
                }
            }
        }
        found.reverse(); // as they were written
        found
    }

    fn describe(&self, name: &str, giver: Option<Giver>, left: &mut usize) -> Value {
        let mut item = Map::new();
        item.insert("name".into(), name.into());
        let mut charge = name.len() + 32;
        match giver {
            Some(Giver::Outside(import)) => {
                charge += import.len();
                item.insert("import".into(), import.into());
            }
            Some(Giver::Part(i, export)) => {
                let from = self.name_of(i);
                charge += from.len() + export.map_or(0, str::len);
                item.insert("from".into(), from.into());
                if let Some(export) = export {
                    item.insert("export".into(), export.into());
                }
            }
            None => {}
        }
        *left = left.saturating_sub(charge);
        Value::Object(item)
    }

    fn list(&self, items: &[(&'a str, Kind, u32)], left: &mut usize) -> Vec<Value> {
        let mut list = Vec::new();
        for (name, kind, index) in items {
            if !matches!(kind, Kind::Instance | Kind::Func) || *left == 0 {
                continue;
            }
            let givers = self.givers(self.find(*kind, *index), left);
            if givers.is_empty() {
                list.push(self.describe(name, None, left));
            }
            for giver in givers {
                list.push(self.describe(name, Some(giver), left));
            }
        }
        list
    }

    /// The code beside the parts, as one of them: what it calls.
    fn itself(&self, left: &mut usize) -> Value {
        let (mut list, mut told) = (Vec::new(), HashSet::new());
        for index in &self.lowered {
            for giver in self.givers(self.find(Kind::Func, *index), left) {
                let name = match giver {
                    Giver::Outside(name) => name,
                    Giver::Part(_, export) => export.unwrap_or(ITSELF),
                };
                if told.insert(giver) && *left > 0 {
                    list.push(self.describe(name, Some(giver), left));
                }
            }
        }
        Value::Object(Map::from_iter([
            ("name".to_owned(), ITSELF.into()),
            ("imports".to_owned(), list.into()),
        ]))
    }
}

fn parts(wasm: &[u8], level: usize, left: &mut usize) -> Option<Map<String, Value>> {
    let outer = Outer::read(wasm).ok()?;
    let mut list = Vec::new();
    // A component may be instantiated a thousand times, and so may what is in it: it is read once,
    // and every copy of what is told of it is counted.
    let mut read: HashMap<usize, (Value, usize)> = HashMap::new();
    for (i, made) in outer.made.iter().enumerate() {
        if !outer.is_part(made) {
            continue;
        }
        let mut part = Map::new();
        let name = outer.name_of(i);
        *left = left.saturating_sub(name.len() + 64);
        part.insert("name".into(), name.into());
        part.insert("imports".into(), outer.list(&made.args, left).into());
        if let Some(child) = made.child.filter(|_| level < LEVELS) {
            if let Some((_, cost)) = read.get(&child) {
                *left = left.saturating_sub(*cost);
            } else {
                let before = *left;
                let inner = parts(outer.children[child].wasm, level + 1, left);
                let inner = inner.and_then(|mut inner| inner.remove("parts"));
                read.insert(child, (inner.unwrap_or(Value::Null), before - *left));
            }
            if *left > 0 && !read[&child].0.is_null() {
                part.insert("parts".into(), read[&child].0.clone());
            }
        }
        if *left == 0 {
            return None;
        }
        list.push(Value::Object(part));
    }
    if list.is_empty() {
        return None;
    }
    if outer.code {
        list.push(outer.itself(left));
    }
    let exports = outer.list(&outer.exports, left);
    let mut all = Map::new();
    all.insert("parts".into(), list.into());
    all.insert("exports".into(), exports.into());
    (*left > 0).then_some(all)
}

/// Of a valid component; None when it was not composed.
pub fn describe(wasm: &[u8]) -> Option<Map<String, Value>> {
    parts(wasm, 0, &mut NAMES_MAX.clone())
}
