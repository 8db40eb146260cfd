//! A new learner's way, over a terminal: doctor, start, red, hints, solution, green, attack, next.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{LAB, MINUTES, STUDENT, Students, UML, lab, ok, outside, run};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::{BUSYBOX, Host, Need, until};

testkit::suite! {
    a_learner_walks_through_lab_1: [Need::Root, BUSYBOX, UML, MINUTES],
    every_lab_is_red_then_green: [Need::Root, BUSYBOX, UML, MINUTES],
    a_mistake_is_shown_with_what_was_expected: [Need::Root, BUSYBOX, MINUTES],
    code_that_does_not_compile_is_shown_where_it_is: [Need::Root, BUSYBOX, MINUTES],
    a_save_is_noticed: [Need::Root, BUSYBOX, MINUTES],
    without_root_the_machine_runs_what_needs_it: [Need::Root, BUSYBOX, UML, MINUTES],
    where_user_namespaces_are_forbidden_the_machine_runs_all: [Need::Root, BUSYBOX, UML, MINUTES],
    without_the_machine_the_rest_runs: [Need::Root, BUSYBOX, MINUTES],
    killed_checks_leave_nothing: [Need::Root, BUSYBOX, MINUTES],
    reset_keeps_the_old_crate_and_errors_say_what_to_do: [Need::Root],
}

/// Runs `lab` on a terminal; what a person sees.
fn on_terminal(host: &Host, arguments: &[&str]) -> (i32, String) {
    let pty = openpty(None, None).unwrap();
    let side = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child =
        lab(host, arguments).env_remove("NO_COLOR").stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    drop(pty.slave);
    let mut text = Vec::new();
    // The end of a terminal is EIO.
    let _end = File::from(pty.master).read_to_end(&mut text);
    (child.wait().unwrap().code().unwrap_or(-1), String::from_utf8_lossy(&text).replace("\r\n", "\n"))
}

fn a_learner_walks_through_lab_1(host: &Host) {
    let _students = Students::new();
    let step = |arguments: &[&str], code: i32, words: &[&str]| {
        let (ended, text) = on_terminal(host, arguments);
        assert_eq!(ended, code, "{arguments:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{arguments:?} does not say `{word}`:\n{text}");
        }
        text
    };
    step(&["doctor"], 0, &["namespaces", "where the checks run", "1 · A root of one's own"]);
    step(&["start", "1"], 0, &["task 1 · Change the root", "src/root.rs · task1_enter", "it is red until you have"]);
    let red = step(
        &["check"],
        1,
        &["not yet implemented: step01 task 1", "0 of 15 points", "`cargo lab hint` has hints for task 1"],
    );
    assert!(red.contains("\x1b[31m✗\x1b[0m"), "colours on a terminal: {red}");
    for (level, words) in ["a nudge", "where it is written", "the shape", "the lines"].iter().enumerate() {
        step(&["hint"], 0, &[&format!("hint {} of 4, {words}", level + 1)]);
    }
    step(&["hint"], 0, &["chroot(self.path.as_c_str())"]);
    step(&["catch-up", "--task", "1"], 0, &["the solution is in"]);
    let half = step(&["check"], 1, &["5 of 15 points", "not yet implemented: step01 task 2"]);
    assert!(half.contains("\x1b[32m✓\x1b[0m directory-is-the-root"), "{half}");
    step(
        &["solution", "--task", "2"],
        0,
        &["// src/program.rs: task2_execute", "execve(path, &self.argv, &self.envp)"],
    );
    step(&["catch-up"], 0, &[]);
    step(&["check"], 0, &["15 of 15 points", "green", "cargo lab attack 1", "cargo lab start 2"]);
    step(&["attack"], 0, &["read a file of the host by its path", "blocked", "works"]);
    step(&["diff"], 0, &[]);
    step(&["list"], 0, &["▸ 1 · A root of one's own", "10 of 10 checks", "2 · A process tree of one's own"]);
    let progress = fs::read_to_string(Path::new(STUDENT).join("progress.json")).unwrap();
    let progress: serde_json::Value = serde_json::from_str(&progress).unwrap();
    assert_eq!((&progress["current"], &progress["labs"]["1"]["hints"]["1"]), (&1.into(), &4.into()));
}

fn every_lab_is_red_then_green(host: &Host) {
    let _students = Students::new();
    for number in 2..=8 {
        let number = number.to_string();
        ok(&mut lab(host, &["start", &number]));
        let (code, red) = run(&mut lab(host, &["check"]));
        assert!(code == 1 && red.contains("not yet implemented: "), "{red}");
        ok(&mut lab(host, &["catch-up"]));
        let (code, green) = run(&mut lab(host, &["check"]));
        assert!(code == 0 && !green.contains("could not run"), "{green}");
        ok(&mut lab(host, &["attack"]));
    }
}

fn change(file: &str, from: &str, to: &str) {
    let path = Path::new(STUDENT).join("step01").join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn a_mistake_is_shown_with_what_was_expected(host: &Host) {
    let _students = Students::new();
    ok(&mut lab(host, &["catch-up", "1"]));
    change("src/root.rs", "chdir(c\"/\").whilst(\"change into\", c\"/\")", "Ok(())");
    let (code, text) = run(&mut lab(host, &["check"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("✗ directory-is-the-root") && text.contains("expected  \"/\""), "{text}");
    let (_, json) = run(&mut lab(host, &["check", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let check = &json["checks"][0];
    assert_eq!(
        (&check["id"], &check["passed"], &check["expected"]),
        (&"directory-is-the-root".into(), &false.into(), &"\"/\"".into())
    );
}

fn code_that_does_not_compile_is_shown_where_it_is(host: &Host) {
    let _students = Students::new();
    ok(&mut lab(host, &["catch-up", "1"]));
    change("src/root.rs", "chdir(c\"/\")", "chdirr(c\"/\")");
    let (code, text) = run(&mut lab(host, &["check"]));
    assert_eq!(code, 2, "{text}");
    let path = Path::new(STUDENT).join("step01/src/root.rs");
    assert!(text.contains("cannot find function `chdirr`") && text.contains(path.to_str().unwrap()), "{text}");
}

fn a_save_is_noticed(host: &Host) {
    let _students = Students::new();
    for way in [&[][..], &["--poll"]] {
        ok(&mut lab(host, &["reset", "1"]));
        let said = host.path("watched");
        let mut command = lab(host, &["watch"]);
        let mut watch = command.args(way).stdout(File::create(&said).unwrap()).spawn().unwrap();
        let shows = |words: &str| until_seconds(60, || fs::read_to_string(&said).unwrap().contains(words));
        shows("red 0 of 15 points · task 1 · directory-is-the-root");
        ok(&mut lab(host, &["catch-up", "--task", "1"]));
        shows("red 5 of 15 points · task 2 · path-is-inside");
        watch.kill().unwrap();
        watch.wait().unwrap();
    }
}

fn until_seconds(seconds: u64, condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(seconds), "waited {seconds} s in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `lab check 1` behind `unshare`: files belong to root still, and the rights are those of an ordinary user.
fn behind(host: &Host, script: &str) -> Command {
    ok(&mut lab(host, &["catch-up", "1"]));
    let mut command = outside("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script]).env("TMPDIR", host.folder("tmp"));
    command.env("LAB", LAB).env("STUDENT", STUDENT);
    command
}

fn without_root_the_machine_runs_what_needs_it(host: &Host) {
    let _students = Students::new();
    let text = ok(&mut behind(host, "exec $LAB --dir $STUDENT check 1"));
    assert!(text.contains("✓ exit-status") && text.contains("3 points (in the machine)"), "{text}");
}

const FORBID: &str = "echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=1000";

fn where_user_namespaces_are_forbidden_the_machine_runs_all(host: &Host) {
    let _students = Students::new();
    let text = ok(&mut behind(host, &format!("{FORBID} $LAB --dir $STUDENT check 1 --where machine")));
    assert!(text.contains("15 of 15 points") && text.contains("2 points (in the machine)"), "{text}");
    let (_, text) = run(&mut behind(host, &format!("{FORBID} $LAB --dir $STUDENT doctor")));
    assert!(
        text.contains("user namespaces are forbidden") && text.contains("1 · A root of one's own            machine"),
        "{text}"
    );
}

fn without_the_machine_the_rest_runs(host: &Host) {
    let _students = Students::new();
    // Not below /run: each check has one of its own.
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path();
    std::fs::set_permissions(programs, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let everything = format!("ln -s /usr/bin/* /usr/sbin/* {0} 2>/dev/null; rm -f {0}/linux.uml", programs.display());
    Command::new("sh").args(["-c", &everything]).status().unwrap();
    let path = std::env::var("PATH").unwrap();
    let with_linux = |folder: &&Path| !folder.join("linux.uml").exists();
    let kept: Vec<_> =
        path.split(':').map(Path::new).filter(with_linux).map(Path::display).map(|path| path.to_string()).collect();
    let path = [&[programs.display().to_string()], kept.as_slice()].concat().join(":");
    let (_, text) = run(behind(host, "exec $LAB --dir $STUDENT doctor").env("PATH", &path));
    assert!(
        text.contains("sudo apt-get install user-mode-linux") && text.contains("checks that need root are left out"),
        "{text}"
    );
    let (code, text) = run(behind(host, "exec $LAB --dir $STUDENT check 1").env("PATH", &path));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("✓ exit-status") && text.contains("3 checks could not run here"), "{text}");
}

/// The leak check after this test looks for processes, mounts, links, rules and files; here for cgroups.
fn killed_checks_leave_nothing(host: &Host) {
    let _students = Students::new();
    ok(&mut lab(host, &["catch-up", "1"]));
    ok(&mut lab(host, &["check"]));
    let mut random = [0; 12];
    sys::process::random(&mut random).unwrap();
    for byte in random {
        let mut check = lab(host, &["check"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(u64::from(byte) * 8));
        kill(Pid::from_raw(check.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
        check.wait().unwrap();
    }
    let tests = Path::new(STUDENT).join(".built");
    until("the tests have ended with their check", || (processes_below(&tests) == 0).then_some(()));
    // `cleanup` would also remove what was built for others here.
    ok(&mut lab(host, &["check"]));
    assert_eq!(testkit::sweep_stale(), Vec::<std::path::PathBuf>::new());
    assert_eq!(fs::read_dir(host.path("tmp")).unwrap().count(), 0);
}

fn processes_below(folder: &Path) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.starts_with(folder))).count()
}

fn reset_keeps_the_old_crate_and_errors_say_what_to_do(host: &Host) {
    let _students = Students::new();
    let (code, text) = run(&mut lab(host, &["check"]));
    assert!(code == 2 && text.contains("which lab? Begin with `cargo lab start 1`"), "{text}");
    let (code, text) = run(&mut lab(host, &["check", "2"]));
    assert!(code == 2 && text.contains("lab 2 is not begun: `cargo lab start 2`"), "{text}");
    let (code, text) = run(&mut lab(host, &["start", "9"]));
    assert!(code == 2 && text.contains("there is no lab 9: they are 1 to 8"), "{text}");
    ok(&mut lab(host, &["start", "1"]));
    change("src/root.rs", "use nix", "// mine\nuse nix");
    let (code, text) = run(&mut lab(host, &["start", "1"]));
    assert!(code == 2 && text.contains("`cargo lab reset 1` begins again"), "{text}");
    ok(&mut lab(host, &["reset"]));
    let text = |folder: &str| fs::read_to_string(Path::new(STUDENT).join(folder).join("src/root.rs")).unwrap();
    assert!(text("step01.old1").contains("// mine") && !text("step01").contains("// mine"));
}
