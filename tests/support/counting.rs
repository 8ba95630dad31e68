//! The system's allocator, which counts for each thread.

#[path = "allocator.rs"]
mod allocator;

use std::cell::Cell;

use self::allocator::Telling;

/// Returns how often the calling thread has allocated so far.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

#[global_allocator]
static ALLOCATOR: Telling = Telling(count);

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}
