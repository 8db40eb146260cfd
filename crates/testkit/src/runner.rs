//! From a list of tests to fake hosts: each test is this program again, in namespaces of its own.

use crate::fixture::Fixture;
use crate::host::Host;
use crate::leaks::Snapshot;
use crate::machine::tests as machine;
use crate::{cgroups, checks};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid};
use std::io::{BufRead, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What a test cannot do without.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// Real root (device files, foreign owners, `trusted.*` attributes).
    Root,
    /// A program, and the Debian package that brings it.
    Program(&'static str, &'static str),
    /// This much time instead of a minute.
    Time(Duration),
    /// A file that is made before the test, outside of the fake host.
    Fixture(&'static Fixture),
    /// To run once more, as `machine::NAME`, in a machine with a kernel of its own and cgroup v2 ([`crate::machine`]).
    Machine,
    /// To run there and not on this host: for what a host may not have.
    MachineOnly,
}

/// A static busybox: the root file system of most tests.
pub const BUSYBOX: Need = Need::Program("busybox", "busybox-static");

/// One test: a name that says the behaviour, what it needs, and the body.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// The behaviour.
    pub name: &'static str,
    /// What it cannot do without.
    pub needs: &'static [Need],
    /// The test itself; it fails by panicking.
    pub body: fn(&Host),
}

/// What the body says last.
static NONCE: OnceLock<String> = OnceLock::new();
const STAGE: &str = "TESTKIT_STAGE";
pub(crate) const NAME: &str = "TESTKIT_TEST";
/// The name of the body that boots the machine, beside those of the tests.
const MACHINE: &str = "machine";
/// How much of what a test says is kept.
const OUTPUT: u64 = 1 << 20;
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Runs the tests as cargo and nextest expect it. The first thing in a test program's `main`, which has one thread.
#[must_use]
pub fn main(tests: &[Test]) -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == "probe") {
        return crate::probe::main();
    }
    if let (Err(_), Ok(names)) = (std::env::var(STAGE), std::env::var(checks::NAMES)) {
        return checks::main(tests, &names);
    }
    match std::env::var(STAGE).as_deref() {
        Ok("host") => become_host(),
        Ok("init") => be_init(),
        Ok("body") => run_body(tests),
        Ok("machine") => machine::be_init(),
        Ok("machine-shell") => crate::machine::be_shell(),
        Ok("machine-tests") => machine::run_all(tests),
        _ => {
            let arguments = Arguments::from_args();
            let mut in_machine = machine_trials(tests, &arguments).into_iter();
            // The first of them boots the machine, which runs all of them one after another: meanwhile the other threads run the rest.
            let trials = in_machine.next().into_iter().chain(trials(tests)).chain(in_machine).collect();
            libtest_mimic::run(&arguments, trials).exit_code()
        }
    }
}

fn trials(tests: &[Test]) -> Vec<Trial> {
    let sandbox = lacks_sandbox();
    let trial = |test: &Test| {
        let (name, limit) = (test.name, time_limit(test.needs));
        let missing = sandbox.clone().or_else(|| test.needs.iter().find_map(lacking));
        let fixtures: Vec<&Fixture> = test.needs.iter().filter_map(fixture).collect();
        let run = move || {
            fixtures.iter().try_for_each(|fixture| fixture.ensure())?;
            match run_in_fake_host(name, &[], limit) {
                (Ok(()), _) => Ok(()),
                (Err(why), output) => Err(Failed::from(format!("{why}\n{output}"))),
            }
        };
        or_skipped(Trial::test(name, run), missing)
    };
    let here = |test: &&Test| !test.needs.iter().any(|need| matches!(need, Need::MachineOnly));
    tests.iter().filter(here).map(trial).collect()
}

/// The tests that run in the machine too: the first of them that is run boots it for all that are.
fn machine_trials(tests: &[Test], arguments: &Arguments) -> Vec<Trial> {
    let wanted = |test: &&Test| test.needs.iter().any(|need| matches!(need, Need::Machine | Need::MachineOnly));
    let named = |test: &&Test| arguments.filter.as_ref().is_none_or(|filter| machine_name(test).contains(filter));
    let all: Vec<(&'static str, Duration)> =
        tests.iter().filter(wanted).filter(named).map(|test| (test.name, time_limit(test.needs))).collect();
    let results = Arc::new(OnceLock::new());
    let trial = |test: &Test| {
        let (name, results, all) = (test.name, Arc::clone(&results), all.clone());
        // Who is an ordinary user here is root in there.
        let missing = lacks_sandbox()
            .or_else(|| test.needs.iter().filter(|need| !matches!(need, Need::Root)).find_map(lacking))
            .or_else(|| lacking(&crate::machine::KERNEL));
        let run = move || match results.get_or_init(|| machine::run(&all, &[])).get(name) {
            Some(Ok(_)) => Ok(()),
            Some(Err(why)) => Err(Failed::from(why)),
            None => Err(Failed::from("the machine was not asked for this test")),
        };
        or_skipped(Trial::test(machine_name(test), run), missing)
    };
    tests.iter().filter(wanted).map(trial).collect()
}

fn machine_name(test: &Test) -> String {
    format!("machine::{}", test.name)
}

fn or_skipped(trial: Trial, missing: Option<String>) -> Trial {
    match missing {
        Some(reason) => trial.with_ignored_flag(true).with_kind(format!("skipped: {reason}")),
        None => trial,
    }
}

pub(crate) fn time_limit(needs: &[Need]) -> Duration {
    let most = std::env::var(checks::SECONDS).ok().and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let limit = declared_limit(needs);
    most.map_or(limit, |most| most.min(limit))
}

fn declared_limit(needs: &[Need]) -> Duration {
    needs.iter().find_map(|need| if let Need::Time(limit) = need { Some(*limit) } else { None }).unwrap_or(TIME_LIMIT)
}

pub(crate) fn fixture(need: &Need) -> Option<&'static Fixture> {
    if let Need::Fixture(fixture) = need { Some(fixture) } else { None }
}

/// Why `need` is not met here; `None` when it is.
#[must_use]
pub fn lacking(need: &Need) -> Option<String> {
    match need {
        Need::Root if !is_real_root() => Some("needs root".into()),
        Need::Program(program, package) if find_program(program).is_none() => {
            Some(format!("needs `{program}`: apt-get install {package}"))
        }
        _ => None,
    }
}

/// Root of the whole machine: in a user namespace root makes no device and owns nobody else's file.
fn is_real_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    geteuid().is_root() && map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// Why there can be no fake host here; `None` when there can.
#[must_use]
pub fn lacks_sandbox() -> Option<String> {
    let allowed = || {
        let probe = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).output();
        probe.is_ok_and(|output| output.status.success())
    };
    (!geteuid().is_root() && !allowed()).then(|| "needs root or unprivileged user namespaces".into())
}

/// The path of `program` in PATH or the usual folders of the administrator's programs.
pub(crate) fn find_program(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

pub(crate) fn myself(stage: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.env(STAGE, stage);
    command
}

/// Runs the body `name` of this very program's tests in a fake host: how it ended, and what it said.
pub fn run_in_fake_host(name: &str, environment: &[(&str, String)], limit: Duration) -> (Result<(), String>, String) {
    let cgroup = cgroups::new_parent();
    let child = myself("host")
        .env(NAME, name)
        .env(cgroups::PARENT, &cgroup)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return (Err(format!("cannot start the fake host: {error}")), String::new()),
    };
    // Whoever calls exit(0) in the middle of a test has not passed it: the last line of its output says that the end was reached.
    let nonce = nonce();
    let told = child.stdin.take().map(|mut stdin| stdin.write_all(format!("{nonce}\n").as_bytes()));
    let streams = [child.stderr.take().map(collect), child.stdout.take().map(collect)];
    let ended = wait(&mut child, limit);
    cgroups::sweep(&cgroup);
    let output: Vec<u8> = streams.into_iter().flatten().flat_map(|stream| stream.join().unwrap_or_default()).collect();
    let output = String::from_utf8_lossy(&output).into_owned();
    match output.strip_suffix(&format!("{nonce}\n")) {
        Some(said) => (ended, said.to_owned()),
        None => (ended.and(Err(format!("it ended before its end was reached ({told:?})"))), output),
    }
}

pub(crate) fn nonce() -> String {
    let mut bytes = [0; 16];
    sys::process::random(&mut bytes).expect("random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn wait(child: &mut Child, limit: Duration) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(status.to_string()),
            Ok(None) if begin.elapsed() > limit => {
                let _ended_just_now = child.kill();
                let _reaped = child.wait();
                return Err(format!("took longer than {limit:?}"));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // The beginning and the last bytes: a test that never stops printing fills no memory.
        let _closed_early = stream.by_ref().take(OUTPUT).read_to_end(&mut bytes);
        let mut last = std::collections::VecDeque::<u8>::new();
        let mut block = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut block) {
            last.extend(&block[..count]);
            last.drain(..last.len().saturating_sub(4096));
        }
        bytes.extend(last);
        bytes
    })
}

/// Stage 1: new namespaces around this process, then PID 1 as its child.
fn become_host() -> ExitCode {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl takes SIGKILL");
    let mut namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let (uid, gid) = (geteuid(), getegid());
    if !uid.is_root() {
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(namespaces).expect("the fake host's namespaces");
    if !uid.is_root() {
        std::fs::write("/proc/self/setgroups", "deny").expect("setgroups");
        std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid_map");
        std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid_map");
    }
    const NONE: Option<&str> = None;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("mounts private");
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755,size=2g")).expect("a /run of its own");
    let status = myself("init").status().expect("PID 1 of the fake host");
    exit_like(status)
}

fn exit_like(status: std::process::ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Stage 2: PID 1. Its own /proc; reaps whatever ends, until the body has ended.
#[expect(clippy::zombie_processes, reason = "the loop waits for any child, the body among them")]
fn be_init() -> ExitCode {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl takes SIGKILL");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).expect("a /proc of its own");
    forget_the_hosts_switches();
    let body = myself("body").spawn().expect("the test's body");
    let body = Pid::from_raw(i32::try_from(body.id()).expect("a pid"));
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == body => return ExitCode::from(u8::try_from(code).unwrap_or(1)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == body => {
                eprintln!("the test's body was killed by {signal}");
                return ExitCode::FAILURE;
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => panic!("PID 1 of the fake host cannot wait: {error}"),
        }
    }
}

/// A new network namespace begins with the first one's switches, and those are 1 where docker has run: a program that forgets to switch
/// forwarding on would seem to work. Source: Documentation/admin-guide/sysctl/net.rst, devconf_inherit_init_net.
fn forget_the_hosts_switches() {
    for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        // Not in kernels without IPv6, and not where /proc/sys is read-only.
        let _as_it_is = std::fs::write(format!("/proc/sys/net/{switch}"), "0");
    }
}

/// Stage 3: the test, and the leak check after it.
fn run_body(tests: &[Test]) -> ExitCode {
    let name = std::env::var(NAME).expect("the runner names the test");
    let mut nonce = String::new();
    std::io::stdin().lock().read_line(&mut nonce).expect("the runner's word");
    NONCE.set(nonce).expect("one body");
    let code = if name == MACHINE { machine::boot(&Host::new()) } else { run_test(tests, &name) };
    say_the_end();
    code
}

fn say_the_end() {
    // Over the descriptor: what is buffered was said before.
    std::io::stdout().flush().expect("standard output");
    print!("{}", NONCE.get().map_or("", String::as_str));
}

/// Ends the test that calls it, as passed and without the leak check: for one that has looked itself.
pub fn end_without_leak_check() -> ! {
    say_the_end();
    std::process::exit(0)
}

fn run_test(tests: &[Test], name: &str) -> ExitCode {
    let test = tests.iter().find(|test| test.name == name).expect("the runner names a test of this program");
    let host = Host::new();
    let before = Snapshot::take();
    (test.body)(&host);
    before.assert_nothing_is_left();
    ExitCode::SUCCESS
}
