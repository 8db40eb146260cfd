//! A call's arguments, as one would write them: what matters of them, not all that strace knows.

use super::Reason;
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::IoSliceMut;
use sys::explain::WORDS;

/// How the arguments of a call are shown: d a descriptor, s a string, b bytes as many as the next argument says, n a number,
/// x flags, o a mode, p a pointer, N flags of namespaces, C the flags in clone3's structure, D a folder descriptor.
const SHAPES: &[(&str, &str)] = &[
    ("access", "so"),
    ("bind", "dpn"),
    ("brk", "p"),
    ("chdir", "s"),
    ("clone", "N"),
    ("clone3", "C"),
    ("close", "d"),
    ("close_range", "nnx"),
    ("dup2", "dd"),
    ("dup3", "ddx"),
    ("execve", "s"),
    ("exit_group", "n"),
    ("exit", "n"),
    ("faccessat", "Dsx"),
    ("faccessat2", "Dsxx"),
    ("fchdir", "d"),
    ("fchownat", "Dsnn"),
    ("fcntl", "dnx"),
    ("flock", "dn"),
    ("fsconfig", "dnss"),
    ("fsmount", "dxx"),
    ("fsopen", "sx"),
    ("fspick", "Dsx"),
    ("futex", "pnn"),
    ("getdents64", "d"),
    ("getrandom", "pn"),
    ("ioctl", "dx"),
    ("listen", "dn"),
    ("madvise", "pnn"),
    ("mkdir", "so"),
    ("mkdirat", "Dso"),
    ("mknodat", "Dsox"),
    ("mmap", "pnx"),
    ("mount", "sssx"),
    ("mount_setattr", "Dsx"),
    ("move_mount", "DsDsx"),
    ("mprotect", "pnx"),
    ("munmap", "pn"),
    ("newfstatat", "Ds"),
    ("open_tree", "Dsx"),
    ("openat", "Dsx"),
    ("openat2", "Ds"),
    ("pidfd_open", "nx"),
    ("pipe2", "px"),
    ("pivot_root", "ss"),
    ("poll", "pnn"),
    ("prctl", "nn"),
    ("pread64", "dpn"),
    ("read", "dpn"),
    ("readlink", "s"),
    ("readlinkat", "Ds"),
    ("recvfrom", "dpn"),
    ("rename", "ss"),
    ("renameat", "DsDs"),
    ("renameat2", "DsDsx"),
    ("rmdir", "s"),
    ("rt_sigaction", "n"),
    ("rt_sigprocmask", "n"),
    ("seccomp", "nx"),
    ("sendto", "dpn"),
    ("sethostname", "bn"),
    ("setns", "dN"),
    ("setresgid", "nnn"),
    ("setresuid", "nnn"),
    ("setsockopt", "dnn"),
    ("socket", "nxn"),
    ("socketpair", "nx"),
    ("statx", "Ds"),
    ("symlink", "ss"),
    ("symlinkat", "sDs"),
    ("umask", "o"),
    ("umount2", "sx"),
    ("unlink", "s"),
    ("unlinkat", "Dsx"),
    ("unshare", "N"),
    ("waitid", "nn"),
    ("write", "dbn"),
];

const NAMESPACES: [(u64, &str); 8] = [
    (0x2_0000, "NEWNS"),
    (0x200_0000, "NEWCGROUP"),
    (0x400_0000, "NEWUTS"),
    (0x800_0000, "NEWIPC"),
    (0x1000_0000, "NEWUSER"),
    (0x2000_0000, "NEWPID"),
    (0x4000_0000, "NEWNET"),
    (0x1_0000, "THREAD"),
];

/// The memory of a stopped process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory(pub(super) Pid);

/// What goes between the parentheses.
pub(super) fn arguments(name: &str, values: &[u64; 6], memory: Memory) -> String {
    let Some((_, shape)) = SHAPES.iter().find(|(other, _)| *other == name) else { return String::new() };
    let next = |index: usize| values.get(index + 1).copied().unwrap_or_default();
    let shown =
        shape.chars().zip(values).enumerate().map(|(index, (kind, value))| show(kind, *value, next(index), memory));
    shown.collect::<Vec<_>>().join(", ")
}

/// A number, or the errno's name.
pub(super) fn result(value: i64) -> String {
    match i32::try_from(-value) {
        Ok(errno @ 1..4096) => format!("{:?}", Errno::from_raw(errno)),
        _ if value > 0xffff_ffff => format!("{value:#x}"),
        _ => value.to_string(),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the kernel looks at the lower half of a descriptor")]
fn show(kind: char, value: u64, next: u64, memory: Memory) -> String {
    const AT_FDCWD: i32 = -100;
    let number = value as i32;
    match kind {
        'D' if number == AT_FDCWD => ".".to_owned(),
        'd' | 'D' => number.to_string(),
        'n' if value > u64::from(u32::MAX) => "…".to_owned(),
        'n' => number.to_string(),
        'o' => format!("{value:#o}"),
        'x' => format!("{value:#x}"),
        's' if value == 0 => "-".to_owned(),
        's' => memory.string(value).map_or_else(|| "?".to_owned(), |text| format!("\"{text}\"")),
        'b' => memory.bytes(value, next.min(64)).map_or_else(|| "?".to_owned(), |bytes| quote(&bytes)),
        'N' => namespaces(value),
        'C' => memory.word(value).map_or_else(|| "?".to_owned(), namespaces),
        _ => "…".to_owned(),
    }
}

fn namespaces(flags: u64) -> String {
    let names: Vec<_> = NAMESPACES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { format!("{flags:#x}") } else { names.join("|") }
}

fn quote(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { '.' } else { c }).collect();
    format!("\"{text}\"")
}

impl Memory {
    /// Fewer where its memory ends.
    pub(super) fn bytes(self, address: u64, length: u64) -> Option<Vec<u8>> {
        let (base, length) = (usize::try_from(address).ok()?, usize::try_from(length).ok()?);
        let mut bytes = vec![0; length];
        let read = process_vm_readv(self.0, &mut [IoSliceMut::new(&mut bytes)], &[RemoteIoVec { base, len: length }]);
        bytes.truncate(read.ok()?);
        Some(bytes)
    }

    /// Up to the zero byte, and not over the end of a page: the next one may not be there.
    fn string(self, address: u64) -> Option<String> {
        const PAGE: u64 = 4096;
        let mut all = Vec::new();
        let mut at = address;
        while all.len() < 512 {
            let bytes = self.bytes(at, PAGE - at % PAGE)?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                all.extend(bytes.get(..end)?);
                break;
            }
            at += u64::try_from(bytes.len()).ok().filter(|length| *length > 0)?;
            all.extend(bytes);
        }
        let quoted = quote(&all);
        Some(quoted.trim_matches('"').to_owned())
    }

    /// A number of the machine's size.
    pub(super) fn word(self, address: u64) -> Option<u64> {
        Some(u64::from_ne_bytes(*self.bytes(address, 8)?.first_chunk()?))
    }

    /// A [`sys::explain::Mark`]: whether it is about what comes, and its words.
    pub(super) fn mark(self, address: u64) -> Option<(bool, Reason)> {
        let bytes = self.bytes(address, u64::try_from(WORDS * size_of::<usize>()).ok()?)?;
        let words: Vec<u64> =
            bytes.chunks_exact(8).filter_map(|word| word.try_into().ok().map(u64::from_ne_bytes)).collect();
        let [is_ahead, doing, doing_length, on, on_length, file, file_length, line] =
            *<&[u64; WORDS]>::try_from(&words[..]).ok()?;
        let text = |at, length: u64| Some(String::from_utf8_lossy(&self.bytes(at, length.min(4096))?).into_owned());
        let mut doing = text(doing, doing_length)?;
        if on_length > 0 {
            doing = format!("{doing} `{}`", text(on, on_length)?);
        }
        Some((is_ahead != 0, Reason::new(doing, &text(file, file_length)?, usize::try_from(line).ok()?)))
    }
}
