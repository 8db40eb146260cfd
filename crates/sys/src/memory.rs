//! Memory that a process at rest does not need.

/// Gives back to the kernel what this process can do without while it waits: free heap, the part of the stack below this call,
/// and the pages of its program that it has read. What is needed again, comes again: from the page cache, not from the disk.
///
/// Sources: malloc_trim(3); madvise(2), MADV_DONTNEED on a private mapping of a file that was never written to.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes an integer; it is safe in any state of the heap between two calls of it.
    unsafe {
        libc::malloc_trim(0);
    }
    drop_stack();
    drop_program();
}

/// The stack below here holds nothing that anybody will read: calls that have returned.
fn drop_stack() {
    const PAGE: usize = 4096;
    // What the calls from here on need, with a wide margin, and how deep earlier calls may have gone.
    const MARGIN: usize = 4 * PAGE;
    const DEPTH: usize = 256 * PAGE;
    let here = 0u8;
    let top = ((&raw const here).addr() & !(PAGE - 1)) - MARGIN;
    let start = top - DEPTH;
    // SAFETY: no live frame is below `top`: the stack grows down, this frame is `MARGIN` above it, and madvise itself needs none
    // of it. Pages that are not mapped make it fail with ENOMEM, after it has done the others.
    unsafe {
        libc::madvise(std::ptr::without_provenance_mut(start), DEPTH, libc::MADV_DONTNEED);
    }
}

/// The mappings of our own program that cannot be written to.
fn drop_program() {
    let table = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let own = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let own = own.to_string_lossy();
    for line in table.lines().filter(|line| line.ends_with(own.as_ref()) && line.get(..).is_some_and(is_clean)) {
        let Some((begin, end)) = range(line) else { continue };
        // SAFETY: a private mapping of a file, never writable and so never changed: its pages are read again from the file.
        unsafe {
            libc::madvise(std::ptr::without_provenance_mut(begin), end - begin, libc::MADV_DONTNEED);
        }
    }
}

/// Text and constants; RELRO was written to before it became read-only, so a plain `r--p` may be changed memory.
fn is_clean(line: &str) -> bool {
    line.split(' ').nth(1) == Some("r-xp")
}

fn range(line: &str) -> Option<(usize, usize)> {
    let (begin, end) = line.split(' ').next()?.split_once('-')?;
    Some((usize::from_str_radix(begin, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_comes_again() {
        let kept = vec![7u8; 100_000];
        give_back();
        assert!(kept.iter().all(|byte| *byte == 7));
        assert_eq!(range("00400000-00401000 r-xp 0 0 0 /x"), Some((0x40_0000, 0x40_1000)));
    }
}
