//! `bench scaling`: does a start become slower with what is there already? With containers that run, with layers, with mounts of the host.

use crate::cgroup;
use crate::image;
use crate::results::{Curve, Results};
use crate::rounds::{Progress, Rounds};
use crate::stage::Stage;
use crate::startup::PROGRAM;
use crate::statistics::Summary;
use crate::subject::{Group, Subject};
use crate::tara::{IMAGE, Tara};
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use std::ffi::OsString;

/// Measures all three curves, and the floor's where the kernel has a share.
///
/// # Errors
/// When a container does not start.
pub(crate) fn run(stage: &Stage, rounds: Rounds) -> Result<Results> {
    let tara = Tara::new(stage)?;
    let mut results = Results::new("scaling", Vec::new());
    let start = tara.run("tara, no network", &["--network", "none"]);
    let floor: [OsString; 3] = [stage.bin.join("floor").into(), "none".into(), stage.disk.clone().into()];
    let floor = Subject::new("floor none", Group::Floor, floor);
    results.curves.push(layers(stage, &tara, rounds)?);
    // What stays comes last: the containers end with the stage, the mounts too.
    let both = [start.clone(), floor];
    results.curves.extend(curves(rounds, "mounts of the host", &[0, 1000], &both, |from, to| mounts(stage, from, to))?);
    results.curves.extend(curves(rounds, "running containers", &[0, 100, 500], &[start], |from, to| {
        containers(&tara, from, to)
    })?);
    Ok(results)
}

/// A point for each size and subject, after `grow` has made it that large.
fn curves(
    rounds: Rounds,
    axis: &str,
    sizes: &[usize],
    subjects: &[Subject],
    grow: impl Fn(usize, usize) -> Result<()>,
) -> Result<Vec<Curve>> {
    let curve = |subject: &Subject| Curve { name: subject.name.clone(), axis: axis.to_owned(), points: Vec::new() };
    let mut curves: Vec<Curve> = subjects.iter().map(curve).collect();
    let mut now = 0;
    for &size in sizes {
        grow(now, size).with_context(|| format!("{size} {axis}"))?;
        now = size;
        let mut missing = Vec::new();
        for measured in rounds.run(subjects.to_vec(), &mut missing)? {
            let curve = curves.iter_mut().find(|curve| curve.name == measured.subject.name);
            if let (Some(curve), Some(summary)) = (curve, Summary::of(&measured.samples)) {
                curve.points.push((size as f64, summary));
            }
        }
        for missing in missing {
            eprintln!("bench: {size} {axis}: {}: {}", missing.name, missing.why);
        }
    }
    Ok(curves)
}

/// All sizes in the same rounds: here nothing grows.
fn layers(stage: &Stage, tara: &Tara, rounds: Rounds) -> Result<Curve> {
    let folder = stage.folder("images")?;
    let (mut subjects, mut missing) = (Vec::new(), Vec::new());
    for size in [1, 20, 120] {
        let name = format!("layers{size}");
        let file = image::write(&folder, &name, &stage.bin.join("program"), size, 100)?;
        tara.say(&["load", "--input", &file.to_string_lossy()])?;
        let mut command = tara.words();
        let words = ["run", "--rm", "--network", "none", "--cgroup-parent", cgroup::TARA];
        command.extend(words.map(OsString::from));
        command.extend([format!("bench:{name}").into(), PROGRAM.into()]);
        subjects.push(Subject::new::<OsString>(&size.to_string(), Group::Tara, command));
    }
    let measured = rounds.run(subjects, &mut missing)?;
    for missing in missing {
        eprintln!("bench: {} layers: {}", missing.name, missing.why);
    }
    let point = |one: &crate::rounds::Measured| Some((one.subject.name.parse().ok()?, Summary::of(&one.samples)?));
    Ok(Curve {
        name: "tara, no network".to_owned(),
        axis: "layers".to_owned(),
        points: measured.iter().filter_map(point).collect(),
    })
}

fn mounts(stage: &Stage, from: usize, to: usize) -> Result<()> {
    for number in from..to {
        let at = stage.folder(&format!("mounts/{number}"))?;
        mount(Some("tmpfs"), &at, Some("tmpfs"), MsFlags::empty(), Some("size=4k"))?;
    }
    Ok(())
}

fn containers(tara: &Tara, from: usize, to: usize) -> Result<()> {
    let progress = Progress::default();
    for number in from..to {
        progress.show(&format!("start container {number} of {to}"));
        tara.say(&["run", "--detach", "--network", "none", "--cgroup-parent", cgroup::TARA, IMAGE, PROGRAM, "pause"])?;
    }
    progress.show("");
    Ok(())
}
