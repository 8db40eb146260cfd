//! Named tests for another program that reads the results: the labs.
//!
//! With [`NAMES`] in its environment a test program runs these and no others, and prints a line of JSON for each. The tests themselves
//! run in processes of their own whose output is captured: nothing that they print is on this standard output.

use crate::fixture::Fixture;
use crate::machine::tests as machine;
use crate::runner::{Need, Test, fixture, lacking, lacks_sandbox, run_in_fake_host, time_limit};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The variable with the names of the tests, separated by commas.
pub const NAMES: &str = "TESTKIT_CHECKS";
/// The variable that says where: `machine` for a machine with a kernel of its own; else in fake hosts on this one.
pub const WHERE: &str = "TESTKIT_WHERE";

/// The variable with the most seconds that a test may take: what is looked at may hang.
pub const SECONDS: &str = "TESTKIT_SECONDS";

/// How a test ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// The test's name.
    pub name: String,
    /// Whether it passed; `None` when it could not run here.
    pub passed: Option<bool>,
    /// Why it failed or could not run, with what it said.
    pub why: String,
    /// How long it took.
    pub milliseconds: u64,
}

/// Runs the tests `names`. With the program that asked for them they end.
pub(crate) fn main(tests: &[Test], names: &str) -> ExitCode {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).expect("prctl takes SIGKILL");
    let in_machine = std::env::var(WHERE).is_ok_and(|place| place == "machine");
    let (mut runnable, mut results) = (Vec::new(), Vec::new());
    for name in names.split(',') {
        let found = tests.iter().find(|test| test.name == name);
        match found.map(|test| (test, obstacle(test, in_machine))) {
            Some((test, None)) => runnable.push(test),
            Some((_, Some(why))) => results.push(Check { name: name.to_owned(), passed: None, why, milliseconds: 0 }),
            None => results.push(Check {
                name: name.to_owned(),
                passed: None,
                why: "no such test".to_owned(),
                milliseconds: 0,
            }),
        }
    }
    results.iter().for_each(print);
    if in_machine {
        all_in_machine(&runnable);
    } else {
        all_here(&runnable);
    }
    ExitCode::SUCCESS
}

fn print(check: &Check) {
    println!("{}", serde_json::to_string(check).expect("a check is plain"));
}

/// Why the test cannot run there.
fn obstacle(test: &Test, in_machine: bool) -> Option<String> {
    let needs = || test.needs.iter();
    if in_machine {
        let others = needs().filter(|need| !matches!(need, Need::Root)).find_map(lacking);
        return others.or_else(|| lacking(&crate::machine::KERNEL));
    }
    let elsewhere =
        needs().any(|need| matches!(need, Need::MachineOnly)).then(|| "needs a machine of its own".to_owned());
    elsewhere.or_else(lacks_sandbox).or_else(|| needs().find_map(lacking))
}

/// One for each processor at once, as `cargo test` does: many of them wait for most of their time. What a thread has started dies
/// with the thread, and each stays until its own is done.
fn all_here(tests: &[&Test]) {
    let queue = Mutex::new(tests.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(tests.len()) {
            scope.spawn(|| std::iter::from_fn(next).for_each(|test| print(&here(test))));
        }
    });
}

fn here(test: &Test) -> Check {
    let begin = Instant::now();
    let ready = test.needs.iter().filter_map(fixture).try_for_each(Fixture::ensure);
    let (result, output) = match ready {
        Ok(()) => run_in_fake_host(test.name, &[], time_limit(test.needs)),
        Err(why) => (Err(why), String::new()),
    };
    check(test.name, result.map_err(|why| format!("{output}{why}\n")), begin.elapsed())
}

fn all_in_machine(tests: &[&Test]) {
    if tests.is_empty() {
        return;
    }
    let begin = Instant::now();
    let named: Vec<(&str, Duration)> = tests.iter().map(|test| (test.name, time_limit(test.needs))).collect();
    let mut results = machine::run(&named, &[]);
    let each = begin.elapsed() / u32::try_from(tests.len()).unwrap_or(1);
    for test in tests {
        let result = results.remove(test.name).unwrap_or_else(|| Err("the machine gave no result".to_owned()));
        print(&check(test.name, result.map(drop), each));
    }
}

/// Nothing is said about the program that was tested when there was no machine to test it in.
fn passed(result: &Result<(), String>) -> Option<bool> {
    match result {
        Err(why) if why.starts_with(machine::NO_BOOT) => None,
        result => Some(result.is_ok()),
    }
}

fn check(name: &str, result: Result<(), String>, took: Duration) -> Check {
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Check { name: name.to_owned(), passed: passed(&result), why: result.err().unwrap_or_default(), milliseconds }
}
