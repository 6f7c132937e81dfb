//! Engines: which WebAssembly features exist here, and how a pool is sized.

use crate::{GlueText, slice};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use wasmparser::WasmFeatures;
use wasmtime::{Config, Enabled, Engine, Inlining, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_c_api::{wasm_engine_t, wasmtime, wasmtime_error_t};

/// Pages of a returned slot that are overwritten with their first contents instead of unmapped; what
/// is beyond is unmapped. Only pages that were touched are found (PAGEMAP_SCAN, Linux 6.7; without it
/// the first bytes of every memory would be overwritten, so then nothing is kept). Unmapping costs a
/// TLB shootdown and new faults for each call: two threads of cold calls ran slower than one.
const KEEP_RESIDENT: usize = 256 << 10;

/// Core instances of one component that still fit the pool.
const COMPONENT_INSTANCES: u32 = 24;

pub const MEMORY64: u32 = 1;
pub const EXCEPTIONS: u32 = 2;
pub const CANONICAL_NAN: u32 = 8;

/// The one definition of what is accepted, used by the scan and by every engine. Threads, GC, typed
/// function references and component async are never on. Exceptions need Wasmtime's GC heap.
pub fn features(switches: u32) -> WasmFeatures {
    let mut f = WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL;
    f.remove(WasmFeatures::THREADS | WasmFeatures::GC | WasmFeatures::FUNCTION_REFERENCES);
    f.set(WasmFeatures::MEMORY64, switches & MEMORY64 != 0);
    f.set(WasmFeatures::EXCEPTIONS, switches & EXCEPTIONS != 0);
    f.set(WasmFeatures::GC_TYPES, switches & EXCEPTIONS != 0);
    f
}

#[repr(C)]
pub struct EngineConfig {
    size: u32,
    features: u32,
    fuel: bool,
    compiler: bool,
    slot_bytes: u64,
    reserve_bytes: u64,
    stack_bytes: u64,
    pool_slots: u32,
    pool_tables: u32,
    table_elements: u64,
}

/// The threads that compile in parallel are made once a process, and a child of fork has none of
/// them: to wait for one would be for ever.
fn after_fork() -> bool {
    static FIRST: AtomicU32 = AtomicU32::new(0);
    let this = std::process::id();
    match FIRST.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => false,
        Err(first) => first != this,
    }
}

fn make(c: &EngineConfig) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    let wanted = features(c.features);
    for (_, flag) in WasmFeatures::all().iter_names() {
        // Multi-bit flags (reference types, bulk memory) contain their one-bit halves.
        config.wasm_features(flag, wanted.contains(flag));
    }
    config.shared_memory(false);
    config.relaxed_simd_deterministic(true);
    config.cranelift_nan_canonicalization(c.features & CANONICAL_NAN != 0);
    config.consume_fuel(c.fuel);
    config.epoch_interruption(true);
    config.max_wasm_stack(usize::try_from(c.stack_bytes)?);
    // Frames carry function names; file and line would need the guest's DWARF, parsed at a trap.
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config.compiler_inlining(Inlining::No);
    config.memory_reservation(c.slot_bytes.max(c.reserve_bytes));
    config.memory_guard_size(32 << 20);
    config.memory_may_move(true);
    config.memory_init_cow(true);
    config.enable_compiler(c.compiler);
    config.parallel_compilation(!after_fork());
    if c.pool_slots > 0 {
        let scan = PoolingAllocationConfig::is_pagemap_scan_available();
        let keep = if scan { KEEP_RESIDENT } else { 0 };
        let mut pool = PoolingAllocationConfig::new();
        // A slot is one guest: a module, or a component with as many instances as fit. Core
        // instances are only counted; what they are made of lies in the heap.
        pool.total_core_instances(c.pool_slots.saturating_mul(COMPONENT_INSTANCES))
            .max_core_instances_per_component(COMPONENT_INSTANCES)
            .max_memories_per_component(1)
            .max_tables_per_component(c.pool_tables)
            .total_component_instances(c.pool_slots)
            .total_memories(c.pool_slots)
            .total_tables(c.pool_slots.saturating_mul(c.pool_tables.max(1)))
            .total_stacks(0)
            .max_memories_per_module(1)
            .max_tables_per_module(c.pool_tables)
            .table_elements(usize::try_from(c.table_elements)?)
            .max_memory_size(usize::try_from(c.slot_bytes)?)
            .max_core_instance_size(1 << 20)
            .linear_memory_keep_resident(keep)
            .table_keep_resident(keep)
            .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
        pool.total_gc_heaps(if c.features & EXCEPTIONS != 0 {
            c.pool_slots
        } else {
            0
        });
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    } else {
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    }
    Engine::new(&config)
}

/// # Safety
/// Pointers as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_engine_new(
    config: *const EngineConfig,
    out: *mut *mut wasm_engine_t,
) -> Option<Box<wasmtime_error_t>> {
    // SAFETY: by the contract.
    let c = unsafe { &*config };
    if c.size as usize != std::mem::size_of::<EngineConfig>() {
        return Some(Box::new(
            wasmtime::format_err!("cis_glue_engine_config of another version").into(),
        ));
    }
    match make(c) {
        Ok(engine) => {
            // wasm_engine_t is repr(C) with the Engine as its only field, and has no public
            // constructor; both facts are asserted here.
            const {
                assert!(size_of::<wasm_engine_t>() == size_of::<Engine>());
                assert!(align_of::<wasm_engine_t>() == align_of::<Engine>());
            }
            // SAFETY: same layout, see above; the box is freed as wasm_engine_t, which drops the
            // Engine.
            unsafe { out.write(Box::into_raw(Box::new(engine)).cast()) };
            None
        }
        Err(e) => Some(Box::new(e.into())),
    }
}

/// # Safety
/// `engine` is a live engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_engine_fingerprint(engine: *const wasm_engine_t) -> u64 {
    // SAFETY: layout asserted in cis_glue_engine_new.
    let engine = unsafe { &*engine.cast::<Engine>() };
    let mut h = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut h);
    env!("CARGO_PKG_VERSION").hash(&mut h);
    "wasmtime 48.0.8".hash(&mut h);
    h.finish()
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_precompile(
    engine: *const wasm_engine_t,
    wasm: *const u8,
    len: usize,
    component: bool,
    out: *mut GlueText,
) -> Option<Box<wasmtime_error_t>> {
    // SAFETY: layout asserted in cis_glue_engine_new, the rest by the contract.
    let (engine, bytes) = unsafe { (&*engine.cast::<Engine>(), slice(wasm, len)) };
    let made = if component {
        engine.precompile_component(bytes)
    } else {
        engine.precompile_module(bytes)
    };
    match made {
        Ok(code) => {
            GlueText::set(out, code);
            None
        }
        Err(e) => Some(Box::new(e.into())),
    }
}
