//! Where Debian's runc 1.1.5 and crun 1.8.1 do not do what the tests ask, and why.

/// Runtime, behaviour, reason.
const FAILURES: &[(&str, &str, &str)] = &[];

/// Why `runtime` is known to fail at `behaviour`.
pub(crate) fn failure(runtime: &str, behaviour: &str) -> Option<&'static str> {
    FAILURES.iter().find(|(who, what, _)| (*who, *what) == (runtime, behaviour)).map(|(.., reason)| *reason)
}
