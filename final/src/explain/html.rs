//! A page with a waterfall: one file, nothing is loaded from elsewhere, light and dark.

use super::{By, Call, Explanation};
use std::fmt::Write;

const STYLE: &str = "
:root { color-scheme: light dark; --host: #3b6fb5; --thread: #8a6fc0; --container: #c2571a; --line: #8884; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: 1px 8px 1px 0; text-align: left; vertical-align: top; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
tr.why td { padding-top: 6px; border-top: 1px solid var(--line); font-weight: 600; white-space: normal; }
td.lane { width: 40%; min-width: 16rem; position: relative; border-left: 1px solid var(--line); }
.bar { position: absolute; top: 4px; height: 10px; min-width: 2px; border-radius: 2px; }
.host { --c: var(--host); } .thread { --c: var(--thread); } .container { --c: var(--container); }
.bar { background: var(--c); } td.by { color: var(--c); font-weight: 600; }
code { font: 12px ui-monospace, monospace; } .failed code { opacity: .6; } small { opacity: .7; font-weight: 400; }
";

/// The page.
pub(super) fn write(explanation: &Explanation) -> String {
    let calls = &explanation.calls;
    let end = calls.iter().map(|call| call.at + call.took).fold(1.0, f64::max);
    let command = escape(&explanation.command.join(" "));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{command}</title>\n<style>{STYLE}</style>\n\
         <h1>Every kernel call of a start</h1>\n<p><code>{command}</code></p>\n<p>{} calls; {}.</p>\n{}\n\
         <table>\n<thead><tr><th class=\"n\">µs</th><th class=\"n\">took</th><th>by</th><th>when, of {end:.0} µs</th><th>call</th></tr></thead>\n<tbody>\n",
        calls.len(),
        escape(explanation.note),
        picture(calls, end),
    );
    let mut said = [None, None, None];
    for call in calls {
        let words = &mut said[call.by as usize];
        if *words != call.why
            && let Some(why) = &call.why
        {
            let _infallible = writeln!(
                out,
                "<tr class=\"why {by}\"><td colspan=\"2\"></td><td class=\"by\">{by}</td><td colspan=\"2\">{} <small>{} · {}</small></td></tr>",
                escape(&why.doing),
                escape(&why.chapter()),
                escape(&why.at),
                by = call.by.name_of_class(),
            );
        }
        words.clone_from(&call.why);
        out += &row(call, end);
    }
    out + "</tbody></table>\n</html>\n"
}

fn row(call: &Call, end: f64) -> String {
    let failed = if call.result.starts_with('E') { " failed" } else { "" };
    format!(
        "<tr class=\"{by}{failed}\"><td class=\"n\">{:.0}</td><td class=\"n\">{:.0}</td><td class=\"by\">{}</td>\
         <td class=\"lane\"><span class=\"bar\" style=\"left:{:.2}%;width:{:.2}%\"></span></td>\
         <td><code>{}({}) = {}</code></td></tr>\n",
        call.at,
        call.took,
        call.by.name(),
        call.at / end * 100.0,
        call.took / end * 100.0,
        escape(&call.name),
        escape(&call.arguments),
        escape(&call.result),
        by = call.by.name_of_class(),
    )
}

/// The whole start in three lanes, side by side in time.
fn picture(calls: &[Call], end: f64) -> String {
    let mut svg = String::from(
        "<svg viewBox=\"0 0 1000 84\" width=\"100%\" role=\"img\" aria-label=\"When tara, its thread and the container make kernel calls\">\n",
    );
    for (by, y) in [(By::Host, 4), (By::Thread, 30), (By::Child, 56)] {
        let _infallible =
            writeln!(svg, "<text x=\"0\" y=\"{}\" font-size=\"13\" fill=\"currentColor\">{}</text>", y + 15, by.name());
        for call in calls.iter().filter(|call| call.by == by) {
            let (x, width) = (80.0 + call.at / end * 920.0, (call.took / end * 920.0).max(0.4));
            let _infallible = writeln!(
                svg,
                "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"20\" fill=\"var(--c)\"><title>{} {:.0} µs</title></rect>",
                by.name_of_class(),
                escape(&call.name),
                call.took
            );
        }
    }
    svg + "</svg>"
}

impl By {
    fn name_of_class(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Thread => "thread",
            Self::Child => "container",
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
