//! Less than root: what the kernel says about the program inside, against docker's values.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use std::fs;
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    the_sets_are_dockers: [Need::Root, BUSYBOX],
    exec_has_the_containers_privileges: [Need::Root, BUSYBOX],
    calls_are_filtered: [Need::Root, BUSYBOX],
    a_profile_of_ones_own_is_loaded: [Need::Root, BUSYBOX],
    a_narrow_profile_and_no_new_privileges_go_together: [Need::Root, BUSYBOX],
    sensitive_paths_are_hidden_or_read_only: [Need::Root, BUSYBOX],
    unmasking_shows_them_again: [Need::Root, BUSYBOX],
    the_devices_are_dockers: [Need::Root, BUSYBOX],
    a_device_on_request: [Need::Root, BUSYBOX],
    a_disk_cannot_be_opened: [Need::Root, BUSYBOX, Need::Machine],
    privileged_has_everything: [Need::Root, BUSYBOX],
    limits_settings_and_groups: [Need::Root, BUSYBOX],
    wrong_words_are_refused: [BUSYBOX],
    nobody_unmounts_what_hides: [Need::Root, BUSYBOX],
    an_init_starts_its_program_under_the_filter: [BUSYBOX],
    any_user_may_listen_on_any_port: [Need::Root, BUSYBOX],
    the_group_is_among_the_groups: [Need::Root, BUSYBOX],
    another_user_dies_with_its_engine_too: [Need::Root, BUSYBOX],
}

/// CapEff, CapPrm, CapInh, CapBnd, CapAmb, Seccomp, NoNewPrivs.
fn sets(engine: &Engine<'_>, options: &[&str]) -> Vec<String> {
    let status = engine.facts(options).status;
    ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb", "Seccomp", "NoNewPrivs"].map(|key| status[key].clone()).to_vec()
}

const NONE: &str = "0000000000000000";
const DOCKER: &str = "00000000a80425fb";

/// docker 20.10's values, read from its containers.
fn the_sets_are_dockers(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(sets(&engine, &[]), [DOCKER, DOCKER, NONE, DOCKER, NONE, "2", "0"]);
    let chown = "0000000000000001";
    let dropped = sets(&engine, &["--cap-drop", "ALL", "--cap-add", "CHOWN"]);
    assert_eq!(dropped, [chown, chown, NONE, chown, NONE, "2", "0"]);
    assert_eq!(sets(&engine, &["-u", "1000"]), [NONE, NONE, NONE, DOCKER, NONE, "2", "0"]);
    let hardened = sets(&engine, &["--security-opt", "no-new-privileges"]);
    assert_eq!(hardened, [DOCKER, DOCKER, NONE, DOCKER, NONE, "2", "1"]);
    // All that the engine itself has: this machine may have taken some away from us.
    let ours = fs::read_to_string("/proc/self/status").unwrap();
    let ours = |key: &str| ours.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned();
    let all = sets(&engine, &["--privileged"]);
    assert_eq!(all[0], ours("CapEff:"));
    assert_eq!((all[3].as_str(), &all[5..]), (ours("CapBnd:").as_str(), ["0", "0"].map(str::to_owned).as_slice()));
}

/// Starts `script` in the container `web`, detached.
fn detached(engine: &Engine<'_>, options: &[&str]) {
    engine.tara(&[&["run", "-d", "--name", "web"], options, &["box", "sleep", "1000"]].concat()).ok();
}

fn exec_has_the_containers_privileges(host: &Host) {
    let engine = Engine::with_box(host);
    detached(&engine, &["--cap-drop", "NET_RAW", "--security-opt", "no-new-privileges", "--ulimit", "nofile=100:200"]);
    let script = "grep -E 'CapEff|CapBnd|Seccomp:|NoNewPrivs' /proc/self/status; ulimit -n; cat /proc/self/cgroup";
    let exec =
        |options: &[&str], script: &str| engine.tara(&[&["exec"], options, &["web", "sh", "-c", script]].concat()).ok();
    let inside = exec(&[], script);
    let expected = [
        "CapEff:\t00000000a80405fb",
        "CapBnd:\t00000000a80405fb",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "\n100\n",
        "memory:/\n",
    ];
    for part in expected {
        assert!(inside.contains(part), "{part}: {inside}");
    }
    let all =
        exec(&["--privileged"], "grep CapEff /proc/self/status; mount -t tmpfs t /tmp 2>&1 && echo mounted; true");
    // All capabilities; but the filter of the container stays.
    assert!(!all.contains("a80405fb") && !all.contains("mounted"), "{all}");
    assert!(exec(&["-u", "1000"], "grep CapEff /proc/self/status").contains(NONE));
    engine.tara(&["rm", "-f", "web"]).ok();
    engine.assert_clean();
}

/// The whole table is in step 6's tests; here only that the filter is there and is docker's.
fn calls_are_filtered(host: &Host) {
    let engine = Engine::with_box(host);
    // unshare(CLONE_NEWUSER), on every architecture of ours by name: busybox has it.
    let refused = engine.shell(&[], "unshare -U true");
    assert!(refused.code != 0 && refused.stderr.contains("Operation not permitted"), "{}", refused.stderr);
    engine.shell(&["--security-opt", "seccomp=unconfined"], "unshare -U true").ok();
    engine.shell(&["--cap-add", "SYS_ADMIN"], "unshare -U true").ok();
}

fn a_profile_of_ones_own_is_loaded(host: &Host) {
    let engine = Engine::with_box(host);
    let path = host.path("profile.json");
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95},
        {"names":["chmod","fchmodat"],"action":"SCMP_ACT_ERRNO","errnoRet":95,"includes":{"caps":["CAP_SYS_ADMIN"]}}]}"#;
    fs::write(&path, profile).unwrap();
    let option = format!("seccomp={}", path.display());
    let output = engine.shell(&["--security-opt", &option], "chmod 700 /tmp; mkdir /x");
    assert!(output.code == 1 && output.stderr.contains("Operation not supported"), "{}", output.stderr);
    assert!(!output.stderr.contains("chmod"), "{}", output.stderr);
    // The container is started again from its record, with the file gone.
    engine.tara(&["create", "--name", "again", "--security-opt", &option, "box", "mkdir", "/x"]).ok();
    fs::remove_file(&path).unwrap();
    engine.tara(&["start", "again"]).ok();
    assert_eq!(engine.tara(&["wait", "again"]).ok(), "1\n");
    engine.tara(&["rm", "again"]).ok();
    let missing = engine.shell(&["--security-opt", "seccomp=/no/such"], "true");
    assert!(missing.code == 125 && missing.stderr.contains("/no/such"), "{}", missing.stderr);
}

/// What the engine still has to do after the filter is loaded: the report (sendto), and execve with the search in PATH (access).
fn a_narrow_profile_and_no_new_privileges_go_together(host: &Host) {
    let engine = Engine::with_box(host);
    let path = host.path("narrow.json");
    let calls = r#"["read","write","exit_group","execve","sendto","brk","arch_prctl","mmap","munmap","mprotect","set_tid_address",
        "set_robust_list","rseq","prlimit64","readlink","readlinkat","getrandom","uname","getuid","geteuid","getgid","getegid",
        "access","getpid","getppid","close","openat","open","lseek","futex","prctl","rt_sigaction","rt_sigprocmask","fstat","newfstatat","ioctl"]"#;
    fs::write(
        &path,
        format!(
            r#"{{"defaultAction":"SCMP_ACT_KILL_PROCESS","syscalls":[{{"names":{calls},"action":"SCMP_ACT_ALLOW"}}]}}"#
        ),
    )
    .unwrap();
    let option = format!("seccomp={}", path.display());
    let options = ["--security-opt", &option, "--security-opt", "no-new-privileges"];
    assert_eq!(engine.run(&options, &["echo", "narrow"]).ok(), "narrow\n");
    assert_eq!(engine.run(&options, &["mkdir", "/x"]).code, 128 + 31, "killed by SIGSYS");
}

fn sensitive_paths_are_hidden_or_read_only(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "for f in acpi asound kcore keys latency_stats sched_debug scsi timer_list timer_stats interrupts; do \
                  [ ! -e /proc/$f ] || [ -z \"$(cat /proc/$f 2>/dev/null; ls -A /proc/$f 2>/dev/null | grep -v ^/proc)\" ] || echo $f shows; done; \
                  [ -z \"$(ls -A /sys/firmware)\" ] || echo firmware shows; \
                  for f in bus fs irq sys; do touch /proc/$f/x 2>/dev/null && echo $f writable; done; \
                  for f in /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/fs/cgroup/x; do [ -e $f ] && echo x >> $f; done 2>/dev/null; true";
    assert_eq!(engine.shell(&[], script).ok(), "");
    let facts = engine.facts(&[]);
    for path in ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/sys", "/sys/fs/cgroup"] {
        assert!(facts.mount_at(path).unwrap().contains(" ro,"), "{:?}", facts.mount_at(path));
    }
    for path in ["/proc/keys", "/proc/timer_list", "/sys/firmware"] {
        assert!(facts.mount_at(path).is_some() || fs::metadata(path).is_err(), "{path}");
    }
}

fn unmasking_shows_them_again(host: &Host) {
    let engine = Engine::with_box(host);
    let hidden = |options: &[&str]| {
        let mounts = engine.facts(options).mounts;
        mounts.iter().filter(|line| line.split(' ').nth(4).is_some_and(|path| path.starts_with("/proc/"))).count()
    };
    assert!(hidden(&[]) > 4);
    for option in ["unmask=ALL", "systempaths=unconfined"] {
        assert_eq!(hidden(&["--security-opt", option]), 0, "{option}");
    }
    assert!(engine.facts(&["--security-opt", "unmask=/proc/sys"]).mount_at("/proc/sys").is_none());
}

fn the_devices_are_dockers(host: &Host) {
    let engine = Engine::with_box(host);
    let names = engine.shell(&[], "ls /dev").ok();
    let expected = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(names.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    let list = engine.shell(&[], "cat /sys/fs/cgroup/devices/devices.list 2>/dev/null || echo v2").ok();
    if list != "v2\n" {
        let mut rules: Vec<&str> = list.lines().collect();
        rules.sort_unstable();
        let mut docker = [
            "b *:* m",
            "c *:* m",
            "c 136:* rwm",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
            "c 5:1 rwm",
            "c 5:2 rwm",
        ];
        docker.sort_unstable();
        assert_eq!(rules, docker);
    }
}

fn a_device_on_request(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "stat -c '%t:%T %a' /dev/folder/log; head -c 1 /dev/folder/log >/dev/null; echo $?";
    let inside = engine.shell(&["--device", "/dev/zero:/dev/folder/log:r"], script).ok();
    assert_eq!(inside, "1:5 666\n0\n");
    let missing = engine.shell(&["--device", "/dev/no-such"], "true");
    assert!(missing.code == 125 && missing.stderr.contains("/dev/no-such"), "{}", missing.stderr);
}

/// The disk of the machine, or any other number: to make the file is allowed, to open it is not.
fn a_disk_cannot_be_opened(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "mknod /disk b 98 0 && cat /disk";
    // The machine's kernel has no bridges.
    let shell = |options: &[&str], script| engine.shell(&[&["--network", "none"], options].concat(), script);
    let output = shell(&[], script);
    assert!(output.code != 0 && output.stderr.contains("Operation not permitted"), "{}", output.stderr);
    assert!(!shell(&["--privileged"], script).stderr.contains("Operation not permitted"));
    shell(&[], "head -c 1 /dev/zero > /dev/null").ok();
}

fn privileged_has_everything(host: &Host) {
    let engine = Engine::with_box(host);
    engine.shell(&["--privileged"], "mount -t tmpfs t /tmp && touch /proc/sys/kernel/domainname && ls /dev/null").ok();
    let facts = engine.facts(&["--privileged"]);
    assert!(facts.mount_at("/sys").unwrap().contains(" rw,"), "{:?}", facts.mount_at("/sys"));
    assert!(facts.mount_at("/proc/sys").is_none());
}

fn limits_settings_and_groups(host: &Host) {
    let engine = Engine::with_box(host);
    let shell = |options: &[&str], script: &str| engine.shell(options, script).ok();
    assert_eq!(shell(&["--ulimit", "nofile=100:200"], "ulimit -Sn; ulimit -Hn"), "100\n200\n");
    assert_eq!(shell(&["--sysctl", "kernel.shmmni=99"], "cat /proc/sys/kernel/shmmni"), "99\n");
    assert_eq!(shell(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500\n");
    assert_eq!(shell(&["--group-add", "nogroup", "--group-add", "77"], "id -G"), "0 77 65534\n");
    assert!(shell(&["--shm-size", "1m"], "df -k /dev/shm").contains(" 1024 "));
}

fn wrong_words_are_refused(host: &Host) {
    let engine = Engine::with_box(host);
    let refused = |options: &[&str], said: &str| {
        let output = engine.shell(options, "true");
        assert!(output.code == 125 && output.stderr.contains(said), "{options:?}: {}", output.stderr);
    };
    refused(&["--cap-add", "SYSADMIN"], "`CAP_SYS_ADMIN` is");
    refused(&["--security-opt", "apparmor=x"], "`--security-opt apparmor=x` is unknown");
    refused(&["--sysctl", "kernel.core_pattern=x"], "the whole machine's");
    refused(&["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"], "the network namespace's");
    refused(&["--ulimit", "files=1"], "`files=1` is no limit");
    refused(&["--group-add", "nosuch"], "group `nosuch`");
    refused(&["--oom-score-adj", "2000"], "`2000` is no OOM score");
    engine.assert_clean();
}

fn nobody_unmounts_what_hides(host: &Host) {
    let engine = Engine::with_box(host);
    let output = engine.shell(&[], "umount /proc/keys || umount -l /proc/sys");
    assert!(output.code != 0, "{}", output.stderr);
}

/// docker's filter hides clone3: glibc and our init fall back to clone.
fn an_init_starts_its_program_under_the_filter(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.shell(&["--init"], "grep Seccomp: /proc/self/status; echo $$").ok(), "Seccomp:\t2\n2\n");
    assert_eq!(error(&engine.run(&["--init"], &["no-such-program"])).0, 127);
}

/// The kernel forgets the wish to die with the parent when the user changes.
fn another_user_dies_with_its_engine_too(host: &Host) {
    let engine = Engine::with_box(host);
    let mut child =
        engine.command(&["run", "--rm", "--name", "web", "-u", "1000", "box", "sleep", "1000"]).spawn().unwrap();
    let pid = testkit::until("it runs", || {
        let pid = engine.tara(&["inspect", "web"]).stdout;
        let pid: serde_json::Value = serde_json::from_str(&pid).ok()?;
        pid[0]["State"]["Pid"].as_u64().filter(|pid| *pid > 0)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let is_gone = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.is_empty() || status.contains("State:\tZ")
    };
    testkit::until("the program is gone", || is_gone().then_some(()));
    engine.tara(&["system", "reclaim"]).ok();
    engine.assert_clean();
}

/// As docker's containers: a web server need not be root.
fn any_user_may_listen_on_any_port(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; httpd -p 80 -h /tmp && echo listens";
    for network in ["none", "bridge"] {
        assert_eq!(engine.shell(&["-u", "1000", "--network", network], script).ok(), "0\nlistens\n", "{network}");
    }
    let options = ["--network", "none", "--userns", "auto", "-u", "1000"];
    assert_eq!(engine.shell(&options, script).ok(), "0\nlistens\n");
    let asked = ["--network", "none", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024"];
    assert!(engine.shell(&asked, script).ok().starts_with("1024\n"));
}

/// CVE-2022-36109: who is denied something as a member of a group must not get rid of the group.
fn the_group_is_among_the_groups(host: &Host) {
    let engine = Engine::with_box(host);
    let groups = |options: &[&str]| {
        let status = engine.facts(&[&["--network", "none"], options].concat()).status;
        status["Groups"].trim().to_owned()
    };
    assert_eq!((groups(&[]), groups(&["-u", "1000:7"])), ("0".to_owned(), "7".to_owned()));
    assert_eq!(groups(&["-u", "1000:7", "--group-add", "9"]), "7 9");
}
