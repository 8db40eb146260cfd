//! Memory that a process at rest does not need.

/// Gives back to the kernel what this process can do without while it waits: free heap, the part of the stack below this call,
/// and the pages of its program that it has read. What is needed again, comes again: from the page cache, not from the disk.
///
/// Sources: malloc_trim(3); madvise(2), MADV_DONTNEED on a private mapping of a file that was never written to.
pub fn give_back() {
    let table = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let own = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    for mapping in mappings(&table) {
        if mapping.name == "[stack]" {
            drop_stack(&mapping);
        } else if !mapping.is_writable && mapping.anonymous_kb == 0 && own.as_os_str() == mapping.name {
            // SAFETY: a private mapping of a file that has no page of ours: all of it is read again from the file.
            unsafe { drop_pages(mapping.begin, mapping.end) };
        }
    }
    drop((table, own));
    #[cfg(target_env = "gnu")]
    // SAFETY: takes an integer; it is safe in any state of the heap between two calls of it.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// One mapping of this process. Source: proc_pid_smaps(5).
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    begin: usize,
    end: usize,
    is_writable: bool,
    name: &'a str,
    /// How much of it is memory of our own, not the file's.
    anonymous_kb: usize,
}

fn mappings(table: &str) -> Vec<Mapping<'_>> {
    let mut found: Vec<Mapping<'_>> = Vec::new();
    for line in table.lines() {
        if let Some(rest) = line.strip_prefix("Anonymous:") {
            if let Some(last) = found.last_mut() {
                last.anonymous_kb = rest.trim().trim_end_matches(" kB").parse().unwrap_or(usize::MAX);
            }
        } else if let Some(mapping) = head(line) {
            found.push(mapping);
        }
    }
    found
}

/// The line that a mapping begins with: `00400000-00401000 r-xp 00000000 08:01 12 /bin/x`.
fn head(line: &str) -> Option<Mapping<'_>> {
    let mut words = line.split_ascii_whitespace();
    let (begin, end) = words.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let is_writable = words.next()?.contains('w');
    let name = words.nth(3).unwrap_or_default();
    Some(Mapping { begin: number(begin)?, end: number(end)?, is_writable, name, anonymous_kb: usize::MAX })
}

/// The main thread's stack below here holds nothing that anybody will read: calls that have returned.
fn drop_stack(stack: &Mapping<'_>) {
    const PAGE: usize = 4096;
    // What the calls from here on need, with a wide margin.
    const MARGIN: usize = 4 * PAGE;
    let here = 0u8;
    let top = ((&raw const here).addr() & !(PAGE - 1)).saturating_sub(MARGIN);
    if (stack.begin..stack.end).contains(&top) {
        // SAFETY: no live frame is in the range: the stack grows down, this frame is `MARGIN` above it, and this is the stack
        // that we run on, because `top` is in it.
        unsafe { drop_pages(stack.begin, top) };
    }
}

/// # Safety
/// Nobody may read what is between the addresses before it is written again, or it comes again from a file as it was.
unsafe fn drop_pages(begin: usize, end: usize) {
    // SAFETY: the caller's promise. An error leaves the pages as they are.
    unsafe { libc::madvise(std::ptr::without_provenance_mut(begin), end - begin, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_comes_again() {
        let kept = vec![7u8; 100_000];
        give_back();
        assert!(kept.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn mappings_are_read() {
        let table = "00400000-00401000 r-xp 00001000 08:01 12      /x\nRss: 4 kB\nAnonymous:             0 kB\nVmFlags: rd ex\n";
        let text = Mapping { begin: 0x40_0000, end: 0x40_1000, is_writable: false, name: "/x", anonymous_kb: 0 };
        assert_eq!(mappings(table), [text]);
    }
}
