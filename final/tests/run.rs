//! `tara run`: what the program sees inside, compared with the view from outside; what stays, and what does not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, TARA, error};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use testkit::{BUSYBOX, Host, Need, until};

const NEWUIDMAP: Need = Need::Program("newuidmap", "uidmap");

testkit::suite! {
    ps_shows_pid_one_only: [BUSYBOX],
    every_namespace_is_new: [BUSYBOX],
    the_mounts_are_dockers: [Need::Root, BUSYBOX],
    exit_codes_are_dockers: [BUSYBOX],
    a_signal_to_tara_reaches_the_program: [BUSYBOX],
    a_file_of_one_container_is_not_in_the_next: [BUSYBOX],
    the_layers_are_the_same_after_fifty_runs: [BUSYBOX],
    two_containers_at_once_do_not_see_each_other: [BUSYBOX],
    nothing_stays_after_rm: [BUSYBOX],
    nothing_stays_after_a_failed_start: [BUSYBOX],
    without_rm_the_container_stays: [BUSYBOX],
    a_name_is_taken_once: [BUSYBOX],
    a_running_container_is_listed_and_removed_by_force: [BUSYBOX],
    the_environment_is_the_containers_own: [BUSYBOX],
    env_files_and_the_callers_variables: [BUSYBOX],
    the_working_directory_is_made: [BUSYBOX],
    the_user_is_the_images_or_the_asked_one: [Need::Root, BUSYBOX],
    hostname_is_the_id_or_the_asked_one: [BUSYBOX],
    volumes_reach_the_host: [BUSYBOX],
    a_missing_volume_is_made_as_docker_does: [BUSYBOX],
    mount_and_tmpfs: [BUSYBOX],
    a_read_only_root: [BUSYBOX],
    an_entrypoint_replaces_the_images: [BUSYBOX],
    init_is_pid_one: [BUSYBOX],
    standard_input_is_passed_on_only_with_i: [BUSYBOX],
    only_standard_descriptors_are_open: [BUSYBOX],
    loopback_is_up_and_alone: [BUSYBOX],
    the_hosts_network_on_request: [BUSYBOX],
    the_session_is_its_own: [BUSYBOX],
    it_may_use_every_processor: [BUSYBOX],
    mounts_do_not_appear_on_a_host_that_shares: [Need::Root, BUSYBOX],
    a_working_directory_outside_is_refused: [Need::Root, BUSYBOX],
    a_double_chroot_does_not_get_out: [Need::Root, BUSYBOX],
    tara_uses_little_memory: [BUSYBOX],
    an_ordinary_user_runs_containers: [Need::Root, BUSYBOX],
    where_user_namespaces_are_forbidden_the_switch_is_named: [BUSYBOX, Need::MachineOnly],
    an_ordinary_user_with_a_range_has_many_users: [Need::Root, BUSYBOX, NEWUIDMAP],
}

fn ps_shows_pid_one_only(host: &Host) {
    let engine = Engine::with_box(host);
    let text = engine.run(&[], &["ps", "aux"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("PID") && lines[1].trim_start().starts_with("1 "), "{text}");
    assert_eq!(engine.facts(&[]).pids, [1]);
}

fn every_namespace_is_new(host: &Host) {
    let inside = Engine::with_box(host).facts(&[]).namespaces;
    for name in ["pid", "mnt", "uts", "ipc", "net", "cgroup"] {
        let outside = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(inside[name], outside.to_str().unwrap(), "{name}");
    }
}

fn the_mounts_are_dockers(host: &Host) {
    let engine = Engine::with_box(host);
    let bare = ["/", "/proc", "/dev", "/dev/pts", "/sys", "/dev/mqueue", "/dev/shm"];
    let facts = engine.facts(&["--network", "host"]);
    let mounts = facts.mount_points();
    assert_eq!(mounts[..7], bare);
    // What is hidden or read-only, and the cgroups: `privileges.rs`, `resources.rs`.
    let hidden = |path: &&str| ["/proc/", "/sys/"].iter().any(|begin| path.starts_with(begin));
    let others: Vec<_> = mounts[7..].iter().copied().filter(|path| !hidden(path)).collect();
    assert_eq!(others, ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"]);
    assert!(engine.facts(&["--network", "none"]).mount_points()[7..].iter().all(hidden));
    assert!(facts.mount_at("/").unwrap().contains(" - overlay overlay rw,"), "{:?}", facts.mounts);
    assert!(facts.mount_at("/sys").unwrap().contains(" ro,nosuid,nodev,noexec,relatime - sysfs"), "{:?}", facts.mounts);
}

fn exit_codes_are_dockers(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.shell(&[], "exit 7").code, 7);
    assert_eq!(engine.shell(&["--init"], "kill -TERM $$").code, 143);
    assert_eq!(engine.shell(&[], "sh -c 'kill -KILL $$'; exit $?").code, 137);
    assert_eq!(engine.tara(&["run", "--rm", "--pull", "never", "nosuch"]).code, 125);
    assert_eq!(engine.tara(&["run", "--no-such-flag", "box"]).code, 125);
    assert_eq!(engine.run(&[], &["/etc/passwd"]).code, 126);
    assert_eq!(engine.run(&[], &["no-such-program"]).code, 127);
}

/// Starts `script`, which makes `/shared/ready` when it has begun.
fn start(engine: &Engine<'_>, options: &[&str], script: &str) -> std::process::Child {
    let shared = engine.host.folder("shared");
    let volume = format!("{}:/shared", shared.display());
    let arguments = [&["run", "-v", &volume], options, &["box", "sh", "-c", script]].concat();
    let child = engine.command(&arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    until("the script has begun", || shared.join("ready").exists().then_some(()));
    fs::remove_file(shared.join("ready")).unwrap();
    child
}

fn a_signal_to_tara_reaches_the_program(host: &Host) {
    let engine = Engine::with_box(host);
    let mut child = start(&engine, &["--rm"], "trap 'exit 9' TERM; touch /shared/ready; while :; do sleep 0.01; done");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
    let mut child = start(&engine, &["--rm", "--init"], "touch /shared/ready; exec sleep 100");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    engine.assert_clean();
}

fn a_file_of_one_container_is_not_in_the_next(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.shell(&[], "echo 1 > /mine && cat /mine").ok(), "1\n");
    assert_eq!(engine.shell(&[], "test -e /mine").code, 1);
}

/// Path to (mode, mtime in ns, content) of everything below `folder`.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        all.insert(path.clone(), (meta.mode(), meta.mtime() * 1_000_000_000 + meta.mtime_nsec(), content));
        if meta.is_dir() {
            all.extend(tree(&path));
        }
    }
    all
}

fn the_layers_are_the_same_after_fifty_runs(host: &Host) {
    let engine = Engine::with_box(host);
    let before = tree(&engine.root().join("layers"));
    for _ in 0..50 {
        engine.shell(&[], "rm -rf /etc /bin/ls; echo x >> /root/file; mkdir /bin/new; chmod 700 /tmp").ok();
    }
    assert!(before == tree(&engine.root().join("layers")), "the layers have changed");
    engine.assert_clean();
}

fn two_containers_at_once_do_not_see_each_other(host: &Host) {
    let engine = Engine::with_box(host);
    let mut child = start(
        &engine,
        &["--rm"],
        "echo secret > /mine; touch /shared/ready; while [ ! -e /shared/stop ]; do sleep 0.01; done",
    );
    let facts = engine.facts(&[]);
    assert!(!facts.root.contains(&"mine".to_owned()), "{:?}", facts.root);
    assert_eq!(facts.pids, [1]);
    fs::write(host.path("shared/stop"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn nothing_stays_after_rm(host: &Host) {
    let engine = Engine::with_box(host);
    engine.shell(&[], "echo x > /x; mkdir -p /a/b/c").ok();
    engine.shell(&["--name", "named"], "exit 3");
    engine.assert_clean();
}

fn nothing_stays_after_a_failed_start(host: &Host) {
    let engine = Engine::with_box(host);
    for arguments in [
        &["run", "box", "no-such-program"][..],
        &["run", "-u", "nobody-here", "box", "true"],
        &["run", "-v", "/etc:/bin/busybox/x", "box", "true"],
        &["run", "--hostname", "-no-", "box", "true"],
        &["run", "--tmpfs", "/t:colour", "box", "true"],
        &["run", "--tmpfs", "/t:size=never", "box", "true"],
        &["run", "-w", "relative", "box", "true"],
    ] {
        assert_ne!(engine.tara(arguments).code, 0, "{arguments:?}");
        engine.assert_clean();
    }
}

fn without_rm_the_container_stays(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.tara(&["run", "--name", "web", "box", "sh", "-c", "echo kept > /file; exit 3"]).code, 3);
    assert_eq!(engine.tara(&["ps"]).ok().lines().count(), 1);
    let line = engine.tara(&["ps", "-a"]).ok().lines().nth(1).unwrap().to_owned();
    assert!(line.contains("Exited (3) ") && line.ends_with("   web"), "{line}");
    let id = engine.tara(&["ps", "-aq", "--no-trunc"]).ok().trim().to_owned();
    assert_eq!(fs::read_to_string(engine.root().join("containers").join(&id).join("diff/file")).unwrap(), "kept\n");
    let inspected: serde_json::Value = serde_json::from_str(&engine.tara(&["inspect", "web"]).ok()).unwrap();
    assert_eq!(inspected[0]["State"]["ExitCode"], 3);
    assert_eq!(inspected[0]["Id"], id.as_str());
    engine.assert_consistent();
    assert_eq!(engine.tara(&["rm", &id[..6]]).ok(), format!("{}\n", &id[..6]));
    engine.assert_clean();
}

fn a_name_is_taken_once(host: &Host) {
    let engine = Engine::with_box(host);
    engine.tara(&["run", "--name", "web", "box", "true"]).ok();
    let output = engine.tara(&["run", "--name", "web", "box", "true"]);
    assert_eq!(output.code, 125);
    assert!(output.stderr.contains("the container name `web` is already in use by container `"), "{}", output.stderr);
    assert_eq!(engine.tara(&["ps", "-aq"]).ok().lines().count(), 1);
    engine.tara(&["rm", "web"]).ok();
    engine.tara(&["run", "--rm", "--name", "web", "box", "true"]).ok();
    engine.assert_clean();
}

fn a_running_container_is_listed_and_removed_by_force(host: &Host) {
    let engine = Engine::with_box(host);
    let mut child = start(&engine, &["--name", "web"], "touch /shared/ready; sleep 100");
    let text = engine.tara(&["ps"]).ok();
    assert!(text.contains("   Up ") && text.contains("web"), "{text}");
    let inspected: serde_json::Value = serde_json::from_str(&engine.tara(&["inspect", "web"]).ok()).unwrap();
    let pid = inspected[0]["State"]["Pid"].as_i64().unwrap();
    let inside = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(inside.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1")), "{inside}");
    let refused = engine.tara(&["rm", "web"]);
    assert_eq!(error(&refused), (1, "error: cannot remove the running container `web`"));
    assert_eq!(engine.tara(&["system", "check"]).code, 0);
    assert_eq!(engine.tara(&["rm", "-f", "web"]).ok(), "web\n");
    assert_eq!(child.wait().unwrap().code(), Some(137));
    engine.assert_clean();
}

fn the_environment_is_the_containers_own(host: &Host) {
    let engine = Engine::with_box(host);
    let mut command = engine.command(&[
        "run",
        "--rm",
        "--hostname",
        "h",
        "-e",
        "A=b=c",
        "-e",
        "GIVEN",
        "-e",
        "ABSENT",
        "box",
        "probe",
        "facts",
    ]);
    let facts = host.run(command.env("SECRET", "1").env("GIVEN", "2")).facts();
    let expected = [("A", "b=c"), ("GIVEN", "2"), ("HOME", "/root"), ("HOSTNAME", "h"), ("PATH", common_path())];
    let expected: BTreeMap<String, String> = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(facts.environment, expected);
}

fn common_path() -> &'static str {
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

fn env_files_and_the_callers_variables(host: &Host) {
    let engine = Engine::with_box(host);
    let file = host.path("env");
    fs::write(&file, "# a comment\n\nONE=1\n  TWO=2 2\nTHREE=3\n").unwrap();
    let facts = engine.facts(&["--env-file", file.to_str().unwrap(), "-e", "THREE=drei"]);
    assert_eq!(facts.environment["ONE"], "1");
    assert_eq!(facts.environment["TWO"], "2 2");
    assert_eq!(facts.environment["THREE"], "drei");
    let output = engine.run(&["--env-file", "/no/such"], &["true"]);
    assert_eq!(error(&output), (125, "error: cannot read the env file `/no/such`"));
}

fn the_working_directory_is_made(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.facts(&[]).cwd, "/");
    assert_eq!(engine.facts(&["-w", "/very/new"]).cwd, "/very/new");
    assert_eq!(engine.run(&["-w", "relative"], &["true"]).code, 125);
}

fn the_user_is_the_images_or_the_asked_one(host: &Host) {
    let root = host.busybox_root("box");
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nann:x:1000:\naudio:x:63:ann\n").unwrap();
    let engine = Engine::with_box(host);
    let who = |options: &[&str]| {
        let facts = engine.facts(options);
        (facts.uid, facts.gid, facts.groups, facts.environment["HOME"].clone())
    };
    assert_eq!(who(&[]), (0, 0, vec![0], "/root".to_owned()));
    assert_eq!(who(&["-u", "ann"]), (1000, 1000, vec![63, 1000], "/home/ann".to_owned()));
    assert_eq!(who(&["-u", "7:audio"]), (7, 63, vec![63], "/".to_owned()));
    let output = engine.run(&["-u", "bob"], &["true"]);
    assert_eq!(output.code, 125);
    assert!(output.stderr.contains("user `bob` is not in the image's /etc/passwd"), "{}", output.stderr);
    assert!(engine.run(&["-u", "+0"], &["true"]).stderr.contains("`+0` is no user"));
}

fn hostname_is_the_id_or_the_asked_one(host: &Host) {
    let engine = Engine::with_box(host);
    let before = nix::unistd::gethostname().unwrap();
    assert_eq!(engine.facts(&["--hostname", "web"]).hostname, "web");
    let own = engine.facts(&[]).hostname;
    assert!(own.len() == 12 && own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{own}");
    assert_eq!(nix::unistd::gethostname().unwrap(), before);
}

fn volumes_reach_the_host(host: &Host) {
    let engine = Engine::with_box(host);
    let data = host.folder("data");
    let volume = format!("{}:/data", data.display());
    engine.shell(&["-v", &volume], "echo kept > /data/file").ok();
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "kept\n");
    let output = engine.shell(&["-v", &format!("{volume}:ro")], "cat /data/file; echo no > /data/file");
    assert_eq!((output.code, output.stdout.as_str()), (1, "kept\n"));
    assert!(output.stderr.contains("Read-only file system"), "{}", output.stderr);
}

fn a_missing_volume_is_made_as_docker_does(host: &Host) {
    let engine = Engine::with_box(host);
    let missing = host.path("missing/deep");
    engine.shell(&["-v", &format!("{}:/data", missing.display())], "touch /data/x").ok();
    assert!(missing.join("x").exists());
    engine.run(&["-v", "named:/data"], &["true"]).ok();
    assert_eq!(engine.tara(&["volume", "rm", "named"]).ok(), "named\n");
    let output = engine.run(&["--mount", "type=bind,src=/no/such,dst=/data"], &["true"]);
    assert!(
        output.stderr.contains("find the volume `/no/such`: no such file or directory (ENOENT)"),
        "{}",
        output.stderr
    );
}

fn mount_and_tmpfs(host: &Host) {
    let engine = Engine::with_box(host);
    let data = host.folder("data");
    let mount = format!("type=bind,src={},dst=/data,readonly", data.display());
    let script = "mount | grep -E ' /(data|t|dev/shm) '; echo x > /t/x && cat /t/x; touch /data/y";
    let output = engine.shell(&["--mount", &mount, "--tmpfs", "/t:size=1m", "--tmpfs", "/dev/shm:size=2m"], script);
    assert!(
        output.stdout.contains("tmpfs on /t type tmpfs (rw,nosuid,nodev,noexec,relatime,size=1024k"),
        "{}",
        output.stdout
    );
    assert!(
        output.stdout.contains("tmpfs on /dev/shm type tmpfs (rw,nosuid,nodev,noexec,relatime,size=2048k"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.ends_with("x\n") && output.stderr.contains("/data/y: Read-only file system"), "{output:?}");
}

fn a_read_only_root(host: &Host) {
    let output = Engine::with_box(host).shell(&["--read-only"], "touch /dev/shm/ok && touch /no");
    assert!(output.stderr.contains("/no: Read-only file system"), "{}", output.stderr);
}

fn an_entrypoint_replaces_the_images(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.run(&["--entrypoint", "echo"], &["a", "b"]).ok(), "a b\n");
}

fn init_is_pid_one(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.facts(&["--init"]).pid, 2);
    assert_eq!(engine.run(&["--init"], &["probe", "orphans"]).ok(), "0\n");
    assert_eq!(engine.run(&[], &["probe", "orphans"]).ok(), "1\n");
    assert_eq!(engine.run(&["--init"], &["no-such-program"]).code, 127);
    engine.assert_clean();
}

fn standard_input_is_passed_on_only_with_i(host: &Host) {
    let engine = Engine::with_box(host);
    let typed = host.path("typed");
    fs::write(&typed, "typed\n").unwrap();
    let read = |options: &[&str]| {
        let mut command = engine.command(&[&["run", "--rm"], options, &["box", "cat"]].concat());
        let output = command.stdin(fs::File::open(&typed).unwrap()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(read(&["-i"]), "typed\n");
    assert_eq!(read(&[]), "");
}

fn only_standard_descriptors_are_open(host: &Host) {
    let engine = Engine::with_box(host);
    let (root, run) = (engine.root(), engine.run_root());
    for init in ["", "--init"] {
        let tara = format!("{TARA} --root {} --run-root {} run --rm {init} box", root.display(), run.display());
        // No pipe in it: a shell that makes one holds its ends for a moment.
        let script =
            format!("exec 7</; exec 8</etc/passwd; exec {tara} sh -c 'for p in 1 $$; do ls /proc/$p/fd; done'");
        let text = host.run(host.command("/bin/sh").args(["-c", &script])).ok();
        assert_eq!(text, "0\n1\n2\n0\n1\n2\n", "{init}");
    }
}

fn loopback_is_up_and_alone(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.facts(&["--network", "none"]).links, ["lo"]);
    engine.shell(&["--network", "none"], "ping -c 1 -w 2 127.0.0.1 > /dev/null").ok();
}

fn the_hosts_network_on_request(host: &Host) {
    let inside = Engine::with_box(host).facts(&["--network", "host"]).namespaces;
    assert_eq!(inside["net"], fs::read_link("/proc/self/ns/net").unwrap().to_str().unwrap());
}

/// The network is made by a thread that is moved to another processor.
fn it_may_use_every_processor(host: &Host) {
    let engine = Engine::with_box(host);
    let line = |status: &str| status.lines().find(|line| line.starts_with("Cpus_allowed:")).unwrap().to_owned();
    let ours = line(&fs::read_to_string("/proc/self/status").unwrap());
    for _ in 0..20 {
        let status = engine.run(&["--network", "none"], &["cat", "/proc/self/status"]).ok();
        assert_eq!(line(&status), ours);
    }
}

fn the_session_is_its_own(host: &Host) {
    let facts = Engine::with_box(host).facts(&[]);
    assert_eq!((facts.session, facts.foreground_group), (1, -1));
    let masks = Engine::with_box(host).run(&[], &["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]).ok();
    assert_eq!(masks, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

fn mounts_do_not_appear_on_a_host_that_shares(host: &Host) {
    let engine = Engine::with_box(host);
    let all = |kind| mount(None::<&str>, "/", None::<&str>, kind | MsFlags::MS_REC, None::<&str>).unwrap();
    let lines = || fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    all(MsFlags::MS_SHARED);
    let before = lines();
    engine.shell(&["--cap-add", "SYS_ADMIN"], "mount -t tmpfs t /tmp").ok();
    let after = lines();
    all(MsFlags::MS_PRIVATE);
    assert_eq!(before, after);
}

/// CVE-2024-21626 and its kind: a working directory through a descriptor that was left open.
fn a_working_directory_outside_is_refused(host: &Host) {
    let engine = Engine::with_box(host);
    for number in 3..12 {
        let output = engine.run(&["-w", &format!("/proc/self/fd/{number}")], &["ls", "../.."]);
        assert_eq!((output.code, output.stdout.as_str()), (125, ""), "{number}: {}", output.stderr);
    }
    engine.assert_clean();
}

fn a_double_chroot_does_not_get_out(host: &Host) {
    let engine = Engine::with_box(host);
    let canary = host.path("canary");
    fs::write(&canary, "outside\n").unwrap();
    let output = engine.run(&[], &["probe", "double-chroot", canary.to_str().unwrap()]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{}", output.stderr);
}

fn tara_uses_little_memory(host: &Host) {
    let engine = Engine::with_box(host);
    let mut child = start(&engine, &["--rm"], "touch /shared/ready; while [ ! -e /shared/stop ]; do sleep 0.01; done");
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    fs::write(host.path("shared/stop"), "").unwrap();
    child.wait().unwrap();
    // Most of it are pages of the program's own file, and a debug build has three times as many.
    let bound = if cfg!(debug_assertions) { 24 } else { 8 };
    assert!(peak < bound * 1024, "{peak} kB");
}

fn as_user(host: &Host, arguments: &[&str]) -> testkit::Output {
    let run = host.folder("run-of-user");
    std::os::unix::fs::chown(&run, Some(1000), Some(1000)).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = host.command_as_user(TARA);
    command.env("XDG_RUNTIME_DIR", &run).args(arguments);
    host.run(&mut command)
}

fn an_ordinary_user_runs_containers(host: &Host) {
    let _nobody_has_a_range = host.replace_file("/etc/subuid", "");
    let text = as_user(
        host,
        &["run", "--rm", "demo", "sh", "-c", "id -u; ps > /p; wc -l < /p; echo x > /x; cat /x; ls -l /dev/null"],
    )
    .ok();
    assert!(text.starts_with("0\n3\nx\ncrw-rw-rw-"), "{text}");
    let info = as_user(host, &["info"]).ok();
    assert!(info.contains("Rootless: true") && info.contains("ManyUsers: false"), "{info}");
    assert_eq!(as_user(host, &["run", "--rm", "demo", "no-such-program"]).code, 127);
    assert_eq!(as_user(host, &["run", "--rm", "-u", "5", "demo", "true"]).code, 125);
    assert_eq!(as_user(host, &["run", "--rm", "--network", "host", "demo", "ls", "/sys"]).code, 0);
    as_user(host, &["run", "-d", "--name", "web", "demo", "sleep", "100"]).ok();
    assert_eq!(as_user(host, &["exec", "web", "sh", "-c", "id -u; readlink /proc/1/exe"]).ok(), "0\n/bin/busybox\n");
    as_user(host, &["rm", "-f", "web"]).ok();
    assert_eq!(as_user(host, &["system", "check"]).ok(), "nothing is left behind\n");
    assert_eq!(fs::read_dir(host.path("run-of-user/tara/containers")).unwrap().count(), 0);
}

fn an_ordinary_user_with_a_range_has_many_users(host: &Host) {
    let _known = host.replace_file("/etc/passwd", "root:x:0:0::/:/bin/sh\nstudent:x:1000:1000::/:/bin/sh\n");
    let _uids = host.replace_file("/etc/subuid", "student:100000:65536\n");
    let _gids = host.replace_file("/etc/subgid", "student:300000:65536\n");
    let text = as_user(host, &["run", "--rm", "-u", "5:7", "demo", "id"]).ok();
    assert!(text.starts_with("uid=5 gid=7"), "{text}");
    let text = as_user(host, &["run", "--rm", "demo", "sh", "-c", "touch /x; chown 9:9 /x; stat -c %u:%g /x"]).ok();
    assert_eq!(text, "9:9\n");
    assert_eq!(as_user(host, &["system", "check"]).ok(), "nothing is left behind\n");
}

/// In the machine, whose switch nobody else needs meanwhile.
fn where_user_namespaces_are_forbidden_the_switch_is_named(host: &Host) {
    const SWITCH: &str = "/proc/sys/user/max_user_namespaces";
    let before = fs::read_to_string(SWITCH).unwrap();
    fs::write(SWITCH, "0").unwrap();
    let output = as_user(host, &["run", "--rm", "demo", "true"]);
    fs::write(SWITCH, before).unwrap();
    assert_eq!(output.code, 125, "{output:?}");
    assert!(output.stderr.starts_with("error: cannot run containers as an ordinary user here\n"), "{output:?}");
    let help = "  help: user namespaces are switched off here: sudo sysctl user.max_user_namespaces=10000\n";
    assert!(output.stderr.ends_with(help), "{output:?}");
    assert_eq!(as_user(host, &["run", "--rm", "--network", "none", "demo", "true"]).code, 0);
}
