//! The report as a page: one file, nothing is loaded from elsewhere.

use crate::results::{Results, Row};
use crate::svg::{self, escape};
use crate::table::number;
use std::fmt::Write;

const STYLE: &str = ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse}td,th{padding:2px 12px 2px 0;text-align:right;font-variant-numeric:tabular-nums}\
td:first-child,th:first-child{text-align:left}tr.first td{border-top:1px solid #8886}svg{width:100%;height:auto}";

/// The page.
pub(crate) fn write(results: &Results) -> String {
    let kind = escape(&results.kind);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>bench {kind}</title><style>{STYLE}</style>\n<h1>bench {kind}</h1>\n<p>{}, {}</p>\n",
        escape(&results.when),
        escape(&results.machine.lines())
    );
    for (_, chart) in svg::all(results) {
        let _infallible = writeln!(out, "<figure>{chart}</figure>");
    }
    out += "<table><thead><tr><th>subject</th><th>min</th><th>median</th><th>p90</th><th>95 % of the median</th><th>runs</th><th>times its floor</th></tr></thead><tbody>\n";
    let mut group = None;
    for row in &results.rows {
        let class = if group == Some(row.group) { "" } else { " class=\"first\"" };
        group = Some(row.group);
        let _infallible = writeln!(out, "<tr{class}>{}</tr>", cells(row));
    }
    out += "</tbody></table>\n";
    list(&mut out, "Not measured", results.missing.iter().map(|missing| format!("{}: {}", missing.name, missing.why)));
    list(&mut out, "Versions", results.machine.versions.iter().map(|(name, version)| format!("{name}: {version}")));
    list(&mut out, "Mitigations", results.machine.mitigations.iter().map(|(name, what)| format!("{name}: {what}")));
    out + "</html>\n"
}

fn cells(row: &Row) -> String {
    let (unit, scale) = if row.unit == "µs" { ("ms", 1e3) } else { (row.unit.as_str(), 1.0) };
    let show = |value: f64| number(value / scale);
    let summary = &row.summary;
    let ratio = row
        .ratio
        .as_ref()
        .map_or(String::new(), |ratio| format!("{:.2} ({:.2} … {:.2})", ratio.is, ratio.interval.0, ratio.interval.1));
    format!(
        "<td>{}</td><td>{}</td><td>{} {unit}</td><td>{}</td><td>{} … {}</td><td>{}</td><td>{ratio}</td>",
        escape(&row.name),
        show(summary.min),
        show(summary.median),
        show(summary.p90),
        show(summary.interval.0),
        show(summary.interval.1),
        summary.count
    )
}

fn list(out: &mut String, title: &str, entries: impl Iterator<Item = String>) {
    let entries: String = entries.map(|entry| format!("<li>{}</li>\n", escape(&entry))).collect();
    if !entries.is_empty() {
        let _infallible = writeln!(out, "<h2>{title}</h2>\n<ul>\n{entries}</ul>");
    }
}
