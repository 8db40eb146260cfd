//! For tests: an allocator that ends a child half that allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI32, Ordering};

/// The system's allocator, until [`ForbiddenInChildren::watch`]: from then on any other process that allocates (a child,
/// whose copy of this memory still names its parent) says so on standard error and ends with code 99.
#[derive(Debug)]
pub struct ForbiddenInChildren {
    allowed: AtomicI32,
}

impl ForbiddenInChildren {
    /// For `#[global_allocator]`.
    #[must_use]
    pub const fn new() -> Self {
        Self { allowed: AtomicI32::new(0) }
    }

    /// From now on only this process may allocate.
    pub fn watch(&self) {
        self.allowed.store(nix::unistd::getpid().as_raw(), Ordering::Relaxed);
    }

    fn check(&self) {
        let allowed = self.allowed.load(Ordering::Relaxed);
        if allowed != 0 && nix::unistd::getpid().as_raw() != allowed {
            let _best_effort = nix::unistd::write(std::io::stderr(), b"a child half allocates\n");
            crate::process::exit_now(99);
        }
    }
}

impl Default for ForbiddenInChildren {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: every call is the system allocator's own, unchanged; `check` does not allocate.
unsafe impl GlobalAlloc for ForbiddenInChildren {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.check();
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.check();
        // SAFETY: the caller's promise about `block` and `layout` is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}
