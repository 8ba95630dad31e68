//! The system's allocator, which tells of each allocation.

use std::alloc::{GlobalAlloc, Layout, System};

/// Calls what it is made of before each allocation, which may not allocate itself.
pub(crate) struct Telling(pub(crate) fn());

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Telling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0();
        // SAFETY: the caller keeps to what it asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.0();
        // SAFETY: the caller keeps to what it asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller got it from here.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.0();
        // SAFETY: the caller got it from here.
        unsafe { System.realloc(memory, layout, size) }
    }
}
