//! What a process in new namespaces sees, compared with the view from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use testkit::{BUSYBOX, Facts, Host, Need, Output, until};

const NEWUIDMAP: Need = Need::Program("newuidmap", "uidmap");

testkit::suite! {
    the_first_process_inside_is_pid_one: [BUSYBOX],
    the_namespaces_are_new: [BUSYBOX],
    kept_namespaces_are_the_hosts: [BUSYBOX],
    the_hostname_is_its_own: [BUSYBOX],
    proc_shows_only_what_runs_inside: [BUSYBOX],
    mounts_inside_do_not_appear_on_the_host: [BUSYBOX],
    the_exit_status_is_passed_on: [BUSYBOX],
    a_signal_is_forwarded: [BUSYBOX],
    pid_one_without_a_handler_ignores_sigterm: [BUSYBOX],
    the_init_reaps_orphans: [BUSYBOX],
    the_init_ends_as_the_program_ended: [BUSYBOX],
    the_init_holds_nothing_open: [BUSYBOX],
    only_standard_descriptors_are_open: [BUSYBOX],
    signals_have_their_default_actions: [BUSYBOX],
    everything_dies_with_the_parent: [BUSYBOX],
    a_failed_call_is_reported_by_name: [BUSYBOX],
    exec_errors_keep_their_exit_codes: [BUSYBOX],
    an_unknown_namespace_is_named: [BUSYBOX],
    an_ordinary_user_is_root_inside_with_a_single_id: [Need::Root, BUSYBOX],
    an_ordinary_user_has_many_ids_where_newuidmap_is: [Need::Root, BUSYBOX, NEWUIDMAP],
    an_ordinary_user_without_a_user_namespace_is_told_what_to_do: [Need::Root, BUSYBOX],
    forbidden_user_namespaces_are_named_with_their_switch: [Need::Root, BUSYBOX],
    the_hosts_processes_are_out_of_reach: [BUSYBOX],
    a_double_chroot_still_gets_out: [BUSYBOX],
}

const STEP: &str = env!("CARGO_BIN_EXE_step02-pid-ns");

fn root(host: &Host) -> PathBuf {
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    root
}

fn step(host: &Host, arguments: &[&str]) -> Output {
    host.run(command(host, arguments))
}

fn command<'c>(host: &Host, arguments: &[&str]) -> &'c mut Command {
    let mut command = host.command(STEP);
    command.arg("run").args(arguments);
    Box::leak(Box::new(command))
}

fn facts(host: &Host, options: &[&str]) -> Facts {
    let root = root(host);
    let arguments: Vec<&str> = options.iter().copied().chain([root.to_str().unwrap(), "probe", "facts"]).collect();
    step(host, &arguments).facts()
}

fn namespace_of_this_process(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap().to_owned()
}

fn the_first_process_inside_is_pid_one(host: &Host) {
    assert_eq!(facts(host, &[]).pid, 1);
    assert_eq!(facts(host, &["--init"]).pid, 2);
}

fn the_namespaces_are_new(host: &Host) {
    let inside = facts(host, &[]).namespaces;
    for name in ["pid", "mnt", "uts", "ipc", "cgroup"] {
        assert_ne!(inside[name], namespace_of_this_process(name), "{name}");
    }
    for name in ["net", "user", "time"] {
        assert_eq!(inside[name], namespace_of_this_process(name), "{name}");
    }
}

fn kept_namespaces_are_the_hosts(host: &Host) {
    let inside = facts(host, &["--keep", "ipc,uts"]);
    assert_eq!(inside.namespaces["ipc"], namespace_of_this_process("ipc"));
    assert_eq!(inside.namespaces["uts"], namespace_of_this_process("uts"));
    assert_ne!(inside.namespaces["pid"], namespace_of_this_process("pid"));
    assert_eq!(inside.hostname, nix::unistd::gethostname().unwrap().to_str().unwrap());
}

fn the_hostname_is_its_own(host: &Host) {
    let before = nix::unistd::gethostname().unwrap();
    assert_eq!(facts(host, &["--hostname", "web-1"]).hostname, "web-1");
    assert_eq!(nix::unistd::gethostname().unwrap(), before);
    let refused = step(host, &["--hostname", "no name", "/", "true"]);
    assert_eq!((refused.code, refused.stderr.lines().next()), (125, Some("error: `no name` is no host name")));
}

fn proc_shows_only_what_runs_inside(host: &Host) {
    assert_eq!(facts(host, &[]).pids, [1]);
}

fn mounts_inside_do_not_appear_on_the_host(host: &Host) {
    let root = root(host);
    share_all_mounts(true);
    let inside = step(host, &[root.to_str().unwrap(), "sh", "-c", "mount -t tmpfs t /tmp && mount | tail -1"]).ok();
    let outside = fs::read_to_string("/proc/self/mountinfo").unwrap();
    share_all_mounts(false);
    assert!(inside.starts_with("t on /tmp"), "{inside}");
    assert!(!outside.contains("/rootfs"), "{outside}");
}

/// As systemd leaves a host: each mount in a namespace is copied to all others.
fn share_all_mounts(shared: bool) {
    let kind = if shared { MsFlags::MS_SHARED } else { MsFlags::MS_PRIVATE };
    mount(None::<&str>, "/", None::<&str>, kind | MsFlags::MS_REC, None::<&str>).unwrap();
}

fn the_exit_status_is_passed_on(host: &Host) {
    let root = root(host);
    let root = root.to_str().unwrap();
    assert_eq!(step(host, &[root, "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(step(host, &[root, "sh", "-c", "sh -c 'kill -TERM $$'; exit $?"]).code, 143);
}

/// Starts `script` and waits until it has made the file `/ready` in the root.
fn start(host: &Host, options: &[&str], script: &str) -> (Child, PathBuf) {
    let root = root(host);
    let arguments: Vec<&str> = options.iter().copied().chain([root.to_str().unwrap(), "sh", "-c", script]).collect();
    let child = command(host, &arguments).stdin(Stdio::null()).spawn().unwrap();
    until("the script has begun", || root.join("ready").exists().then_some(()));
    (child, root)
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

fn code(mut child: Child) -> i32 {
    let status = child.wait().unwrap();
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

fn a_signal_is_forwarded(host: &Host) {
    let (child, _) = start(host, &[], "trap 'exit 9' TERM; touch /ready; while :; do sleep 0.01; done");
    send(&child, Signal::SIGTERM);
    assert_eq!(code(child), 9);
}

/// kill(2), NOTES: what PID 1 has no handler for does not end it. With an init the same program is PID 2 and ends.
fn pid_one_without_a_handler_ignores_sigterm(host: &Host) {
    let script = "touch /ready; while [ ! -e /stop ]; do sleep 0.01; done; exit 4";
    let (child, root) = start(host, &[], script);
    send(&child, Signal::SIGTERM);
    fs::write(root.join("stop"), "").unwrap();
    assert_eq!(code(child), 4);
    fs::remove_dir_all(&root).unwrap();
    let (child, _) = start(host, &["--init"], script);
    send(&child, Signal::SIGTERM);
    assert_eq!(code(child), 143);
}

fn the_init_reaps_orphans(host: &Host) {
    let root = root(host);
    let root = root.to_str().unwrap();
    assert_eq!(step(host, &["--init", root, "probe", "orphans"]).ok(), "0\n");
    // The probe as PID 1 reaps nobody it did not start.
    assert_eq!(step(host, &[root, "probe", "orphans"]).ok(), "1\n");
}

fn the_init_ends_as_the_program_ended(host: &Host) {
    let root = root(host);
    let root = root.to_str().unwrap();
    assert_eq!(step(host, &["--init", root, "sh", "-c", "sleep 100 & exit 7"]).code, 7);
    assert_eq!(step(host, &["--init", root, "sh", "-c", "kill -KILL $$"]).code, 137);
}

fn the_init_holds_nothing_open(host: &Host) {
    let root = root(host);
    let output = step(host, &["--init", root.to_str().unwrap(), "sh", "-c", "ls /proc/1/fd | sort -n"]);
    assert_eq!(output.ok(), "0\n1\n2\n");
}

fn only_standard_descriptors_are_open(host: &Host) {
    let root = root(host);
    // The parent's own leak, not close-on-exec: the shell opens 7 and becomes the step.
    let script = format!("exec 7</etc/passwd; exec {STEP} run {} probe facts", root.display());
    let open = host.run(host.command("/bin/sh").args(["-c", &script])).facts().descriptors;
    assert_eq!(open.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
}

fn signals_have_their_default_actions(host: &Host) {
    let root = root(host);
    let script = format!("trap '' HUP; exec {STEP} run {} grep -E '^Sig(Ign|Blk)' /proc/self/status", root.display());
    let masks = host.run(host.command("/bin/sh").args(["-c", &script])).ok();
    assert_eq!(masks, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

fn everything_dies_with_the_parent(host: &Host) {
    let (child, _) = start(host, &[], "touch /ready; sleep 100 & sleep 100");
    send(&child, Signal::SIGKILL);
    assert_eq!(code(child), 137);
    until("no sleep is left", || processes_named("sleep").is_empty().then_some(()));
}

fn processes_named(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    entries.filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)).collect()
}

fn a_failed_call_is_reported_by_name(host: &Host) {
    let empty = host.folder("empty");
    let output = step(host, &[empty.to_str().unwrap(), "true"]);
    let message = "error: mount a new proc on `/proc`: no such file or directory (ENOENT)";
    assert_eq!((output.code, output.stderr.lines().next()), (125, Some(message)));
}

fn exec_errors_keep_their_exit_codes(host: &Host) {
    let root = root(host);
    fs::write(root.join("plain"), "").unwrap();
    let root = root.to_str().unwrap();
    for init in [&[][..], &["--init"]] {
        let run = |program| step(host, &[init, &[root, program]].concat());
        assert_eq!(run("no-such-program").code, 127);
        let refused = run("/plain");
        let message = "error: program `/plain` cannot be executed: permission denied (EACCES)";
        assert_eq!((refused.code, refused.stderr.lines().next()), (126, Some(message)));
    }
}

fn an_unknown_namespace_is_named(host: &Host) {
    let output = step(host, &["--keep", "pids", "/", "true"]);
    assert_eq!(output.code, 125);
    assert_eq!(
        output.stderr,
        "error: there is no namespace called `pids`\n  help: the names are pid, mnt, uts, ipc, net, cgroup, user, time\n"
    );
}

fn as_user(host: &Host, root: &Path, options: &[&str], program: &[&str]) -> Output {
    host.run(host.command_as_user(STEP).arg("run").args(options).arg(root).args(program))
}

fn an_ordinary_user_is_root_inside_with_a_single_id(host: &Host) {
    let _nobody_has_a_range = host.replace_file("/etc/subuid", "");
    let root = root(host);
    let inside = as_user(host, &root, &["--user"], &["probe", "facts"]).facts();
    assert_eq!((inside.uid, inside.pid), (0, 1));
    assert_ne!(inside.namespaces["user"], namespace_of_this_process("user"));
    let map = as_user(host, &root, &["--user"], &["cat", "/proc/self/uid_map", "/proc/self/setgroups"]).ok();
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "1000", "1", "deny"]);
}

fn an_ordinary_user_has_many_ids_where_newuidmap_is(host: &Host) {
    let _known = host.replace_file("/etc/passwd", "root:x:0:0::/:/bin/sh\nstudent:x:1000:1000::/:/bin/sh\n");
    let _uids = host.replace_file("/etc/subuid", "student:100000:65536\n");
    let _gids = host.replace_file("/etc/subgid", "student:300000:65536\n");
    let root = root(host);
    let program = ["cat", "/proc/self/uid_map", "/proc/self/gid_map"];
    let map = as_user(host, &root, &["--user"], &program).ok();
    let numbers: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(numbers, ["0", "1000", "1", "1", "100000", "65536", "0", "1000", "1", "1", "300000", "65536"]);
}

fn an_ordinary_user_without_a_user_namespace_is_told_what_to_do(host: &Host) {
    let output = as_user(host, &root(host), &[], &["true"]);
    assert_eq!(output.code, 125);
    assert_eq!(
        output.stderr,
        "error: new process in new namespaces (pid, mnt, uts, ipc, cgroup): operation not permitted (EPERM)\n  \
         help: new namespaces need root (CAP_SYS_ADMIN): use sudo, or a user namespace (`--user`)\n"
    );
}

fn forbidden_user_namespaces_are_named_with_their_switch(host: &Host) {
    let root = root(host);
    // The switch belongs to a user namespace: the fake host is put into one of its own, where it is 0.
    let script =
        format!("echo 0 > /proc/sys/user/max_user_namespaces && exec {STEP} run --user {} true", root.display());
    let unshare = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "sh", "-c", &script];
    let output = host.run(host.command("/usr/bin/unshare").args(unshare));
    assert_eq!(output.code, 125, "{}", output.stderr);
    let help = "  help: user namespaces are switched off here: sudo sysctl user.max_user_namespaces=10000";
    assert_eq!(output.stderr.lines().nth(1), Some(help), "{}", output.stderr);
}

/// The attack of step 1 that is over: to name a process of the host, one has to see it.
fn the_hosts_processes_are_out_of_reach(host: &Host) {
    let root = root(host);
    let ours = std::process::id();
    let output = step(host, &[root.to_str().unwrap(), "sh", "-c", &format!("kill -0 {ours}; kill -0 -1")]);
    assert_ne!(output.code, 0);
    assert!(output.stderr.contains("No such process"), "{}", output.stderr);
}

/// The attack that still works: the host's mounts are behind the chroot. Step 3 takes them away.
fn a_double_chroot_still_gets_out(host: &Host) {
    fs::write(host.path("canary"), "outside\n").unwrap();
    let (root, canary) = (root(host), host.path("canary"));
    let output = step(host, &[root.to_str().unwrap(), "probe", "double-chroot", canary.to_str().unwrap()]);
    assert_eq!(output.ok(), "outside\n");
}
