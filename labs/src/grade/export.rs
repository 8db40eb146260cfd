//! Results for others: a spreadsheet, a page, a CI server, GitHub Classroom.

use super::Grade;
use crate::catalogue::Lab;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn columns(lab: &Lab) -> Vec<&str> {
    lab.checks().map(|(_, check)| check.id.as_str()).chain([crate::check::NO_TRACE]).collect()
}

fn cell<'g>(grade: &'g Grade, id: &str) -> Option<&'g crate::check::Outcome> {
    grade.checks.iter().find(|check| check.id == id)
}

/// A row a student: name, points, then the points of each check; empty where a check could not run.
#[must_use]
pub fn csv(lab: &Lab, grades: &[Grade]) -> String {
    let columns = columns(lab);
    let mut text = format!("name,points,possible,state,hints,{}\n", columns.join(","));
    for grade in grades {
        let state = if grade.broken.is_some() {
            "not graded"
        } else {
            grade.refused.as_deref().map_or("graded", |why| why.lines().next().unwrap_or_default())
        };
        let hints = grade.hints.map(|hints| hints.to_string()).unwrap_or_default();
        let points = if grade.broken.is_some() { String::new() } else { grade.points.to_string() };
        text += &format!("{},{points},{},{},{hints}", quoted(&grade.name), grade.possible, quoted(state));
        for id in &columns {
            let value = match cell(grade, id).map(|check| (check.passed, check.points)) {
                Some((Some(true), points)) => points.to_string(),
                Some((Some(false), _)) => "0".to_owned(),
                Some((None, _)) | None => String::new(),
            };
            text += &format!(",{value}");
        }
        text.push('\n');
    }
    text
}

/// A cell that a spreadsheet takes neither apart nor for a formula.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn escaped(text: &str) -> String {
    let printable: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    printable.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A page: the grid, and which checks fail most.
#[must_use]
pub fn html(lab: &Lab, grades: &[Grade]) -> String {
    let columns = columns(lab);
    let head: String = columns.iter().map(|id| format!("<th><span>{}</span></th>", escaped(id))).collect();
    let rows: String = grades.iter().map(|grade| row(grade, &columns)).collect();
    let mut failures: BTreeMap<&str, usize> = BTreeMap::new();
    for id in grades.iter().flat_map(Grade::failed) {
        *failures.entry(id).or_default() += 1;
    }
    let mut failures: Vec<(&str, usize)> = failures.into_iter().collect();
    failures.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let says = |id: &str| lab.find(id).map_or("", |(_, check)| check.says.as_str());
    let most: String = failures
        .iter()
        .take(8)
        .map(|(id, count)| format!("<li><b>{count}</b> {} <i>{}</i></li>", escaped(id), escaped(says(id))))
        .collect();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1><table><tr><th>name<th>points<th>hints{head}</tr>{rows}</table>\
         <h2>What fails most</h2><ol>{most}</ol></html>\n",
        title = escaped(&format!("Lab {}: {}", lab.number, lab.title)),
    )
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:15px system-ui;margin:2em}table{border-collapse:collapse}\
td,th{padding:.2em .5em;border-bottom:1px solid #8884;text-align:left}th span{writing-mode:vertical-rl;font-weight:normal}\
.y{color:#2a7}.n{color:#c33}.s{opacity:.6}details pre{max-width:60em;overflow:auto}";

fn row(grade: &Grade, columns: &[&str]) -> String {
    let mark = |id: &&str| match cell(grade, id) {
        Some(check) if check.passed == Some(true) => "<td class=y>✓".to_owned(),
        Some(check) if check.passed == Some(false) => {
            format!("<td class=n title=\"{}\">✗", escaped(&crate::check::short(&check.message).unwrap_or_default()))
        }
        Some(_) => "<td class=s title=\"could not run here\">–".to_owned(),
        None => "<td class=s>".to_owned(),
    };
    let marks: String = columns.iter().map(mark).collect();
    let points = match (&grade.broken, &grade.refused) {
        (Some(why), _) => format!("<details><summary>not graded</summary><pre>{}</pre></details>", escaped(why)),
        (_, Some(why)) => format!(
            "<details><summary>{}: {}</summary><pre>{}</pre></details>",
            grade.points,
            escaped(why.lines().next().unwrap_or_default()),
            escaped(why)
        ),
        _ => format!("{} / {}", grade.points, grade.possible),
    };
    let hints = grade.hints.map(|hints| hints.to_string()).unwrap_or_default();
    format!("<tr><td>{}<td>{points}<td>{hints}{marks}</tr>", escaped(&grade.name))
}

/// JUnit's XML: a suite a student. What could not run is skipped; what could not be graded is an error.
#[must_use]
pub fn junit(lab: &Lab, grades: &[Grade]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for grade in grades {
        text += &format!("  <testsuite name=\"{}\">\n", escaped(&grade.name));
        for check in &grade.checks {
            let body = match check.passed {
                Some(true) => String::new(),
                Some(false) => {
                    format!("<failure message=\"{}\">{}</failure>", escaped(&check.says), escaped(&check.message))
                }
                None => format!("<skipped message=\"{}\"/>", escaped(&check.message)),
            };
            text += &format!(
                "    <testcase classname=\"{}\" name=\"{}\">{body}</testcase>\n",
                lab.name(),
                escaped(&check.id)
            );
        }
        for (kind, why) in [("failure", &grade.refused), ("error", &grade.broken)] {
            if let Some(why) = why {
                text += &format!(
                    "    <testcase classname=\"{}\" name=\"builds\"><{kind}>{}</{kind}></testcase>\n",
                    lab.name(),
                    escaped(why)
                );
            }
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

/// GitHub Classroom's results (`autograding` reporters read them): `FOLDER/NAME.json`.
///
/// # Errors
/// write(2).
pub fn github(grades: &[Grade], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make `{}`", folder.display()))?;
    for grade in grades.iter().filter(|grade| grade.broken.is_none()) {
        let status = |passed| if passed == Some(true) { "pass" } else { "fail" };
        let tests: Vec<_> = grade.checks.iter().filter(|check| check.passed.is_some()).map(|check| {
            let score = if check.passed == Some(true) { check.points } else { 0 };
            serde_json::json!({ "name": check.id, "status": status(check.passed), "score": score, "max_score": check.points, "message": crate::check::short(&check.message).filter(|_| check.passed == Some(false)) })
        }).collect();
        let whole = serde_json::json!({ "version": 3, "status": status(Some(grade.points == grade.possible)), "max_score": grade.possible, "score": grade.points, "tests": tests });
        let path = folder.join(format!("{}.json", grade.name));
        fs::write(&path, serde_json::to_string_pretty(&whole)?)
            .with_context(|| format!("write `{}`", path.display()))?;
    }
    Ok(())
}
