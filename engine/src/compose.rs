//! Components made of components: plugs in a socket, or what a text in the WAC language says. What
//! is read here may be hostile: callers do it in the compiling child, as they do compilation. The
//! result is not validated here; the scan does that, with the features that are switched on.

use crate::depth;
use crate::{GlueText, slice};
use indexmap::IndexMap;
use miette::Diagnostic;
use semver::Version;
use std::collections::HashMap;
use std::error::Error;
use wac_graph::types::{BorrowedPackageKey, Package, SubtypeChecker, WorldId};
use wac_graph::{CompositionGraph, EncodeError, EncodeOptions, NodeId};
use wac_parser::Document;
use wac_parser::resolution::Error as Unresolved;
use wasmparser::Parser;
use wasmtime::{Result, format_err};
use wasmtime_c_api::wasmtime_error_t;

/// As in the header.
#[repr(C)]
pub struct GluePart {
    name: *const u8,
    name_len: usize,
    wasm: *const u8,
    len: usize,
}

struct Part<'a> {
    name: &'a str,
    wasm: &'a [u8],
}

/// What every part has to be before the libraries see it.
fn check(part: &Part) -> Result<()> {
    if !Parser::is_component(part.wasm) {
        return Err(format_err!("{}: is not a component", part.name));
    }
    depth::interfaces(part.wasm).map_err(|e| format_err!("{}: {e:#}", part.name))
}

// ---- names ----

/// Versions that may stand for one another share this: "a:b/c@1" of 1.2.3, "a:b/c@0.2" of 0.2.3.
fn track(name: &str) -> Option<(&str, Version)> {
    let at = name.find('@')? + 1;
    let version = Version::parse(&name[at..]).ok()?;
    if !version.pre.is_empty() || (version.major, version.minor) == (0, 0) {
        return None;
    }
    let dots = if version.major != 0 { 1 } else { 2 };
    let (end, _) = name[at..].match_indices('.').nth(dots - 1)?;
    Some((&name[..at + end], version))
}

fn without_version(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Names of nodes go into the component: each once.
fn distinct(parts: &[Part]) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    parts
        .iter()
        .map(|part| {
            let n = seen.entry(part.name.to_owned()).or_default();
            *n += 1;
            if *n == 1 { part.name.to_owned() } else { format!("{}-{n}", part.name) }
        })
        .collect()
}

// ---- what fits where ----

struct Link {
    to: usize,
    import: String,
    from: usize,
    export: String,
}

/// Why a type does not fit: the reason first, then where, from the outside to the inside.
fn mismatch<'a>(chain: impl Iterator<Item = &'a (dyn Error + 'static)>) -> String {
    let mut words: Vec<String> = chain.map(ToString::to_string).collect();
    let reason = words.pop().unwrap_or_default();
    let place: Vec<&str> = words
        .iter()
        .map(|w| w.strip_prefix("mismatched type for ").unwrap_or(w))
        .collect();
    if place.is_empty() { reason } else { format!("{}: {reason}", place.join(", ")) }
}

struct Offers<'a> {
    exact: HashMap<&'a str, Vec<usize>>,
    tracks: HashMap<&'a str, Vec<(Version, usize, &'a str)>>,
}

impl<'a> Offers<'a> {
    /// Of the plugs: all but the first.
    fn new(graph: &'a CompositionGraph, worlds: &[WorldId]) -> Offers<'a> {
        let (mut exact, mut tracks) = (HashMap::new(), HashMap::new());
        for (i, world) in worlds.iter().enumerate().skip(1) {
            for name in graph.types()[*world].exports.keys() {
                exact.entry(name.as_str()).or_insert_with(Vec::new).push(i);
                if let Some((key, version)) = track(name) {
                    tracks.entry(key).or_insert_with(Vec::new).push((version, i, name.as_str()));
                }
            }
        }
        Offers { exact, tracks }
    }

    /// Who gives this import to part `to`, by which name. The very name goes before the newest
    /// compatible version; two that give the same are an error: both.
    fn find(&self, to: usize, import: &'a str) -> Result<Option<(usize, &'a str)>, (usize, usize)> {
        let mut same = self.exact.get(import).into_iter().flatten().filter(|i| **i != to);
        match (same.next(), same.next()) {
            (Some(i), None) => return Ok(Some((*i, import))),
            (Some(a), Some(b)) => return Err((*a, *b)),
            (None, _) => {}
        }
        let Some((key, _)) = track(import) else { return Ok(None) };
        let mut best: Option<(&Version, usize, &'a str)> = None;
        let mut twice = None;
        for (version, i, name) in self.tracks.get(key).into_iter().flatten() {
            if *i == to {
                continue;
            }
            match best {
                Some((other, _, _)) if version < other => {}
                Some((other, first, _)) if version == other => twice = Some((first, *i)),
                _ => (best, twice) = (Some((version, *i, *name)), None),
            }
        }
        match (best, twice) {
            (_, Some(both)) => Err(both),
            (Some((_, i, name)), None) => Ok(Some((i, name))),
            (None, None) => Ok(None),
        }
    }
}

fn links(graph: &CompositionGraph, worlds: &[WorldId], names: &[String]) -> Result<Vec<Link>> {
    let offers = Offers::new(graph, worlds);
    let types = graph.types();
    let mut cache = Default::default();
    let mut checker = SubtypeChecker::new(&mut cache);
    let mut links = Vec::new();
    for (to, world) in worlds.iter().enumerate() {
        for (import, wanted) in &types[*world].imports {
            let found = offers.find(to, import).map_err(|(a, b)| {
                format_err!(
                    "{} imports {import}, and both {} and {} export it: leave one of them out, or \
                     say in a WAC file which is meant (cis compose -f)",
                    names[to], names[a], names[b]
                )
            })?;
            let Some((from, export)) = found else { continue };
            let given = types[worlds[from]].exports[export];
            checker.is_subtype(given, types, *wanted, types).map_err(|e| {
                let other = if export == import { String::new() } else { format!(" as {export}") };
                format_err!(
                    "{} imports {import}, which {} exports{other} with another type: {}",
                    names[to], names[from], mismatch(e.chain())
                )
            })?;
            links.push(Link { to, import: import.clone(), from, export: export.to_owned() });
        }
    }
    Ok(links)
}

/// Parts that the first one needs, itself too. A circle is an error, and told.
fn used(n: usize, links: &[Link], names: &[String]) -> Result<Vec<bool>> {
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); n];
    for (i, link) in links.iter().enumerate() {
        needs[link.to].push(i);
    }
    let (mut begun, mut done) = (vec![false; n], vec![false; n]);
    let mut path: Vec<(usize, usize, usize)> = vec![(0, 0, usize::MAX)]; // part, next, link to it
    begun[0] = true;
    while let Some((part, next, _)) = path.last_mut() {
        let Some(at) = needs[*part].get(*next).copied() else {
            done[*part] = true;
            path.pop();
            continue;
        };
        *next += 1;
        let from = links[at].from;
        if done[from] {
            continue;
        }
        if begun[from] {
            let start = path.iter().position(|(part, _, _)| *part == from).unwrap_or(0);
            let round = path[start + 1..].iter().map(|(_, _, link)| *link).chain([at]);
            let told: Vec<String> = round
                .map(|i| {
                    let l = &links[i];
                    format!("{} imports {} from {}", names[l.to], l.import, names[l.from])
                })
                .collect();
            return Err(format_err!("the plugs need each other in a circle: {}", told.join(", ")));
        }
        begun[from] = true;
        path.push((from, 0, at));
    }
    Ok(begun)
}

/// A plug that nobody asked for: why it might have been given.
fn idle(graph: &CompositionGraph, worlds: &[WorldId], names: &[String], plug: usize) -> String {
    let types = graph.types();
    let exports = &types[worlds[plug]].exports;
    for (to, world) in worlds.iter().enumerate().filter(|(to, _)| *to != plug) {
        for import in types[*world].imports.keys() {
            let near = exports.keys().find(|export| {
                *export != import && without_version(export) == without_version(import)
            });
            if let Some(export) = near {
                return format!(
                    "{} exports {export}, and {} imports {import}: these versions are not \
                     compatible",
                    names[plug], names[to]
                );
            }
        }
    }
    let mut list: Vec<&str> = exports.keys().take(4).map(String::as_str).collect();
    if exports.len() > list.len() {
        list.push("…");
    }
    let what = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
    format!("nothing that {} needs is exported by {}, which exports {what}", names[0], names[plug])
}

// ---- the two ways ----

fn encode(graph: &CompositionGraph) -> Result<Vec<u8>> {
    let options = EncodeOptions { define_components: true, validate: false, processor: None };
    let name = |node: NodeId| graph[node].name().unwrap_or("a part").to_owned();
    graph.encode(options).map_err(|e| match e {
        EncodeError::ImportTypeMergeConflict { import, first, second, source } => format_err!(
            "{} and {} both import {import}, with types that differ: {}",
            name(first), name(second), mismatch(source.chain())
        ),
        EncodeError::ImplicitImportConflict { instantiation, name: import, .. } => format_err!(
            "{} imports {import}, which is imported by the composition itself too: hand it over \
             in the braces of its `new`",
            name(instantiation)
        ),
        EncodeError::GraphContainsCycle { node } => {
            format_err!("{} needs itself in a circle", name(node))
        }
        EncodeError::ValidationFailure { source } => format_err!("{source}"),
    })
}

fn plug(parts: &[Part]) -> Result<Vec<u8>> {
    let names = distinct(parts);
    let mut graph = CompositionGraph::new();
    let (mut packages, mut worlds) = (Vec::new(), Vec::new());
    for (i, part) in parts.iter().enumerate() {
        check(part)?;
        if let Some(same) = (1..i).find(|j| parts[*j].wasm == part.wasm) {
            return Err(format_err!(
                "{} and {} are the same component: plug it once, every part that needs it shares it",
                names[same], names[i]
            ));
        }
        let package = Package::from_bytes(&i.to_string(), None, part.wasm, graph.types_mut())
            .map_err(|e| format_err!("{}: {e:#}", part.name))?;
        worlds.push(package.ty());
        packages.push(graph.register_package(package).map_err(|e| format_err!("{e}"))?);
    }
    let links = links(&graph, &worlds, &names)?;
    let used = used(parts.len(), &links, &names)?;
    if let Some(plug) = used.iter().position(|used| !used) {
        return Err(format_err!("{}", idle(&graph, &worlds, &names, plug)));
    }
    let nodes: Vec<NodeId> = packages.iter().map(|p| graph.instantiate(*p)).collect();
    for (node, name) in nodes.iter().zip(&names) {
        graph.set_node_name(*node, name.clone());
    }
    for link in &links {
        let given = graph
            .alias_instance_export(nodes[link.from], &link.export)
            .map_err(|e| format_err!("{}: {e}", names[link.from]))?;
        graph
            .set_instantiation_argument(nodes[link.to], &link.import, given)
            .map_err(|e| format_err!("{}: {e}", names[link.to]))?;
    }
    let exports: Vec<String> = graph.types()[worlds[0]].exports.keys().cloned().collect();
    for name in exports {
        let export = graph
            .alias_instance_export(nodes[0], &name)
            .and_then(|node| Ok(graph.export(node, &name)))
            .map_err(|e| format_err!("{}: {e}", names[0]))?;
        export.map_err(|e| format_err!("{}: {e}", names[0]))?;
    }
    encode(&graph)
}

/// "LINE:COLUMN: what is wrong: why".
fn told<E: Diagnostic>(text: &str, e: &E) -> wasmtime::Error {
    let offset = e.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let before = offset.and_then(|at| text.get(..at)).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let mut words = e.to_string();
    let mut source = e.source();
    let mut causes: Vec<&(dyn Error + 'static)> = Vec::new();
    while let Some(cause) = source {
        causes.push(cause);
        source = cause.source();
    }
    if !causes.is_empty() {
        words = format!("{words}: {}", mismatch(causes.into_iter()));
    }
    if let Some(help) = e.help() {
        words = format!("{words} ({help})");
    }
    match offset {
        Some(_) => format_err!("{line}:{column}: {words}"),
        None => format_err!("{words}"),
    }
}

fn wac(text: &str, parts: &[Part]) -> Result<Vec<u8>> {
    let mut keys = Vec::new();
    for part in parts {
        check(part)?;
        let (name, version) = match part.name.split_once('@') {
            Some((name, text)) => {
                let version = Version::parse(text)
                    .map_err(|e| format_err!("{}: not a version: {e}", part.name))?;
                (name, Some(version))
            }
            None => (part.name, None),
        };
        keys.push((name, version));
    }
    depth::wac(text)?;
    let document = Document::parse(text).map_err(|e| told(text, &e))?;
    let mut packages = IndexMap::new();
    for ((name, version), part) in keys.iter().zip(parts) {
        let key = BorrowedPackageKey::from_name_and_version(name, version.as_ref());
        if packages.insert(key, part.wasm.to_vec()).is_some() {
            return Err(format_err!("{} is defined twice", part.name));
        }
    }
    let resolution = document.resolve(packages).map_err(|e| {
        let why = told(text, &e);
        match &e {
            Unresolved::UnknownPackage { name, .. } => {
                format_err!("{why} (--define {name}=FILE says which component it is)")
            }
            _ => why,
        }
    })?;
    encode(resolution.graph())
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_compose(
    parts: *const GluePart,
    n: usize,
    text: *const u8,
    text_len: usize,
    out: *mut GlueText,
) -> Option<Box<wasmtime_error_t>> {
    // SAFETY: by the contract.
    let given = if n == 0 { &[] } else { unsafe { std::slice::from_raw_parts(parts, n) } };
    let mut parts = Vec::new();
    for part in given {
        // SAFETY: by the contract.
        let (name, wasm) = unsafe { (slice(part.name, part.name_len), slice(part.wasm, part.len)) };
        let Ok(name) = std::str::from_utf8(name) else {
            return Some(Box::new(format_err!("a name that is not UTF-8").into()));
        };
        parts.push(Part { name, wasm });
    }
    let made = if text.is_null() {
        plug(&parts)
    } else {
        // SAFETY: by the contract.
        match std::str::from_utf8(unsafe { slice(text, text_len) }) {
            Ok(text) => wac(text, &parts),
            Err(e) => Err(format_err!("not UTF-8 at byte {}", e.valid_up_to())),
        }
    };
    match made {
        Ok(bytes) => {
            GlueText::set(out, bytes);
            None
        }
        Err(e) => Some(Box::new(e.into())),
    }
}
