//! What every page keeps to: listings are the sources, links lead somewhere, pictures can be read, chapters are not too long.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

use book::pages::{Page, pages};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

/// The built pages: name below the folder, and text. Built once for all tests.
fn built() -> &'static (PathBuf, BTreeMap<String, String>) {
    static BUILT: OnceLock<(PathBuf, BTreeMap<String, String>)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = book::folder().join("book");
        // Whoever cannot write there (.ci/as-student) looks at what was built before.
        let folder = book::build::build().map_or(folder, |first| first.parent().unwrap().to_owned());
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let pages = entries.filter(|path| path.extension().is_some_and(|kind| kind == "html"));
        let text = |path: PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        };
        (folder, pages.map(text).collect())
    })
}

fn of_all(check: impl Fn(&Page) -> Vec<String>) {
    let found: Vec<String> = pages().unwrap().iter().flat_map(check).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn rust_is_shown_from_the_sources_only() {
    of_all(|page| {
        let typed = |line: &String| !line.starts_with("{{#include ");
        let rust = page.blocks().into_iter().filter(|block| block.info.split(',').next() == Some("rust"));
        let typed = rust.filter(|block| block.lines.iter().any(typed));
        typed.map(|block| format!("{}:{}: Rust that is typed by hand", page.name, block.line)).collect()
    });
}

#[test]
fn blocks_are_of_a_known_kind() {
    const KINDS: [&str; 6] = ["console", "rust", "sh", "text", "json", "dockerfile"];
    of_all(|page| {
        let unknown = |info: &str| !KINDS.contains(&info.split(',').next().unwrap_or_default());
        let blocks = page.blocks().into_iter().filter(|block| unknown(&block.info));
        blocks.map(|block| format!("{}:{}: `{}`", page.name, block.line, block.info)).collect()
    });
}

/// mdBook shows nothing for an anchor that is not there.
#[test]
fn every_anchor_is_there() {
    let include = regex(r"\{\{#include ([^:}]+):([a-z0-9_]+)\}\}");
    of_all(|page| {
        let missing = |path: &str, anchor: &str| {
            let text = fs::read_to_string(book::folder().join("src").join(path)).unwrap_or_default();
            !text.contains(&format!("ANCHOR: {anchor}\n"))
        };
        let all = include.captures_iter(&page.text).map(|found| found.extract().1);
        let all = all.filter(|[path, anchor]| missing(path, anchor));
        all.map(|[path, anchor]| format!("{}: {path} has no anchor `{anchor}`", page.name)).collect()
    });
}

/// One with a slip of the pen would be shown as it is.
#[test]
fn no_directive_is_left() {
    let left: Vec<&String> = built().1.iter().filter(|(_, text)| text.contains("{{#")).map(|(name, _)| name).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn links_lead_somewhere() {
    let (folder, pages) = built();
    let link = regex(r#"(?:href|src)="([^"]*)""#);
    let mut dead = BTreeSet::new();
    // Written with addresses from the root of a server: it is for a server.
    for (name, text) in pages.iter().filter(|(name, _)| *name != "404.html") {
        for [target] in link.captures_iter(text).map(|found| found.extract().1) {
            let elsewhere = ["http://", "https://", "data:", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { name } else { path };
            let is_there = folder.join(path).exists();
            let id = |text: &String| text.contains(&format!("id=\"{fragment}\""));
            let has_id = fragment.is_empty() || pages.get(path).is_none_or(id);
            if !(elsewhere || is_there && has_id) {
                dead.insert(format!("{name}: {target}"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// At 200 words a minute, listings aside.
#[test]
fn a_chapter_is_read_in_25_minutes() {
    of_all(|page| {
        let mut inside = false;
        let prose = page.text.lines().filter(|line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence && !line.starts_with("{{#")
        });
        let words: usize = prose.map(|line| line.split_whitespace().filter(|word| word.len() > 1).count()).sum();
        (words > 25 * 200).then(|| format!("{}: {words} words", page.name)).into_iter().collect()
    });
}

/// The page, its styles and its scripts; the search index comes when somebody searches.
#[test]
fn a_page_is_lighter_than_300_kb() {
    let (folder, pages) = built();
    let part = regex(r#"(?:<link rel="stylesheet" href|<script src)="([^"]+)""#);
    let size = |path: &str| fs::metadata(folder.join(path)).map_or(0, |meta| meta.len());
    let mut heavy = Vec::new();
    for (name, text) in pages.iter().filter(|(name, _)| *name != "print.html") {
        // Fonts are asked for by what they are used for, and replaced by the system's until they are there.
        let parts: u64 = part.captures_iter(text).map(|found| size(&found[1])).sum();
        let total = parts + size(name);
        if total > 300_000 {
            heavy.push(format!("{name}: {total} bytes"));
        }
    }
    assert!(heavy.is_empty(), "{heavy:#?}");
}

#[test]
fn pictures_are_drawn_and_say_what_they_show() {
    let mut wrong = Vec::new();
    let mut folders = vec![book::folder().join("src"), book::folder().join("pictures"), book::folder().join("theme")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            let bitmap = ["png", "jpg", "jpeg", "gif", "webp", "ico"].contains(&kind);
            if path.is_dir() {
                folders.push(path);
            } else if bitmap || (kind == "svg" && path.parent().unwrap().ends_with("pictures") && !speaks(&path)) {
                wrong.push(path);
            }
        }
    }
    assert!(wrong.is_empty(), "bitmaps, or pictures without title and description: {wrong:#?}");
}

/// Also: no colour of its own (every theme has its own), and no empty line, at which Markdown would end the picture.
fn speaks(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap();
    let parts = ["role=\"img\"", "aria-labelledby=", "<title id=", "<desc id="];
    let own_colour = regex("#[0-9a-fA-F]{3,8}[\";]").is_match(&text);
    parts.iter().all(|part| text.contains(part)) && !own_colour && text.lines().all(|line| !line.trim().is_empty())
}

#[test]
fn a_step_has_all_its_sections() {
    const SECTIONS: [&str; 10] = [
        "<div class=\"card\">",
        "## See it break",
        "## Predict",
        "## The idea",
        "## The contract",
        "## Lab",
        "## Traps",
        "## Attack again",
        "## Against the full engine",
        "## What it costs",
    ];
    const MORE: [&str; 7] = [
        "**Red gate",
        "**Green gate",
        "## Self-check",
        "<div class=\"order\">",
        "**Bonus.**",
        "Answers to \"Predict\"",
        "<details class=\"instructor\">",
    ];
    of_all(|page| {
        let is_step = page.name.strip_prefix("step").is_some_and(|rest| rest.parse::<u8>().is_ok());
        let missing = SECTIONS.iter().chain(&MORE).filter(|section| is_step && !page.text.contains(**section));
        let named = missing.map(|section| format!("{}: {section}", page.name));
        let diff = is_step && page.name != "step1" && !page.text.contains("{{#diff ");
        named.chain(diff.then(|| format!("{}: no difference to the step before", page.name))).collect()
    });
}

/// The page alone is enough for the lab: it names the tasks, and the commands in the order in which they are needed.
#[test]
fn a_step_leads_through_its_lab() {
    of_all(|page| {
        let Some(number) = page.name.strip_prefix("step") else { return Vec::new() };
        let start = format!("$ cargo lab start {number}");
        let (tasks, attack) = (format!("{{{{#tasks {number}}}}}"), format!("cargo lab attack {number}"));
        let way = [&start, &tasks, "$ cargo lab check", "**Green gate", "cargo lab check", &attack];
        let mut rest = page.text.as_str();
        let mut missing = Vec::new();
        for words in way {
            match rest.split_once(words) {
                Some((_, after)) => rest = after,
                None => missing.push(format!("{}: `{words}` is not in its place", page.name)),
            }
        }
        let hints = page.text.contains("cargo lab hint");
        missing.extend((!hints).then(|| format!("{}: no hints", page.name)));
        missing
    });
}

/// What the child half of an engine's start calls, but for what every program does with its files, is in the reference.
#[test]
fn the_table_has_the_calls_of_a_start() {
    const OF_EVERY_PROGRAM: [&str; 10] =
        ["access", "brk", "close", "fcntl", "mmap", "newfstatat", "openat", "read", "statx", "umask"];
    let start = book::folder().join("../bench/results/explained.json");
    let start: serde_json::Value = serde_json::from_str(&fs::read_to_string(start).unwrap()).unwrap();
    let of_child = start["calls"].as_array().unwrap().iter().filter(|call| call["by"] == "child");
    let names: BTreeSet<&str> = of_child.map(|call| call["name"].as_str().unwrap()).collect();
    let table = pages().unwrap().into_iter().find(|page| page.name == "syscalls").unwrap().text;
    let is_there = |name: &str| regex(&format!("`{name}[`(]|`{name} ")).is_match(&table);
    let missing: Vec<_> =
        names.into_iter().filter(|name| !OF_EVERY_PROGRAM.contains(name) && !is_there(name)).collect();
    assert!(missing.is_empty(), "the table of system calls lacks {missing:?}");
}

/// Every message that the page explains is one that the programs print.
#[test]
fn messages_that_are_explained_exist() {
    let all = pages().unwrap();
    let Some(page) = all.iter().find(|page| page.name == "troubleshooting") else { return };
    let mut sources = String::new();
    let root = book::folder().parent().unwrap();
    let mut folders: Vec<PathBuf> = vec![root.join("final/src"), root.join("final/tests/snapshots")];
    folders.extend(fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path().join("src")).filter(|path| {
        path.parent().unwrap().file_name().unwrap().to_str().is_some_and(|name| name.starts_with("step0"))
    }));
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push_str(&fs::read_to_string(path).unwrap_or_default());
            }
        }
    }
    let heading = regex(r"(?m)^### (.+)$");
    let pieces =
        |text: &str| text.split('…').map(|piece| piece.trim_matches([' ', '`']).to_owned()).collect::<Vec<_>>();
    let unknown: Vec<String> = heading
        .captures_iter(&page.text)
        .flat_map(|found| pieces(&found[1]))
        .filter(|piece| piece.len() > 3 && !sources.contains(piece.as_str()))
        .collect();
    assert!(unknown.is_empty(), "no program says: {unknown:#?}");
}

/// What has something to learn from: not the introduction, the guide and what is looked up.
#[test]
fn a_chapter_has_its_card_its_questions_and_its_instructors_block() {
    const OTHERS: [&str; 6] = ["introduction", "instructors", "troubleshooting", "syscalls", "words", "glossary"];
    const PARTS: [&str; 3] = ["<div class=\"card\">", "\n## Self-check\n", "<details class=\"instructor\">"];
    of_all(|page| {
        let missing = PARTS.iter().filter(|part| !OTHERS.contains(&page.name.as_str()) && !page.text.contains(**part));
        missing.map(|part| format!("{}: {part}", page.name)).collect()
    });
    let unfolded = built().1.iter().filter(|(_, text)| text.contains("id=\"self-check\""));
    let unfolded = unfolded.filter(|(_, text)| text.matches("<details class=\"check\">").count() < 3);
    let unfolded: Vec<&String> = unfolded.map(|(name, _)| name).collect();
    assert!(unfolded.is_empty(), "answers are in sight, or fewer than three: {unfolded:?}");
}

/// Who calls this step in the engine, and what the others do for the same; what it costs, from the bench.
#[test]
fn a_step_is_held_against_the_full_engines() {
    const OTHERS: [&str; 3] = ["runc", "crun", "ocker"];
    of_all(|page| {
        let Some(number) = page.name.strip_prefix("step") else { return Vec::new() };
        let begin = page.text.find("## Against the full engine").unwrap();
        let end = page.text.find("## What it costs").unwrap();
        let section = &page.text[begin..end];
        let missing = OTHERS.iter().filter(|other| !section.contains(**other));
        let mut missing: Vec<String> = missing.map(|other| format!("{}: nothing of {other}", page.name)).collect();
        missing.extend((!section.contains("final/")).then(|| format!("{}: no place in `final/`", page.name)));
        let cost = page.text.contains(&format!("{{{{#cost {number}}}}}"));
        missing.extend((!cost).then(|| format!("{}: no cost", page.name)));
        missing
    });
}

/// Who has no JavaScript, or prints the page, reads the whole session.
#[test]
fn a_cast_is_on_a_page_and_its_text_too() {
    for name in book::casts::names().unwrap() {
        let used = pages().unwrap().into_iter().find(|page| page.text.contains(&format!("{{{{#cast {name}}}}}")));
        let page = used.unwrap_or_else(|| panic!("no page has the cast `{name}`"));
        let text = book::casts::Cast::read(&name).unwrap().text();
        let built = &built().1[&format!("{}.html", page.name)];
        let shown = built.split("<figure class=\"cast\">").skip(1);
        let shown = shown.filter_map(|figure| figure.split_once("<pre")?.1.split_once('>')?.1.split_once("</pre>"));
        let decoded = |text: &str| {
            let text = text.replace("&#10;", "\n").replace("&quot;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
            text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        };
        let all: Vec<String> = shown.map(|(text, _)| decoded(text)).collect();
        assert!(all.contains(&text), "{}: the text of `{name}` is not there: {all:#?}", page.name);
    }
}

/// Sentences that are wrong or too strong are named, and what shows it is a run.
#[test]
fn what_is_said_is_corrected_by_a_run() {
    let all = pages().unwrap();
    let of = |name: &str| all.iter().find(|page| page.name == name).unwrap();
    let (_, table) = of("what").text.split_once("| said | so | shown |").unwrap();
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 8, "{rows:?}");
    let link = regex(r"\((\w+)\.md(?:#([a-z-]+))?\)");
    for row in rows.iter().filter(|row| !row.contains("| above |")) {
        let place = link.captures(row).unwrap_or_else(|| panic!("nothing shows: {row}"));
        let text = &of(&place[1]).text;
        let section = place.get(2).map_or(text.as_str(), |heading| section(text, heading.as_str()));
        assert!(section.contains("\n```console"), "no run shows: {row}");
    }
}

/// From the heading that a link calls so to the next one.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let pieces = text.split("\n## ");
    let called = |piece: &&str| piece.lines().next().unwrap_or_default().to_lowercase().replace(' ', "-") == heading;
    pieces.skip(1).find(called).unwrap_or_default()
}

/// The book and what lies beside it.
fn documents() -> Vec<(String, String)> {
    let root = book::folder().parent().unwrap();
    let names = [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "bench/README.md",
        "book/README.md",
        "docs/oci.md",
    ];
    let beside = names.iter().map(|name| ((*name).to_owned(), fs::read_to_string(root.join(name)).unwrap()));
    beside.chain(pages().unwrap().into_iter().map(|page| (page.name, page.text))).collect()
}

/// A path of a source in a sentence is one that can be opened.
#[test]
fn files_that_are_named_exist() {
    let root = book::folder().parent().unwrap();
    let path = regex(r"`((?:final|crates|bench|labs|book|docs|fuzz|step0[1-7]-[a-z0-9-]+)/[A-Za-z0-9_./-]*)`");
    let mut missing = BTreeSet::new();
    for (name, text) in documents() {
        for [named] in path.captures_iter(&text).map(|found| found.extract().1) {
            // `stepNN` stands for seven.
            if !named.contains("NN") && !root.join(named).exists() {
                missing.insert(format!("{name}: {named}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// A command or an option of `tara` that a sentence names is one of its help texts. What is run is looked at by running it.
#[test]
fn commands_and_options_that_are_named_exist() {
    // Which no help text lists: the engine's own, and the runtime's face.
    const HIDDEN: [&str; 3] = ["build-step", "monitor", "oci"];
    let folder = book::folder().join("../final/tests/snapshots");
    let texts = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let help: String = texts.collect();
    let known = |option: &str| regex(&format!("{option}(?:[^a-z-]|$)")).is_match(&help);
    let (command, option) = (regex(r"`tara ([^`\n]+)`"), regex(r"--[a-z][a-z-]+"));
    let mut unknown = BTreeSet::new();
    for (name, text) in documents() {
        for found in command.captures_iter(&text) {
            let name_of_command = found[1].split(' ').next().unwrap_or_default();
            let is_word = name_of_command.starts_with(|first: char| first.is_ascii_lowercase());
            let is_command = regex(&format!(r"(?m)^  {}(  |$)", regex::escape(name_of_command))).is_match(&help);
            if is_word && !is_command && !HIDDEN.contains(&name_of_command) {
                unknown.insert(format!("{name}: tara {name_of_command}"));
            }
            let options = option.find_iter(&found[1]).map(|option| option.as_str());
            unknown.extend(options.filter(|option| !known(option)).map(|option| format!("{name}: {option}")));
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}
