//! What the OCI runtime specification 1.3 asks of a runtime, one test a behaviour, by its sections.
//!
//! ```sh
//! cargo test -p tara --test conformance                                       # `tara oci`; runc and crun where there is none
//! TARA_CONFORMANCE_RUNTIME=/usr/sbin/runc cargo test -p tara --test conformance
//! TARA_CONFORMANCE_RUNTIME=runc,crun,tara cargo test -p tara --test conformance process::
//! ```
//!
//! A runtime is a program that is called as `PROGRAM [--root DIR] COMMAND …`, the command line that runc made the custom; for `tara` it is
//! `tara oci`. Its name is the first part of a test's. runc and crun run to show that the tests ask what others do too: where
//! they do not, `known.rs` says why, and a known failure that passes is a failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundle;
mod case;
mod cgroups;
mod commands;
mod console;
mod errors;
mod exec;
mod hooks;
mod known;
mod lifecycle;
mod linux;
mod mounts;
mod namespaces;
mod process;
mod runtime;
mod seccomp;
mod state;

use case::Case;
use runtime::Runtime;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use testkit::{BUSYBOX, Host, Need, Snapshot, Test};

/// One thing that the specification, or the custom of its callers, asks for.
struct Behaviour {
    name: String,
    body: Box<dyn Fn(&Case<'_>)>,
}

/// A behaviour of the section that the module is.
fn behaviour(name: &str, body: impl Fn(&Case<'_>) + 'static) -> Behaviour {
    Behaviour { name: name.to_owned(), body: Box::new(body) }
}

/// `run` with a changed configuration and a shell script prints what is expected, and nothing else.
fn shows(name: &str, patch: serde_json::Value, script: &'static str, expected: &'static str) -> Behaviour {
    behaviour(name, move |case| {
        case.configure(patch.clone());
        assert_eq!(case.shell(script), expected);
    })
}

fn sections() -> Vec<(&'static str, Vec<Behaviour>)> {
    vec![
        ("state", state::all()),
        ("lifecycle", lifecycle::all()),
        ("commands", commands::all()),
        ("console", console::all()),
        ("exec", exec::all()),
        ("process", process::all()),
        ("mounts", mounts::all()),
        ("namespaces", namespaces::all()),
        ("linux", linux::all()),
        ("cgroups", cgroups::all()),
        ("seccomp", seccomp::all()),
        ("hooks", hooks::all()),
        ("errors", errors::all()),
    ]
}

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == "probe") {
        return testkit::main(&[]);
    }
    let mut tests = Vec::new();
    for runtime in Runtime::wanted() {
        for (section, behaviours) in sections() {
            tests.extend(behaviours.iter().map(|behaviour| Test {
                name: format!("{}::{section}::{}", runtime.name, behaviour.name).leak(),
                needs: vec![Need::Root, BUSYBOX, runtime.need()].leak(),
                body: judge,
            }));
        }
    }
    testkit::main(&tests)
}

/// Runs the behaviour that the test's name says, and turns the verdict round where the failure is known.
fn judge(host: &Host) {
    let test = host.test_name();
    let (runtime, behaviour) = test.split_once("::").unwrap();
    let (section, name) = behaviour.split_once("::").unwrap();
    let (_, behaviours) = sections().into_iter().find(|(candidate, _)| *candidate == section).unwrap();
    let body = behaviours.into_iter().find(|candidate| candidate.name == name).unwrap().body;
    let runtime = Runtime::named(runtime).unwrap();
    match known::failure(&runtime.name, behaviour) {
        Some(reason) if reason.starts_with(known::RACE) => {
            let _either = catch_unwind(AssertUnwindSafe(|| observe(host, runtime, &body)));
        }
        None => observe(host, runtime, &body),
        Some(reason) => {
            let verdict = catch_unwind(AssertUnwindSafe(|| observe(host, runtime, &body)));
            assert!(verdict.is_err(), "a known failure passes; take it off `known.rs`: {reason}");
        }
    }
    // Not by the leak check of testkit: `observe` has looked, after `prepare`, and a known failure may leave something.
    testkit::end_without_leak_check()
}

fn observe(host: &Host, runtime: Runtime, body: &dyn Fn(&Case<'_>)) {
    runtime.prepare();
    let before = Snapshot::take();
    body(&Case::new(host, runtime));
    before.assert_nothing_is_left();
}
