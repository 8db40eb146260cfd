//! A class of thirty: perfect, empty, wrong in all the ways of the catalogue, and hostile. Right points for all, nothing left.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{CLASS, GRADES, LAB, MINUTES, Own, STUDENT, UML, lab, ok, root, run};
use labs::catalogue::Lab;
use labs::starter::write_sources;
use labs::workspace::Workspace;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{BUSYBOX, Host, Need, until};

testkit::suite! {
    thirty_submissions_get_their_points_killed_and_resumed: [Need::Root, BUSYBOX, UML, MINUTES],
    what_cannot_run_here_is_no_zero: [Need::Root, BUSYBOX, MINUTES],
}

fn workspace() -> Workspace {
    Workspace { root: root(), mine: STUDENT.into() }
}

/// What a submission has to get: all, nothing, or a failure of these checks among others.
#[derive(Debug, Clone)]
enum Expected {
    Points(u64),
    Fails(String),
    Refused(&'static str),
}

struct Class<'h> {
    host: &'h Host,
    _own: Own,
    folder: PathBuf,
    lab: Lab,
    expected: BTreeMap<String, Expected>,
}

impl<'h> Class<'h> {
    fn new(host: &'h Host) -> Self {
        let lab = Lab::load(&workspace(), 1).unwrap();
        let own = Own::class();
        fs::create_dir(CLASS).unwrap();
        Self { host, _own: own, folder: CLASS.into(), lab, expected: BTreeMap::new() }
    }

    fn all(&self) -> u64 {
        u64::from(self.lab.checks().map(|(_, check)| check.points).sum::<u32>() + 1)
    }

    /// The solution, with changes to its files.
    fn add(&mut self, name: &str, expected: Expected, change: impl FnOnce(&Path)) {
        let folder = self.folder.join(name);
        write_sources(&workspace(), &self.lab, &folder, &|_| None).unwrap();
        change(&folder);
        self.expected.insert(name.to_owned(), expected);
    }

    fn add_catalogue(&mut self) {
        let lab = self.lab.clone();
        for wrong in &lab.wrongs {
            let folder = self.folder.join(&wrong.name);
            let body = |hole: &labs::holes::Hole| (hole.name == wrong.hole).then(|| wrong.body_for(hole));
            write_sources(&workspace(), &lab, &folder, &body).unwrap();
            self.expected.insert(wrong.name.clone(), Expected::Fails(wrong.caught_by.clone()));
        }
        for task in &lab.tasks {
            // Only this task done: its points, and that nothing stays.
            let folder = self.folder.join(format!("only-task-{}", task.number));
            let body = |hole: &labs::holes::Hole| (hole.task != task.number).then(|| lab.placeholder(hole));
            write_sources(&workspace(), &lab, &folder, &body).unwrap();
            let points = task.checks.iter().map(|check| u64::from(check.points)).sum::<u64>() + 1;
            self.expected.insert(format!("only-task-{}", task.number), Expected::Points(points));
        }
        let starter = self.folder.join("starter");
        write_sources(&workspace(), &lab, &starter, &|hole| Some(lab.placeholder(hole))).unwrap();
        self.expected.insert("starter".into(), Expected::Points(0));
    }

    fn add_honest(&mut self) {
        let all = self.all();
        self.add("perfect", Expected::Points(all), |_| {});
        self.add("packed", Expected::Points(all), |_| {});
        let packed = self.folder.join("packed");
        let tar = Command::new("tar")
            .arg("-C")
            .arg(&packed)
            .args(["-czf"])
            .arg(self.folder.join("packed.tar.gz"))
            .arg(".")
            .status();
        assert!(tar.unwrap().success());
        fs::remove_dir_all(packed).unwrap();
        self.add("nested", Expected::Points(all), |folder| {
            let (nested, aside) = (folder.join("my/step01"), folder.with_extension("aside"));
            fs::rename(folder, &aside).unwrap();
            fs::create_dir_all(nested.parent().unwrap()).unwrap();
            fs::rename(aside, nested).unwrap();
        });
        fs::create_dir_all(self.folder.join("empty")).unwrap();
        self.expected.insert("empty".into(), Expected::Refused("there is no `src/`"));
        self.add("does-not-compile", Expected::Refused("it does not compile"), |folder| {
            append(folder, "src/root.rs", "fn x( {")
        });
    }

    fn add_hostile(&mut self) {
        let all = self.all();
        self.add("edited-tests", Expected::Points(0), |folder| {
            fs::create_dir_all(folder.join("tests")).unwrap();
            fs::write(folder.join("tests/chroot.rs"), "fn main() {}").unwrap();
            in_main(folder, "std::process::exit(0)");
        });
        self.add("own-manifest-and-build-script", Expected::Points(all), |folder| {
            fs::write(folder.join("Cargo.toml"), "[package]\nname = \"evil\"\nbuild = \"build.rs\"").unwrap();
            fs::write(folder.join("build.rs"), "fn main() { std::fs::write(\"/run/testkit/evil\", \"\").unwrap() }")
                .unwrap();
            fs::create_dir_all(folder.join(".cargo")).unwrap();
            fs::write(folder.join(".cargo/config.toml"), "[build]\nrustc = \"/bin/false\"").unwrap();
        });
        self.add("source-is-a-link", Expected::Refused("there is no `src/`"), |folder| {
            fs::remove_dir_all(folder.join("src")).unwrap();
            std::os::unix::fs::symlink(root().join("step01-chroot/src"), folder.join("src")).unwrap();
        });
        self.add("progress-is-a-pipe", Expected::Points(all), |folder| {
            nix::unistd::mkfifo(&folder.join("progress.json"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        });
        self.add("progress-has-no-end", Expected::Points(all), |folder| {
            std::os::unix::fs::symlink("/dev/zero", folder.join("progress.json")).unwrap();
        });
        self.add("larger-than-all-memory", Expected::Refused("it is larger than 64 MiB"), |folder| {
            fs::File::create(folder.join("src/large")).unwrap().set_len(1 << 40).unwrap();
        });
        self.add("eats-the-memory", Expected::Fails("exit-status".into()), |folder| {
            in_main(folder, "let mut all = Vec::new(); loop { all.push(vec![1u8; 16 << 20]); }");
        });
        self.add("eats-the-memory-of-the-compiler", Expected::Refused("it "), |folder| {
            append(folder, "src/lib.rs", "pub static S: [u8; 1 << 44] = [1; 1 << 44];");
        });
        self.add("reads-the-grades", Expected::Points(0), |folder| {
            in_main(
                folder,
                &format!(
                    "if !std::fs::read_dir({GRADES:?}).is_ok_and(|all| all.count() > 0) {{ std::process::exit(77) }}"
                ),
            );
        });
        self.add("prints-results", Expected::Points(0), |folder| {
            in_main(folder, r#"for id in ["the_directory_becomes_the_root", "the_exit_status_is_passed_on"] {
                println!("{{\"name\":\"{id}\",\"passed\":true,\"why\":\"\",\"milliseconds\":1}}"); println!("test {id} ... ok"); }
                std::process::exit(0)"#);
        });
        self.add("fork-bomb", Expected::Fails("exit-status".into()), |folder| {
            in_main(folder, "loop { let _ = std::process::Command::new(\"/proc/self/exe\").spawn(); }");
        });
        self.add("fills-the-disk", Expected::Fails("exit-status".into()), |folder| {
            in_main(
                folder,
                r#"for place in ["/mnt", "/tmp", "/run", "/var/tmp", "/dev/shm", "/"] {
                let _ = std::fs::write(format!("{place}/big"), vec![1u8; 300 << 20]); } std::process::exit(1)"#,
            );
        });
        self.add("never-ends", Expected::Fails("exit-status".into()), |folder| {
            in_main(folder, "loop { std::thread::park(); }")
        });
        self.add("prints-for-ever", Expected::Fails("exit-status".into()), |folder| {
            in_main(folder, "loop { println!(\"{}\", \"x\".repeat(4096)); }")
        });
        self.add("kills-everybody", Expected::Fails("exit-status".into()), |folder| {
            in_main(folder, "nix::sys::signal::kill(nix::unistd::getppid(), nix::sys::signal::SIGKILL).ok(); \
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), nix::sys::signal::SIGKILL).ok(); std::process::exit(0)");
        });
        self.add("removes-everything", Expected::Fails("exit-status".into()), |folder| {
            in_main(folder, "for place in [\"/work\", \"/mnt\", \"/run\", \"/tmp\", \"/home\", \"/usr\"] { let _ = std::fs::remove_dir_all(place); } std::process::exit(1)");
        });
        self.add("compiles-for-ever", Expected::Refused("it "), |folder| {
            append(folder, "src/lib.rs", "#[allow(long_running_const_eval)]\npub const N: u64 = { let mut n = 0u64; while n < u64::MAX { n += 1; } n };");
        });
        self.add("reads-the-graders-secrets", Expected::Refused("it does not compile"), |folder| {
            append(folder, "src/lib.rs", "pub const S: &str = include_str!(\"/etc/shadow\");");
        });
    }

    fn grade(&self, more: &[&str]) -> Command {
        let mut command = lab(self.host, &["--json", "grade", "--lab", "1", "--time-limit", "170"]);
        command.args(more).arg(&self.folder).arg("--out").arg(GRADES);
        command
    }

    fn assert_expected(&self, result: &str) {
        let grades: Value = serde_json::from_str(result.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
        let grades = grades["grades"].as_array().unwrap();
        assert_eq!(grades.len(), self.expected.len());
        let mut wrong = Vec::new();
        for grade in grades {
            let name = grade["name"].as_str().unwrap();
            let failed = |id: &str| {
                grade["checks"].as_array().unwrap().iter().any(|check| check["id"] == id && check["passed"] == false)
            };
            let right = grade["broken"].is_null()
                && match &self.expected[name] {
                    Expected::Points(points) => grade["points"] == *points,
                    Expected::Fails(id) => failed(id),
                    Expected::Refused(why) => {
                        grade["points"] == 0 && grade["refused"].as_str().is_some_and(|said| said.starts_with(why))
                    }
                };
            if !right {
                wrong.push(format!("{name}: expected {:?}\n{grade:#}", self.expected[name]));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn append(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    let before = fs::read_to_string(&path).unwrap();
    fs::write(path, before + "\n" + text + "\n").unwrap();
}

/// The program does this first.
fn in_main(folder: &Path, code: &str) {
    let path = folder.join("src/main.rs");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        path,
        text.replacen(
            "fn main() -> ExitCode {\n",
            &format!("#[allow(unreachable_code)]\nfn main() -> ExitCode {{\n{code};\n"),
            1,
        ),
    )
    .unwrap();
}

/// The grader is killed after a third, goes on where it was, and all is as if nothing had happened.
fn thirty_submissions_get_their_points_killed_and_resumed(host: &Host) {
    let mut class = Class::new(host);
    class.add_honest();
    class.add_catalogue();
    class.add_hostile();
    assert!(class.expected.len() >= 30, "{}", class.expected.len());
    fs::write(host.path("roster.csv"), "name,id\nperfect,1\nabsent,2\n").unwrap();
    let begin = Instant::now();
    let before = kill_after(&class, class.expected.len() / 3);
    let exports = ["csv", "html", "junit"].map(|kind| host.path(&format!("grades.{kind}")));
    let mut command = class.grade(&["--roster", host.path("roster.csv").to_str().unwrap()]);
    for (kind, path) in ["--csv", "--html", "--junit"].iter().zip(&exports) {
        command.arg(kind).arg(path);
    }
    let result = ok(command.arg("--github").arg(host.path("github")));
    let processors = processor_time();
    eprintln!(
        "{} submissions, killed after {before}: {:?}, {processors:?} of processors",
        class.expected.len(),
        begin.elapsed()
    );
    // Five minutes of two cores, whatever else this machine does.
    assert!(processors < Duration::from_secs(600), "{processors:?}");
    class.expected.insert("absent".into(), Expected::Refused("nothing handed in"));
    class.assert_expected(&result);
    assert!(!host.path("evil").exists());
    let table = fs::read_to_string(&exports[0]).unwrap();
    assert!(table.contains(&format!("\"perfect\",{0},{0},\"graded\"", class.all())), "{table}");
    assert!(fs::read_to_string(&exports[1]).unwrap().contains("What fails most"));
    assert!(fs::read_to_string(&exports[2]).unwrap().contains("<testsuite name=\"perfect\">"));
    assert!(host.path("github/perfect.json").exists());
    // Once more: nothing is left to do, and one is done again when that is asked for.
    let time = |name: &str| fs::metadata(format!("{GRADES}/{name}.json")).unwrap().modified().unwrap();
    let (perfect, empty) = (time("perfect"), time("empty"));
    class.expected.remove("absent");
    class.assert_expected(&ok(&mut class.grade(&["--again", "empty"])));
    assert!(time("perfect") == perfect && time("empty") > empty);
}

/// Kills the grader when `count` submissions are graded. Its cells end with it.
fn kill_after(class: &Class<'_>, count: usize) -> usize {
    let done = || {
        let entries = fs::read_dir(GRADES).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json")).count()
    };
    let mut first = class.grade(&[]).stdout(Stdio::null()).spawn().unwrap();
    while done() < count && first.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    until("the cells have ended with the grader", || (processes_of(LAB) == 0).then_some(()));
    let before = done();
    assert!((count..class.expected.len()).contains(&before), "{before} were done");
    before
}

/// Of all processes that this one has started and waited for, with theirs.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let time = |value: TimeVal| Duration::from_millis(value.num_milliseconds().try_into().unwrap());
    time(usage.user_time()) + time(usage.system_time())
}

fn processes_of(program: &str) -> usize {
    let program = Path::new(program);
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program)).count()
}

/// In the bubble alone, checks that need root cannot run: the points that can be had are fewer.
fn what_cannot_run_here_is_no_zero(host: &Host) {
    let mut class = Class::new(host);
    let all = class.all();
    class.add("perfect", Expected::Points(all), |_| {});
    let (code, text) = run(&mut class.grade(&["--where", "bubble"]));
    assert_eq!(code, 0, "{text}");
    let grades: Value = serde_json::from_str(text.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    let grade = &grades["grades"][0];
    assert_eq!(grade["points"], grade["possible"]);
    assert!(grade["possible"].as_u64().unwrap() < all, "{grade:#}");
}
