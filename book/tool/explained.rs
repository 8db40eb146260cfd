//! One start of `tara`, followed call by call: as a picture of who does what when, and as what a layer has of it.

use crate::results::{Call, Explained, Results, rounded};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What belongs together: calls of one process, one after the other, for one purpose.
struct Part {
    by: String,
    doing: String,
    at: f64,
    took: f64,
}

const SUBJECTS: [&str; 8] = [
    "the engine's own",
    "the program",
    "the process",
    "the file system",
    "the network",
    "the cgroup",
    "the privileges",
    "the image",
];

/// Bars begin here.
const NAMES: f64 = 345.0;
const LONGEST: f64 = 310.0;
const LINE: f64 = 21.0;

/// Shorter parts of the whole are left out: nobody could see them.
const VISIBLE: f64 = 0.004;

/// The stored start as a figure.
///
/// # Errors
/// When there is none.
pub(crate) fn waterfall() -> Result<String> {
    let explained = Explained::stored()?;
    let mut parts = parts(&explained.calls);
    let whole = explained.calls.iter().map(|call| call.at + call.took).fold(1.0, f64::max);
    parts.retain(|part| part.took >= VISIBLE * whole);
    draw(&parts, whole, &command(&explained))
}

fn command(explained: &Explained) -> String {
    let words = explained.command.iter().skip(1).filter(|word| !word.starts_with("--explain"));
    let words: Vec<&str> = words.map(String::as_str).filter(|word| !word.ends_with(".json")).collect();
    format!("tara {}", words.join(" "))
}

fn parts(calls: &[Call]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for call in calls {
        let doing = purpose(call);
        match parts.iter_mut().rfind(|part| part.by == call.by) {
            Some(part) if part.doing == doing => part.took = call.at + call.took - part.at,
            _ => parts.push(Part { by: call.by.clone(), doing, at: call.at, took: call.took }),
        }
    }
    parts
}

/// A child half's words name each path: its step stands for them all. The host half's begin with what counts.
fn purpose(call: &Call) -> String {
    match (&call.why, call.by.as_str()) {
        (Some(why), "child") => {
            let step = why.step.unwrap_or_default();
            let subject = SUBJECTS.get(usize::from(step)).copied().unwrap_or_default();
            if step == 0 { subject.to_owned() } else { format!("step {step}: {subject}") }
        }
        (Some(_), "thread") => "step 4: the network".to_owned(),
        (Some(why), _) => why.doing.split([':', ';', ',', '`']).next().unwrap_or_default().trim().to_owned(),
        (None, "host") => "the program itself starts".to_owned(),
        (None, _) => SUBJECTS[0].to_owned(),
    }
}

fn draw(parts: &[Part], whole: f64, command: &str) -> Result<String> {
    let lanes = [("host", "tara", "soft"), ("thread", "thread", "other"), ("child", "child", "lit")];
    let lane = |part: &Part| lanes.iter().find(|(by, _, _)| *by == part.by).context("an unknown process");
    let height = LINE.mul_add(f64::from(u32::try_from(parts.len())?), 40.0);
    let mut svg = String::from("<figure>\n");
    writeln!(
        svg,
        "<svg class=\"picture\" viewBox=\"0 0 720 {height}\" role=\"img\" aria-labelledby=\"start-title start-desc\">"
    )?;
    writeln!(svg, "<title id=\"start-title\">What happens in one start, and when</title>")?;
    let said: Result<Vec<String>> =
        parts.iter().map(|part| Ok(format!("{}: {}, {:.0} µs", lane(part)?.1, part.doing, part.took))).collect();
    writeln!(svg, "<desc id=\"start-desc\">{}</desc>", said?.join("; "))?;
    for (column, (_, name, class)) in lanes.iter().enumerate() {
        let x = NAMES + 100.0 * f64::from(u32::try_from(column)?);
        writeln!(svg, "<rect class=\"{class}\" x=\"{x}\" y=\"4\" width=\"14\" height=\"12\" rx=\"2\"/>")?;
        writeln!(svg, "<text class=\"small\" x=\"{}\" y=\"15\">{name}</text>", x + 20.0)?;
    }
    let mut y = 26.0;
    for part in parts {
        let (from, width) = (NAMES + part.at / whole * LONGEST, (part.took / whole * LONGEST).max(1.5));
        let class = lane(part)?.2;
        writeln!(svg, "<text class=\"small\" x=\"4\" y=\"{}\">{}</text>", y + 12.0, part.doing.replace('<', "&lt;"))?;
        writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"15\" rx=\"2\"/>"
        )?;
        let text = format!("{} ms", rounded(part.took / 1e3));
        writeln!(svg, "<text class=\"small\" x=\"{:.1}\" y=\"{}\">{text}</text>", from + width + 5.0, y + 12.0)?;
        y += LINE;
    }
    writeln!(
        svg,
        "</svg>\n<figcaption><code>{command}</code>, recorded by <code>--explain</code>. It is followed by ptrace, so every call \
         takes longer than by itself: read the order and what runs side by side, not the times.</figcaption>\n</figure>"
    )?;
    Ok(svg)
}

/// What the layer of step `number` costs: by itself, and in a start of the engine.
///
/// # Errors
/// When the bench has not measured the step.
pub(crate) fn cost(number: &str) -> Result<String> {
    let (results, explained) = (Results::stored("startup")?, Explained::stored()?);
    let mut table = String::from("| | |\n|---|---|\n");
    if let Some(row) = results.rows.iter().find(|row| row.name.starts_with(&format!("step0{number}"))) {
        let alone = results.row("the program alone")?.ms()?;
        let times = format!("{} ms; the same program by itself {} ms", rounded(row.ms()?), rounded(alone));
        writeln!(table, "| `{}`, from its start to its exit | {times} |", row.name)?;
    }
    let step: u8 = number.parse().context("a step is a number")?;
    // To become the program is no work of ours.
    let is_ours = |call: &&Call| call.name != "execve" && step_of(call) == Some(step);
    let calls: Vec<&Call> = explained.calls.iter().filter(is_ours).collect();
    let sum = |calls: &[&Call]| calls.iter().map(|call| call.took).sum::<f64>();
    if !calls.is_empty() {
        writeln!(table, "| its calls in one start of `tara` | {}, {} |", calls.len(), micros(sum(&calls)))?;
        writeln!(table, "| the longest of them | {} |", longest(&calls).join("; "))?;
    }
    let note = results.note();
    writeln!(
        table,
        "\n*The first line is the bench's: {note}. The calls are of `tara run --explain`, which makes each of them slower.*"
    )?;
    Ok(table)
}

/// The host half's phases belong to the engine; two of them are a step's work alone.
fn step_of(call: &Call) -> Option<u8> {
    let why = call.why.as_ref()?;
    let of_phase = || match why.doing.as_str() {
        doing if doing.starts_with("mount the overlay") => Some(3),
        doing if doing.starts_with("find the image") => Some(7),
        _ => None,
    };
    why.step.or_else(of_phase)
}

fn longest(calls: &[&Call]) -> Vec<String> {
    let mut by_name: BTreeMap<&str, (u32, f64)> = BTreeMap::new();
    for call in calls {
        let entry = by_name.entry(&call.name).or_default();
        *entry = (entry.0 + 1, entry.1 + call.took);
    }
    let mut all: Vec<_> = by_name.into_iter().collect();
    all.sort_by(|(_, a), (_, b)| b.1.total_cmp(&a.1));
    let said = |(name, (count, took)): (&str, (u32, f64))| {
        let often = if count == 1 { String::new() } else { format!(" ({count} times)") };
        format!("`{name}`{often} {}", micros(took))
    };
    all.into_iter().take(3).map(said).collect()
}

fn micros(value: f64) -> String {
    if value >= 1000.0 { format!("{} ms", rounded(value / 1e3)) } else { format!("{} µs", rounded(value.round())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Why;

    fn call(by: &str, at: f64, took: f64, doing: &str, step: Option<u8>) -> Call {
        let why = Some(Why { doing: doing.to_owned(), step });
        Call { by: by.to_owned(), at, took, name: "x".to_owned(), why }
    }

    #[test]
    fn calls_for_one_purpose_are_one_bar_also_when_another_process_is_between() {
        let calls = [
            call("child", 0.0, 1.0, "mount on `/proc`", Some(3)),
            call("host", 1.0, 1.0, "find the image: its layers", None),
            call("child", 2.0, 3.0, "mount on `/dev`", Some(3)),
        ];
        let parts = parts(&calls);
        let said: Vec<_> = parts.iter().map(|part| (part.doing.as_str(), part.at, part.took)).collect();
        assert_eq!(said, [("step 3: the file system", 0.0, 5.0), ("find the image", 1.0, 1.0)]);
        let picture = draw(&parts, 5.0, "tara run").expect("it is drawn");
        assert!(picture.contains("child: step 3: the file system, 5 µs") && !picture.contains("\n\n"), "{picture}");
    }

    #[test]
    fn a_layer_has_the_calls_of_its_step_and_of_its_phase() {
        let calls = [call("child", 0.0, 1.0, "a", Some(3)), call("host", 1.0, 1.0, "mount the overlay over", None)];
        assert_eq!(calls.iter().map(step_of).collect::<Vec<_>>(), [Some(3), Some(3)]);
    }
}
