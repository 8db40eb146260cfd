//! The questions of a self-check: an answer is in sight when somebody asks for it.
//!
//! A page has them as a list, `1. *Question?* Answer.`, so that its source reads like the rest. In the built page each is a
//! `<details>`: the browser's own, without a script, and the print shows it open.

use anyhow::{Context, Result};
use regex::{Captures, Regex};
use std::sync::LazyLock;

const HEADING: &str = "\n## Self-check\n";
/// The question, then the answer, which may go on below.
static ITEM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(\d+)\. \*([^*]+[?.])\* (.+)$").expect("a regular expression"));
static CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new("`([^`]+)`").expect("a regular expression"));

/// The page with its self-check folded.
///
/// # Errors
/// An item that is no question with an answer.
pub(crate) fn folded(text: &str) -> Result<String> {
    let Some((before, after)) = text.split_once(HEADING) else { return Ok(text.to_owned()) };
    let end = after.find("\n<div").or_else(|| after.find("\n<details")).or_else(|| after.find("\n#"));
    let (list, rest) = after.split_at(end.unwrap_or(after.len()));
    let questions: Result<Vec<String>> = items(list).iter().map(|item| question(item)).collect();
    Ok(format!("{before}{HEADING}\n{}\n{rest}", questions?.join("\n\n")))
}

/// Each with the lines below it.
fn items(list: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match items.last_mut() {
            Some(item) if !line.starts_with(|first: char| first.is_ascii_digit()) => item.extend([" ", line]),
            _ => items.push(line.to_owned()),
        }
    }
    items
}

fn question(item: &str) -> Result<String> {
    let parts =
        ITEM.captures(item).with_context(|| format!("the self-check has no `N. *Question?* Answer`: {item}"))?;
    let [number, question, answer] = parts.extract().1;
    // A summary is no Markdown.
    let question = question.replace('&', "&amp;").replace('<', "&lt;");
    let question = CODE.replace_all(&question, |code: &Captures<'_>| format!("<code>{}</code>", &code[1]));
    Ok(format!("<details class=\"check\"><summary>{number}. {question}</summary>\n\n{answer}\n\n</details>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_folded_below_its_question() {
        let page = "text\n\n## Self-check\n\n1. *Is `a<b`?* Yes: `c`\n   and more.\n2. *Name it.* No.\n\n<div>\n";
        let made = folded(page).expect("two questions");
        assert!(
            made.contains(
                "<summary>1. Is <code>a&lt;b</code>?</summary>\n\nYes: `c` and more.\n\n</details>\n\n<details"
            )
        );
        assert!(made.ends_with("No.\n\n</details>\n\n<div>\n"), "{made}");
        assert_eq!(folded("no questions").expect("as it is"), "no questions");
        assert!(folded("x\n## Self-check\n\n1. Why?\n").is_err());
    }
}
