//! The pages made of their sources.

use crate::results::{Results, rounded};
use crate::{bars, casts, explained, folder, quiz, tasks};
use anyhow::{Context, Result, ensure};
use mdbook_driver::MDBook;
use regex::{Captures, Regex};
use similar::TextDiff;
use std::fs;
use std::path::{Path, PathBuf};

/// Builds the book and gives its first page.
///
/// # Errors
/// What mdBook or a `{{#diff}}` cannot read.
pub fn build() -> Result<PathBuf> {
    let root = folder();
    let mut book = MDBook::load(root).with_context(|| format!("read the book in `{}`", root.display()))?;
    let mut result = Ok(());
    book.book.for_each_chapter_mut(|chapter| match prepare(&chapter.content, &root.join("src")) {
        Ok(text) => chapter.content = text,
        Err(error) => result = Err(error.context(format!("page `{}`", chapter.name))),
    });
    result?;
    book.build().context("make the book's pages")?;
    let pages = book.build_dir_for("html");
    lighten(&pages).context("leave out what no page uses")?;
    Ok(pages.join("index.html"))
}

/// mdBook brings the highlighting of 44 languages, more than half of a page's weight. The pages use these.
fn lighten(pages: &Path) -> Result<()> {
    const USED: [&str; 6] = ["bash", "diff", "json", "plaintext", "rust", "shell"];
    let used = |line: &str| match line.strip_prefix("hljs.registerLanguage(\"") {
        Some(rest) => rest.split('"').next().is_some_and(|language| USED.contains(&language)),
        None => true,
    };
    for entry in fs::read_dir(pages)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("highlight-") && name.ends_with(".js") {
            let text = fs::read_to_string(&path)?;
            let kept: Vec<&str> = text.lines().filter(|line| used(line)).collect();
            fs::write(&path, kept.join("\n"))?;
        }
    }
    Ok(())
}

/// Pieces of sources, and what mdBook does not know, all described in `book/README.md`.
fn prepare(text: &str, folder: &Path) -> Result<String> {
    let of_diff = |words: [&str; 2]| diff(&folder.join(words[0]), &folder.join(words[1]));
    let of_piece = |words: [&str; 2]| piece(&folder.join(words[0]), words[1]);
    let text = replace_all(r"(?m)^\{\{#include ([^:}\s]+\.rs):(\w+)\}\}$", text, of_piece)?;
    let text = replace_all(r"(?m)^\{\{#diff (\S+) (\S+)\}\}$", &text, of_diff)?;
    let text = replace_all(r"(?m)^\{\{#tasks ([1-7])\}\}()$", &text, |words| tasks::of_lab(words[0]))?;
    let text = replace_all(r"(?m)^\{\{#bars (\S+)\}\}()$", &text, |words| bars::chart(&folder.join(words[0])))?;
    let text = replace_all(r"(?m)^\{\{(#startup)()\}\}$", &text, |_| bars::startup())?;
    let text = replace_all(r"(?m)^\{\{(#waterfall)()\}\}$", &text, |_| explained::waterfall())?;
    let text = replace_all(r"(?m)^\{\{#cost ([1-7])()\}\}$", &text, |words| explained::cost(words[0]))?;
    let text = replace_all(r"(?m)^\{\{#cast ([a-z]+)()\}\}$", &text, |words| casts::figure(words[0]))?;
    let text = replace_all(r"\{\{#ms ([^}]+)()\}\}", &text, |words| milliseconds(words[0]))?;
    let text = replace_all(r"\{\{#times ([^}]+) / ([^}]+)\}\}", &text, |words| quotient(words[0], words[1]))?;
    let text = quiz::folded(&text)?;
    let conditions = Regex::new(r"(?m)^```console,.*$").expect("a regular expression");
    Ok(conditions.replace_all(&text, "```console").into_owned())
}

/// The median of a subject of `bench startup`.
fn milliseconds(subject: &str) -> Result<String> {
    Ok(format!("{} ms", rounded(Results::stored("startup")?.row(subject)?.ms()?)))
}

/// How many times the time of the second subject the first one takes.
fn quotient(of: &str, to: &str) -> Result<String> {
    let results = Results::stored("startup")?;
    Ok(rounded(results.row(of)?.ms()? / results.row(to)?.ms()?))
}

fn replace_all(directive: &str, text: &str, made: impl Fn([&str; 2]) -> Result<String>) -> Result<String> {
    let directive = Regex::new(directive).expect("a regular expression");
    let mut result = Ok(());
    let text = directive.replace_all(text, |found: &Captures<'_>| {
        made(found.extract().1).unwrap_or_else(|error| {
            result = Err(error);
            String::new()
        })
    });
    result.map(|()| text.into_owned())
}

/// The piece of a source between the marks `ANCHOR: name` and `ANCHOR_END: name`, moved to the left margin: mdBook's own include leaves
/// it where it is, and says nothing when it is not there.
fn piece(path: &Path, name: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
    let is = |line: &str, mark: &str| line.trim() == format!("// {mark}: {name}");
    let lines = text.lines().skip_while(|line| !is(line, "ANCHOR")).take_while(|line| !is(line, "ANCHOR_END"));
    // Neither marks nor lints are what a reader looks for.
    let shown = |line: &&str| !line.contains("// ANCHOR") && !line.trim_start().starts_with("#[deny(clippy::");
    let lines: Vec<&str> = lines.filter(shown).collect();
    ensure!(!lines.is_empty(), "`{}` has no piece `{name}`", path.display());
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let margin = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines: Vec<&str> = lines.iter().map(|line| line.get(margin..).unwrap_or_default()).collect();
    Ok(lines.join("\n"))
}

/// The difference of two files as a listing, without the lines of `use`: they are not the lesson.
fn diff(old: &Path, new: &Path) -> Result<String> {
    let read = |path: &Path| {
        let text = fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
        // The marks of other pieces inside are for other readers.
        let lines = from_run(&text).split_inclusive('\n').filter(|line| !line.contains("// ANCHOR"));
        Ok::<_, anyhow::Error>(lines.collect::<String>())
    };
    let (old, new) = (read(old)?, read(new)?);
    let diff = TextDiff::from_lines(&old, &new);
    let hunks: String = diff.unified_diff().context_radius(2).iter_hunks().map(|hunk| hunk.to_string()).collect();
    Ok(format!("```diff\n{}\n```", hunks.trim_end()))
}

/// The composition itself: between the marks `ANCHOR: run`.
fn from_run(text: &str) -> &str {
    let begin = text.find("// ANCHOR: run\n").map_or(0, |at| at + "// ANCHOR: run\n".len());
    let end = text.find("// ANCHOR_END: run").unwrap_or(text.len());
    text.get(begin..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_generated_from_the_sources() {
        let text = "before\n{{#diff ../../step01-chroot/src/main.rs ../../step02-pid-ns/src/main.rs}}\nafter";
        let made = prepare(text, &folder().join("src")).expect("both files are there");
        assert!(made.starts_with("before\n```diff\n@@"), "{made}");
        assert!(made.contains("+    let hostname = Hostname::new(&args.hostname)?;"), "{made}");
        assert!(prepare("{{#diff no such}}", folder()).is_err());
    }

    #[test]
    fn a_piece_of_a_source_begins_at_the_margin() {
        let text = "{{#include ../../step01-chroot/src/root.rs:enter}}";
        let made = prepare(text, &folder().join("src")).expect("the piece is there");
        assert!(made.starts_with("pub fn enter(&self)") && !made.contains("ANCHOR"), "{made}");
        assert!(prepare("{{#include ../../step01-chroot/src/root.rs:nosuch}}", &folder().join("src")).is_err());
    }

    #[test]
    fn readers_do_not_see_the_conditions_of_a_block() {
        assert_eq!(prepare("```console,needs=root\n```", folder()).expect("no file"), "```console\n```");
    }
}
