//! Step 1, a root of one's own: chroot.
