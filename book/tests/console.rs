//! Every console block of every page, run and compared.
//!
//! A page is a test: all its blocks run in one shell on a fake host. What needs cgroup v2 is a second test of the page, in the
//! machine; what works on a lab is a third, with a student's folder of its own. `cargo book test --accept` writes what was printed into the pages.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use book::console::{Need, Transcript, complaint, run, transcripts};
use book::pages::{Page, pages};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use place::{OwnState, build_programs, programs, shell};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use testkit::{BUSYBOX, Host, Test};

const TIME: testkit::Need = testkit::Need::Time(Duration::from_secs(150));
/// The first check of a lab builds what its step stands on.
const MINUTES: testkit::Need = testkit::Need::Time(Duration::from_secs(900));
const UML: testkit::Need = testkit::Need::Program("linux.uml", "user-mode-linux");

/// A place where blocks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Here,
    Machine,
    Lab,
}

impl Place {
    /// What the name of a page's test ends in.
    fn suffix(self) -> &'static str {
        match self {
            Self::Here => "",
            Self::Machine => "_v2",
            Self::Lab => "_lab",
        }
    }
}

fn main() -> ExitCode {
    let is_runner = std::env::var_os("TESTKIT_STAGE").is_none();
    let pages = pages().expect("the book's pages");
    if is_runner {
        build_programs();
        count(&pages);
    }
    let mut tests: Vec<Test> = pages.iter().flat_map(tests_of).collect();
    tests.push(Test {
        name: "a_changed_behaviour_is_noticed",
        needs: &[BUSYBOX],
        body: a_changed_behaviour_is_noticed,
    });
    testkit::main(&tests)
}

/// A page's tests. The names and needs live as long as the program.
fn tests_of(page: &Page) -> Vec<Test> {
    let all = transcripts(page);
    let has = |need: Need| all.iter().any(|transcript| transcript.need == need);
    let mut tests = Vec::new();
    let name = page.name.clone().leak();
    if has(Need::Nothing) {
        tests.push(Test { name, needs: needs_of(&all, None), body: run_page });
    } else if has(Need::Root) {
        tests.push(Test { name, needs: needs_of(&all, Some(testkit::Need::Root)), body: run_page });
    }
    if has(Need::Machine) {
        let name = format!("{}{}", page.name, Place::Machine.suffix()).leak();
        tests.push(Test { name, needs: needs_of(&[], Some(testkit::Need::MachineOnly)), body: run_page });
    }
    if has(Need::Lab) {
        let name = format!("{}{}", page.name, Place::Lab.suffix()).leak();
        const NEEDS: &[testkit::Need] = &[testkit::Need::Root, BUSYBOX, UML, MINUTES];
        tests.push(Test { name, needs: NEEDS, body: run_page });
    }
    tests
}

/// The programs that the commands of a page name, with the packages that bring them.
fn needs_of(transcripts: &[Transcript], more: Option<testkit::Need>) -> &'static [testkit::Need] {
    const PROGRAMS: [(&str, &str); 8] = [
        ("ip", "iproute2"),
        ("nft", "nftables"),
        ("pgrep", "procps"),
        ("podman", "podman"),
        ("runc", "runc"),
        ("skopeo", "skopeo"),
        ("strace", "strace"),
        ("umoci", "umoci"),
    ];
    let commands = || transcripts.iter().flat_map(|transcript| &transcript.exchanges);
    let names = |program: &str| {
        let words =
            |command: &str| command.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == program);
        commands().any(|exchange| words(&exchange.command))
    };
    let programs = PROGRAMS.iter().filter(|(program, _)| names(program));
    let programs = programs.map(|(program, package)| testkit::Need::Program(program, package));
    [BUSYBOX, TIME].into_iter().chain(more).chain(programs).collect::<Vec<_>>().leak()
}

fn count(pages: &[Page]) {
    let all: Vec<Transcript> = pages.iter().flat_map(transcripts).collect();
    let of = |need| all.iter().filter(|transcript| transcript.need == need).count();
    let root = if nix::unistd::geteuid().is_root() { "run" } else { "not run: need root" };
    eprintln!(
        "console blocks: {} run, {} {root}, {} in the machine, {} in a lab",
        of(Need::Nothing),
        of(Need::Root),
        of(Need::Machine),
        of(Need::Lab)
    );
}

fn run_page(host: &Host) {
    let name = std::env::var("TESTKIT_TEST").unwrap();
    let of = |place: Place| Some((name.strip_suffix(place.suffix())?, place));
    let (name, place) = of(Place::Machine).or_else(|| of(Place::Lab)).unwrap_or((&name, Place::Here));
    let pages = pages().unwrap();
    let page = pages.iter().find(|page| page.name == name).unwrap();
    let complaints = complaints(host, &pages, page, place, None);
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Runs what of a page can run in a place; `first` is a folder of programs that come before the real ones.
fn complaints(host: &Host, pages: &[Page], page: &Page, place: Place, first: Option<&Path>) -> Vec<String> {
    let mine: Vec<Transcript> = transcripts(page).into_iter().filter(|block| runs(block.need, place)).collect();
    let others = pages.iter().filter(|other| other.name != page.name).flat_map(transcripts);
    let setup: Vec<Transcript> = others.filter(|block| block.setup && place != Place::Lab).collect();
    let all: Vec<Transcript> = setup.iter().cloned().chain(mine.iter().cloned()).collect();
    let now = if place == Place::Lab { run_in_lab(host, &all) } else { run_in_folder(host, &all, first) };
    let pairs = mine.iter().zip(&now[setup.len()..]);
    pairs.filter(|(was, now)| !was.agrees(now)).map(|(was, now)| complaint(page, was, now)).collect()
}

fn run_in_folder(host: &Host, all: &[Transcript], first: Option<&Path>) -> Vec<Transcript> {
    let work = host.folder("work");
    let _state = OwnState::mount(&work);
    let tmp = host.folder("tmp");
    let names = [(work.to_str().unwrap(), "/lab"), (tmp.to_str().unwrap(), "/tmp")];
    run(&mut shell(host, &work, first), all, &names).unwrap()
}

/// In the workshop, with a folder for the student. Not below `/run`: the fake hosts of the checks would cover it.
fn run_in_lab(host: &Host, all: &[Transcript]) -> Vec<Transcript> {
    mount(Some("students"), "/mnt", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let cargo = host.path("cargo");
    let real = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let lab = programs().join("lab");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = lab ] || exec {real} \"$@\"\nshift; exec {} --dir /mnt/student \"$@\"\n",
        lab.display()
    );
    std::fs::write(&cargo, text).unwrap();
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut shell = Command::new("bash");
    // When another cargo holds the cache, it says that it waits.
    shell.env("CARGO_TERM_QUIET", "true");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TESTKIT_")) {
        shell.env_remove(name);
    }
    let path = std::env::var("PATH").unwrap();
    shell.env("PATH", format!("{}:{path}", cargo.parent().unwrap().display())).env("NO_COLOR", "1");
    shell.env("RUST_BACKTRACE", "0").env("TMPDIR", host.folder("tmp")).current_dir(book::folder().parent().unwrap());
    let now = run(&mut shell, all, &[("/mnt/student", "my-labs")]).unwrap();
    umount2("/mnt", MntFlags::MNT_DETACH).unwrap();
    now
}

fn runs(need: Need, place: Place) -> bool {
    match need {
        Need::Nothing => place == Place::Here,
        // In a user namespace this test is root too; what it may do is another matter.
        Need::Root => place == Place::Here && is_real_root(),
        Need::Machine => place == Place::Machine,
        Need::Lab => place == Place::Lab,
    }
}

fn is_real_root() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").unwrap().split_ascii_whitespace().nth(2) == Some("4294967295")
}

/// The test of the test: a step that forgets to pass the exit status on.
fn a_changed_behaviour_is_noticed(host: &Host) {
    let text = "```console\n$ step01-chroot rootfs sh -c 'exit 7'; echo $?\n7\n```\n".to_owned();
    let page = Page { name: "page".to_owned(), path: "page.md".into(), text };
    let pages = pages().unwrap();
    assert_eq!(complaints(host, &pages, &page, Place::Here, None), Vec::<String>::new());

    let changed = host.folder("changed");
    let program = changed.join("step01-chroot");
    let text = format!("#!/bin/sh\n{}/step01-chroot \"$@\"\nexit 0\n", programs().display());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let complaints = complaints(host, &pages, &page, Place::Here, Some(&changed));
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].contains("\n$ step01-chroot rootfs sh -c 'exit 7'; echo $?\n0\n"), "{}", complaints[0]);
}
