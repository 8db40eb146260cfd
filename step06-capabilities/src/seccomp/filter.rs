//! A compiled filter, ready for the child.

use super::profile::{Flag, Profile};
use super::{precompiled, rules, tree};
use crate::{Capabilities, Error};
use std::borrow::Cow;
use std::fmt;
use std::os::fd::OwnedFd;
use sys::seccomp::{Instruction, MAX_INSTRUCTIONS, flag, load, load_with_listener};
use sys::{Failure, Whilst};

/// A program of the kernel's, which answers every system call from now on.
#[derive(Clone)]
pub struct Filter {
    program: Cow<'static, [Instruction]>,
    flags: u32,
}

impl Filter {
    /// Compiles `profile` for a process that may have `capabilities`, on this kernel and processor.
    ///
    /// # Errors
    /// [`Error::NoTable`] on a processor without a table of system calls; [`Error::TooLarge`].
    pub fn compile(profile: &Profile, capabilities: Capabilities) -> Result<Self, Error> {
        let program = tree::compile(&rules::tables(profile, capabilities)?);
        if program.len() > MAX_INSTRUCTIONS {
            return Err(Error::TooLarge(program.len()));
        }
        Ok(Self { program: program.into(), flags: flags(profile) })
    }

    /// The filter of [`Profile::standard`]. For docker's capabilities it is in this program already: to read and compile the profile
    /// takes 165 µs, which is a tenth of a start.
    ///
    /// # Errors
    /// As [`Filter::compile`].
    pub fn standard(capabilities: Capabilities) -> Result<Self, Error> {
        match precompiled::standard() {
            Some(program) if capabilities == Capabilities::docker() => {
                Ok(Self { program: Cow::Borrowed(program), flags: flag::SPEC_ALLOW })
            }
            _ => Self::compile(&Profile::standard()?, capabilities),
        }
    }

    /// Loads it into this process, for good. Child half.
    ///
    /// # Errors
    /// EACCES without no_new_privs and without CAP_SYS_ADMIN in effect. Source: seccomp(2).
    // ANCHOR: load
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn load(&self) -> Result<(), Failure<'static>> {
        load(&self.program, self.flags).whilst("load the seccomp filter", c"")
    }
    // ANCHOR_END: load

    /// The same, and gives the descriptor of a listener, for profiles with `SCMP_ACT_NOTIFY`. Child half.
    ///
    /// # Errors
    /// As [`Filter::load`]; EBUSY when there is a listener already.
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn load_with_listener(&self) -> Result<OwnedFd, Failure<'static>> {
        load_with_listener(&self.program, self.flags).whilst("load the seccomp filter", c"")
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &[Instruction] {
        &self.program
    }
}

/// Without a word in the profile the mitigation of speculative store bypass stays off, as in runc and in Linux from 5.16 on: it
/// would slow the program down and protects nobody here.
fn flags(profile: &Profile) -> u32 {
    let of = |flag: &Flag| match flag {
        Flag::Log => flag::LOG,
        Flag::SpecAllow => flag::SPEC_ALLOW,
        Flag::Tsync | Flag::WaitKillable => 0,
    };
    profile.flags.as_ref().map_or(flag::SPEC_ALLOW, |flags| flags.iter().map(of).fold(0, |all, flag| all | flag))
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({} instructions)", self.program.len())
    }
}
