//! The cards. Each says whether it got what it wanted, and what was seen.

use super::ring::Ring;
use super::target::Target;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Whether the attack got what it wanted (`None`: it cannot be made on this host), and what was seen.
pub(super) type Seen = (Option<bool>, String);

pub(super) struct Card {
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    /// The option of an engine without which it cannot be stopped.
    pub(super) needs: &'static str,
    pub(super) play: fn(&Ring<'_>) -> Seen,
}

pub(super) const ALL: [Card; 9] = [
    Card { name: "read-a-file", says: "read a file of the host by its path", needs: "", play: read_a_file },
    Card {
        name: "double-chroot",
        says: "change the root twice and climb to the host's files",
        needs: "",
        play: double_chroot,
    },
    Card { name: "kill-a-process", says: "kill a process of the host by its number", needs: "", play: kill_a_process },
    Card {
        name: "reach-loopback",
        says: "talk to what listens on the host's 127.0.0.1",
        needs: "",
        play: reach_loopback,
    },
    Card { name: "fork-bomb", says: "start 150 processes", needs: "--pids-limit", play: fork_bomb },
    Card { name: "memory-hog", says: "hold 96 MiB of memory", needs: "--memory", play: memory_hog },
    Card {
        name: "make-a-disk",
        says: "make a device file of the host's disk and read it",
        needs: "",
        play: make_a_disk,
    },
    Card {
        name: "write-a-sysctl",
        says: "write to the kernel's settings in /proc/sys",
        needs: "",
        play: write_a_sysctl,
    },
    Card {
        name: "layer-writes-outside",
        says: "unpack two layers: a link to a folder of the host, and a file below it",
        needs: "",
        play: layer_writes_outside,
    },
];

pub(super) fn find(name: &str) -> Option<&'static Card> {
    ALL.iter().find(|card| card.name == name)
}

/// The first line of what was said, for people.
fn said(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing").trim().to_owned()
}

fn canary(ring: &Ring<'_>) -> String {
    let path = ring.host.path("canary");
    fs::write(&path, "the host's own\n").expect("a file of the fake host");
    path.display().to_string()
}

fn read_a_file(ring: &Ring<'_>) -> Seen {
    let output = ring.run(&["cat", &canary(ring)]);
    let works = output.stdout == "the host's own\n";
    (Some(works), said(if works { &output.stdout } else { &output.stderr }))
}

fn double_chroot(ring: &Ring<'_>) -> Seen {
    let output = ring.run(&["probe", "double-chroot", &canary(ring)]);
    let works = output.stdout == "the host's own\n";
    (Some(works), said(if works { &output.stdout } else { &output.stderr }))
}

fn kill_a_process(ring: &Ring<'_>) -> Seen {
    let mut victim = Command::new("sleep").arg("100").stdin(Stdio::null()).spawn().expect("a process of the fake host");
    let output = ring.run(&["kill", "-9", &victim.id().to_string()]);
    let works = matches!(victim.try_wait(), Ok(Some(_))) || output.code == 0 && victim.wait().is_ok();
    let _ended_already = victim.kill();
    let _reaped_already = victim.wait();
    (Some(works), if works { "the process is dead".to_owned() } else { said(&output.stderr) })
}

fn reach_loopback(ring: &Ring<'_>) -> Seen {
    let up = ring.host.run(ring.host.command("/usr/bin/busybox").args(["ip", "link", "set", "lo", "up"]));
    assert_eq!(up.code, 0, "{}", up.stderr);
    let server = TcpListener::bind("127.0.0.1:8099").expect("a server on the fake host");
    std::thread::spawn(move || {
        for client in server.incoming().flatten() {
            let _gone_already = { client }.write_all(b"the host's secret\n");
        }
    });
    let output = ring.run(&["sh", "-c", "nc -w 2 127.0.0.1 8099 </dev/null"]);
    let works = output.stdout.contains("the host's secret");
    (Some(works), said(if works { &output.stdout } else { &output.stderr }))
}

fn fork_bomb(ring: &Ring<'_>) -> Seen {
    // Whoever cannot be started is not counted; a shell that may not fork ends.
    let script = "i=0; while [ $i -lt 150 ]; do sleep 20 & i=$((i+1)); echo $i; done; exit 0";
    let output = ring.run(&["sh", "-c", script]);
    let started = output.stdout.lines().last().unwrap_or("0").to_owned();
    (Some(started == "150"), format!("{started} processes; {}", said(&output.stderr)))
}

fn memory_hog(ring: &Ring<'_>) -> Seen {
    // tail keeps its last line, and there is only one.
    let output = ring.run(&["sh", "-c", "head -c 96m /dev/zero | tail -n 1 | wc -c"]);
    let held = output.stdout.trim().to_owned();
    (Some(held == "100663296"), format!("{held} bytes; {}", said(&output.stderr)))
}

fn make_a_disk(ring: &Ring<'_>) -> Seen {
    let table = fs::read_to_string("/proc/partitions").unwrap_or_default();
    let numbers = table.lines().skip(2).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    });
    let (major, minor) = numbers.unwrap_or_else(|| ("7".to_owned(), "0".to_owned()));
    // On some hosts root itself may not (a device cgroup, as in a container).
    let node = ring.host.path("disk");
    let by_hand = format!("mknod {0} b {major} {minor} && head -c 512 {0} > /dev/null", node.display());
    if ring.host.run(ring.host.command("/bin/sh").args(["-c", &by_hand])).code != 0 {
        return (None, format!("this host's own root may not read the disk {major}:{minor}"));
    }
    let script = format!("mknod /disk b {major} {minor} && dd if=/disk of=/dev/null bs=512 count=1 2>&1");
    let output = ring.run(&["sh", "-c", &script]);
    (Some(output.code == 0), said(&format!("{}{}", output.stderr, output.stdout)))
}

fn write_a_sysctl(ring: &Ring<'_>) -> Seen {
    // The value that it has: nothing changes. What counts is that it can be written.
    let output = ring.run(&["sh", "-c", "f=/proc/sys/vm/swappiness; v=$(cat $f); echo $v > $f && echo written"]);
    (Some(output.stdout.contains("written")), said(&format!("{}{}", output.stderr, output.stdout)))
}

/// What many scripts do with the layers of an image: `tar -x`, one after the other.
fn layer_writes_outside(ring: &Ring<'_>) -> Seen {
    let outside = ring.host.folder("outside");
    let script = format!(
        "set -e; cd {home}; mkdir -p one two/etc image root; ln -s {outside} one/etc; echo evil > two/etc/evil; \
         tar -cf image/1.tar -C one etc; tar -cf image/2.tar -C two etc/evil",
        home = ring.host.path("").display(),
        outside = outside.display(),
    );
    let made = ring.host.run(ring.host.command("/bin/sh").args(["-c", &script]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let output = if matches!(ring.target, Target::Step(_)) { untar(ring) } else { load(ring) };
    let works = outside.join("evil").exists();
    (Some(works), if works { format!("`{}` was written", outside.join("evil").display()) } else { said(&output) })
}

fn untar(ring: &Ring<'_>) -> String {
    let image = ring.host.path("image");
    let script = format!("tar -xf 1.tar -C {root}; tar -xf 2.tar -C {root}", root = ring.host.path("root").display());
    ring.host.run(ring.host.command("/bin/sh").args(["-c", &script]).current_dir(image)).stderr
}

/// As an archive in docker's form, which names each layer by the digest of its content.
fn load(ring: &Ring<'_>) -> String {
    let image = ring.host.path("image");
    let digest = |name: &str| {
        let output = ring.host.run(ring.host.command("/usr/bin/busybox").args(["sha256sum", name]).current_dir(&image));
        format!("sha256:{}", output.stdout.split(' ').next().unwrap_or_default())
    };
    let architecture = sys::arch::OCI_ARCHITECTURE;
    let diff_ids = [digest("1.tar"), digest("2.tar")];
    let config = serde_json::json!({ "architecture": architecture, "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": ["hostile:latest"], "Layers": ["1.tar", "2.tar"] }]);
    fs::write(image.join("config.json"), config.to_string()).expect("the image's configuration");
    fs::write(image.join("manifest.json"), manifest.to_string()).expect("the archive's manifest");
    let archive = ring.host.path("image.tar");
    let mut tar = ring.host.command("/bin/tar");
    tar.arg("-cf").arg(&archive).args(["manifest.json", "config.json", "1.tar", "2.tar"]).current_dir(&image);
    assert_eq!(ring.host.run(&mut tar).code, 0, "tar");
    ring.load(archive.to_str().unwrap_or_default(), "hostile")
}
