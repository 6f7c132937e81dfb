//! How much the engine keeps for the instances of a module or component beside their memories and
//! tables: globals, imports, references to functions, passive elements. Counted while the bytes are
//! scanned, so that a run is charged before anything is made. The sizes are those of the engine's
//! own structs (wasmtime-environ, vmtypes.rs) on a 64-bit machine, rounded up.

use crate::lists;
use crate::scan::Fault;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ElementItems,
    ElementKind, Encoding, ExternalKind, Instance, Payload, TypeRef,
};

type Result<T> = std::result::Result<T, Fault>;

/// Core instances that one store may have: CIS_COMPONENT_INSTANCES_MAX.
const INSTANCES_MAX: u64 = 128;

const INSTANCE: u64 = 512;
const FUNC: u64 = 32; // an imported one, or a reference to one
const IMPORT: u64 = 24; // of anything else
const GLOBAL: u64 = 16;
const TABLE: u64 = 128;
const MEMORY: u64 = 256;
const TAG: u64 = 8;
const ELEMENT: u64 = 16; // of a passive segment
const DATA: u64 = 16;
const CANON: u64 = 128; // a function that was lifted or lowered

/// Of one module: what its instance takes.
#[derive(Default)]
struct Module {
    functions: u64,
    refs: u64, // functions that can be referred to, counted more than once perhaps
    bytes: u64,
}

impl Module {
    fn bytes(&self) -> u64 {
        INSTANCE
            .saturating_add(self.bytes)
            .saturating_add(FUNC.saturating_mul(self.refs.min(self.functions)))
    }

    fn add(&mut self, n: u64, size: u64) {
        self.bytes = self.bytes.saturating_add(n.saturating_mul(size));
    }
}

/// What instantiating something makes: instances of modules, and functions of the component model.
#[derive(Clone, Copy, Default)]
struct Cost {
    core: u64,
    canon: u64,
    made: u64, // instances of modules and components
}

impl Cost {
    fn module(bytes: u64) -> Cost {
        Cost {
            core: bytes,
            canon: 0,
            made: 1,
        }
    }
}

/// Index spaces of one component; None: what it is comes from outside.
#[derive(Default)]
struct Component {
    modules: Vec<Option<u64>>,
    components: Vec<Option<Cost>>,
    makes: Cost,
}

enum Frame {
    Module(Module),
    Component(Component),
}

#[derive(Default)]
pub struct State {
    frames: Vec<Frame>,
    largest: u64,  // module
    unknown: bool, // something from outside is instantiated
    whole: Cost,   // of the outermost
}

impl State {
    /// Instances that the component makes of what is inside it. A few bytes can ask for more than any
    /// machine has: each level that instantiates the next one twice doubles it.
    pub fn instances(&self) -> u64 {
        self.whole.made
    }

    /// What all instances of a run take; never less.
    pub fn bytes(&self) -> u64 {
        let most = self.largest.saturating_mul(INSTANCES_MAX);
        let core = if self.unknown { most } else { self.whole.core.min(most) };
        core.saturating_add(self.whole.canon)
    }

    fn module(&mut self) -> Option<&mut Module> {
        match self.frames.last_mut() {
            Some(Frame::Module(m)) => Some(m),
            _ => None,
        }
    }

    fn component(&mut self) -> Option<&mut Component> {
        match self.frames.last_mut() {
            Some(Frame::Component(c)) => Some(c),
            _ => None,
        }
    }

    pub fn import(&mut self, ty: &TypeRef) {
        let Some(m) = self.module() else { return };
        match ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) => {
                m.functions += 1;
                m.add(1, FUNC);
            }
            _ => m.add(1, IMPORT),
        }
    }

    fn in_module(m: &mut Module, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::FunctionSection(s) => m.functions += u64::from(s.count()),
            Payload::GlobalSection(s) => {
                m.refs += u64::from(s.count());
                m.add(u64::from(s.count()), GLOBAL);
            }
            Payload::TableSection(s) => {
                m.refs += u64::from(s.count());
                m.add(u64::from(s.count()), TABLE);
            }
            Payload::MemorySection(s) => m.add(u64::from(s.count()), MEMORY),
            Payload::TagSection(s) => m.add(u64::from(s.count()), TAG),
            Payload::DataSection(s) => m.add(u64::from(s.count()), DATA),
            Payload::StartSection { .. } => m.refs += 1,
            Payload::ExportSection(s) => {
                for export in s.clone() {
                    m.refs += u64::from(export?.kind == ExternalKind::Func);
                }
            }
            Payload::ElementSection(s) => {
                for element in s.clone() {
                    let element = element?;
                    let n = u64::from(match &element.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    });
                    m.refs = m.refs.saturating_add(n);
                    if matches!(element.kind, ElementKind::Passive) {
                        m.add(n, ELEMENT);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An outer component's module or component; 0 is the one that is being read.
    fn outer(&self, count: u32) -> Option<&Component> {
        let mut left = count;
        for frame in self.frames.iter().rev() {
            if let Frame::Component(c) = frame {
                if left == 0 {
                    return Some(c);
                }
                left -= 1;
            }
        }
        None
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<()> {
        let (module, component) = match *alias {
            ComponentAlias::InstanceExport { kind, .. } => (
                (kind == ComponentExternalKind::Module).then_some(None),
                (kind == ComponentExternalKind::Component).then_some(None),
            ),
            ComponentAlias::CoreInstanceExport { .. } => (None, None),
            ComponentAlias::Outer { kind, count, index } => {
                let (from, index) = (self.outer(count), index as usize);
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        (Some(from.and_then(|c| c.modules.get(index).copied().flatten())), None)
                    }
                    ComponentOuterAliasKind::Component => {
                        (None, Some(from.and_then(|c| c.components.get(index).copied().flatten())))
                    }
                    _ => (None, None),
                }
            }
        };
        self.push(module, component)
    }

    fn push(&mut self, module: Option<Option<u64>>, component: Option<Option<Cost>>) -> Result<()> {
        if let Some(c) = self.component() {
            if let Some(module) = module {
                lists::push(&mut c.modules, module)?;
            }
            if let Some(component) = component {
                lists::push(&mut c.components, component)?;
            }
        }
        Ok(())
    }

    fn make(&mut self, cost: Option<Cost>) {
        self.unknown |= cost.is_none();
        if let (Some(c), Some(cost)) = (self.component(), cost) {
            c.makes.core = c.makes.core.saturating_add(cost.core);
            c.makes.canon = c.makes.canon.saturating_add(cost.canon);
            c.makes.made = c.makes.made.saturating_add(cost.made);
        }
    }

    fn in_component(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::ComponentImportSection(s) => {
                for import in s.clone() {
                    let kind = import?.ty.kind();
                    self.push(
                        (kind == ComponentExternalKind::Module).then_some(None),
                        (kind == ComponentExternalKind::Component).then_some(None),
                    )?;
                }
            }
            Payload::ComponentExportSection(s) => {
                for export in s.clone() {
                    let export = export?;
                    let Some(c) = self.component() else { continue };
                    let i = export.index as usize;
                    match export.kind {
                        ComponentExternalKind::Module => {
                            let known = c.modules.get(i).copied().flatten();
                            lists::push(&mut c.modules, known)?;
                        }
                        ComponentExternalKind::Component => {
                            let known = c.components.get(i).copied().flatten();
                            lists::push(&mut c.components, known)?;
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(s) => {
                for alias in s.clone() {
                    self.alias(&alias?)?;
                }
            }
            Payload::InstanceSection(s) => {
                for instance in s.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let known = self
                            .component()
                            .and_then(|c| c.modules.get(module_index as usize).copied().flatten());
                        self.make(known.map(Cost::module));
                    }
                }
            }
            Payload::ComponentInstanceSection(s) => {
                for instance in s.clone() {
                    if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                        let i = component_index as usize;
                        let known =
                            self.component().and_then(|c| c.components.get(i).copied().flatten());
                        self.make(known.map(|c| Cost {
                            made: c.made.saturating_add(1),
                            ..c
                        }));
                    }
                }
            }
            Payload::ComponentCanonicalSection(s) => {
                let canon = CANON.saturating_mul(u64::from(s.count()));
                self.make(Some(Cost {
                    canon,
                    ..Cost::default()
                }));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let (module, component) = match self.frames.pop() {
            Some(Frame::Module(m)) => (Some(m.bytes()), None),
            Some(Frame::Component(c)) => (None, Some(c.makes)),
            None => return Ok(()),
        };
        self.largest = self.largest.max(module.unwrap_or(0));
        if self.frames.is_empty() {
            self.whole = component.unwrap_or(Cost::module(module.unwrap_or(0)));
        }
        self.push(module.map(Some), component.map(Some))
    }

    /// After it was validated.
    pub fn payload(&mut self, payload: &Payload<'_>) -> Result<()> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                lists::push(&mut self.frames, Frame::Module(Module::default()))?;
            }
            Payload::Version { .. } => {
                lists::push(&mut self.frames, Frame::Component(Component::default()))?;
            }
            Payload::End(_) => return self.end(),
            _ => {
                return match self.frames.last_mut() {
                    Some(Frame::Module(m)) => State::in_module(m, payload),
                    _ => self.in_component(payload),
                };
            }
        }
        Ok(())
    }
}
