//! Memory of this library. Rust's collections end the process when the system has none left, and
//! neither Wasmtime nor its dependencies can be asked to do otherwise everywhere. So a reserve
//! stands behind the allocator: what the system refuses comes from there, and the thread counts it.
//! Whoever called into this library looks at that count afterwards, gives up what was made and
//! answers that memory ran out; then the reserve is whole again. Only a request that is larger than
//! what is left of the reserve still ends the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::sync::{Mutex, MutexGuard};

/// Zeroed pages of the image: addresses, but no memory before they are used.
const RESERVE: usize = 4 << 20;

#[repr(C, align(4096))]
struct Bytes(UnsafeCell<[u8; RESERVE]>);
// SAFETY: only addresses are taken of it; what lies at them belongs to who was given them.
unsafe impl Sync for Bytes {}
static BYTES: Bytes = Bytes(UnsafeCell::new([0; RESERVE]));

/// Blocks lie one behind the other; what is given back is used again once nothing is out, or when
/// it was the last.
struct Given {
    next: usize,
    live: usize,
}
static GIVEN: Mutex<Given> = Mutex::new(Given { next: 0, live: 0 });

thread_local! {
    static SHORT: Cell<u64> = const { Cell::new(0) };
    static FAIL_AFTER: Cell<usize> = const { Cell::new(usize::MAX) };
    static FAIL_FROM: Cell<usize> = const { Cell::new(0) };
}

fn base() -> *mut u8 {
    BYTES.0.get().cast()
}

fn given() -> MutexGuard<'static, Given> {
    GIVEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The offset of a block of the reserve.
fn offset(ptr: *mut u8) -> Option<usize> {
    let at = (ptr as usize).wrapping_sub(base() as usize);
    (at < RESERVE).then_some(at)
}

fn take(layout: Layout) -> *mut u8 {
    SHORT.with(|n| n.set(n.get() + 1));
    let mut state = given();
    let Some(at) = state.next.checked_next_multiple_of(layout.align().min(4096)) else {
        return std::ptr::null_mut();
    };
    match at.checked_add(layout.size().max(1)) {
        Some(end) if end <= RESERVE && layout.align() <= 4096 => {
            state.next = end;
            state.live += 1;
            // SAFETY: at is inside of it.
            unsafe { base().add(at) }
        }
        _ => std::ptr::null_mut(),
    }
}

fn give(at: usize, layout: Layout) {
    let mut state = given();
    state.live -= 1;
    if state.live == 0 {
        state.next = 0;
    } else if at + layout.size().max(1) == state.next {
        state.next = at;
    }
}

fn told_to_fail(size: usize) -> bool {
    FAIL_AFTER.with(|n| match n.get() {
        usize::MAX => false,
        _ if size < FAIL_FROM.with(Cell::get) => false,
        0 => {
            n.set(usize::MAX);
            true
        }
        left => {
            n.set(left - 1);
            false
        }
    })
}

struct Heap;

// SAFETY: the system's allocator, or blocks of the reserve that do not overlap.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !told_to_fail(layout.size()) {
            // SAFETY: by the contract.
            let ptr = unsafe { System.alloc(layout) };
            if !ptr.is_null() {
                return ptr;
            }
        }
        take(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !told_to_fail(layout.size()) {
            // SAFETY: by the contract.
            let ptr = unsafe { System.alloc_zeroed(layout) };
            if !ptr.is_null() {
                return ptr;
            }
        }
        let ptr = take(layout);
        if !ptr.is_null() {
            // SAFETY: the block has this size.
            unsafe { ptr.write_bytes(0, layout.size()) };
        }
        ptr
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        match offset(ptr) {
            Some(at) => give(at, layout),
            // SAFETY: by the contract.
            None => unsafe { System.dealloc(ptr, layout) },
        }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let inside = offset(ptr).is_some();
        if !inside && !told_to_fail(size) {
            // SAFETY: by the contract.
            let more = unsafe { System.realloc(ptr, layout, size) };
            if !more.is_null() {
                return more;
            }
        }
        // SAFETY: by the contract, the size is one that fits a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: both blocks have at least that many bytes and are not the same.
        unsafe {
            let more = if inside { self.alloc(wanted) } else { take(wanted) };
            if !more.is_null() {
                more.copy_from_nonoverlapping(ptr, layout.size().min(size));
                self.dealloc(ptr, layout);
            }
            more
        }
    }
}

#[global_allocator]
static HEAP: Heap = Heap;

#[unsafe(no_mangle)]
pub extern "C" fn cis_glue_heap_short() -> u64 {
    SHORT.with(Cell::get)
}

#[unsafe(no_mangle)]
pub extern "C" fn cis_glue_heap_lent() -> usize {
    given().live
}

#[unsafe(no_mangle)]
pub extern "C" fn cis_glue_heap_fail_after(n: usize) {
    cis_glue_heap_fail_large_after(0, n);
}

#[unsafe(no_mangle)]
pub extern "C" fn cis_glue_heap_fail_large_after(size: usize, n: usize) {
    FAIL_FROM.with(|from| from.set(size));
    FAIL_AFTER.with(|at| at.set(n));
}
