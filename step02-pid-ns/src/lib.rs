//! Step 2, a process tree of one's own: namespaces, clone3, PID 1.
