//! The programs in C: built on the stage, with the compiler that links Rust programs anyway.

use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use step06_capabilities::{Capabilities, Filter};

/// Source files by name.
const SOURCES: [(&str, &str); 5] = [
    ("program.c", include_str!("../../floor/program.c")),
    ("floor.c", include_str!("../../floor/floor.c")),
    ("floor_exec.c", include_str!("../../floor/floor_exec.c")),
    ("floor.h", include_str!("../../floor/floor.h")),
    ("netlink.h", include_str!("../../floor/netlink.h")),
];

/// Builds `program`, `floor` and `floor_exec` in `bin`.
///
/// # Errors
/// Without a C compiler, or without the kernel's headers.
pub(super) fn build(bin: &Path) -> Result<()> {
    let sources = bin.join("src");
    fs::create_dir_all(&sources)?;
    for (name, text) in SOURCES {
        fs::write(sources.join(name), text)?;
    }
    fs::write(sources.join("filter.h"), filter()?)?;
    for program in ["program", "floor", "floor_exec"] {
        let mut compiler = Command::new("cc");
        compiler
            .args(["-O2", "-Wall", "-static", "-o"])
            .arg(bin.join(program))
            .arg(sources.join(format!("{program}.c")));
        let built = compiler.output().context("cc (package gcc): the floor is a program in C")?;
        if !built.status.success() {
            bail!("cc {program}.c: {}", String::from_utf8_lossy(&built.stderr));
        }
    }
    Ok(())
}

/// The filter that `tara` loads, in C.
fn filter() -> Result<String> {
    let mut text = String::from("static const struct sock_filter filter[] = {\n");
    for instruction in Filter::standard(Capabilities::docker())?.program() {
        let [code, jt, jf] = [u32::from(instruction.code), instruction.jt.into(), instruction.jf.into()];
        writeln!(text, "    {{ {code:#x}, {jt}, {jf}, {:#x} }},", instruction.k)?;
    }
    Ok(text + "};\n")
}
