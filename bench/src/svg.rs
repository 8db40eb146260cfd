//! Charts. They follow light and dark, have no script, and say in words what they show (`title`, `desc`) to whoever does not see them.

use crate::results::{Curve, Part, Results, Row};
use crate::subject::Group;
use crate::table::number;
use std::fmt::Write;

const WIDTH: f64 = 960.0;
/// Room for names on the left, for numbers on the right.
const LEFT: f64 = 240.0;
const RIGHT: f64 = 150.0;
const ROW: f64 = 22.0;

const STYLE: &str = "<style>text{font:13px system-ui,sans-serif;fill:#222}.a{fill:#555;font-size:12px}.g{stroke:#8885;stroke-width:1}\
.floor{fill:#7a7a7a}.step{fill:#5a8f3c}.tara{fill:#c2571a}.runtime{fill:#3b6fb5}.engine{fill:#7b5ea7}.machine{fill:#a03b52}\
.line{fill:none;stroke-width:2}.ci{stroke:#222;stroke-width:1.5}.s0{stroke:#c2571a;fill:#c2571a}.s1{stroke:#3b6fb5;fill:#3b6fb5}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.a{fill:#aaa}.ci{stroke:#eee}.floor{fill:#999}.step{fill:#7fb85e}.tara{fill:#e8834a}\
.runtime{fill:#6d9fe0}.engine{fill:#a78bd4}.machine{fill:#d0647c}.s0{stroke:#e8834a;fill:#e8834a}.s1{stroke:#6d9fe0;fill:#6d9fe0}}</style>";

/// All charts that the results have something for: name and picture.
pub(crate) fn all(results: &Results) -> Vec<(&'static str, String)> {
    let mut charts = Vec::new();
    let times: Vec<&Row> = results.rows.iter().filter(|row| row.unit == "µs").collect();
    if !times.is_empty() {
        charts.push(("times", bars(&format!("{}: median times, logarithmic", results.kind), &times)));
    }
    if !results.parts.is_empty() {
        charts.push(("parts", waterfall(&results.parts)));
    }
    let mut axes: Vec<&str> = results.curves.iter().map(|curve| curve.axis.as_str()).collect();
    axes.dedup();
    for axis in axes {
        let of_axis: Vec<&Curve> = results.curves.iter().filter(|curve| curve.axis == axis).collect();
        let name = match axis {
            "layers" => "layers",
            "running containers" => "containers",
            _ => "mounts",
        };
        charts.push((name, lines(axis, &of_axis)));
    }
    charts
}

fn begin(height: f64, title: &str, description: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"t d\">\
         <title id=\"t\">{}</title><desc id=\"d\">{}</desc>{STYLE}\n",
        escape(title),
        escape(description)
    )
}

/// A bar a row on a logarithmic axis, with the interval of the median.
fn bars(title: &str, rows: &[&Row]) -> String {
    let ms = |value: f64| value / 1e3;
    let smallest = rows.iter().map(|row| ms(row.summary.interval.0)).fold(f64::MAX, f64::min);
    let largest = rows.iter().map(|row| ms(row.summary.interval.1)).fold(0.0, f64::max);
    let (first, last) = (smallest.log10().floor(), largest.log10().ceil());
    let x = |value: f64| LEFT + (value.log10() - first) / (last - first).max(1.0) * (WIDTH - LEFT - RIGHT);
    let said: Vec<_> = rows.iter().map(|row| format!("{}: {} ms", row.name, number(ms(row.summary.median)))).collect();
    let height = rows.len() as f64 * ROW + 50.0;
    let mut svg = begin(height, title, &said.join("; "));
    let mut decade = first;
    while decade <= last {
        let value = 10f64.powf(decade);
        let _infallible = writeln!(
            svg,
            "<line class=\"g\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"22\" y2=\"{1:.0}\"/><text class=\"a\" x=\"{0:.1}\" y=\"15\" text-anchor=\"middle\">{2} ms</text>",
            x(value),
            height - 18.0,
            value
        );
        decade += 1.0;
    }
    for (number_of_row, row) in rows.iter().enumerate() {
        let y = 28.0 + number_of_row as f64 * ROW;
        let (low, high) = (x(ms(row.summary.interval.0)), x(ms(row.summary.interval.1)));
        let ratio = row.ratio.as_ref().map_or(String::new(), |ratio| format!(" · {:.2} ×", ratio.is));
        let _infallible = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect class=\"{}\" x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"14\" rx=\"2\"/>\
             <line class=\"ci\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{1:.0}\" y2=\"{1:.0}\"/><text class=\"a\" x=\"{:.1}\" y=\"{:.0}\">{} ms{ratio}</text>",
            LEFT - 8.0,
            y + 12.0,
            escape(&row.name),
            class(row.group),
            (x(ms(row.summary.median)) - LEFT).max(1.0),
            high + 6.0,
            y + 12.0,
            number(ms(row.summary.median)),
        );
    }
    svg + "<text class=\"a\" x=\"0\" y=\"15\">× its floor</text></svg>\n"
}

fn class(group: Group) -> &'static str {
    match group {
        Group::Floor => "floor",
        Group::Step => "step",
        Group::Tara => "tara",
        Group::Runtime => "runtime",
        Group::Engine => "engine",
        Group::Machine => "machine",
    }
}

/// The parts of one start, each where it is in time.
fn waterfall(parts: &[Part]) -> String {
    let begin_at = parts.iter().map(|part| part.at).fold(f64::MAX, f64::min);
    let end = parts.iter().map(|part| part.at + part.took).fold(0.0, f64::max);
    let x = |at: f64| LEFT + 130.0 + (at - begin_at) / (end - begin_at).max(1.0) * (WIDTH - LEFT - 230.0);
    let said: Vec<_> = parts.iter().map(|part| format!("{} ({}): {:.0} µs", part.doing, part.by, part.took)).collect();
    let mut svg = begin(parts.len() as f64 * ROW + 30.0, "The parts of a start, followed by ptrace", &said.join("; "));
    for (index, part) in parts.iter().enumerate() {
        let y = 8.0 + index as f64 * ROW;
        let class = match part.by.as_str() {
            "host" => "tara",
            "thread" => "engine",
            _ => "runtime",
        };
        let _infallible = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect class=\"{class}\" x=\"{:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"14\" rx=\"2\"/>\
             <text class=\"a\" x=\"{:.1}\" y=\"{1:.0}\">{:.0} µs</text>",
            LEFT + 122.0,
            y + 12.0,
            escape(&short(&part.doing)),
            x(part.at),
            (x(part.at + part.took) - x(part.at)).max(1.0),
            x(part.at + part.took) + 4.0,
            part.took,
        );
    }
    svg + "</svg>\n"
}

fn short(text: &str) -> String {
    if text.chars().count() <= 52 { text.to_owned() } else { text.chars().take(51).chain(['…']).collect() }
}

/// Medians against sizes, both axes from zero.
fn lines(axis: &str, curves: &[&Curve]) -> String {
    const HEIGHT: f64 = 320.0;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let widest = points().map(|(size, _)| *size).fold(1.0, f64::max);
    let highest = points().map(|(_, summary)| summary.median / 1e3).fold(0.001, f64::max) * 1.1;
    let x = |size: f64| 60.0 + size / widest * (WIDTH - 260.0);
    let y = |ms: f64| HEIGHT - 40.0 - ms / highest * (HEIGHT - 70.0);
    let said = points().map(|(size, summary)| format!("{size} {axis}: {} ms", number(summary.median / 1e3)));
    let mut svg = begin(HEIGHT, &format!("Start-up against {axis}"), &said.collect::<Vec<_>>().join("; "));
    for tick in 0..=4 {
        let ms = highest * f64::from(tick) / 4.0;
        let _infallible = writeln!(
            svg,
            "<line class=\"g\" x1=\"60\" x2=\"{:.0}\" y1=\"{1:.1}\" y2=\"{1:.1}\"/><text class=\"a\" x=\"52\" y=\"{2:.1}\" text-anchor=\"end\">{3} ms</text>",
            WIDTH - 200.0,
            y(ms),
            y(ms) + 4.0,
            number(ms)
        );
    }
    for (index, curve) in curves.iter().enumerate() {
        let path: Vec<_> = curve
            .points
            .iter()
            .map(|(size, summary)| format!("{:.1},{:.1}", x(*size), y(summary.median / 1e3)))
            .collect();
        let style = index % 2;
        let _infallible =
            writeln!(svg, "<polyline class=\"line s{style}\" style=\"fill:none\" points=\"{}\"/>", path.join(" "));
        for (size, summary) in &curve.points {
            let _infallible = writeln!(
                svg,
                "<circle class=\"s{style}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/><text class=\"a\" x=\"{0:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{size}</text>",
                x(*size),
                y(summary.median / 1e3),
                HEIGHT - 20.0
            );
        }
        if let Some((size, summary)) = curve.points.last() {
            let _infallible = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\">{}: {} ms</text>",
                x(*size) + 10.0,
                y(summary.median / 1e3) + 4.0,
                escape(&curve.name),
                number(summary.median / 1e3)
            );
        }
    }
    let _infallible =
        writeln!(svg, "<text class=\"a\" x=\"60\" y=\"{:.0}\">{}</text></svg>", HEIGHT - 4.0, escape(axis));
    svg
}

/// For text in XML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
