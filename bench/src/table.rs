//! The report on the terminal.

use crate::results::{Results, Row};
use std::fmt::Write;

/// All rows, the quotients, and what is missing.
pub(crate) fn text(results: &Results) -> String {
    let mut out = format!("{}\n\n", results.machine.lines());
    let width = results.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default().max(8);
    if !results.rows.is_empty() {
        let _infallible = writeln!(
            out,
            "{:width$}  {:>9} {:>9} {:>9}  {:>21}  {:>4}  times its floor",
            "", "min", "median", "p90", "95 % of the median", "runs"
        );
    }
    let mut group = None;
    for row in &results.rows {
        if group.is_some_and(|before| before != row.group) {
            out.push('\n');
        }
        group = Some(row.group);
        out += &line(row, width);
    }
    for curve in &results.curves {
        let _infallible = writeln!(out, "\n{}, by {}:", curve.name, curve.axis);
        for (count, summary) in &curve.points {
            let _infallible = writeln!(out, "{count:>8}  {} ms", number(summary.median / 1e3));
        }
    }
    if !results.missing.is_empty() {
        out += "\nNot measured:\n";
    }
    for missing in &results.missing {
        let _infallible = writeln!(out, "  {}: {}", missing.name, missing.why);
    }
    out
}

fn line(row: &Row, width: usize) -> String {
    let (unit, scale) = if row.unit == "µs" { ("ms", 1e3) } else { (row.unit.as_str(), 1.0) };
    let show = |value: f64| number(value / scale);
    let summary = &row.summary;
    let interval = format!("{} … {} {unit}", show(summary.interval.0), show(summary.interval.1));
    let ratio = row.ratio.as_ref().map_or(String::new(), |ratio| {
        format!("{:.2} ({:.2} … {:.2}) of {}", ratio.is, ratio.interval.0, ratio.interval.1, ratio.to)
    });
    let line = format!(
        "{:width$}  {:>9} {:>9} {:>9}  {interval:>21}  {:>4}  {ratio}",
        row.name,
        show(summary.min),
        show(summary.median),
        show(summary.p90),
        summary.count
    );
    format!("{}\n", line.trim_end())
}

/// Three significant digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
