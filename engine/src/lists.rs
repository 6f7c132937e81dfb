//! Lists whose length a guest decides. Rust's own way of growing one ends the process when there is
//! no memory; here it is an error of the call. The allocator counts what was refused (heap.rs), so
//! that C answers out of memory whatever became of the error.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use wasmtime::OutOfMemory;

fn refused<T>(n: usize) -> OutOfMemory {
    OutOfMemory::new(n.saturating_mul(size_of::<T>()))
}

pub fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), OutOfMemory> {
    list.try_reserve(1).map_err(|_| refused::<T>(list.len()))?;
    list.push(item);
    Ok(())
}

/// An empty list with room for n.
pub fn room<T>(n: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut list = Vec::new();
    list.try_reserve_exact(n).map_err(|_| refused::<T>(n))?;
    Ok(list)
}

/// The items, whose number is known, or the first error.
pub fn all<T, E: From<OutOfMemory>>(
    items: impl ExactSizeIterator<Item = Result<T, E>>,
) -> Result<Vec<T>, E> {
    let mut list = room(items.len())?;
    for item in items {
        push(&mut list, item?)?;
    }
    Ok(list)
}

/// The same for items that cannot fail.
pub fn made<T>(items: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, OutOfMemory> {
    all(items.map(Ok))
}

/// A copy.
pub fn copy<T: Copy>(of: &[T]) -> Result<Vec<T>, OutOfMemory> {
    let mut list = room(of.len())?;
    list.extend_from_slice(of);
    Ok(list)
}

pub fn put<K: Eq + Hash, V>(map: &mut HashMap<K, V>, key: K, value: V) -> Result<(), OutOfMemory> {
    map.try_reserve(1).map_err(|_| refused::<(K, V)>(map.len()))?;
    map.insert(key, value);
    Ok(())
}

pub fn add<T: Eq + Hash>(set: &mut HashSet<T>, item: T) -> Result<(), OutOfMemory> {
    set.try_reserve(1).map_err(|_| refused::<T>(set.len()))?;
    set.insert(item);
    Ok(())
}
