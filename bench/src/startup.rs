//! `bench startup`: from the start of a whole process to its exit, of a program that does nothing.

pub(crate) mod engines;
pub(crate) mod runtimes;

use crate::cgroup;
use crate::results::{Results, Row};
use crate::rounds::Rounds;
use crate::stage::Stage;
use crate::subject::{Group, Missing, Subject};
use crate::tara::Tara;
use anyhow::Result;
use std::ffi::OsString;
use std::path::Path;

/// The program in every root file system.
pub(crate) const PROGRAM: &str = "/bin/program";

/// Those that take part, and those that do not.
#[derive(Debug, Default)]
pub(crate) struct Field {
    pub(crate) subjects: Vec<Subject>,
    pub(crate) missing: Vec<Missing>,
    /// Words that choose: a subject whose name has none of them stays out. Empty: all take part.
    pub(crate) only: Vec<String>,
}

impl Field {
    /// Whether one of this name is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// One more, if it is wanted.
    pub(crate) fn add(&mut self, subject: Subject) {
        if self.wants(&subject.name) {
            self.subjects.push(subject);
        }
    }

    /// One that is not here.
    pub(crate) fn lacks(&mut self, missing: Missing) {
        if self.wants(&missing.name) {
            self.missing.push(missing);
        }
    }
}

/// Measures all that is installed, or what `only` names.
///
/// # Errors
/// When the stage cannot be set.
pub(crate) fn run(stage: &Stage, rounds: Rounds, only: Vec<String>) -> Result<Results> {
    let mut field = Field { only, ..Field::default() };
    let tara = Tara::new(stage)?;
    floors(&mut field, stage, &tara)?;
    steps(&mut field, stage);
    of_tara(&mut field, &tara);
    runtimes::add(&mut field, stage)?;
    let _daemon = engines::add(&mut field, stage)?;
    crate::machines::add(&mut field, stage)?;
    let measured = rounds.run(field.subjects, &mut field.missing)?;
    let mut results = Results::new("startup", field.missing);
    results.rows = Row::of(&measured);
    results.parts = crate::parts::of_a_start(&tara)?;
    Ok(results)
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn floors(field: &mut Field, stage: &Stage, tara: &Tara) -> Result<()> {
    field.add(Subject::new("the program alone", Group::Floor, [stage.bin.join("program")]));
    let bridge = tara.bridge()?;
    for setup in ["min", "bundle", "host", "none", "bridge", "bridge+limits", "bridge+port"] {
        let mut command = vec![stage.bin.join("floor").into(), setup.into(), stage.disk.clone().into()];
        command.extend([bridge.name.clone().into(), bridge.gateway.clone().into()]);
        field.add(Subject::new::<OsString>(&format!("floor {setup}"), Group::Floor, command));
    }
    Ok(())
}

/// A step makes no image: its rootfs is a folder.
fn steps(field: &mut Field, stage: &Stage) {
    let rootfs: &Path = &stage.rootfs;
    let steps: [(&str, &[&str], &'static str); 6] = [
        ("step01-chroot", &[], "floor min"),
        ("step02-pid-ns", &["run"], "floor min"),
        ("step03-mount-overlay", &["run"], "floor min"),
        ("step04-net-bridge", &["run"], "floor bridge"),
        ("step05-cgroups", &["run", "--cgroup-parent", cgroup::TARA, "--pids-limit", "100"], "floor none"),
        ("step06-capabilities", &["run"], "floor none"),
    ];
    for (name, arguments, floor) in steps {
        let program = stage.our(name);
        if !program.exists() {
            field.lacks(Missing { name: name.to_owned(), why: "not built: see `--no-build`".to_owned() });
            continue;
        }
        let mut command = vec![program.into()];
        command.extend(words(arguments));
        command.extend([rootfs.into(), PROGRAM.into()]);
        field.add(Subject::new::<OsString>(name, Group::Step, command).floor(floor));
    }
    let step07 = stage.our("step07-images");
    if !step07.exists() {
        field.lacks(Missing { name: "step07-images".to_owned(), why: "the step has no program of its own".to_owned() });
    }
}

fn of_tara(field: &mut Field, tara: &Tara) {
    let setups: [(&str, &[&str], &'static str); 5] = [
        ("bare", &["--network", "host", "--cgroups", "disabled"], "floor host"),
        ("overlay, no network", &["--network", "none"], "floor none"),
        ("bridge", &[], "floor bridge"),
        ("bridge, limits", &["--memory", "256m", "--pids-limit", "512", "--cpus", "1.5"], "floor bridge+limits"),
        ("bridge, published port", &["--publish", "18080:80"], "floor bridge+port"),
    ];
    for (name, options, floor) in setups {
        field.add(tara.run(&format!("tara, {name}"), options).floor(floor));
    }
}
