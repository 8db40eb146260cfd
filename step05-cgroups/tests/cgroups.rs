//! What a share of the machine is: on this host's cgroups, and again on cgroup v2 in a machine of its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::wait::WaitStatus;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use step01_chroot::{Program, Root};
use step02_pid_ns::{CloneSpec, Running, spawn};
use step05_cgroups::{
    Bytes, Cgroup, Controller, DeviceRate, Error, Hierarchy, Limits, Maximum, Parent, Version, default_devices, reclaim,
};
use testkit::{BUSYBOX, Host, Need, Output, until};

/// For what has to be tried again on a busy machine.
const LONG: Need = Need::Time(Duration::from_secs(120));

testkit::suite! {
    the_process_is_born_inside: [Need::Root, BUSYBOX, Need::Machine],
    only_the_needed_directories_are_made: [Need::Root, Need::Machine],
    an_allocator_dies_with_137_and_the_reason_is_told: [Need::Root, BUSYBOX, Need::Machine],
    memory_at_its_limit_is_not_exceeded: [Need::Root, BUSYBOX, Need::Machine],
    a_fork_bomb_stops_at_its_limit_while_the_host_forks_on: [Need::Root, BUSYBOX, Need::Machine],
    without_a_limit_the_same_fork_bomb_goes_off: [Need::Root, BUSYBOX, Need::Machine],
    half_a_processor_does_half_the_work: [Need::Root, BUSYBOX, Need::Machine, LONG],
    writes_to_a_disk_keep_to_their_rate: [Need::Root, BUSYBOX, Need::Machine],
    the_processor_is_the_chosen_one: [Need::Root, BUSYBOX],
    a_disk_cannot_be_opened_and_null_can: [Need::Root, BUSYBOX, Need::Machine],
    freezing_stops_a_counter_and_thawing_lets_it_go_on: [Need::Root, BUSYBOX, Need::Machine],
    killing_ends_all_also_while_they_fork: [Need::Root, BUSYBOX, Need::Machine],
    what_is_frozen_can_be_killed: [Need::Root, BUSYBOX, Need::Machine],
    removing_leaves_nothing_and_may_be_repeated: [Need::Root, BUSYBOX, Need::Machine],
    a_populated_cgroup_is_not_removed: [Need::Root, BUSYBOX, Need::Machine],
    limits_change_while_it_runs: [Need::Root, BUSYBOX, Need::Machine],
    another_process_finds_it_by_name: [Need::Root, BUSYBOX, Need::Machine],
    many_are_made_and_removed_side_by_side: [Need::Root, Need::Machine],
    amounts_are_in_dockers_units: [Need::Machine],
    a_limit_that_cannot_be_had_names_its_flag: [Need::Root, Need::Machine],
    a_failed_creation_leaves_nothing: [Need::Root, Need::Machine],
    an_ordinary_user_is_told_what_to_do: [Need::Root, Need::Machine],
    an_ordinary_user_gets_limits_below_what_was_delegated: [Need::MachineOnly, BUSYBOX],
    alone_in_what_was_delegated_the_engine_steps_aside: [Need::MachineOnly],
    a_cgroup_with_processes_of_others_is_left_alone: [Need::MachineOnly, BUSYBOX],
    a_read_only_mount_is_named: [Need::Root, Need::Machine],
}

const STEP: &str = env!("CARGO_BIN_EXE_step05-cgroups");

/// The demo, in the test's own parent.
fn step(host: &Host, options: &[&str], script: &str) -> Output {
    let root = host.busybox_root("rootfs");
    let mut command = host.command(STEP);
    command.args(["run", "--stats", "--cgroup-parent", &host.cgroup_parent()]).args(options).arg(root);
    host.run(command.args(["sh", "-c", script]))
}

fn parent(host: &Host) -> Parent {
    Parent::new(Hierarchy::find().unwrap(), Some(&host.cgroup_parent())).unwrap()
}

/// Runs `body` with a cgroup, and removes that and the parent.
fn with_cgroup<T>(host: &Host, limits: &Limits, body: impl FnOnce(&mut Cgroup) -> T) -> T {
    let parent = parent(host);
    let mut cgroup = Cgroup::create(&parent, "c1", limits).unwrap();
    let result = body(&mut cgroup);
    cgroup.kill().unwrap();
    cgroup.remove().unwrap();
    parent.remove().unwrap();
    result
}

/// A shell in the cgroup, in a chroot of busybox; killed and waited for when dropped.
struct Shell(Running);

impl Shell {
    fn start(host: &Host, cgroup: &Cgroup, script: &str) -> Self {
        let rootfs = host.busybox_root("rootfs");
        for (name, minor) in [("dev/null", 3), ("dev/zero", 5)] {
            let _there_already = mknod(&rootfs.join(name), SFlag::S_IFCHR, Mode::all(), makedev(1, minor));
        }
        let root = Root::open(&rootfs).unwrap();
        let program = Program::new(&["sh", "-c", script].map(str::to_owned), &["PATH=/bin".to_owned()]).unwrap();
        let into_cgroup = cgroup.into_cgroup();
        let spec = CloneSpec { into_cgroup, dies_with_parent: true, ..CloneSpec::default() };
        let running = spawn(&spec, || {
            cgroup.enter()?;
            root.enter()?;
            Ok(&program)
        });
        Self(running.unwrap())
    }

    /// A program of the host in the cgroup.
    fn of_the_host(cgroup: &Cgroup, words: &[&str]) -> Self {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let program = Program::new(&words, &["PATH=/usr/bin:/bin".to_owned()]).unwrap();
        let into_cgroup = cgroup.into_cgroup();
        let running = spawn(&CloneSpec { into_cgroup, dies_with_parent: true, ..CloneSpec::default() }, || {
            cgroup.enter()?;
            Ok(&program)
        });
        Self(running.unwrap())
    }

    fn wait(&self) -> WaitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ended_already = self.0.signal(nix::libc::SIGKILL);
        let _waited_for_already = self.0.wait();
    }
}

fn counter(host: &Host) -> u64 {
    fs::read_to_string(host.path("rootfs/tmp/counter")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Each turn replaces the file, so that a reader never sees half a number.
const COUNT: &str = "x=0; while :; do x=$((x+1)); echo $x > /tmp/next; mv /tmp/next /tmp/counter; done";

fn pids(number: u64) -> Limits {
    Limits { pids: Some(Maximum::Of(number)), ..Limits::default() }
}

fn is_v2() -> bool {
    Hierarchy::find().unwrap().tree_of(Controller::Memory).unwrap().version == Version::V2
}

fn the_process_is_born_inside(host: &Host) {
    let inside = with_cgroup(host, &Limits::default(), |cgroup| {
        // The first thing the program does: who is moved in after execve is seen outside.
        let script = format!("cat /proc/self/cgroup > {}; exec sleep 100", host.path("inside").display());
        let shell = Shell::of_the_host(cgroup, &["sh", "-c", &script]);
        until("the program sleeps", || (cgroup.processes().unwrap() == [shell.0.host_pid().as_raw()]).then_some(()));
        until("it told where it is", || {
            fs::read_to_string(host.path("inside")).ok().filter(|text| text.ends_with('\n'))
        })
    });
    let name = format!("{}/c1", host.cgroup_parent());
    let controllers = if is_v2() { vec!["0:"] } else { vec![":memory", ":pids", ":cpuacct"] };
    for controller in controllers {
        let line = inside.lines().find(|line| line.contains(controller)).unwrap();
        assert!(line.ends_with(&format!(":{name}")), "{line}");
    }
    // In its own namespace of cgroups it does not see where it is.
    let shown = step(host, &["--pids-limit", "20"], "cat /proc/self/cgroup").ok();
    assert!(!shown.contains("tara-test") && !shown.contains(".."), "{shown}");
}

fn only_the_needed_directories_are_made(host: &Host) {
    let count = |limits: &Limits| with_cgroup(host, limits, |cgroup| cgroup.paths().count());
    let cpus = Limits { cpus: ".5".parse().ok(), ..pids(20) };
    let expected = if is_v2() { [1, 1] } else { [3, 4] };
    assert_eq!([count(&Limits::default()), count(&cpus)], expected);
}

fn an_allocator_dies_with_137_and_the_reason_is_told(host: &Host) {
    let output = step(host, &["-m", "16m"], "tail /dev/zero");
    assert_eq!(output.code, 137, "{output:?}");
    assert!(output.stderr.ends_with("the kernel killed a process: out of memory\n"), "{}", output.stderr);
    let killed = |script: &str| {
        let limits = Limits { memory: Some(Bytes(16 << 20)), ..Limits::default() };
        with_cgroup(host, &limits, |cgroup| {
            let shell = Shell::start(host, cgroup, script);
            shell.wait();
            cgroup.oom_killed().unwrap()
        })
    };
    assert!(killed("tail /dev/zero; true") && !killed("kill -9 $$"));
}

fn memory_at_its_limit_is_not_exceeded(host: &Host) {
    let limits = Limits { memory: Some(Bytes(16 << 20)), ..Limits::default() };
    let memory = with_cgroup(host, &limits, |cgroup| {
        Shell::start(host, cgroup, "head -c 40m /dev/zero > /tmp/large; rm /tmp/large").wait();
        cgroup.statistics().unwrap().memory.unwrap()
    });
    assert_eq!(memory.limit, Some(Bytes(16 << 20)));
    assert!(memory.peak.is_some_and(|peak| peak > Bytes(1 << 20) && peak <= Bytes(16 << 20)), "{memory:?}");
}

/// Bounded: 64 processes that end after 2 s.
const FORK_BOMB: &str = "i=0; while [ $i -lt 64 ]; do sleep 2 & i=$((i+1)); done; echo all; kill $(jobs -p); true";

fn a_fork_bomb_stops_at_its_limit_while_the_host_forks_on(host: &Host) {
    let output = step(host, &["--pids-limit", "20"], FORK_BOMB);
    assert!(output.stderr.contains("can't fork") && !output.stdout.contains("all"), "{output:?}");
    with_cgroup(host, &pids(20), |cgroup| {
        let _bomb = Shell::start(host, cgroup, "while :; do sleep 2 & done");
        let at_limit = |cgroup: &Cgroup| cgroup.statistics().unwrap().pids.unwrap().current >= 19;
        until("the bomb is at its limit", || at_limit(cgroup).then_some(()));
        assert_eq!(cgroup.statistics().unwrap().pids.unwrap().limit, Some(20));
        assert!(cgroup.processes().unwrap().len() <= 20);
        // Meanwhile, outside:
        for _ in 0..10 {
            assert!(Command::new("true").status().unwrap().success());
        }
    });
}

/// The attack that works as long as nobody limits: steps 2 to 4 have nothing against it.
fn without_a_limit_the_same_fork_bomb_goes_off(host: &Host) {
    assert_eq!(step(host, &[], FORK_BOMB).ok(), "all\n");
}

fn half_a_processor_does_half_the_work(host: &Host) {
    const TIME: Duration = Duration::from_secs(1);
    let used = |limits: &Limits| {
        with_cgroup(host, limits, |cgroup| {
            let (_shell, begin) = (Shell::start(host, cgroup, "while :; do :; done"), Instant::now());
            std::thread::sleep(TIME);
            let cpu = cgroup.statistics().unwrap().cpu.unwrap();
            (cpu, cpu.usage_ns * 1000 / u64::try_from(begin.elapsed().as_nanos()).unwrap())
        })
    };
    // A busy machine gives less than half a processor even without a limit, and then there is nothing to see: again.
    let shows = || {
        let (limited, permille) = used(&Limits { cpus: ".5".parse().ok(), ..Limits::default() });
        // A period may be over-used by a tick, and begins anew at the start.
        assert!(permille < 620, "{permille} ‰ of the time: {limited:?}");
        let (free, more) = used(&Limits::default());
        assert_eq!(free.throttled_periods, 0);
        let less = permille > 300 && more > permille * 5 / 4;
        less && limited.throttled_periods >= 5 && limited.throttled_ns > 100_000_000
    };
    assert!((0..20).any(|_| shows()), "in twenty tries the machine had no processor to halve");
}

/// A disk to write to: the machine's own; on the host a file on what `/` is on. Its numbers, and what to write to.
fn disk(host: &Host) -> ((u64, u64), PathBuf) {
    use std::os::unix::fs::MetadataExt;
    if let Ok(disk) = fs::metadata("/dev/ubda") {
        return (numbers(disk.rdev()), "/dev/ubda".into());
    }
    let file = PathBuf::from(format!("/var/tmp/{}", host.cgroup_parent().trim_start_matches('/')));
    fs::write(&file, "").unwrap();
    (numbers(fs::metadata(&file).unwrap().dev()), file)
}

fn numbers(device: u64) -> (u64, u64) {
    (nix::sys::stat::major(device), nix::sys::stat::minor(device))
}

fn writes_to_a_disk_keep_to_their_rate(host: &Host) {
    let (device, target) = disk(host);
    let of = format!("of={}", target.display());
    let write = |limits: &Limits| {
        with_cgroup(host, limits, |cgroup| {
            let begin = Instant::now();
            let words = ["dd", "if=/dev/zero", &of, "bs=1M", "count=8", "oflag=direct", "conv=notrunc", "status=none"];
            assert!(matches!(Shell::of_the_host(cgroup, &words).wait(), WaitStatus::Exited(_, 0)));
            (begin.elapsed(), cgroup.statistics().unwrap().io)
        })
    };
    let rate = DeviceRate { device, rate: 4 << 20 };
    let (limited, io) = write(&Limits { device_write_bps: vec![rate], ..Limits::default() });
    let (free, _) = write(&Limits::default());
    if target.starts_with("/var/tmp") {
        fs::remove_file(&target).unwrap();
    }
    assert!(limited > Duration::from_millis(1500) && limited < Duration::from_secs(6), "8 MiB in {limited:?}");
    assert!(free < limited / 2, "{free:?} without a limit");
    assert!(io.is_some_and(|io| io.written_bytes >= 8 << 20), "{io:?}");
}

fn the_processor_is_the_chosen_one(host: &Host) {
    let script = "grep Cpus_allowed_list /proc/self/status";
    let output = step(host, &["--cpuset-cpus", "0"], script);
    assert_eq!(output.ok(), "Cpus_allowed_list:\t0\n");
}

fn a_disk_cannot_be_opened_and_null_can(host: &Host) {
    // zram or ubda, whichever this machine has: what is denied is the opening, before the driver is asked.
    let script = "mknod /tmp/disk b 254 0 && echo x > /dev/null && head -c 1 /tmp/disk";
    let output = step(host, &[], script);
    assert!(output.code == 1 && output.stderr.contains("/tmp/disk: Operation not permitted"), "{output:?}");
    let limits = Limits { devices: Some(default_devices()), ..Limits::default() };
    with_cgroup(host, &limits, |cgroup| {
        let refused = cgroup.update(&limits).unwrap_err();
        assert!(matches!(refused, Error::DevicesAreFixed));
    });
}

fn freezing_stops_a_counter_and_thawing_lets_it_go_on(host: &Host) {
    with_cgroup(host, &Limits::default(), |cgroup| {
        let _shell = Shell::start(host, cgroup, COUNT);
        until("the counter runs", || (counter(host) > 3).then_some(()));
        assert!(!cgroup.is_frozen().unwrap());
        cgroup.freeze().unwrap();
        assert!(cgroup.is_frozen().unwrap());
        let stopped = counter(host);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(counter(host), stopped);
        cgroup.thaw().unwrap();
        until("the counter goes on", || (counter(host) > stopped).then_some(()));
        // Again, now that the freezer is there.
        cgroup.freeze().unwrap();
        cgroup.thaw().unwrap();
        assert!(!cgroup.is_frozen().unwrap());
    });
}

fn killing_ends_all_also_while_they_fork(host: &Host) {
    with_cgroup(host, &pids(100), |cgroup| {
        let script = "f() { while :; do sleep .01 & wait; done; }; for i in 1 2 3 4 5 6 7 8 9 10; do f & done; wait";
        let shell = Shell::start(host, cgroup, script);
        until("all of them fork", || (cgroup.processes().unwrap().len() > 15).then_some(()));
        cgroup.kill().unwrap();
        assert!(cgroup.processes().unwrap().is_empty());
        assert!(matches!(shell.wait(), WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGKILL, _)));
        cgroup.kill().unwrap();
    });
}

fn what_is_frozen_can_be_killed(host: &Host) {
    with_cgroup(host, &Limits::default(), |cgroup| {
        let shell = Shell::start(host, cgroup, "sleep 100");
        cgroup.freeze().unwrap();
        cgroup.kill().unwrap();
        assert!(matches!(shell.wait(), WaitStatus::Signaled(..)));
    });
}

fn removing_leaves_nothing_and_may_be_repeated(host: &Host) {
    let parent = parent(host);
    let mut cgroup = Cgroup::create(&parent, "c1", &pids(20)).unwrap();
    let paths: Vec<PathBuf> = cgroup.paths().map(Path::to_owned).collect();
    // As systemd in a container does.
    paths.iter().for_each(|path| fs::create_dir_all(path.join("inner/deeper")).unwrap());
    let shell = Shell::start(host, &cgroup, "exit 3");
    cgroup.freeze().unwrap();
    cgroup.thaw().unwrap();
    let other = Cgroup::open(&parent, "c1").unwrap();
    shell.wait();
    cgroup.remove().unwrap();
    cgroup.remove().unwrap();
    // As of a container that was killed, and is gone before it is told to go on.
    other.thaw().unwrap();
    reclaim(&parent, "c1").unwrap();
    reclaim(&parent, "never-was").unwrap();
    assert!(paths.iter().all(|path| !path.exists()));
    parent.remove().unwrap();
    parent.remove().unwrap();
}

fn a_populated_cgroup_is_not_removed(host: &Host) {
    with_cgroup(host, &Limits::default(), |cgroup| {
        let _shell = Shell::start(host, cgroup, "sleep 100");
        let error = cgroup.remove().unwrap_err();
        assert!(matches!(error, Error::Busy(_)), "{error}");
    });
}

fn limits_change_while_it_runs(host: &Host) {
    let small = Limits { memory: Some(Bytes(16 << 20)), memory_swap: Some(Maximum::Of(Bytes(16 << 20))), ..pids(20) };
    with_cgroup(host, &small, |cgroup| {
        let shell = Shell::start(host, cgroup, "while :; do :; done");
        let memory = |bytes: u64| Limits {
            memory: Some(Bytes(bytes)),
            memory_swap: Some(Maximum::Of(Bytes(bytes))),
            ..Limits::default()
        };
        // Up, past the old sum of memory and swap, and down again.
        for bytes in [64 << 20, 32 << 20] {
            cgroup.update(&memory(bytes)).unwrap();
            assert_eq!(cgroup.statistics().unwrap().memory.unwrap().limit, Some(Bytes(bytes)));
        }
        cgroup.update(&pids(7)).unwrap();
        assert_eq!(cgroup.statistics().unwrap().pids.unwrap().limit, Some(7));
        // A controller that had nothing to do so far.
        cgroup.update(&Limits { cpus: ".2".parse().ok(), ..Limits::default() }).unwrap();
        let throttled = |cgroup: &Cgroup| cgroup.statistics().unwrap().cpu.unwrap().throttled_periods > 2;
        until("the processor is limited", || throttled(cgroup).then_some(()));
        assert_eq!(cgroup.processes().unwrap(), [shell.0.host_pid().as_raw()]);
    });
}

fn another_process_finds_it_by_name(host: &Host) {
    with_cgroup(host, &pids(20), |cgroup| {
        let _shell = Shell::start(host, cgroup, "sleep 100");
        let mut found = Cgroup::open(&parent(host), "c1").unwrap();
        assert_eq!(found.statistics().unwrap().pids, cgroup.statistics().unwrap().pids);
        // `exec`: a second process in the same cgroup.
        let second = Shell::start(host, &found, "sleep 100");
        assert!(cgroup.processes().unwrap().contains(&second.0.host_pid().as_raw()));
        found.kill().unwrap();
        assert!(cgroup.processes().unwrap().is_empty());
        let error = Cgroup::open(&parent(host), "c2").unwrap_err();
        assert_eq!(error.to_string(), "there is no cgroup `c2`");
    });
}

fn many_are_made_and_removed_side_by_side(host: &Host) {
    let parent = parent(host);
    std::thread::scope(|scope| {
        for thread in 0..5 {
            let parent = &parent;
            scope.spawn(move || {
                for round in 0..10 {
                    Cgroup::create(parent, &format!("c{thread}-{round}"), &pids(5)).unwrap().remove().unwrap();
                }
            });
        }
    });
    parent.remove().unwrap();
}

fn amounts_are_in_dockers_units(_host: &Host) {
    let bytes = ["64m", "64MiB", "1.5g", "4096", "1k"].map(|text| text.parse::<Bytes>().map(|bytes| bytes.0).ok());
    assert_eq!(bytes, [Some(64 << 20), Some(64 << 20), Some(3 << 29), Some(4096), Some(1024)]);
    assert!(["m", "64x", "-1", "1e3"].iter().all(|text| text.parse::<Bytes>().is_err()));
}

fn a_limit_that_cannot_be_had_names_its_flag(host: &Host) {
    let error = |options: &[&str]| {
        let output = step(host, options, "true");
        assert_eq!(output.code, 125, "{output:?}");
        output.stderr.lines().next().unwrap_or_default().to_owned()
    };
    let cpuset = error(&["--cpuset-cpus", "4095"]);
    // The machine's kernel was built without cpusets.
    let expected =
        if is_v2() { " needs the cgroup controller `cpuset`, and" } else { ": write `4095` to `/sys/fs/cgroup/" };
    assert!(cpuset.starts_with(&format!("error: `--cpuset-cpus`{expected}")), "{cpuset}");
    assert_eq!(error(&["-m", "1m"]), "error: `--memory` is at least 6m");
    let null = host.run(host.command(STEP).args(["run", "--device-write-bps", "/dev/null:1m", "/", "true"]));
    assert!(null.stderr.contains("`/dev/null` is no block device of this machine"), "{}", null.stderr);
    parent(host).remove().unwrap();
}

fn a_failed_creation_leaves_nothing(host: &Host) {
    let parent = parent(host);
    let no_disk = DeviceRate { device: (4095, 0), rate: 1 };
    let limits = Limits { device_read_bps: vec![no_disk], ..pids(20) };
    let error = Cgroup::create(&parent, "c1", &limits).unwrap_err();
    assert!(matches!(error, Error::Limit { flag: "--device-read-bps", .. }), "{error}");
    assert!(matches!(Cgroup::open(&parent, "c1"), Err(Error::Gone(_))));
    // An id of a second container is not a second chance for the first.
    let cgroup = Cgroup::create(&parent, "c1", &pids(20)).unwrap();
    let error = Cgroup::create(&parent, "c1", &pids(20)).unwrap_err();
    assert!(matches!(error, Error::Path { errno: nix::errno::Errno::EEXIST, .. }), "{error}");
    assert!(Cgroup::open(&parent, "c1").is_ok(), "the first one's is still there");
    cgroup.remove().unwrap();
    parent.remove().unwrap();
}

fn an_ordinary_user_is_told_what_to_do(host: &Host) {
    let mut command = host.command_as_user(STEP);
    let parent = host.cgroup_parent();
    let output = host.run(command.args(["run", "-m", "64m", "--cgroup-parent", &parent, "/", "true"]));
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert!(
        lines[0].starts_with("error: `--memory` needs a cgroup of our own, and we may make none below `"),
        "{output:?}"
    );
    assert!(lines[1].contains("systemd-run --user --scope -p Delegate=yes"), "{output:?}");
}

/// As systemd's user@1000.service: a subtree that belongs to the user, who is in a leaf of it.
fn an_ordinary_user_gets_limits_below_what_was_delegated(host: &Host) {
    let delegated = delegate(host, "scope");
    assert_eq!(as_user_in(&delegated.join("scope"), &delegated.join("tara/c1")), 0);
    fs::remove_dir(delegated.join("scope")).unwrap();
    fs::remove_dir(&delegated).unwrap();
}

/// As `systemd-run --user --scope -p Delegate=yes`, where nothing above the scope is the user's: its only process is in the way.
fn alone_in_what_was_delegated_the_engine_steps_aside(host: &Host) {
    let scope = delegate(host, "");
    assert_eq!(as_user_in(&scope, &scope.join("tara/c1")), 0);
    fs::remove_dir(scope.join("engine")).unwrap();
    fs::remove_dir(&scope).unwrap();
}

/// Makes a subtree with a leaf `scope` in it, and gives both to the user 1000.
fn delegate(host: &Host, scope: &str) -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    fs::write(root.join("cgroup.subtree_control"), "+pids +memory").unwrap();
    let delegated = root.join(host.cgroup_parent().trim_start_matches('/'));
    fs::create_dir_all(delegated.join(scope)).unwrap();
    for folder in [&delegated, &delegated.join(scope)] {
        for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            chown(folder.join(file), Some(1000), Some(1000)).unwrap();
        }
    }
    delegated
}

/// The user 1000 in the cgroup `place` runs a program with a limit in a cgroup that should be `expected`: 0 when it is born there.
fn as_user_in(place: &Path, expected: &Path) -> i32 {
    let user = || {
        fs::write(place.join("cgroup.procs"), "0").unwrap();
        nix::unistd::setgid(1000.into()).unwrap();
        nix::unistd::setuid(1000.into()).unwrap();
        let parent = Parent::new(Hierarchy::find().unwrap(), Some("/tara")).unwrap();
        let mut cgroup = Cgroup::create(&parent, "c1", &pids(20)).unwrap();
        let made = cgroup.paths().next() == Some(expected);
        let limited = cgroup.statistics().unwrap().pids.unwrap().limit == Some(20);
        let shell = Shell::of_the_host(&cgroup, &["sleep", "100"]);
        let born = cgroup.processes().unwrap() == [shell.0.host_pid().as_raw()];
        cgroup.kill().unwrap();
        shell.wait();
        cgroup.remove().unwrap();
        parent.remove().unwrap();
        u8::from(!(made && limited && born))
    };
    match nix::sys::wait::waitpid(sys::clone::fork(user).unwrap(), None).unwrap() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

fn a_cgroup_with_processes_of_others_is_left_alone(host: &Host) {
    let root = Path::new("/sys/fs/cgroup");
    let folder = root.join(host.cgroup_parent().trim_start_matches('/'));
    fs::create_dir(&folder).unwrap();
    let mut other = Command::new("sleep").arg("100").spawn().unwrap();
    fs::write(folder.join("cgroup.procs"), other.id().to_string()).unwrap();
    let error = Cgroup::create(&parent(host), "c1", &pids(20)).unwrap_err();
    let expected = format!(
        "`--pids-limit` needs the controller `pids` below `{}`, which holds processes itself",
        folder.display()
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.help().unwrap().contains("--cgroup-parent"));
    // Nothing was moved.
    assert_eq!(fs::read_to_string(folder.join("cgroup.procs")).unwrap().trim(), other.id().to_string());
    other.kill().unwrap();
    other.wait().unwrap();
    until("the process is gone", || fs::remove_dir(&folder).ok());
}

fn a_read_only_mount_is_named(host: &Host) {
    use nix::mount::{MsFlags, mount};
    const NONE: Option<&str> = None;
    for tree in Hierarchy::find().unwrap().trees() {
        let at = tree.mount_point.as_path();
        mount(Some(at), at, NONE, MsFlags::MS_BIND, NONE).unwrap();
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(NONE, at, NONE, flags, NONE).unwrap();
    }
    let error = Cgroup::create(&parent(host), "c1", &pids(20)).unwrap_err();
    assert!(error.to_string().starts_with("`--pids-limit` needs a cgroup, and `/sys/fs/cgroup"), "{error}");
    // Nothing asked, nothing lost: it runs without a cgroup.
    let cgroup = Cgroup::create(&parent(host), "c1", &Limits::default()).unwrap();
    assert_eq!(cgroup.paths().count(), 0);
    assert_eq!(cgroup.statistics().unwrap(), step05_cgroups::Statistics::default());
    for tree in Hierarchy::find().unwrap().trees() {
        nix::mount::umount2(&tree.mount_point, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}
