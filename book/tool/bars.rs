//! A chart of measured times, drawn from JSON: the bench writes such files.
//!
//! ```json
//! { "title": "Start of a container", "note": "measured on …", "unit": "ms", "logarithmic": true,
//!   "bars": [ { "name": "runc", "value": 40.9 }, { "name": "tara", "value": 3.1, "lit": true } ] }
//! ```

use crate::results::{Results, rounded};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

#[derive(Deserialize)]
struct Chart {
    title: String,
    note: String,
    unit: String,
    /// Whether ten times as much is one step further, and not ten times as long.
    #[serde(default)]
    logarithmic: bool,
    bars: Vec<Bar>,
}

#[derive(Deserialize)]
struct Bar {
    name: String,
    value: f64,
    #[serde(default)]
    lit: bool,
}

/// The subjects of `bench startup` that the chart shows, and what it calls them; who is not installed is not in it.
const STARTUP: [(&str, &str); 17] = [
    ("the program alone", "a process, static"),
    ("bwrap", "bubblewrap: a part of the work"),
    ("floor bridge", "this book's calls, in C"),
    ("tara, bridge", "tara, bridge"),
    ("tara, overlay, no network", "tara, no network"),
    ("crun, cgroups, docker's seccomp", "crun, a prepared bundle"),
    ("runc, cgroups, docker's seccomp", "runc, the same"),
    ("lxc-execute, no network", "LXC, no network"),
    ("systemd-nspawn, no network", "systemd-nspawn, no network"),
    ("podman, no network", "podman, no network"),
    ("podman, bridge", "podman, bridge"),
    ("docker, no network", "docker, no network"),
    ("docker, bridge", "docker, bridge"),
    ("QEMU microvm, KVM", "QEMU microvm"),
    ("QEMU microvm, TCG", "QEMU microvm without KVM"),
    ("QEMU q35, TCG", "QEMU q35 without KVM"),
    ("User-Mode Linux", "User-Mode Linux (lab machine)"),
];

/// The chart of the newest `bench startup`, shortest first.
///
/// # Errors
/// When there is none.
pub(crate) fn startup() -> Result<String> {
    let results = Results::stored("startup")?;
    let mut bars = Vec::new();
    for (subject, name) in STARTUP {
        let Ok(row) = results.row(subject) else { continue };
        let lit = subject.starts_with("tara");
        bars.push(Bar { name: name.to_owned(), value: rounded(row.ms()?).parse()?, lit });
    }
    bars.sort_by(|a, b| a.value.total_cmp(&b.value));
    let title = "From the command to the end of a program that does nothing".to_owned();
    draw(&Chart { title, note: results.note(), unit: "ms".to_owned(), logarithmic: true, bars }, "startup")
}

const NAMES: f64 = 232.0;
const LONGEST: f64 = 210.0;
const LINE: f64 = 26.0;

/// The chart in the file at `path`, as a figure.
///
/// # Errors
/// A file that cannot be read as one.
pub(crate) fn chart(path: &Path) -> Result<String> {
    let read = || -> Result<Chart> { Ok(serde_json::from_str(&fs::read_to_string(path)?)?) };
    let chart = read().with_context(|| format!("read the chart `{}`", path.display()))?;
    let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("chart");
    draw(&chart, id)
}

fn draw(chart: &Chart, id: &str) -> Result<String> {
    let values = || chart.bars.iter().map(|bar| bar.value);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let length = |value: f64| {
        let part =
            if chart.logarithmic { (value / least * 1.6).ln() / (most / least * 1.6).ln() } else { value / most };
        part * LONGEST
    };
    let height = (LINE + 4.0).mul_add(1.0, LINE * f64::from(u32::try_from(chart.bars.len())?));
    let mut svg = String::from("<figure>\n");
    writeln!(
        svg,
        "<svg class=\"picture chart\" viewBox=\"0 0 480 {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">"
    )?;
    writeln!(svg, "<title id=\"{id}-title\">{}</title>", escaped(&chart.title))?;
    let each = chart.bars.iter().map(|bar| format!("{}: {} {}", escaped(&bar.name), bar.value, chart.unit));
    writeln!(svg, "<desc id=\"{id}-desc\">{}</desc>", each.collect::<Vec<_>>().join("; "))?;
    let mut y = 6.0;
    for bar in &chart.bars {
        let (class, width) = (if bar.lit { "lit" } else { "soft" }, length(bar.value));
        writeln!(svg, "<text class=\"small\" x=\"4\" y=\"{}\">{}</text>", y + 14.0, escaped(&bar.name))?;
        writeln!(svg, "<rect class=\"{class}\" x=\"{NAMES}\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" rx=\"3\"/>")?;
        writeln!(
            svg,
            "<text class=\"small\" x=\"{:.1}\" y=\"{}\">{}</text>",
            NAMES + width + 6.0,
            y + 14.0,
            bar.value
        )?;
        y += LINE;
    }
    let scale = if chart.logarithmic { ", logarithmic" } else { "" };
    writeln!(svg, "<text class=\"small\" x=\"{NAMES}\" y=\"{}\">{}{scale}</text>", y + 12.0, chart.unit)?;
    writeln!(svg, "</svg>\n<figcaption>{}: {}.</figcaption>\n</figure>", escaped(&chart.title), escaped(&chart.note))?;
    Ok(svg)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_the_largest_value() {
        let json = r#"{"title":"T","note":"N","unit":"ms","bars":[{"name":"a<b","value":10},{"name":"c","value":5,"lit":true}]}"#;
        let svg = draw(&serde_json::from_str(json).expect("a chart"), "x").expect("it is drawn");
        assert!(svg.contains("width=\"210.0\"") && svg.contains("width=\"105.0\"") && svg.contains("a&lt;b"), "{svg}");
        assert!(svg.contains("<desc id=\"x-desc\">a&lt;b: 10 ms; c: 5 ms</desc>") && !svg.contains("\n\n"), "{svg}");
    }
}
