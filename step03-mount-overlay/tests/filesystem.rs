//! What a file system of one's own is: writes stay above, the host stays out of sight, hostile roots stay inside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use step03_mount_overlay::{Layers, Overlay};
use testkit::{BUSYBOX, Facts, Host, Need, Output};

testkit::suite! {
    writes_stay_above_the_lower_directory: [Need::Root, BUSYBOX, Need::Machine],
    two_runs_do_not_see_each_other: [Need::Root, BUSYBOX],
    nothing_stays_after_a_run: [Need::Root, BUSYBOX],
    the_mounts_are_its_own: [Need::Root, BUSYBOX],
    the_devices_work: [Need::Root, BUSYBOX],
    sys_is_read_only: [Need::Root, BUSYBOX],
    shared_memory_and_terminals_are_its_own: [Need::Root, BUSYBOX],
    a_volume_reaches_the_host: [Need::Root, BUSYBOX],
    a_read_only_volume_is_read_only_all_the_way_down: [Need::Root, BUSYBOX],
    a_single_file_is_a_volume_too: [Need::Root, BUSYBOX],
    a_missing_volume_is_named: [Need::Root, BUSYBOX],
    a_tmpfs_has_its_size: [Need::Root, BUSYBOX],
    a_read_only_root_is_read_only: [Need::Root, BUSYBOX],
    many_layers_work: [Need::Root, BUSYBOX],
    many_layers_work_as_before_linux_6_5: [Need::Root, BUSYBOX, Need::Machine],
    odd_and_long_paths_work: [Need::Root, BUSYBOX, Need::Machine],
    the_kernels_words_explain_a_refused_overlay: [Need::Root, BUSYBOX],
    mounts_do_not_appear_on_a_host_that_shares: [Need::Root, BUSYBOX],
    mounts_on_a_volume_do_not_appear_on_the_host: [Need::Root, BUSYBOX],
    a_proc_that_is_a_link_is_refused: [Need::Root, BUSYBOX],
    a_dev_that_is_a_link_out_stays_inside: [Need::Root, BUSYBOX],
    a_mount_point_through_a_link_stays_inside: [Need::Root, BUSYBOX],
    the_callers_umask_does_not_matter: [Need::Root, BUSYBOX],
    exec_errors_keep_their_exit_codes: [Need::Root, BUSYBOX],
    a_double_chroot_does_not_get_out: [Need::Root, BUSYBOX],
    a_descriptor_of_the_host_does_not_get_in: [Need::Root, BUSYBOX],
    the_hosts_links_are_still_in_sight: [Need::Root, BUSYBOX],
}

const STEP: &str = env!("CARGO_BIN_EXE_step03-mount-overlay");

fn step(host: &Host, options: &[&str], root: &Path, program: &[&str]) -> Output {
    host.run(host.command(STEP).arg("run").args(options).arg(root).args(program))
}

fn shell(host: &Host, options: &[&str], script: &str) -> Output {
    step(host, options, &host.busybox_root("rootfs"), &["sh", "-c", script])
}

fn facts(host: &Host) -> Facts {
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    step(host, &[], &root, &["probe", "facts"]).facts()
}

fn error(output: &Output) -> (i32, &str) {
    (output.code, output.stderr.lines().next().unwrap_or_default())
}

/// Path to (mode, size, mtime in ns, content) of everything below `folder`.
type Tree = BTreeMap<PathBuf, (u32, u64, i64, Vec<u8>)>;

fn tree(folder: &Path) -> Tree {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let modified = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
        all.insert(path.clone(), (meta.mode(), meta.len(), modified, content));
        if meta.is_dir() {
            all.extend(tree(&path));
        }
    }
    all
}

fn writes_stay_above_the_lower_directory(host: &Host) {
    let before = tree(&host.busybox_root("rootfs"));
    let script =
        "echo new > /new && echo more >> /etc/passwd && rm /bin/ls && mkdir /bin/ls && chmod 700 /tmp && cat /new";
    assert_eq!(shell(host, &[], script).ok(), "new\n");
    assert!(before == tree(&host.busybox_root("rootfs")), "the lower directory has changed");
}

fn two_runs_do_not_see_each_other(host: &Host) {
    assert_eq!(shell(host, &[], "echo 1 > /mine; test -e /mine").code, 0);
    assert_eq!(shell(host, &[], "test -e /mine").code, 1);
}

fn nothing_stays_after_a_run(host: &Host) {
    shell(host, &[], "mkdir -p /a/b && rm -rf /etc && touch /a/b/c").ok();
    shell(host, &[], "exit 3");
    step(host, &[], &host.busybox_root("rootfs"), &["no-such-program"]);
    assert_eq!(fs::read_dir(host.folder("tmp")).unwrap().count(), 0);
}

fn the_mounts_are_its_own(host: &Host) {
    let facts = facts(host);
    let points = ["/", "/proc", "/dev", "/dev/pts", "/sys", "/dev/mqueue", "/dev/shm"];
    assert_eq!(facts.mount_points(), points);
    assert!(facts.mount_at("/").unwrap().contains(" - overlay overlay rw,"), "{:?}", facts.mounts);
    assert_eq!(facts.pids, [1]);
    assert_eq!(facts.cwd, "/");
}

fn the_devices_work(host: &Host) {
    let script = "set -e; cd /dev; echo x > null; head -c 2 zero | od -An -tx1; \
         [ $(head -c 8 urandom | wc -c) = 8 ]; [ $(head -c 8 random | wc -c) = 8 ]; ! echo x > full; \
         echo through | cat /dev/fd/0; stat -c '%F %t:%T %a' null full tty; for l in fd stdin stdout stderr ptmx; do readlink $l; done";
    let output = shell(host, &[], script);
    assert!(output.stderr.contains("No space left on device"), "{}", output.stderr);
    let char = "character special file";
    let expected = format!(
        " 00 00\nthrough\n{char} 1:3 666\n{char} 1:7 666\n{char} 5:0 666\n\
         /proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n"
    );
    assert_eq!(output.ok(), expected);
}

fn sys_is_read_only(host: &Host) {
    let output = shell(host, &[], "ls /sys/kernel > /dev/null && echo 1 > /sys/kernel/mm/ksm/run");
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("Read-only file system"), "{}", output.stderr);
}

fn shared_memory_and_terminals_are_its_own(host: &Host) {
    fs::write("/dev/shm/testkit-canary", "").ok();
    let output = shell(host, &[], "ls -A /dev/shm /dev/pts /dev/mqueue; touch /dev/shm/x; stat -c %a /dev/shm");
    fs::remove_file("/dev/shm/testkit-canary").ok();
    assert_eq!(output.ok(), "/dev/mqueue:\n\n/dev/pts:\nptmx\n\n/dev/shm:\n1777\n");
}

fn a_volume_reaches_the_host(host: &Host) {
    let data = host.folder("data");
    let volume = format!("{}:/very/new/place", data.display());
    shell(host, &["-v", &volume], "echo kept > /very/new/place/file").ok();
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "kept\n");
}

fn a_read_only_volume_is_read_only_all_the_way_down(host: &Host) {
    let data = host.folder("data");
    let below = host.folder("data/below");
    mount(Some("below"), &below, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let volume = format!("{}:/data:ro", data.display());
    let output = shell(host, &["-v", &volume], "touch /data/a; touch /data/below/b; mount -o remount,rw,bind /data");
    umount2(&below, MntFlags::MNT_DETACH).unwrap();
    assert_eq!(output.stderr.matches("Read-only file system").count(), 2, "{}", output.stderr);
}

fn a_single_file_is_a_volume_too(host: &Host) {
    let file = host.path("file");
    fs::write(&file, "of the host\n").unwrap();
    let volume = format!("{}:/etc/deep/file:ro", file.display());
    assert_eq!(shell(host, &["-v", &volume], "cat /etc/deep/file").ok(), "of the host\n");
}

fn a_missing_volume_is_named(host: &Host) {
    let output = shell(host, &["-v", "/no/such:/data"], "true");
    assert_eq!(error(&output), (125, "error: find the volume `/no/such`: no such file or directory (ENOENT)"));
    let output = shell(host, &["-v", "data:/data"], "true");
    assert_eq!(error(&output), (125, "error: `data:/data` is no volume"));
}

fn a_tmpfs_has_its_size(host: &Host) {
    let output =
        shell(host, &["--tmpfs", "/t:size=64k"], "dd if=/dev/zero of=/t/x bs=1k count=100 2>&1; mount | tail -1");
    let text = output.ok();
    assert!(text.contains("No space left on device"), "{text}");
    assert!(text.contains("tmpfs on /t type tmpfs (rw,nosuid,nodev,noexec,relatime,size=64k)"), "{text}");
}

fn a_read_only_root_is_read_only(host: &Host) {
    let script = "touch /x; touch /tmp/y && touch /dev/shm/z && echo writable";
    let output = shell(host, &["--read-only", "--tmpfs", "/tmp"], script);
    assert!(output.stderr.contains("/x: Read-only file system"), "{}", output.stderr);
    assert_eq!(output.ok(), "writable\n");
}

fn layers(host: &Host, count: usize) -> Vec<PathBuf> {
    let make = |index: usize| {
        let layer = host.folder(&format!("layer-{index}"));
        fs::write(layer.join(format!("of-{index}")), "").unwrap();
        fs::write(layer.join("top"), index.to_string()).unwrap();
        layer
    };
    (0..count).map(make).collect()
}

fn many_layers_work(host: &Host) {
    let root = host.busybox_root("rootfs");
    let layers = layers(host, 126);
    let mut options = Vec::new();
    for layer in &layers {
        options.extend(["--lower", layer.to_str().unwrap()]);
    }
    let script = "cat /top; ls / | grep -c ^of-; mount | head -1";
    let text = step(host, &options, &root, &["sh", "-c", script]).ok();
    assert!(text.starts_with("0126\noverlay on / type overlay (rw,"), "{text}");
}

fn many_layers_work_as_before_linux_6_5(host: &Host) {
    let (upper, work) = (host.folder("scratch/diff"), host.folder("scratch/work"));
    let entries = |count| {
        let lower = layers(host, count);
        let layers = Layers { lower: &lower, upper: &upper, work: &work, volatile: false, userxattr: false };
        let overlay = Overlay::prepare_as_before_6_5(&layers, &host.path("scratch"))?;
        let mut dir =
            nix::dir::Dir::openat(overlay.as_fd(), ".", nix::fcntl::OFlag::O_RDONLY, nix::sys::stat::Mode::empty())
                .unwrap();
        let names = dir.iter().flatten().filter(|entry| entry.file_name().to_bytes().starts_with(b"of-")).count();
        Ok::<_, step03_mount_overlay::Error>(names)
    };
    let here = std::env::current_dir().unwrap();
    assert_eq!(entries(70).unwrap(), 70);
    assert_eq!(std::env::current_dir().unwrap(), here);
    let refused = entries(127).unwrap_err();
    assert_eq!(refused.help(), Some("more than 80 layers need Linux 6.5 or newer"));
}

fn odd_and_long_paths_work(host: &Host) {
    for name in ["a:b,c\\d e=f", &["long"; 40].join("-"), &format!("{0}/{0}", "x".repeat(200))] {
        let root = host.busybox_root(&format!("{name}/rootfs"));
        let scratch = host.folder(&format!("{name}/tmp"));
        let mut command = host.command(STEP);
        command.env("TMPDIR", &scratch).arg("run").arg(&root).args(["sh", "-c", "echo x > /x; cat /x"]);
        assert_eq!(host.run(&mut command).ok(), "x\n", "{name}");
    }
}

fn the_kernels_words_explain_a_refused_overlay(host: &Host) {
    let root = host.busybox_root("rootfs");
    let sysfs = host.folder("sysfs");
    mount(Some("overlay"), &sysfs, Some("overlay"), MsFlags::empty(), Some(overlay_options(host).as_str())).unwrap();
    let output = host.run(host.command(STEP).env("TMPDIR", &sysfs).arg("run").arg(&root).arg("true"));
    umount2(&sysfs, MntFlags::MNT_DETACH).unwrap();
    assert_eq!(output.code, 125);
    let lines: Vec<&str> = output.stderr.lines().collect();
    assert!(lines[0].ends_with("/diff`: invalid argument (EINVAL)"), "{lines:?}");
    assert!(lines[1].starts_with("  kernel: overlay: "), "{lines:?}");
    assert!(lines[2].starts_with("  help: the upper directory must be on ext4, xfs, btrfs or tmpfs"), "{lines:?}");
}

fn overlay_options(host: &Host) -> String {
    let [lower, upper, work] = ["o/lower", "o/upper", "o/work"].map(|name| host.folder(name));
    format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display())
}

/// As systemd leaves a host: each mount in a namespace is copied to all others.
fn with_shared_mounts<T>(body: impl FnOnce() -> T) -> T {
    let all = |kind| mount(None::<&str>, "/", None::<&str>, kind | MsFlags::MS_REC, None::<&str>).unwrap();
    all(MsFlags::MS_SHARED);
    let result = body();
    all(MsFlags::MS_PRIVATE);
    result
}

fn mounts_do_not_appear_on_a_host_that_shares(host: &Host) {
    let lines = || fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let (before, after) = with_shared_mounts(|| {
        let before = lines();
        shell(host, &[], "mount -t tmpfs t /tmp && mount -t tmpfs t /etc").ok();
        (before, lines())
    });
    assert_eq!(before, after);
}

fn mounts_on_a_volume_do_not_appear_on_the_host(host: &Host) {
    let data = host.folder("data/below");
    let volume = format!("{}:/data", host.path("data").display());
    with_shared_mounts(|| {
        shell(host, &["-v", &volume], "mount -t tmpfs t /data/below && touch /data/below/inside").ok();
    });
    assert_eq!(fs::read_dir(data).unwrap().count(), 0);
}

fn a_proc_that_is_a_link_is_refused(host: &Host) {
    let root = host.busybox_root("rootfs");
    fs::remove_dir(root.join("proc")).unwrap();
    symlink("/etc", root.join("proc")).unwrap();
    let output = step(host, &[], &root, &["true"]);
    let message = "error: open the mount point `/proc`: too many symbolic links encountered (ELOOP)";
    assert_eq!(error(&output), (125, message));
}

fn a_dev_that_is_a_link_out_stays_inside(host: &Host) {
    let root = host.busybox_root("rootfs");
    fs::remove_dir(root.join("dev")).unwrap();
    let outside = host.folder("outside");
    symlink("../../../../../../../run/testkit/outside", root.join("dev")).unwrap();
    fs::create_dir_all(root.join("run/testkit/outside")).unwrap();
    let text = step(host, &[], &root, &["sh", "-c", "mount | grep ' type tmpfs' | head -1"]).ok();
    assert!(text.starts_with("tmpfs on /run/testkit/outside type tmpfs"), "{text}");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

fn a_mount_point_through_a_link_stays_inside(host: &Host) {
    let root = host.busybox_root("rootfs");
    let outside = host.folder("outside");
    symlink(&outside, root.join("way")).unwrap();
    fs::create_dir_all(root.join(outside.strip_prefix("/").unwrap())).unwrap();
    let volume = format!("{}:/way/deeper", host.folder("data").display());
    step(host, &["-v", &volume], &root, &["touch", "/way/deeper/x"]).ok();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(host.path("data/x").exists());
    // A link whose target is not there cannot be mounted on; nothing is made outside.
    fs::remove_dir_all(root.join("run")).unwrap();
    let output = step(host, &["-v", &volume], &root, &["true"]);
    assert_eq!(error(&output), (125, "error: make the mount point `/way`: file exists (EEXIST)"));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

fn the_callers_umask_does_not_matter(host: &Host) {
    let root = host.busybox_root("rootfs");
    fs::remove_dir(root.join("dev")).unwrap();
    let script = format!("umask 077; exec {STEP} run {} sh -c 'umask; stat -c %a /dev /dev/null'", root.display());
    assert_eq!(host.run(host.command("/bin/sh").args(["-c", &script])).ok(), "0022\n755\n666\n");
}

fn exec_errors_keep_their_exit_codes(host: &Host) {
    assert_eq!(step(host, &[], &host.busybox_root("rootfs"), &["no-such-program"]).code, 127);
    assert_eq!(step(host, &[], &host.busybox_root("rootfs"), &["/etc/passwd"]).code, 126);
    assert_eq!(shell(host, &[], "exit 7").code, 7);
    let output = step(host, &[], Path::new("/no/such/root"), &["true"]);
    assert_eq!(error(&output), (125, "error: root file system `/no/such/root` does not exist"));
}

/// The attack of steps 1 and 2 that is over: above the root there is nothing left to climb to.
fn a_double_chroot_does_not_get_out(host: &Host) {
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    let canary = host.path("canary");
    fs::write(&canary, "outside\n").unwrap();
    let output = step(host, &[], &root, &["probe", "double-chroot", canary.to_str().unwrap()]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{}", output.stderr);
    assert!(output.stderr.starts_with("still inside: /run/testkit/canary"), "{}", output.stderr);
}

fn a_descriptor_of_the_host_does_not_get_in(host: &Host) {
    let root = host.busybox_root("rootfs");
    host.add_probe(&root);
    let script = format!("exec 9</; exec {STEP} run {} probe facts", root.display());
    let facts = host.run(host.command("/bin/sh").args(["-c", &script])).facts();
    assert_eq!(facts.descriptors.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert_ne!(Pid::this().as_raw(), 1, "the fake host's PID 1 is not the test");
}

/// What this step leaves in sight; step 4 takes it away.
fn the_hosts_links_are_still_in_sight(host: &Host) {
    let ours = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(facts(host).namespaces["net"], ours.to_str().unwrap());
}
