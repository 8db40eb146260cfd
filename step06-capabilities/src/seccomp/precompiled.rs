//! The filter of the default profile for docker's capabilities, compiled when this project was built and not at each start.
//!
//! `standard_ARCHITECTURE.rs` is written by the test below (`INSTA_UPDATE=always cargo test -p step06-capabilities precompiled`), which
//! also finds it out when the profile or the compiler has changed and the file has not.

use sys::arch::ABIS;
use sys::seccomp::Instruction;

/// The programs that are there; on another processor the profile is compiled at each start.
const STANDARD: [&[Instruction]; 1] = [&include!("standard_amd64.rs")];

/// The program for this processor: the second instruction of each compares the caller's way into the kernel with the native one.
pub(super) fn standard() -> Option<&'static [Instruction]> {
    let native = ABIS.first()?.audit;
    STANDARD.into_iter().find(|program| program.get(1).is_some_and(|compare| compare.k == native))
}

/// One instruction, in the form of the file.
const fn i(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Capabilities, Filter, Profile};
    use std::fmt::Write;

    #[test]
    fn the_precompiled_filter_is_the_compiled_one() {
        if standard().is_none() {
            return;
        }
        let compiled = Filter::compile(&Profile::standard().unwrap(), Capabilities::docker()).unwrap();
        let mut text = String::from("[\n");
        for Instruction { code, jt, jf, k } in compiled.program() {
            writeln!(text, "    i({code:#04x}, {jt}, {jf}, {k:#x}),").unwrap();
        }
        text += "]\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/seccomp/standard_amd64.rs");
        if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
            std::fs::write(path, &text).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == text, "{path} is not what the profile comes to: see above");
    }
}
