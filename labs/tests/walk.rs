//! A new learner's way, over a terminal: doctor, start, red, hints, solution, green, attack, next.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{LAB, MINUTES, Own, STUDENT, UML, lab, ok, outside, run};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
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
    a_learner_walks_through_lab_2: [Need::Root, BUSYBOX, UML, MINUTES],
    a_learner_walks_through_lab_3: [Need::Root, BUSYBOX, UML, MINUTES],
    a_learner_walks_through_lab_4: [Need::Root, BUSYBOX, UML, MINUTES],
    a_learner_walks_through_lab_5: [Need::Root, BUSYBOX, UML, MINUTES],
    a_learner_walks_through_lab_6: [Need::Root, BUSYBOX, UML, MINUTES],
    a_learner_walks_through_lab_7: [Need::Root, BUSYBOX, UML, MINUTES],
    a_learner_walks_through_lab_8: [Need::Root, BUSYBOX, UML, MINUTES],
    hints_solutions_and_progress_are_kept: [Need::Root, BUSYBOX, MINUTES],
    a_mistake_is_shown_with_what_was_expected: [Need::Root, BUSYBOX, MINUTES],
    code_that_does_not_compile_is_shown_where_it_is: [Need::Root, BUSYBOX, MINUTES],
    a_save_is_noticed: [Need::Root, BUSYBOX, MINUTES],
    where_user_namespaces_are_forbidden_the_machine_runs_all: [Need::Root, BUSYBOX, UML, MINUTES],
    without_the_machine_the_rest_runs: [Need::Root, BUSYBOX, MINUTES],
    killed_checks_leave_nothing: [Need::Root, BUSYBOX, MINUTES],
    a_check_needs_nothing_that_a_cargo_replaces: [Need::Root, BUSYBOX, MINUTES],
    a_program_may_read_what_is_said: [Need::Root, BUSYBOX],
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

/// On a terminal: what has to be said, and the exit code.
fn step(host: &Host, arguments: &[&str], code: i32, words: &[&str]) -> String {
    let (ended, text) = on_terminal(host, arguments);
    assert_eq!(ended, code, "{arguments:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{arguments:?} does not say `{word}`:\n{text}");
    }
    text
}

/// doctor, start, check (red), four hints, the solution written into the holes, check (green), attack, next; then the same crate
/// with the rights of an ordinary user.
fn walk(host: &Host, number: u8) {
    let _students = Own::students();
    let lab_number = number.to_string();
    step(host, &["doctor"], 0, &["namespaces", "where the checks run", "1 · A root of one's own"]);
    step(host, &["start", &lab_number], 0, &["task 1 · ", " · task1_", "it is red until you have"]);
    let red = ["not yet implemented: ", " task 1: ", "0 of ", "`cargo lab hint` has hints for task 1"];
    let red = step(host, &["check"], 1, &red);
    assert!(red.contains("\x1b[31m✗\x1b[0m"), "colours on a terminal: {red}");
    for (level, words) in ["a nudge", "where it is written", "the shape", "the lines"].iter().enumerate() {
        step(host, &["hint"], 0, &[&format!("hint {} of 4, {words}", level + 1)]);
    }
    write_the_solution(host, number);
    let next = if number == 8 { "the workshop is done".to_owned() } else { format!("cargo lab start {}", number + 1) };
    let green = step(host, &["check"], 0, &["green", &format!("cargo lab attack {number}"), &next]);
    assert!(!green.contains("could not run"), "{green}");
    let attack = step(host, &["attack"], 0, &["blocked"]);
    assert!(!attack.contains("not run"), "{attack}");
    as_an_ordinary_user(host, number);
    if number < 8 {
        step(host, &["start", &(number + 1).to_string()], 0, &["task 1 · "]);
    }
}

/// As a person does: each hole's `todo!` becomes lines.
fn write_the_solution(host: &Host, number: u8) {
    let json = ok(&mut lab(host, &["solution", &number.to_string(), "--json"]));
    let solution: serde_json::Value = serde_json::from_str(&json).unwrap();
    let name = if number == 8 { "final".to_owned() } else { format!("step{number:02}") };
    for hole in solution["holes"].as_array().unwrap() {
        let path = Path::new(STUDENT).join(&name).join(hole["file"].as_str().unwrap());
        let text = fs::read_to_string(&path).unwrap();
        let begin = text.find(&format!("// ANCHOR: {}\n", hole["name"].as_str().unwrap())).unwrap();
        let (before, after) = text.split_at(begin + text[begin..].find("todo!(").unwrap());
        let rest = after.split_once('\n').unwrap().1;
        fs::write(&path, format!("{before}{}{rest}", hole["lines"].as_str().unwrap())).unwrap();
    }
}

/// What can run without root does, in user namespaces or in the lab machine, and the rest says why not. Nothing is red.
fn as_an_ordinary_user(host: &Host, number: u8) {
    let (code, text) = run(&mut without_rights(host, &format!("exec $LAB --dir $STUDENT check {number}")));
    assert!(code == 0 && !text.contains('✗'), "{text}");
    assert!([2, 4].contains(&number) || text.contains("(in the machine)"), "{text}");
    let (code, text) = run(&mut without_rights(host, &format!("exec $LAB --dir $STUDENT attack {number}")));
    assert!(code == 0 && text.contains("blocked"), "{text}");
}

fn a_learner_walks_through_lab_1(host: &Host) {
    walk(host, 1);
}

fn a_learner_walks_through_lab_2(host: &Host) {
    walk(host, 2);
}

fn a_learner_walks_through_lab_3(host: &Host) {
    walk(host, 3);
}

fn a_learner_walks_through_lab_4(host: &Host) {
    walk(host, 4);
}

fn a_learner_walks_through_lab_5(host: &Host) {
    walk(host, 5);
}

fn a_learner_walks_through_lab_6(host: &Host) {
    walk(host, 6);
}

fn a_learner_walks_through_lab_7(host: &Host) {
    walk(host, 7);
}

fn a_learner_walks_through_lab_8(host: &Host) {
    walk(host, 8);
}

fn hints_solutions_and_progress_are_kept(host: &Host) {
    let _students = Own::students();
    let step = |arguments: &[&str], code: i32, words: &[&str]| step(host, arguments, code, words);
    step(&["list"], 0, &["next: `cargo lab start 1`"]);
    step(&["start", "1"], 0, &["src/root.rs:", "I1 "]);
    step(&["check", "--task", "1"], 1, &["not yet implemented: step01 task 1"]);
    (0..4).for_each(|_| drop(step(&["hint"], 0, &["task 1"])));
    step(&["hint"], 0, &["chroot(self.path.as_c_str())"]);
    step(&["catch-up", "--task", "1"], 0, &["the solution of task 1 is in"]);
    let half = step(&["check"], 1, &["5 of 15 points", "not yet implemented: step01 task 2"]);
    assert!(half.contains("\x1b[32m✓\x1b[0m directory-is-the-root"), "{half}");
    step(&["list"], 0, &["2 of 10 checks", "4 hints", "solution seen", "next: `cargo lab check`"]);
    step(
        &["solution", "--task", "2"],
        0,
        &["// src/program.rs: task2_execute", "execve(path, &self.argv, &self.envp)"],
    );
    let diff = step(&["diff"], 0, &["--- mine/src/main.rs", "+++ solution/src/main.rs"]);
    assert!(!diff.contains("allow(unused)"), "{diff}");
    step(&["catch-up"], 0, &[]);
    step(&["diff"], 0, &["line by line"]);
    step(&["check"], 0, &["15 of 15 points", "green", "cargo lab attack 1", "cargo lab start 2"]);
    step(&["hint"], 0, &["no hint is needed"]);
    step(&["list"], 0, &["▸ 1 · A root of one's own", "10 of 10 checks", "next: `cargo lab start 2`"]);
    let progress = fs::read_to_string(Path::new(STUDENT).join("progress.json")).unwrap();
    let progress: serde_json::Value = serde_json::from_str(&progress).unwrap();
    assert_eq!((&progress["current"], &progress["labs"]["1"]["hints"]["1"]), (&1.into(), &4.into()));
}

/// One JSON document for each command (a line for each attack).
fn a_program_may_read_what_is_said(host: &Host) {
    let _students = Own::students();
    let json = |arguments: &[&str]| {
        let output = lab(host, &[&["--json"], arguments].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str::<serde_json::Value>(&text)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    };
    assert_eq!(json(&["list"])["next"], "cargo lab start 1");
    assert!(json(&["doctor"])["ways"].as_array().unwrap().len() == 8);
    assert_eq!(json(&["start", "1"])["tasks"][0]["holes"][0]["file"], "src/root.rs");
    assert_eq!(json(&["check"])["green"], false);
    assert_eq!(json(&["hint"])["level"], 1);
    assert_eq!(json(&["reset"])["lab"], 1);
    assert_eq!(json(&["solution", "--task", "1"])["holes"][0]["name"], "task1_enter");
    assert_eq!(json(&["diff"])["differences"].as_array().unwrap().len(), 3);
    assert_eq!(json(&["catch-up"])["lab"], 1);
    change("src/root.rs", "chdir(c\"/\")", "chdirr(c\"/\")");
    assert!(json(&["check"])["compiler"].as_str().unwrap().contains("chdirr"));
}

fn change(file: &str, from: &str, to: &str) {
    let path = Path::new(STUDENT).join("step01").join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn a_mistake_is_shown_with_what_was_expected(host: &Host) {
    let _students = Own::students();
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
    let _students = Own::students();
    ok(&mut lab(host, &["catch-up", "1"]));
    change("src/root.rs", "chdir(c\"/\")", "chdirr(c\"/\")");
    let (code, text) = run(&mut lab(host, &["check"]));
    assert_eq!(code, 2, "{text}");
    let path = Path::new(STUDENT).join("step01/src/root.rs");
    assert!(text.contains("cannot find function `chdirr`") && text.contains(path.to_str().unwrap()), "{text}");
}

fn a_save_is_noticed(host: &Host) {
    let _students = Own::students();
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

/// A script behind `unshare`: files belong to root still, and the rights are those of an ordinary user.
fn without_rights(host: &Host, script: &str) -> Command {
    let mut command = outside("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script]).env("TMPDIR", host.folder("tmp"));
    command.env("LAB", LAB).env("STUDENT", STUDENT);
    command
}

/// The same with the solution of lab 1 at hand.
fn behind(host: &Host, script: &str) -> Command {
    ok(&mut lab(host, &["catch-up", "1"]));
    without_rights(host, script)
}

const FORBID: &str = "echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=1000";

fn where_user_namespaces_are_forbidden_the_machine_runs_all(host: &Host) {
    let _students = Own::students();
    let text = ok(&mut behind(host, &format!("{FORBID} $LAB --dir $STUDENT check 1 --where machine")));
    assert!(text.contains("15 of 15 points") && text.contains("2 points (in the machine)"), "{text}");
    let (_, text) = run(&mut behind(host, &format!("{FORBID} $LAB --dir $STUDENT doctor")));
    assert!(text.contains("user namespaces are forbidden") && text.contains("1 · A root of one's own"), "{text}");
}

fn without_the_machine_the_rest_runs(host: &Host) {
    let _students = Own::students();
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
    let _students = Own::students();
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

/// Another cargo that builds in the same target takes libraries away while it writes them anew.
fn a_check_needs_nothing_that_a_cargo_replaces(host: &Host) {
    let _students = Own::students();
    ok(&mut lab(host, &["catch-up", "1"]));
    ok(&mut lab(host, &["check"]));
    let libraries = Path::new(LAB).with_file_name("deps");
    mount(Some("empty"), &libraries, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let (code, text) = run(lab(host, &["check"]).env("CARGO", "false"));
    umount2(&libraries, MntFlags::MNT_DETACH).unwrap();
    assert_eq!(code, 0, "{text}");
}

fn processes_below(folder: &Path) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe.starts_with(folder))).count()
}

fn reset_keeps_the_old_crate_and_errors_say_what_to_do(host: &Host) {
    let _students = Own::students();
    let (code, text) = run(&mut lab(host, &["check"]));
    assert!(code == 2 && text.contains("which lab? `cargo lab list` shows them; `cargo lab start 1` begins"), "{text}");
    let (code, text) = run(&mut lab(host, &["check", "2"]));
    assert!(code == 2 && text.contains("lab 2 is not begun: `cargo lab start 2`"), "{text}");
    let (code, text) = run(&mut lab(host, &["check", "1", "--task", "7"]));
    assert!(code == 2 && text.contains("lab 1 has no task 7: they are 1 to 3"), "{text}");
    let (code, text) = run(&mut outside(LAB));
    assert!(code == 2 && text.contains("Usage: cargo lab") && text.contains("start, check (red)"), "{text}");
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
