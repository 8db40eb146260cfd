//! Logs: rotated and bounded, followed across files, and never in a program's way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Engine, error};
use nix::mount::{MsFlags, mount, umount};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;
use testkit::{BUSYBOX, Host, Need};

const MINUTES: Need = Need::Time(Duration::from_secs(120));

testkit::suite! {
    a_foreground_container_that_stays_has_a_log: [BUSYBOX],
    rotation_holds_the_size: [BUSYBOX],
    order_and_time_hold_across_files: [BUSYBOX],
    one_file_only: [BUSYBOX],
    a_hundred_megabytes_arrive_in_order: [BUSYBOX, MINUTES],
    following_crosses_rotations: [BUSYBOX],
    no_log_at_all: [BUSYBOX],
    a_full_disk_stops_no_program_and_is_said: [Need::Root, BUSYBOX],
    wrong_options_are_refused: [BUSYBOX],
}

fn run(engine: &Engine<'_>, options: &[&str], script: &str) {
    engine.tara(&[&["run", "-d", "--name", "web"], options, &["box", "sh", "-c", script]].concat()).ok();
}

/// The sizes of the log's files, the newest first.
fn sizes(engine: &Engine<'_>) -> Vec<u64> {
    let all: serde_json::Value = serde_json::from_str(&engine.tara(&["inspect", "web"]).ok()).unwrap();
    let path = all[0]["LogPath"].as_str().unwrap().to_owned();
    let name = |age: usize| if age == 0 { path.clone() } else { format!("{path}.{age}") };
    (0..).map_while(|age| fs::metadata(name(age)).ok()).map(|meta| meta.len()).collect()
}

fn a_foreground_container_that_stays_has_a_log(host: &Host) {
    let engine = Engine::with_box(host);
    assert_eq!(engine.tara(&["run", "--name", "web", "box", "echo", "hi"]).ok(), "hi\n");
    assert_eq!(engine.tara(&["logs", "web"]).ok(), "hi\n");
}

fn rotation_holds_the_size(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, &["--log-opt", "max-size=100k", "--log-opt", "max-file=3"], "seq 1 20000");
    engine.tara(&["wait", "web"]).ok();
    let sizes = sizes(&engine);
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size <= 100_000), "{sizes:?}");
    let kept = engine.tara(&["logs", "web"]).ok();
    let numbers: Vec<u32> = kept.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) && numbers.last() == Some(&20_000));
    engine.tara(&["rm", "web"]).ok();
    engine.assert_clean();
}

fn order_and_time_hold_across_files(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, &["--log-opt", "max-size=2k", "--log-opt", "max-file=50"], "seq 1 300; sleep 0.05; seq 301 600");
    engine.tara(&["wait", "web"]).ok();
    assert!(sizes(&engine).len() > 5);
    let stamped = engine.tara(&["logs", "-t", "web"]).ok();
    assert_eq!(stamped.lines().count(), 600);
    let times: Vec<&str> = stamped.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let later = engine.tara(&["logs", "--since", times[300], "web"]).ok();
    assert_eq!((later.lines().count(), later.lines().next()), (300, Some("301")));
    assert_eq!(engine.tara(&["logs", "--until", times[300], "web"]).ok().lines().count(), 300);
    assert_eq!(engine.tara(&["logs", "-n", "100", "web"]).ok().lines().next(), Some("501"));
}

fn one_file_only(host: &Host) {
    let engine = Engine::with_box(host);
    run(&engine, &["--log-opt", "max-size=10k", "--log-opt", "max-file=1"], "seq 1 5000");
    engine.tara(&["wait", "web"]).ok();
    assert_eq!(sizes(&engine).len(), 1);
    assert!(engine.tara(&["logs", "web"]).ok().ends_with("4999\n5000\n"));
}

/// Must show 2: at full speed, streams apart, and nobody reads meanwhile.
fn a_hundred_megabytes_arrive_in_order(host: &Host) {
    let engine = Engine::with_box(host);
    let disk = engine.root().join("containers");
    fs::create_dir_all(&disk).unwrap();
    mount(Some("disk"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=1g,mode=711")).unwrap();
    let script = "yes 0123456789012345678901234567890123456789012345678 | head -n 2000000 & seq 1 100000 >&2; wait";
    run(&engine, &["--log-opt", "max-size=-1"], script);
    assert_eq!(engine.tara(&["wait", "web"]).ok(), "0\n");
    let mut logs = engine.command(&["logs", "web"]);
    let mut logs = logs.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = logs.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut all = String::new();
        errors.read_to_string(&mut all).map(|_| all).unwrap()
    });
    let lines = BufReader::new(logs.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (mut count, mut wrong) = (0, 0);
    for line in lines {
        count += 1;
        wrong += u32::from(line != "0123456789012345678901234567890123456789012345678");
    }
    assert_eq!((count, wrong, logs.wait().unwrap().code()), (2_000_000, 0, Some(0)));
    let numbers: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(errors.join().unwrap() == numbers);
    engine.tara(&["rm", "web"]).ok();
    // The monitor has said its last, and may still be on its way out.
    testkit::until("nobody uses the disk", || umount(&disk).ok());
}

fn following_crosses_rotations(host: &Host) {
    let engine = Engine::with_box(host);
    let script = "for i in $(seq 1 40); do seq $i$((100)) $i$((199)); sleep 0.02; done";
    run(&engine, &["--log-opt", "max-size=20k", "--log-opt", "max-file=20"], script);
    let followed = engine.tara(&["logs", "-f", "web"]).ok();
    assert!(sizes(&engine).len() > 5);
    let expected: String = (1..=40).flat_map(|i| (100..200).map(move |j| format!("{i}{j}\n"))).collect();
    assert!(followed == expected, "{} of {} bytes", followed.len(), expected.len());
}

fn no_log_at_all(host: &Host) {
    let engine = Engine::with_box(host);
    let output = engine.tara(&["run", "--name", "web", "--log-driver", "none", "box", "echo", "hi"]);
    assert_eq!(output.ok(), "hi\n");
    assert_eq!(error(&engine.tara(&["logs", "web"])), (1, "error: container `web` has no log"));
}

fn a_full_disk_stops_no_program_and_is_said(host: &Host) {
    let engine = Engine::with_box(host);
    let disk = engine.root().join("containers");
    fs::create_dir_all(&disk).unwrap();
    mount(Some("disk"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=1m,mode=711")).unwrap();
    let script =
        "echo first; seq 1 300000; touch /shared/full; while [ ! -e /shared/go ]; do sleep 0.01; done; echo last";
    let shared = host.folder("shared");
    let volume = format!("{}:/shared", shared.display());
    fs::create_dir_all(&shared).unwrap();
    run(&engine, &["--log-opt", "max-size=-1", "-v", &volume], &format!("{script}; touch /shared/over"));
    testkit::until("the disk is full", || shared.join("full").exists().then_some(()));
    mount(None::<&str>, &disk, None::<&str>, MsFlags::MS_REMOUNT, Some("size=64m")).unwrap();
    fs::write(shared.join("go"), "").unwrap();
    assert_eq!(engine.tara(&["wait", "web"]).ok(), "0\n");
    let output = engine.tara(&["logs", "web"]);
    assert!(output.stdout.starts_with("first\n") && output.stdout.ends_with("\nlast\n"));
    assert!(output.stderr.contains("lines of output are lost: the log could not be written"), "{}", output.stderr);
    engine.tara(&["rm", "web"]).ok();
    // The monitor has said its last, and may still be on its way out.
    testkit::until("nobody uses the disk", || umount(&disk).ok());
}

fn wrong_options_are_refused(host: &Host) {
    let engine = Engine::with_box(host);
    let refused = |options: &[&str]| engine.tara(&[&["run"], options, &["box", "true"]].concat());
    assert_eq!(error(&refused(&["--log-driver", "x"])), (125, "error: the log driver `x` is unknown"));
    assert_eq!(error(&refused(&["--log-opt", "max-size=ten"])), (125, "error: `--log-opt max-size=ten`"));
    engine.assert_clean();
}
