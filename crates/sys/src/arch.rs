//! Processor architectures: the only file that names them.

/// The architecture of this build in the words of the OCI image index (`amd64`, `arm64`, …).
///
/// Source: OCI image specification, image-index.md, "platform.architecture" (Go's `GOARCH`).
pub const OCI_ARCHITECTURE: &str = oci_architecture(std::env::consts::ARCH);

/// The `variant` that belongs to [`OCI_ARCHITECTURE`], where images carry one.
pub const OCI_VARIANT: Option<&str> = if cfg!(target_arch = "aarch64") { Some("v8") } else { None };

const fn oci_architecture(arch: &'static str) -> &'static str {
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

#[cfg(test)]
mod tests {
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
