//! What less than root is: the same sets as docker's, and attacks of the steps before that are over.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use testkit::{BUSYBOX, Facts, Host, Need, Output};

testkit::suite! {
    the_default_is_dockers: [Need::Root, BUSYBOX],
    drop_all_add_one_is_dockers: [Need::Root, BUSYBOX],
    privileged_is_dockers: [Need::Root, BUSYBOX],
    another_user_holds_nothing_but_the_ceiling: [Need::Root, BUSYBOX],
    inherited_capabilities_do_not_get_in: [Need::Root, BUSYBOX],
    a_set_user_id_program_works_when_asked_and_below_the_ceiling: [Need::Root, BUSYBOX],
    a_user_is_looked_up_in_the_root: [Need::Root, BUSYBOX],
    unknown_words_are_named: [Need::Root, BUSYBOX],
    a_profile_that_forbids_the_last_calls_is_an_error: [Need::Root, BUSYBOX],
    the_remount_of_step_3_is_over: [Need::Root, BUSYBOX],
    the_sysctl_of_step_3_is_over: [Need::Root, BUSYBOX],
    the_disk_of_step_3_is_over_without_mknod: [Need::Root, BUSYBOX],
    the_kernels_log_is_out_of_sight: [Need::Root, BUSYBOX],
    a_process_of_another_user_cannot_be_traced: [Need::Root, BUSYBOX],
    limits_are_set: [Need::Root, BUSYBOX],
}

const STEP: &str = env!("CARGO_BIN_EXE_step06-capabilities");

fn root(host: &Host) -> PathBuf {
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    root
}

fn step(host: &Host, options: &[&str], program: &[&str]) -> Output {
    host.run(host.command(STEP).arg("run").args(options).arg(root(host)).args(program))
}

fn shell(host: &Host, options: &[&str], script: &str) -> Output {
    step(host, options, &["sh", "-c", script])
}

fn facts(host: &Host, options: &[&str]) -> Facts {
    step(host, options, &["probe", "facts"]).facts()
}

/// Effective, permitted, inheritable, bounding, ambient; then the filter's mode and no_new_privs.
fn sets(facts: &Facts) -> ([u64; 5], &str, &str) {
    let set = |name: &str| u64::from_str_radix(&facts.status[name], 16).unwrap();
    let names = ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"];
    (names.map(set), &facts.status["Seccomp"], &facts.status["NoNewPrivs"])
}

const DOCKER: u64 = 0xa804_25fb;

/// What this machine's root has: a container around the test may have taken some.
fn of_host() -> u64 {
    sys::capability::get().unwrap().permitted
}

fn the_default_is_dockers(host: &Host) {
    let docker = DOCKER & of_host();
    let expected = [docker, docker, 0, DOCKER & of_host(), 0];
    assert_eq!(sets(&facts(host, &["--keep-new-privs"])), (expected, "2", "0"));
    assert_eq!(sets(&facts(host, &[])), (expected, "2", "1"));
}

fn drop_all_add_one_is_dockers(host: &Host) {
    let facts = facts(host, &["--keep-new-privs", "--cap-drop", "ALL", "--cap-add", "chown"]);
    assert_eq!(sets(&facts), ([1, 1, 0, 1, 0], "2", "0"));
}

fn privileged_is_dockers(host: &Host) {
    let all = of_host();
    let facts = facts(host, &["--keep-new-privs", "--privileged"]);
    assert_eq!(sets(&facts), ([all, all, 0, all, 0], "0", "0"));
    assert!(!facts.mount_points().contains(&"/proc/sys"));
}

fn another_user_holds_nothing_but_the_ceiling(host: &Host) {
    for extra in [&[][..], &["--keep-new-privs"]] {
        let facts = facts(host, &[&["-u", "1000"], extra].concat());
        let ceiling = DOCKER & of_host();
        assert_eq!(sets(&facts).0, [0, 0, 0, ceiling, 0]);
        assert_eq!((facts.uid, facts.gid, sets(&facts).1), (1000, 0, "2"));
    }
}

/// CVE-2022-24769: what the engine's caller had in its inheritable set was the container's.
fn inherited_capabilities_do_not_get_in(host: &Host) {
    let root = root(host);
    let mine = sys::capability::get().unwrap();
    sys::capability::set(&sys::capability::Sets { inheritable: mine.permitted, ..mine }).unwrap();
    for number in (0..41).filter(|number| mine.permitted & 1 << number != 0) {
        sys::capability::raise_ambient(number).unwrap();
    }
    for user in ["0", "1000"] {
        let output = host.run(host.command(STEP).args(["run", "-u", user]).arg(&root).args(["probe", "facts"]));
        let [effective, _, inheritable, _, ambient] = sets(&output.facts()).0;
        let held = if user == "0" { DOCKER & of_host() } else { 0 };
        assert_eq!((effective, inheritable, ambient), (held, 0, 0), "{user}");
    }
}

fn a_set_user_id_program_works_when_asked_and_below_the_ceiling(host: &Host) {
    // The probe and not busybox, which gives up a set-user-ID of its own accord. With its path: ash looks for `-a`'s name.
    let file = root(host).join("bin/as-root");
    fs::copy(root(host).join("bin/probe"), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4755)).unwrap();
    let script = "exec -a probe /bin/as-root facts";
    let ask = |options: &[&str]| shell(host, options, script).facts();
    let [effective, _, _, bounding, _] = sets(&ask(&["-u", "1000", "--keep-new-privs"])).0;
    assert_eq!((effective, bounding), (DOCKER & of_host(), DOCKER & of_host()));
    assert_eq!(sets(&ask(&["-u", "1000"])).0[0], 0, "no_new_privs");
}

fn a_user_is_looked_up_in_the_root(host: &Host) {
    let facts = facts(host, &["-u", "nobody:root"]);
    assert_eq!((facts.uid, facts.gid, facts.groups.as_slice()), (65534, 0, &[0][..]));
    assert_eq!(facts.environment["HOME"], "/");
}

fn unknown_words_are_named(host: &Host) {
    let error = |options: &[&str]| {
        let output = step(host, options, &["true"]);
        assert_eq!(output.code, 125);
        output.stderr.lines().next().unwrap().to_owned()
    };
    assert_eq!(error(&["--cap-add", "netadmin"]), "error: `netadmin` is no capability; `CAP_NET_ADMIN` is");
    assert_eq!(error(&["-u", "ghost"]), "error: user `ghost` is not in the image's /etc/passwd");
    assert_eq!(error(&["--ulimit", "files=1"]), "error: `files=1` is no limit");
    let profile = host.path("p.json");
    fs::write(&profile, "{\n  \"defaultAction\": \"ALLOW\"\n}").unwrap();
    let message = error(&["--seccomp", profile.to_str().unwrap()]);
    assert!(message.starts_with("error: seccomp profile `/run/testkit/p.json`: unknown variant `ALLOW`"), "{message}");
    assert!(message.ends_with("at line 2 column 26"), "{message}");
}

fn a_profile_that_forbids_the_last_calls_is_an_error(host: &Host) {
    let profile = host.path("p.json");
    fs::write(
        &profile,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["capset"],"action":"SCMP_ACT_ERRNO"}]}"#,
    )
    .unwrap();
    let profile = profile.to_str().unwrap();
    let output = step(host, &["--seccomp", profile, "--keep-new-privs"], &["true"]);
    assert_eq!(output.code, 125);
    assert!(
        output.stderr.starts_with("error: set the capabilities: operation not permitted (EPERM)"),
        "{}",
        output.stderr
    );
    // With no_new_privs the filter comes last.
    assert_eq!(step(host, &["--seccomp", profile], &["true"]).code, 0);
}

/// An attack that works with all of root's power, as in the step before, and does not any more.
fn opens_and_closes(host: &Host, script: &str, refusal: &str) {
    assert_eq!(shell(host, &["--privileged"], script).code, 0, "the attack proves nothing: {script}");
    let output = shell(host, &[], script);
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains(refusal), "{}", output.stderr);
}

fn the_remount_of_step_3_is_over(host: &Host) {
    opens_and_closes(host, "mount -o remount,rw /sys && mount -t tmpfs t /tmp", "permission denied");
    opens_and_closes(host, "umount /dev/shm", "Operation not permitted");
}

fn the_sysctl_of_step_3_is_over(host: &Host) {
    let script = "v=$(cat /proc/sys/kernel/core_pattern) && echo \"$v\" > /proc/sys/kernel/core_pattern";
    opens_and_closes(host, script, "Read-only file system");
}

fn the_disk_of_step_3_is_over_without_mknod(host: &Host) {
    // Docker leaves MKNOD to root and closes the devices by a cgroup, which is step 5's.
    let script = "mknod /disk c 1 11 && exec 3< /disk";
    assert_eq!(shell(host, &["--privileged"], script).code, 0);
    let output = shell(host, &["--cap-drop", "MKNOD"], script);
    assert!(output.code != 0 && output.stderr.contains("Operation not permitted"), "{}", output.stderr);
}

fn the_kernels_log_is_out_of_sight(host: &Host) {
    let output = shell(host, &[], "dmesg");
    assert!(output.code != 0 && output.stderr.contains("Operation not permitted"), "{}", output.stderr);
}

fn a_process_of_another_user_cannot_be_traced(host: &Host) {
    let start = "start-stop-daemon -S -p /tmp/pid -c nobody -a /bin/sleep -- 5 & n=0";
    let wait = "until grep -q '^Uid:.65534' /proc/$!/status || [ $((n += 1)) = 500 ]; do :; done";
    let script = format!("{start}; {wait}; cat /proc/$!/environ > /dev/null");
    opens_and_closes(host, &script, "Permission denied");
}

fn limits_are_set(host: &Host) {
    let options = ["--ulimit", "nofile=100:200", "--ulimit", "core=0"];
    assert_eq!(shell(host, &options, "ulimit -n; ulimit -Hn; ulimit -c").ok(), "100\n200\n0\n");
}
