//! The tasks of a lab as a table, from the file that the lab is made by.

use crate::folder;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use toml::{Table, Value};

/// The table for step `number`, or where to find the tasks when the labs are not there.
///
/// # Errors
/// A file that cannot be read as one of a lab.
pub(crate) fn of_lab(number: &str) -> Result<String> {
    let path = folder().join(format!("../labs/step0{number}.toml"));
    if !path.exists() {
        return Ok("`cargo lab list` names the tasks.".to_owned());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    table(&text).with_context(|| format!("the tasks in `{}`", path.display()))
}

fn table(text: &str) -> Result<String> {
    let lab: Table = text.parse()?;
    let mut rows = String::from("<div class=\"tasks\">\n\n| task | minutes | read | the checks |\n|---|---|---|---|\n");
    for task in list(&lab, "task") {
        let number = task.get("number").and_then(Value::as_integer).context("a task has a number")?;
        let title = task.get("title").and_then(Value::as_str).context("a task has a title")?;
        let minutes = task.get("minutes").and_then(Value::as_integer).context("a task has its minutes")?;
        // The second of four hints is what to read; the later ones would give it away.
        let read = task.get("hints").and_then(Value::as_array).and_then(|hints| hints.get(1)?.as_str());
        let says = list(task, "check").into_iter().filter(|check| !check.contains_key("hidden"));
        let says: Vec<&str> = says.filter_map(|check| check.get("says")?.as_str()).collect();
        let read = read.unwrap_or_default().replace('|', "\\|");
        writeln!(rows, "| {number} {title} | {minutes} | {read} | {} |", says.join(" ").replace('|', "\\|"))?;
    }
    Ok(rows + "\n</div>")
}

fn list<'t>(table: &'t Table, name: &str) -> Vec<&'t Table> {
    table.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_a_row_without_what_gives_it_away() {
        let lab = "[[task]]\nnumber = 1\ntitle = 'Cut'\nminutes = 10\nhints = ['nudge', 'mount(2)', 'shape']\n\
                   [[task.check]]\nsays = 'Nothing appears.'\n[[task.check]]\nsays = 'secret'\nhidden = true\n";
        let made = table(lab).expect("a lab");
        assert!(made.ends_with("| 1 Cut | 10 | mount(2) | Nothing appears. |\n\n</div>"), "{made}");
        assert!(table("[[task]]\n").is_err());
    }
}
