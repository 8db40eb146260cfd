//! What a start is made of: `tara run --explain`, with the calls of the same words taken together.

use crate::cgroup;
use crate::results::Part;
use crate::startup::PROGRAM;
use crate::tara::{IMAGE, Tara};
use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Explanation {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    by: String,
    at: f64,
    took: f64,
    why: Option<Why>,
}

#[derive(Deserialize)]
struct Why {
    doing: String,
    step: Option<u8>,
}

/// Parts below this are not shown one by one, in microseconds.
const SMALL: f64 = 30.0;

/// The parts of a start on the bridge.
///
/// # Errors
/// When it does not start.
pub(crate) fn of_a_start(tara: &Tara) -> Result<Vec<Part>> {
    let file = "/run/tara-bench/explained.json";
    let explain =
        ["run", "--rm", "--explain=json", "--explain-file", file, "--cgroup-parent", cgroup::TARA, IMAGE, PROGRAM];
    tara.say(&explain)?;
    let text = std::fs::read_to_string(file).context("the explanation")?;
    let explained: Explanation = serde_json::from_str(&text)?;
    let mut parts: Vec<Part> = Vec::new();
    for call in explained.calls {
        let Some(why) = &call.why else { continue };
        let doing = words(why);
        match parts.iter_mut().rfind(|part| part.by == call.by) {
            Some(part) if part.doing == doing => part.took = call.at + call.took - part.at,
            _ => parts.push(Part { by: call.by, doing, at: call.at, took: call.took }),
        }
    }
    parts.retain(|part| part.took >= SMALL);
    Ok(parts)
}

/// A child half's words name each path: its step stands for them all.
fn words(why: &Why) -> String {
    let subject =
        ["", "the root", "the process", "the file system", "the network", "the cgroup", "the privileges", "the image"];
    match why.step.and_then(|step| subject.get(usize::from(step))) {
        Some(subject) if why.step != Some(4) => format!("step {}: {subject}", why.step.unwrap_or_default()),
        _ => why.doing.split(" `").next().unwrap_or_default().to_owned(),
    }
}
