//! Talking to the kernel about links, addresses, routes and rules: netlink(7), by hand.
//!
//! A [`Batch`] is one buffer with any number of messages, a [`Socket`] sends it with one system call and reads what the kernel
//! answers. The crates of the `netlink-packet` family do the same for links and routes; for nf_tables they have nothing that
//! sends a batch, and a reader would learn their types instead of the kernel's. So the messages are laid out here.

mod batch;
pub(crate) mod nf;
mod read;
pub(crate) mod rt;
mod socket;

pub(crate) use batch::{Batch, CREATE, DUMP, EXCLUSIVE};
pub(crate) use read::{Attributes, find, text, word};
pub(crate) use socket::{Refusal, Socket};
