//! Step 1, a root of one's own.
//!
//! A [`Root`] is a directory that becomes `/`; a [`Program`] is what runs in it. That is the whole step, and it is not a
//! jail: a process with CAP_SYS_CHROOT walks out again (this crate's test does), sees every process of the host and shares its
//! network. Steps 2 to 6 take these away one by one.
//!
//! Host half: [`Root::open`], [`Program::new`]. Child half: [`Root::enter`], then [`sys::exec::Execute::execute`].

mod error;
mod program;
mod root;

pub use error::Error;
pub use program::{DEFAULT_PATH, Program};
pub use root::Root;
