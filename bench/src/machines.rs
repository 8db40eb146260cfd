//! Virtual machines: a kernel of their own, and the same program as its init, which switches them off.

use crate::image;
use crate::stage::Stage;
use crate::startup::Field;
use crate::subject::{Group, Missing, Subject, find};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Debian package of a kernel for virtual machines.
const KERNEL: &str = "linux-image-cloud-amd64";

/// The folder that it is unpacked in, beside this program.
const CACHE: &str = "bench-kernel";

/// Adds those that boot here.
///
/// # Errors
/// When the stage has no room for them.
pub(crate) fn add(field: &mut Field, stage: &Stage) -> Result<()> {
    if field.wants("QEMU") {
        add_qemu(field, stage)?;
    }
    if field.wants("User-Mode Linux") {
        add_uml(field, stage)?;
    }
    Ok(())
}

fn add_qemu(field: &mut Field, stage: &Stage) -> Result<()> {
    let Some(qemu) = find("qemu-system-x86_64") else {
        field.lacks(Missing::program("QEMU", "qemu-system-x86"));
        return Ok(());
    };
    let Some(kernel) = vmlinuz(&stage.ours.join(CACHE)) else {
        field.lacks(Missing {
            name: "QEMU".to_owned(),
            why: format!("no kernel: Debian package {KERNEL} was not loaded"),
        });
        return Ok(());
    };
    let initramfs = initramfs(stage)?;
    for (name, machine) in [("microvm", "microvm"), ("q35", "q35")] {
        let subject = |accelerator: &str, limit| {
            let mut command = vec![qemu.clone().into_os_string()];
            let machine = format!("{machine},accel={accelerator}");
            let words = [
                "-machine",
                &machine,
                "-m",
                "128",
                "-smp",
                "1",
                "-nodefaults",
                "-no-user-config",
                "-display",
                "none",
                "-no-reboot",
                "-append",
                "quiet panic=-1 reboot=t init=/init rdinit=/init -- off",
                "-kernel",
            ];
            command.extend(words.map(OsString::from));
            command.extend([kernel.clone().into(), "-initrd".into(), initramfs.clone().into()]);
            let name = format!("QEMU {name}, {}", accelerator.to_uppercase());
            Subject::new::<OsString>(&name, Group::Machine, command).every(10).limit(limit)
        };
        // That /dev/kvm opens does not mean that a guest boots: only a guest that boots does.
        let kvm = subject("kvm", 10);
        match kvm.run() {
            Ok(_) => field.add(kvm.every(3)),
            Err(error) => field.lacks(Missing { name: kvm.name, why: format!("a guest does not boot: {error:#}") }),
        }
        field.add(subject("tcg", 120));
    }
    Ok(())
}

fn add_uml(field: &mut Field, stage: &Stage) -> Result<()> {
    if find("linux.uml").is_none() {
        field.lacks(Missing::program("User-Mode Linux", "user-mode-linux"));
        return Ok(());
    }
    let home = stage.folder("uml")?;
    // Its kernel comes with the shim that some processors need: the tests' machine has it.
    let machine = testkit::machine::Machine::default().command(&home, &stage.rootfs.join("bin/program"), &[]);
    let mut command: Vec<OsString> = vec!["env".into()];
    command.extend(machine.get_envs().filter_map(|(name, value)| {
        let mut word = name.to_owned();
        word.push("=");
        word.push(value?);
        Some(word)
    }));
    command.push(machine.get_program().to_owned());
    command.extend(machine.get_args().map(OsString::from));
    command.extend(["panic=-1", "--", "off"].map(OsString::from));
    field.add(Subject::new::<OsString>("User-Mode Linux", Group::Machine, command).every(10).limit(60));
    Ok(())
}

/// Loads the kernel of Debian's package for clouds into `ours`, unpacked and not installed. It is kept: it has 30 MB. On the host: the
/// stage has no network.
///
/// # Errors
/// Without apt; without a mirror.
pub(crate) fn fetch(ours: &Path) -> Result<()> {
    let cache = ours.join(CACHE);
    if find("qemu-system-x86_64").is_none() || vmlinuz(&cache).is_some() {
        return Ok(());
    }
    fs::create_dir_all(&cache)?;
    let depends = output(Command::new("apt-cache").args(["depends", KERNEL]))?;
    let package =
        depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).context("what it depends on")?;
    output(Command::new("apt-get").args(["download", package]).current_dir(&cache))?;
    let archive = files(&cache).into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let archive = archive.context("no package was loaded")?;
    output(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&cache))?;
    fs::remove_file(archive)?;
    Ok(())
}

fn vmlinuz(cache: &Path) -> Option<PathBuf> {
    files(&cache.join("boot"))
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}: {}", command.get_program().display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The root file system of the guest: `/init`. Source: Documentation/driver-api/early-userspace/buffer-format.rst, "newc".
fn initramfs(stage: &Stage) -> Result<PathBuf> {
    let path = stage.folder("images")?.join("initramfs");
    let mut archive = Vec::new();
    for (name, mode, content) in [
        ("init", 0o100_755, fs::read(stage.bin.join("program"))?),
        ("dev", 0o040_755, vec![]),
        ("TRAILER!!!", 0, vec![]),
    ] {
        image::cpio(&mut archive, name, mode, &content);
    }
    fs::write(&path, archive)?;
    Ok(path)
}
