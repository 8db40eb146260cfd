//! `kill -9`, full disks, forged files, races: what is left is named, and `system reclaim` removes it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use nix::mount::{MsFlags, mount, umount};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};
use testkit::{BUSYBOX, DEADLINE, Host, Need, until};

testkit::suite! {
    a_kill_at_each_stage_is_repaired: [BUSYBOX],
    a_kill_at_a_random_moment_is_repaired: [BUSYBOX],
    a_kill_while_it_cleans_up_is_repaired: [BUSYBOX],
    a_killed_first_process_is_told_of: [BUSYBOX],
    a_killed_monitor_of_a_restarting_container_is_repaired: [BUSYBOX],
    programs_of_other_users_die_with_tara: [Need::Root, BUSYBOX],
    a_program_that_outlives_tara_is_named_and_killed: [Need::Root, BUSYBOX],
    the_name_is_free_again: [BUSYBOX],
    a_dead_container_is_removed_like_any_other: [BUSYBOX],
    a_stale_pid_gets_no_signal: [BUSYBOX],
    two_reclaims_at_once_agree: [BUSYBOX],
    reclaim_leaves_the_living_alone: [BUSYBOX],
    a_full_disk_leaves_nothing_half_made: [BUSYBOX],
    a_read_only_state_directory_is_said: [BUSYBOX],
    twenty_at_once_for_seconds: [BUSYBOX],
}

const FOREVER: &str = "touch /shared/ready; while :; do sleep 1000; done";

/// With and without `--rm`, with and without an init.
const VARIANTS: [&[&str]; 4] = [&["--rm"], &["--rm", "--init"], &[], &["--init"]];

/// Starts a container whose script may say that it has begun by making `/shared/ready`.
fn start(engine: &Engine<'_>, name: &str, options: &[&str], script: &str) -> Child {
    let shared = engine.host.folder("shared");
    let _of_the_last_one = fs::remove_file(shared.join("ready"));
    let volume = format!("{}:/shared", shared.display());
    let arguments = [&["run", "--name", name, "-v", &volume], options, &["box", "sh", "-c", script]].concat();
    engine.command(&arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn has_begun(engine: &Engine<'_>) -> bool {
    engine.host.path("shared/ready").exists()
}

/// Kills it, and the monitor of its container if it has one: without `--rm` a container outlives its `tara run`.
fn kill_9(mut tara: Child) {
    tara.kill().unwrap();
    tara.wait().unwrap();
    for pid in processes() {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if words.ends_with("\0monitor\0") {
            let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
            let _ended_already = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// Starts a container that runs until it is killed, and kills its `tara` once it runs.
fn crash(engine: &Engine<'_>, name: &str, options: &[&str]) {
    let tara = start(engine, name, options, FOREVER);
    // The program may be faster than the record of it.
    until("the container runs", || has_begun(engine).then_some(()));
    until("and is known", || engine.tara(&["ps"]).ok().contains(name).then_some(()));
    kill_9(tara);
}

/// The processes of the fake host that have not ended.
fn processes() -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let lives = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let is_dead = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']));
        // Of a killed process another thread may still be in the kernel, and holds the descriptors.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        !is_dead || threads > 1
    };
    pids.filter(lives).collect()
}

/// The ids of which something is on the disk.
fn ids(engine: &Engine<'_>) -> BTreeSet<String> {
    let folders = [engine.root().join("containers"), engine.run_root().join("containers")];
    folders.into_iter().flat_map(|folder| engine.entries(folder)).collect()
}

/// After a crash: what is left is named, no process stays, and `reclaim` repairs all of it. The container of a crash without
/// `--rm` is gone afterwards too, or is there and tells how it ended; then it is removed.
fn assert_recovers(engine: &Engine<'_>, before: &BTreeSet<u32>, options: &[&str], when: &str) {
    let when = format!("{options:?} {when}");
    until(&format!("no process is left: {when}"), || (processes() == *before).then_some(()));
    let check = engine.tara(&["system", "check"]);
    let left = ids(engine);
    // What a kill in the middle of throwing away leaves, besides whole containers.
    let parts = ["was thrown away and is not removed", "has an address in the network"];
    let is_part = |line: &str| parts.iter().any(|part| line.contains(part));
    let only_parts = check.code == 1 && check.stdout.lines().all(is_part);
    assert!(check.code == i32::from(!left.is_empty()) || only_parts, "{when}: {left:?}\n{check:?}");
    for id in &left {
        assert!(check.stdout.contains(&format!("container {}", &id[..12])), "{when}: {id}\n{check:?}");
    }
    engine.tara(&["system", "reclaim"]).ok();
    engine.assert_consistent();
    let list = engine.tara(&["ps", "-a", "--format", "json"]).ok();
    if options.contains(&"--rm") || list.is_empty() {
        return engine.assert_clean();
    }
    let seen = list.contains("\"Status\":\"Exited (255) ") || (options == ["--restart"] && list.contains("Exited (1"));
    assert!(seen && list.contains("\"Names\":\"web\""), "{when}: {list}");
    assert_eq!(engine.tara(&["rm", "web"]).ok(), "web\n", "{when}");
    engine.assert_clean();
}

/// A state on the disk that `run` goes through.
type Stage = (&'static str, fn(&Engine<'_>) -> bool);

fn any(folder: std::path::PathBuf, file: &str) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.path().join(file).exists())
}

const STAGES: [Stage; 7] = [
    ("its lock is there", |engine| any(engine.run_root().join("containers"), "")),
    ("its name is there", |engine| !engine.entries(engine.root().join("names")).is_empty()),
    ("its folder is there", |engine| any(engine.root().join("containers"), "")),
    ("its upper directory is there", |engine| any(engine.root().join("containers"), "diff")),
    ("overlayfs has its work directory", |engine| any(engine.root().join("containers"), "work/work")),
    ("its state is there", |engine| any(engine.run_root().join("containers"), "state.json")),
    ("its program runs", has_begun),
];

fn a_kill_at_each_stage_is_repaired(host: &Host) {
    let engine = Engine::with_box(host);
    let before = processes();
    for options in VARIANTS {
        for (name, reached) in STAGES {
            let tara = start(&engine, "web", options, FOREVER);
            let begin = Instant::now();
            // No pause in between: the stages follow each other in microseconds.
            while !reached(&engine) {
                assert!(begin.elapsed() < DEADLINE, "in vain: {name}");
            }
            kill_9(tara);
            assert_recovers(&engine, &before, options, &format!("when {name}"));
        }
    }
}

/// Random numbers that can be had again: the seed is printed, and taken from `TARA_TEST_SEED`. Source: Marsaglia, "Xorshift RNGs".
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = || u64::from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos());
        let given = std::env::var("TARA_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(now).max(1);
        println!("again: TARA_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % u64::try_from(limit.as_micros()).unwrap())
    }
}

/// How long a whole `run --rm` takes here, and 8 ms at least.
fn length_of_a_run(engine: &Engine<'_>) -> Duration {
    let begin = Instant::now();
    engine.run(&[], &["true"]).ok();
    begin.elapsed().max(Duration::from_millis(8))
}

fn a_kill_at_a_random_moment_is_repaired(host: &Host) {
    let engine = Engine::with_box(host);
    let (before, limit, mut random) = (processes(), length_of_a_run(&engine), Random::new());
    for options in VARIANTS {
        for _ in 0..15 {
            let delay = random.below(limit);
            let tara = start(&engine, "web", options, FOREVER);
            std::thread::sleep(delay);
            kill_9(tara);
            assert_recovers(&engine, &before, options, &format!("after {delay:?} of {limit:?}"));
        }
    }
}

/// The program ends at once, so that the kill also meets what comes after its end.
fn a_kill_while_it_cleans_up_is_repaired(host: &Host) {
    let engine = Engine::with_box(host);
    let (before, limit, mut random) = (processes(), 2 * length_of_a_run(&engine), Random::new());
    for number in 0..40 {
        let options: &[&str] = if number % 2 == 0 { &["--rm"] } else { &["--rm", "--init"] };
        let delay = random.below(limit);
        let tara = start(&engine, "web", options, "touch /shared/ready");
        if number % 4 < 2 {
            until("the program has begun", || has_begun(&engine).then_some(()));
            std::thread::sleep(delay / 8);
        } else {
            std::thread::sleep(delay);
        }
        kill_9(tara);
        assert_recovers(&engine, &before, options, &format!("after {delay:?} of {limit:?}"));
    }
}

fn first_process(engine: &Engine<'_>) -> Option<nix::unistd::Pid> {
    let all: serde_json::Value = serde_json::from_str(&engine.tara(&["inspect", "web"]).stdout).ok()?;
    let pid = i32::try_from(all[0]["State"]["Pid"].as_i64()?).ok().filter(|pid| *pid > 0)?;
    Some(nix::unistd::Pid::from_raw(pid))
}

/// Its supervisor sees the end: the state tells it, and nothing is left to repair.
fn a_killed_first_process_is_told_of(host: &Host) {
    let engine = Engine::with_box(host);
    let (before, mut random) = (processes(), Random::new());
    for number in 0..30 {
        let options: &[&str] = if number % 2 == 0 { &["-d"] } else { &["-d", "--init"] };
        let mut tara = start(&engine, "web", options, FOREVER);
        assert!(tara.wait().unwrap().success());
        std::thread::sleep(random.below(Duration::from_millis(10)));
        let pid = first_process(&engine).unwrap();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        assert_eq!(engine.tara(&["wait", "web"]).ok(), "137\n");
        until("no process is left", || (processes() == before).then_some(()));
        engine.assert_consistent();
        assert!(engine.tara(&["ps", "-a"]).ok().contains("Exited (137) "));
        engine.tara(&["rm", "web"]).ok();
        engine.assert_clean();
    }
}

/// In any state of the circle: it runs, it has ended, it waits.
fn a_killed_monitor_of_a_restarting_container_is_repaired(host: &Host) {
    let engine = Engine::with_box(host);
    let (before, mut random) = (processes(), Random::new());
    for _ in 0..30 {
        let mut tara = start(&engine, "web", &["-d", "--restart", "always"], "exit 1");
        assert!(tara.wait().unwrap().success());
        std::thread::sleep(random.below(Duration::from_millis(150)));
        kill_9(tara);
        assert_recovers(&engine, &before, &["--restart"], "while it starts again");
    }
}

/// A change of user takes back the wish to die with the parent (PR_SET_PDEATHSIG(2const)).
fn programs_of_other_users_die_with_tara(host: &Host) {
    let engine = Engine::with_box(host);
    fs::set_permissions(host.folder("shared"), fs::Permissions::from_mode(0o777)).unwrap();
    let before = processes();
    for options in [&["--rm", "-u", "1000"][..], &["--rm", "-u", "1000", "--init"], &["-u", "1000"]] {
        crash(&engine, "web", options);
        assert_recovers(&engine, &before, options, "when it runs");
    }
}

/// So does the execution of a set-user-ID program, and there is nothing that `run` could do about it.
fn a_program_that_outlives_tara_is_named_and_killed(host: &Host) {
    let root = host.busybox_root("box");
    fs::create_dir(root.join("set-user-id")).unwrap();
    let program = root.join("set-user-id/sleep");
    fs::copy(root.join("bin/busybox"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let engine = Engine::with_box(host);
    let before = processes();
    let arguments = ["run", "--rm", "-u", "1000", "--name", "web", "box", "/set-user-id/sleep", "1000"];
    let tara = engine.command(&arguments).stdin(Stdio::null()).spawn().unwrap();
    let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    until("the program runs", || processes().into_iter().any(|pid| name(pid) == "sleep\n").then_some(()));
    kill_9(tara);
    let check = engine.tara(&["system", "check"]);
    assert!(check.code == 1 && check.stdout.contains(" has no supervisor\n"), "{check:?}");
    engine.tara(&["system", "reclaim"]).ok();
    assert_recovers(&engine, &before, &["--rm"], "when it runs");
}

fn the_name_is_free_again(host: &Host) {
    let engine = Engine::with_box(host);
    crash(&engine, "web", &["--rm"]);
    let refused = engine.run(&["--name", "web"], &["true"]);
    assert!(refused.code == 125 && refused.stderr.contains("`web` is already in use"), "{refused:?}");
    engine.tara(&["system", "reclaim"]).ok();
    engine.run(&["--name", "web"], &["true"]).ok();
    engine.assert_clean();
}

fn a_dead_container_is_removed_like_any_other(host: &Host) {
    let engine = Engine::with_box(host);
    let before = processes();
    for options in [&["--rm"][..], &[]] {
        crash(&engine, "web", options);
        until("no process is left", || (processes() == before).then_some(()));
        let list = engine.tara(&["ps", "-a"]).ok();
        assert!(list.contains("Dead"), "{list}");
        assert_eq!(engine.tara(&["rm", "web"]).ok(), "web\n");
        engine.assert_clean();
    }
}

/// Names a process of the host in the state of the only container, as if its pid had been used again since.
fn forge_state(engine: &Engine<'_>, pid: u32) {
    let id = ids(engine).pop_first().unwrap();
    let path = engine.run_root().join("containers").join(id).join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["host_pid"] = pid.into();
    state["start_time"] = 1.into();
    fs::write(path, state.to_string()).unwrap();
}

fn a_stale_pid_gets_no_signal(host: &Host) {
    let engine = Engine::with_box(host);
    let before = processes();
    let mut foreign = host.command("/bin/sleep").arg("1000").spawn().unwrap();
    for (options, repair) in
        [(&[][..], &["rm", "-f", "web"][..]), (&[], &["system", "reclaim"]), (&["--rm"], &["system", "reclaim"])]
    {
        crash(&engine, "web", options);
        until("no process is left", || (processes().len() == before.len() + 1).then_some(()));
        forge_state(&engine, foreign.id());
        engine.tara(repair).ok();
        assert_eq!(foreign.try_wait().unwrap(), None, "{repair:?} has killed a process of the host");
        let _gone_by_now = engine.tara(&["rm", "web"]);
        engine.assert_clean();
    }
    kill_9(foreign);
}

fn two_reclaims_at_once_agree(host: &Host) {
    let engine = Engine::with_box(host);
    for _ in 0..5 {
        for name in ["a1", "a2", "a3", "a4"] {
            crash(&engine, name, &["--rm"]);
        }
        std::os::unix::fs::symlink("0".repeat(64), engine.root().join("names/stale")).unwrap();
        let start = |_| engine.command(&["system", "reclaim"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let both = [0, 1].map(start).map(|child| child.unwrap().wait_with_output().unwrap());
        assert!(both.iter().all(|output| output.status.success()), "{both:?}");
        engine.assert_clean();
    }
}

fn reclaim_leaves_the_living_alone(host: &Host) {
    let engine = Engine::with_box(host);
    let mut tara =
        start(&engine, "web", &["--rm"], "touch /shared/ready; while [ ! -e /shared/stop ]; do sleep 0.01; done");
    until("the container runs", || has_begun(&engine).then_some(()));
    assert_eq!(engine.tara(&["system", "reclaim"]).ok(), "there was nothing to repair\n");
    fs::write(host.path("shared/stop"), "").unwrap();
    assert_eq!(tara.wait().unwrap().code(), Some(0));
    engine.assert_clean();
}

/// A small disk of its own for the engine's state.
struct Disk<'a>(&'a Path);

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        umount(self.0).unwrap();
    }
}

impl<'a> Disk<'a> {
    fn new(path: &'a Path) -> Self {
        fs::create_dir_all(path).unwrap();
        mount(Some("disk"), path, Some("tmpfs"), MsFlags::empty(), Some("size=24m,mode=755")).unwrap();
        Self(path)
    }

    /// Fills the disk, and frees `room` bytes.
    fn fill_but(&self, room: u64) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
        let size = filler.metadata().unwrap().len();
        filler.set_len(size.saturating_sub(room)).unwrap();
    }
}

fn a_full_disk_leaves_nothing_half_made(host: &Host) {
    let path = Engine::new(host).root();
    let disk = Disk::new(&path);
    let engine = Engine::with_box(host);
    let mut seen = BTreeSet::new();
    for pages in 0..16 {
        disk.fill_but(pages * 4096);
        let output = engine.tara(&["run", "--name", "web", "box", "true"]);
        let says_why = output.stderr.contains("no space left on device (ENOSPC)\n  help: free some space");
        assert!(output.code == 0 || (output.code == 125 && says_why), "{output:?}");
        match error(&output).1 {
            "error: cannot start container `web`" => engine.assert_clean(),
            "error: cannot write down how container `web` ended" => assert_end_is_repaired(&engine),
            other => assert_eq!((other, engine.tara(&["rm", "web"]).ok().as_str()), ("", "web\n")),
        }
        seen.insert(error(&output).1.to_owned());
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    disk.fill_but(0);
    let root = host.busybox_root("other");
    let output = engine.tara(&["import", root.to_str().unwrap(), "other"]);
    assert!(output.code == 1 && output.stderr.contains("ENOSPC"), "{output:?}");
    engine.assert_clean();
}

/// Its program has ended and there was no room to write that down: it is as if its `tara` had been killed.
fn assert_end_is_repaired(engine: &Engine<'_>) {
    fs::remove_file(engine.root().join("filler")).unwrap();
    assert_eq!(engine.tara(&["system", "check"]).code, 1);
    engine.tara(&["system", "reclaim"]).ok();
    engine.assert_consistent();
    assert!(engine.tara(&["ps", "-a"]).ok().contains("Exited (255)"));
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn a_read_only_state_directory_is_said(host: &Host) {
    let path = Engine::new(host).root();
    let _disk = Disk::new(&path);
    let engine = Engine::with_box(host);
    mount(None::<&str>, &path, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>).unwrap();
    let output = engine.run(&[], &["true"]);
    assert!(output.code == 125 && output.stderr.contains("read-only file system (EROFS)"), "{}", output.stderr);
    assert!(output.stderr.contains("help: "), "{}", output.stderr);
    assert_eq!(engine.tara(&["images"]).ok().lines().count(), 2);
    assert_eq!(engine.tara(&["ps", "-aq"]).ok(), "");
    mount(None::<&str>, &path, None::<&str>, MsFlags::MS_REMOUNT, None::<&str>).unwrap();
    engine.assert_clean();
}

fn twenty_at_once_for_seconds(host: &Host) {
    let engine = Engine::with_box(host);
    let end = Instant::now() + Duration::from_secs(3);
    let work = || {
        let mut count = 0;
        while Instant::now() < end {
            assert_eq!(engine.run(&[], &["sh", "-c", "echo $$ > /mine; cat /mine"]).ok(), "1\n");
            count += 1;
        }
        count
    };
    let total: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(total >= 20, "{total}");
    engine.assert_clean();
}
