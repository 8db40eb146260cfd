//! For a terminal: time runs down, `tara` on the left, the container on the right.

use super::{By, Call, Explanation};
use std::fmt::Write;

/// The width of a column.
const COLUMN: usize = 58;

/// All calls, a line each; the words stand above the calls that they are about.
pub(super) fn write(explanation: &Explanation) -> String {
    let mut out = format!("{:>9} {:>8}  {:COLUMN$}  container\n", "µs", "took", "tara (| its thread)");
    let mut said = [None, None, None];
    let mut calls = explanation.calls.iter().peekable();
    while let Some(call) = calls.next() {
        let words = &mut said[call.by as usize];
        if *words != call.why {
            if let Some(why) = &call.why {
                let heading = format!("── {} ({})", why.doing, why.chapter());
                let _infallible = writeln!(out, "{:>9} {:>8}  {}", "", "", place(call.by, &heading));
            }
            words.clone_from(&call.why);
        }
        // One line for the 64 signals that are reset, as long as nobody else does anything in between.
        let (mut took, mut times) = (call.took, 1);
        while let Some(next) = calls.next_if(|next| is_one_more(call, next)) {
            (took, times) = (took + next.took, times + 1);
        }
        let text = if times == 1 { line(call) } else { format!("{}(…) {times} times", call.name) };
        let _infallible = writeln!(out, "{:>9.0} {took:>8.0}  {}", call.at, place(call.by, &text));
    }
    let _infallible = writeln!(out, "\n{} calls; {}", explanation.calls.len(), explanation.note);
    out
}

/// Only calls that say little one by one.
fn is_one_more(call: &Call, next: &Call) -> bool {
    let dull = ["rt_sigaction", "prctl", "close", "brk", "read"].contains(&call.name.as_str());
    dull && next.by == call.by && next.name == call.name && next.why == call.why
}

fn line(call: &Call) -> String {
    let result = if call.result == "0" { String::new() } else { format!(" = {}", call.result) };
    cut(&format!("{}({})", call.name, call.arguments), COLUMN - result.chars().count()) + &result
}

fn place(by: By, text: &str) -> String {
    match by {
        By::Host => text.to_owned(),
        By::Thread => format!("| {text}"),
        By::Child => format!("{:COLUMN$}  {text}", ""),
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(2)).collect();
    short.push_str("…)");
    short
}
