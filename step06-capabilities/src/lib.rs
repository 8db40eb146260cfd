//! Step 6, less than root: users, capability sets, seccomp.
