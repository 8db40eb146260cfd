//! The tests of this program, again, inside the machine.

use super::{Machine, init};
use crate::Test;
use crate::checks::SECONDS;
use crate::host::Host;
use crate::runner::{lacks_sandbox, myself, nonce, run_in_fake_host, time_limit};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The names of the tests, and the word that begins each of our lines on the console: what a test prints is not ours.
const NAMES: &str = "TESTKIT_TESTS";
const NONCE: &str = "TESTKIT_NONCE";
/// The names of more variables that are passed on into the machine.
const MORE: &str = "TESTKIT_MORE";
/// What a machine needs besides its tests.
const BOOT: Duration = Duration::from_secs(30);

/// How a test failed that the machine said nothing about.
pub(crate) const NO_BOOT: &str = "the machine did not boot";
const ENDED: &str = "the machine ended before the test did";

/// How each test ended, with what it said.
pub(crate) type Results = BTreeMap<String, Result<String, String>>;

/// Boots one machine for the bodies `tests` of this very program, each in a fake host in there, and waits for them: how each ended, with
/// what it said. Names, and the words of `more`, which are variables in there, have no spaces.
pub fn run(tests: &[(&str, Duration)], more: &[(String, String)]) -> Results {
    let nonce = nonce();
    let names: Vec<&str> = tests.iter().map(|(name, _)| *name).collect();
    let limit = BOOT + tests.iter().map(|(_, limit)| *limit).sum::<Duration>();
    let seconds = std::env::var(SECONDS).unwrap_or_default();
    let passed_on: Vec<&str> = more.iter().map(|(name, _)| name.as_str()).collect();
    let own =
        [(NAMES, names.join(",")), (NONCE, nonce.clone()), (SECONDS, seconds), (MORE, passed_on.join(","))].into_iter();
    let environment: Vec<(&str, String)> =
        own.chain(more.iter().map(|(name, value)| (name.as_str(), value.clone()))).collect();
    let (ended, console) = match lacks_sandbox() {
        None => run_in_fake_host("machine", &environment, limit),
        // Where user namespaces are forbidden the machine itself is the sandbox.
        Some(_) => boot_here(&environment),
    };
    let mut results = parse(&console, &nonce);
    let why = if console.contains(&nonce) { ENDED } else { NO_BOOT };
    for name in names {
        let why = || format!("{why}; it ended as {ended:?}, its console:\n{console}");
        results.entry(name.to_owned()).or_insert_with(|| Err(why()));
    }
    results
}

/// Result lines: `NONCE ok NAME` or `NONCE failed NAME` after lines `NONCE | …` of what it said.
fn parse(console: &str, nonce: &str) -> Results {
    let mut results = Results::new();
    let mut said = String::new();
    for line in console.lines() {
        let Some((_, line)) = line.split_once(nonce) else { continue };
        match line.trim().split_once(' ') {
            Some(("ok", name)) => drop(results.insert(name.to_owned(), Ok(std::mem::take(&mut said)))),
            Some(("failed", name)) => drop(results.insert(name.to_owned(), Err(std::mem::take(&mut said)))),
            Some(("|", text)) => said.extend([text, "\n"]),
            _ => {}
        }
    }
    results
}

/// Without a fake host around it, in a folder for this boot.
fn boot_here(environment: &[(&str, String)]) -> (Result<(), String>, String) {
    let home = std::env::temp_dir().join(format!("testkit-machine-{}", std::process::id()));
    let made = std::fs::create_dir_all(&home);
    let get = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let output = made.and_then(|()| command(&home, &get).stdin(Stdio::null()).output());
    let _in_memory_anyway = std::fs::remove_dir_all(&home);
    match output {
        Ok(output) => (Ok(()), String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => (Err(format!("linux.uml: {error}")), String::new()),
    }
}

fn command(home: &std::path::Path, variable: &dyn Fn(&str) -> String) -> std::process::Command {
    let more = variable(MORE);
    let names = [NAMES, NONCE, SECONDS].into_iter().chain(more.split(',').filter(|name| !name.is_empty()));
    let values: Vec<(&str, String)> = names.map(|name| (name, variable(name))).collect();
    let mut environment = vec![("TESTKIT_STAGE", "machine")];
    environment.extend(values.iter().map(|(name, value)| (*name, value.as_str())));
    let program = std::fs::read_link("/proc/self/exe").expect("this program's path");
    Machine::default().command(home, &program, &environment)
}

/// Stage 1, the body in a fake host of the real host: boots, and passes the console on.
pub(crate) fn boot(host: &Host) -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let mut command = command(&host.folder("machine"), &variable);
    let mut machine = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("linux.uml");
    for line in BufReader::new(machine.stdout.take().expect("a pipe")).lines() {
        println!("{}", line.unwrap_or_default().trim_end_matches('\r'));
    }
    // Switched off, the kernel ends with 0; what a test said is in its line.
    let status = machine.wait().expect("the machine's end");
    if status.success() {
        return ExitCode::SUCCESS;
    }
    println!("linux.uml: {status}");
    ExitCode::FAILURE
}

/// Stage 2, PID 1 in the machine.
pub(crate) fn be_init() -> ! {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    init::run(myself("machine-tests").env("PATH", path).stdin(Stdio::null()))
}

/// Stage 3, in the machine: every test in a fake host of its own, as outside.
pub(crate) fn run_all(tests: &[Test]) -> ExitCode {
    let names = std::env::var(NAMES).unwrap_or_default();
    let nonce = std::env::var(NONCE).unwrap_or_default();
    println!("{nonce} begins");
    for name in names.split(',') {
        let limit = tests.iter().find(|test| test.name == name).map_or(BOOT, |test| time_limit(test.needs));
        let begin = Instant::now();
        let (result, output) = run_in_fake_host(name, &[], limit);
        match result {
            Ok(()) => {
                output.lines().for_each(|line| println!("{nonce} | {line}"));
                println!("{nonce} ok {name}");
            }
            Err(why) => {
                let why = format!("after {:?}: {why}\n{output}", begin.elapsed());
                why.lines().for_each(|line| println!("{nonce} | {line}"));
                println!("{nonce} failed {name}");
            }
        }
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod self_check {
    use super::*;

    #[test]
    fn only_lines_with_the_nonce_count() {
        let console = "Linux\r\nok b\nn1 ok a\r\nfff n2 ok b\nn1 | why\nn1 | and how\nn1 failed c\n";
        let results = parse(console, "n1");
        assert_eq!(results.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(results["c"], Err("why\nand how\n".to_owned()));
        assert_eq!(results["a"], Ok(String::new()));
    }
}
