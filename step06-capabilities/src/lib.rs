//! Step 6, less than root: users and groups, capability sets, no_new_privs, seccomp, masked paths. So far the library holds the
//! first part, [`User`]: who the program runs as, by the image's own files. The rest comes with a later issue, and until then
//! a container's root has all the capabilities that `tara` has.

mod user;

pub use user::{Error, User};
