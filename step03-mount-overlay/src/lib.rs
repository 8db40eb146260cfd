//! Step 3, a file system of one's own: overlay, mounts, pivot_root.
