//! Masked and read-only paths, in containers and in roots that were made to get around them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use step06_capabilities::MaskedPaths;
use testkit::{BUSYBOX, Host, Need};

testkit::suite! {
    masked_paths_are_empty_and_read_only_ones_stay: [Need::Root, BUSYBOX],
    files_and_folders_are_covered: [Need::Root],
    a_false_null_device_is_refused: [Need::Root],
    a_link_does_not_lead_out: [Need::Root],
    nothing_is_mounted_where_nothing_is: [Need::Root],
}

const STEP: &str = env!("CARGO_BIN_EXE_step06-capabilities");

fn masked_paths_are_empty_and_read_only_ones_stay(host: &Host) {
    let script = r#"
        for path in "$@"; do
            if [ -d $path ]; then [ -z "$(ls -A $path)" ] && ! touch $path/x 2> /dev/null || echo "seen: $path"
            elif [ -e $path ]; then [ -z "$(head -c 1 $path)" ] || echo "seen: $path"
            fi
        done
        for path in /proc/bus /proc/fs /proc/irq /proc/sys; do
            grep -q " $path proc ro," /proc/mounts || echo "writable: $path"
        done
        ls /proc/sys/kernel > /dev/null && ls -d /proc/self > /dev/null && echo x > /dev/null"#;
    let root = host.busybox_root("rootfs");
    let mut command = host.command(STEP);
    command.arg("run").arg(root).args(["sh", "-c", script, "sh"]).args(MaskedPaths::MASKED);
    assert_eq!(host.run(&mut command).ok(), "");
}

/// A root on a tmpfs of its own, so that one umount takes all masks with it.
struct Root(PathBuf);

impl Root {
    fn new(host: &Host) -> Self {
        let path = host.folder("root");
        mount(Some("root"), &path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        for folder in ["dev", "proc/folder/below", "proc/shown"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        fs::write(path.join("proc/file"), "secret").unwrap();
        fs::write(path.join("proc/other"), "secret").unwrap();
        Self(path)
    }

    fn null(self, major: u64, minor: u64) -> Self {
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&self.0.join("dev/null"), SFlag::S_IFCHR, mode, makedev(major, minor)).unwrap();
        self
    }

    fn cover(&self, masked: &[&str], read_only: &[&str]) -> Result<(), String> {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        let paths = MaskedPaths::prepare(&paths(masked), &paths(read_only)).unwrap();
        let root = fs::File::open(&self.0).unwrap();
        paths.enter(root.as_fd()).map_err(|failure| failure.to_string())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

fn files_and_folders_are_covered(host: &Host) {
    let root = Root::new(host).null(1, 3);
    root.cover(&["/proc/file", "/proc/folder", "/proc/other", "/proc/folder/below", "/no"], &["/proc/shown"]).unwrap();
    assert_eq!((root.read("proc/file"), root.read("proc/other")), (String::new(), String::new()));
    assert_eq!(fs::read_dir(root.0.join("proc/folder")).unwrap().count(), 0);
    for folder in ["proc/folder", "proc/shown"] {
        let error = fs::write(root.0.join(folder).join("x"), "").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(sys::Errno::EROFS as i32), "{folder}");
    }
}

/// CVE-2025-31133: an image's own `/dev/null`, bound over the path, made the masked file writable.
fn a_false_null_device_is_refused(host: &Host) {
    let refused = "find the null device at `/dev/null`: no such device (ENODEV)";
    let root = Root::new(host);
    let null = root.0.join("dev/null");
    assert!(root.cover(&["/proc/file"], &[]).unwrap_err().starts_with("open `/dev/null`"));
    fs::write(&null, "").unwrap();
    assert_eq!(root.cover(&["/proc/file"], &[]).unwrap_err(), refused);
    fs::remove_file(&null).unwrap();
    symlink("/proc/other", &null).unwrap();
    assert_eq!(root.cover(&["/proc/file"], &[]).unwrap_err(), refused);
    fs::remove_file(&null).unwrap();
    let root = root.null(1, 5);
    assert_eq!(root.cover(&["/proc/file"], &[]).unwrap_err(), refused);
    assert_eq!(root.read("proc/file"), "secret");
    // A folder's mask needs no device.
    root.cover(&["/proc/folder"], &["/proc/shown"]).unwrap();
}

fn a_link_does_not_lead_out(host: &Host) {
    let outside = host.folder("outside");
    fs::write(outside.join("file"), "of the host").unwrap();
    let root = Root::new(host).null(1, 3);
    symlink(&outside, root.0.join("way")).unwrap();
    symlink("/proc", root.0.join("proc2")).unwrap();
    // The first link leads to nothing below this root, the second to the root's own.
    root.cover(&["/way/file", "/proc2/file"], &["/way"]).unwrap();
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "of the host");
    assert!(fs::write(outside.join("new"), "").is_ok());
    assert_eq!(root.read("proc/file"), "");
}

fn nothing_is_mounted_where_nothing_is(host: &Host) {
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let root = Root::new(host);
    let before = mounts();
    // Neither is there, and a file on the way is as good as nothing.
    root.cover(&["/proc/no", "/proc/file/below"], &["/no/such/place"]).unwrap();
    assert_eq!(mounts(), before);
    assert!(Path::new(&root.0).exists());
}
