//! Which system calls are answered: from docker's JSON to the kernel's bytes.
//!
//! A [`Profile`] is what is written down: names, conditions, for which capabilities and processors. `rules` is what is left of
//! it here and now: numbers, for each way into the kernel. `tree` makes a program of that, small enough that the kernel, which
//! runs it once for every number when it is loaded, is done in microseconds. [`Filter`] is the program, ready for the child.

mod assembler;
mod filter;
mod oci;
mod precompiled;
mod profile;
mod rules;
mod tree;

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod tests;

pub use filter::Filter;
pub use profile::Profile;
