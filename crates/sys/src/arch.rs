//! Processor architectures: the only file that names them. The tables of system calls are in the folder beside it.

#[cfg(any(target_arch = "aarch64", test))]
mod aarch64;
#[cfg(any(target_arch = "aarch64", test))]
mod arm;
#[cfg(any(target_arch = "x86_64", test))]
mod i386;
#[cfg(any(target_arch = "x86_64", test))]
mod x32;
#[cfg(any(target_arch = "x86_64", test))]
mod x86_64;

/// The architecture of this build in the words of the OCI image index (`amd64`, `arm64`, …).
///
/// Source: OCI image specification, image-index.md, "platform.architecture" (Go's `GOARCH`).
pub const OCI_ARCHITECTURE: &str = oci_architecture(std::env::consts::ARCH);

/// The `variant` that belongs to [`OCI_ARCHITECTURE`], where images carry one.
pub const OCI_VARIANT: Option<&str> = if cfg!(target_arch = "aarch64") { Some("v8") } else { None };

/// An architecture as Rust and uname(1) call it, in OCI words; one that is in them already stays as it is.
#[must_use]
pub const fn oci_architecture(arch: &str) -> &str {
    match arch.as_bytes() {
        b"x86_64" => "amd64",
        b"aarch64" => "arm64",
        b"x86" => "386",
        b"powerpc64" => "ppc64le",
        b"loongarch64" => "loong64",
        _ => arch,
    }
}

/// The architecture that the ELF header of a program names, in OCI words; `None` when it is no ELF program.
///
/// `header` is the first 20 bytes of the file or more. Source: elf(5), `e_machine`.
#[must_use]
pub fn of_elf(header: &[u8]) -> Option<&'static str> {
    let (magic, rest) = header.split_at_checked(4)?;
    if magic != b"\x7fELF" {
        return None;
    }
    let big_endian = *rest.get(1)? == 2;
    let machine: [u8; 2] = header.get(18..20)?.try_into().ok()?;
    let machine = if big_endian { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    Some(match machine {
        3 => "386",
        8 => "mips",
        20 => "ppc",
        21 => "ppc64le",
        22 => "s390x",
        40 => "arm",
        62 => "amd64",
        183 => "arm64",
        243 => "riscv64",
        258 => "loong64",
        _ => "an unknown architecture",
    })
}

/// One way into the kernel: its system calls and their numbers. A processor has one for its own programs and others for older ones.
#[derive(Debug, Clone, Copy)]
pub struct Abi {
    /// The name in seccomp profiles (`SCMP_ARCH_…`), as libseccomp has it.
    pub name: &'static str,
    /// What `seccomp_data.arch` holds: `AUDIT_ARCH_*`. Source: linux/audit.h.
    pub audit: u32,
    /// Added to every number.
    pub first: u32,
    calls: &'static [(&'static str, u32)],
    index: &'static Index,
    /// Calls whose numbers are not those of `calls`.
    moved: &'static [(&'static str, u32)],
}

/// Where a name stands in its table, by the name's hash; made at compile time. A profile names 400 calls for each ABI, and
/// looking each up by halving the table would be half of the time that it takes to compile a filter (80 of 170 µs).
type Index = [u16; 1024];
const EMPTY: u16 = u16::MAX;

const fn index(calls: &[(&'static str, u32)]) -> Index {
    let mut index = [EMPTY; 1024];
    let mut row = 0;
    while row < calls.len() {
        let mut place = hash(calls[row].0.as_bytes());
        while index[place] != EMPTY {
            place = (place + 1) % index.len();
        }
        #[allow(clippy::cast_possible_truncation, reason = "there are fewer than 1024")]
        let number = row as u16;
        index[place] = number;
        row += 1;
    }
    index
}

/// FNV-1a, folded to the index's 10 bits.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ hash >> 10 ^ hash >> 20) as usize % 1024
}

impl Abi {
    /// The number of the system call `name`; `None` when this ABI has none of that name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        let moved = || self.moved.iter().find(|(other, _)| *other == name).copied();
        let (_, number) = moved().or_else(|| self.find(name))?;
        Some(self.first + number)
    }

    fn find(&self, name: &str) -> Option<(&'static str, u32)> {
        let from = hash(name.as_bytes());
        let (before, after) = self.index.split_at_checked(from)?;
        let rows = after.iter().chain(before).take_while(|row| **row != EMPTY);
        rows.filter_map(|row| self.calls.get(usize::from(*row))).find(|(other, _)| *other == name).copied()
    }

    /// The name of a call.
    #[must_use]
    pub fn name(&self, number: u64) -> Option<&'static str> {
        self.calls.iter().find(|(_, other)| u64::from(*other) == number).map(|(name, _)| *name)
    }

    /// All the system calls, by name.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.calls.iter().map(|(name, _)| *name)
    }
}

/// The ways into the kernel of this processor, its own first; empty where this project has no table.
///
/// x32 shares its `audit` value with the native ABI and is told apart by bit 30 of the number (`__X32_SYSCALL_BIT`).
#[cfg(target_arch = "x86_64")]
pub const ABIS: &[Abi] = &[X86_64, I386, X32];
/// The ways into the kernel of this processor, its own first.
#[cfg(target_arch = "aarch64")]
pub const ABIS: &[Abi] = &[AARCH64, ARM];
/// The ways into the kernel of this processor: no table of its system calls is here yet.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub const ABIS: &[Abi] = &[];

#[cfg(any(target_arch = "x86_64", test))]
const X86_64: Abi = Abi {
    name: "SCMP_ARCH_X86_64",
    audit: 0xc000_003e,
    first: 0,
    calls: x86_64::SYSCALLS,
    index: &index(x86_64::SYSCALLS),
    moved: &[],
};
#[cfg(any(target_arch = "x86_64", test))]
const I386: Abi = Abi {
    name: "SCMP_ARCH_X86",
    audit: 0x4000_0003,
    first: 0,
    calls: i386::SYSCALLS,
    index: &index(i386::SYSCALLS),
    moved: &[],
};
#[cfg(any(target_arch = "x86_64", test))]
const X32: Abi = Abi { name: "SCMP_ARCH_X32", first: 0x4000_0000, moved: x32::SYSCALLS, ..X86_64 };
#[cfg(any(target_arch = "aarch64", test))]
const AARCH64: Abi = Abi {
    name: "SCMP_ARCH_AARCH64",
    audit: 0xc000_00b7,
    first: 0,
    calls: aarch64::SYSCALLS,
    index: &index(aarch64::SYSCALLS),
    moved: &[],
};
#[cfg(any(target_arch = "aarch64", test))]
const ARM: Abi = Abi {
    name: "SCMP_ARCH_ARM",
    audit: 0x4000_0028,
    first: 0,
    calls: arm::SYSCALLS,
    index: &index(arm::SYSCALLS),
    moved: &[],
};

/// Makes a system call through the entry for 32-bit programs, `int 0x80`, as any 64-bit program may; the result is a value
/// or a negative errno. ENOSYS on a processor without such an entry.
///
/// # Safety
/// That of the system call itself: it may do anything to this process.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub unsafe fn syscall_of_32_bit(number: u32, arguments: [u32; 5]) -> i32 {
    let [first, second, third, fourth, fifth] = arguments;
    let result: i32;
    // SAFETY: the kernel keeps every register but eax (and r8 to r11, which 32-bit programs do not have). rbx, which the
    // compiler keeps for itself, is put back.
    unsafe {
        core::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) u64::from(first) => _,
            inlateout("eax") number => result,
            in("ecx") second,
            in("edx") third,
            in("esi") fourth,
            in("edi") fifth,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

/// This processor's programs have no second entry into the kernel that they could reach.
///
/// # Safety
/// None needed: nothing is called.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub unsafe fn syscall_of_32_bit(_number: u32, _arguments: [u32; 5]) -> i32 {
    -libc::ENOSYS
}

#[cfg(test)]
mod tests {
    #[test]
    fn tables_are_sorted_and_hold_every_call_once() {
        for abi in [X86_64, I386, X32, AARCH64, ARM] {
            assert!(abi.calls.is_sorted_by(|(one, _), (next, _)| one < next), "{}", abi.name);
            assert!(abi.moved.is_sorted_by(|(one, _), (next, _)| one < next), "{}", abi.name);
            let mut numbers: Vec<u32> = abi.names().filter_map(|name| abi.number(name)).collect();
            numbers.sort_unstable();
            assert!(numbers.is_sorted_by(|one, next| one < next), "{}: a number twice", abi.name);
            assert!(numbers.len() > 300 && abi.number("clone3") == Some(abi.first + 435));
        }
        assert_eq!(X32.number("execve"), Some(0x4000_0000 + 520));
        assert_eq!(
            (I386.number("mount"), AARCH64.number("mount"), X86_64.number("nothing")),
            (Some(21), Some(40), None)
        );
    }

    #[test]
    fn the_native_table_agrees_with_libc() {
        let Some(native) = ABIS.first() else { return };
        for (name, number) in [
            ("read", libc::SYS_read),
            ("mount", libc::SYS_mount),
            ("clone", libc::SYS_clone),
            ("seccomp", libc::SYS_seccomp),
            ("openat2", libc::SYS_openat2),
            ("mseal", libc::SYS_mseal),
        ] {
            assert_eq!(native.number(name).map(libc::c_long::from), Some(number), "{name}");
        }
    }

    use super::*;

    #[test]
    fn elf_header_names_the_architecture() {
        let mut header = [0u8; 20];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18] = 183;
        assert_eq!(of_elf(&header), Some("arm64"));
        assert_eq!(of_elf(b"#!/bin/sh\n"), None);
        assert_eq!(of_elf(b"\x7fELF"), None);
    }
}
