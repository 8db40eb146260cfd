//! The walls of the house (ARCHITECTURE.md): which file may name what. Read from the sources as tokens, so that comments
//! and the insides of strings do not count.
//!
//! - Nothing but a step's `main.rs` and `tests/` names another step, and these name no later one.
//! - `unsafe` is in `crates/sys`, and at one call site in step 2.
//! - Processor architectures are named in one file.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::fs;
use std::path::{Path, PathBuf};

/// The one file outside `crates/sys` with `unsafe`: it calls `clone3`, once.
const CALL_SITE: &str = "step02-pid-ns/src/spawn.rs";
/// The one file that knows about architectures.
const ARCHITECTURES: &str = "crates/sys/src/arch.rs";

#[test]
fn no_step_names_another() {
    check(other_steps);
}

#[test]
fn unsafe_is_in_sys_only() {
    check(unsafe_code);
}

#[test]
fn architectures_are_named_in_one_file() {
    check(architectures);
}

type Rule = fn(&str, &[Word]) -> Vec<String>;

/// Applies `rule` to every source file of the workspace.
fn check(rule: Rule) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = sources(&root);
    assert!(files.len() > 10, "the sources were not found: {files:?}");
    let mut broken = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file is text");
        let path = file.strip_prefix(&root).expect("found below the root");
        broken.extend(rule(path.to_str().expect("an ASCII path"), &words(&text)));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// All `.rs` files below the members of the workspace.
fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace") {
            let entry = entry.expect("a folder's entry");
            let name = entry.file_name();
            let path = entry.path();
            if entry.file_type().expect("its type").is_dir() {
                // Students' crates are no part of the workspace, and the fuzzer has one of its own.
                if name != "target" && name != "my-labs" && name != "fuzz" && !name.as_encoded_bytes().starts_with(b".")
                {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// An identifier or a literal, and where it is.
struct Word {
    text: String,
    line: usize,
    /// Inside a module or function that is compiled for tests only.
    test: bool,
}

fn words(source: &str) -> Vec<Word> {
    let tokens: TokenStream = source.parse().expect("Rust tokens");
    let mut words = Vec::new();
    collect(tokens, false, &mut words);
    words
}

fn collect(tokens: TokenStream, test: bool, words: &mut Vec<Word>) {
    // Set by `#[cfg(test)]` and `#[test]`, until the braces or the semicolon of the item that follows.
    let mut marked = false;
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let is_attribute = group.delimiter() == Delimiter::Bracket;
                if is_attribute && matches!(group.stream().to_string().as_str(), "test" | "cfg (test)" | "cfg(test)") {
                    marked = true;
                }
                // A doc comment is an attribute too, `[doc = "…"]`: prose may name anything.
                if !(is_attribute && group.stream().to_string().starts_with("doc =")) {
                    collect(group.stream(), test || marked, words);
                }
                marked &= group.delimiter() != Delimiter::Brace;
            }
            TokenTree::Punct(punct) => marked &= punct.as_char() != ';',
            TokenTree::Ident(_) | TokenTree::Literal(_) => {
                words.push(Word { text: token.to_string(), line: token.span().start().line, test: test || marked })
            }
        }
    }
}

/// The number in `step03_mount_overlay` or `step03-mount-overlay/src/lib.rs`.
fn step(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("step")?.get(..2)?;
    name.get(6..7).filter(|next| matches!(*next, "_" | "-"))?;
    digits.parse().ok()
}

fn other_steps(path: &str, words: &[Word]) -> Vec<String> {
    // The engine is made of all the steps, the bench measures them.
    if path.starts_with("final/") || path.starts_with("bench/") {
        return Vec::new();
    }
    let own = step(path);
    let composes = own.is_some() && (path.ends_with("/src/main.rs") || path.contains("/tests/"));
    let allowed = |named: u8| own.is_some_and(|own| named == own || composes && named < own);
    let wrong = words.iter().filter(|word| step(&word.text).is_some_and(|named| !allowed(named)));
    let why = if composes {
        "a step is built on earlier steps only"
    } else {
        "only a step's main.rs and tests/ compose steps"
    };
    wrong.map(|word| complaint(path, word, why)).collect()
}

fn unsafe_code(path: &str, words: &[Word]) -> Vec<String> {
    if path.starts_with("crates/sys/") {
        return Vec::new();
    }
    let allowed = usize::from(path == CALL_SITE);
    let found = words.iter().filter(|word| word.text == "unsafe").skip(allowed);
    found.map(|word| complaint(path, word, "unsafe code belongs into crates/sys")).collect()
}

fn architectures(path: &str, words: &[Word]) -> Vec<String> {
    if path == ARCHITECTURES || path.contains("/tests/") {
        return Vec::new();
    }
    let names = |word: &Word| {
        let text = word.text.trim_matches('"');
        matches!(text, "target_arch" | "x86" | "x86_64" | "amd64" | "aarch64" | "arm64")
    };
    let found = words.iter().filter(|word| !word.test && names(word));
    let why = format!("architectures belong into {ARCHITECTURES}");
    found.map(|word| complaint(path, word, &why)).collect()
}

fn complaint(path: &str, word: &Word, why: &str) -> String {
    format!("{path}:{}: `{}`: {why}", word.line, word.text)
}

// The rules themselves.

fn broken(rule: Rule, path: &str, source: &str) -> Vec<String> {
    rule(path, &words(source))
}

#[test]
fn a_library_that_names_another_step_is_found() {
    let source = "/// As in step02_pid_ns.\nuse step02_pid_ns::spawn;";
    let found = broken(other_steps, "step03-mount-overlay/src/overlay.rs", source);
    assert_eq!(
        found,
        ["step03-mount-overlay/src/overlay.rs:2: `step02_pid_ns`: only a step's main.rs and tests/ compose steps"]
    );
    assert_eq!(broken(other_steps, "crates/sys/src/lib.rs", source).len(), 1);
    assert!(broken(other_steps, "step02-pid-ns/src/lib.rs", source).is_empty());
    assert!(broken(other_steps, "final/src/launch/child.rs", source).is_empty());
}

#[test]
fn a_binary_that_names_a_later_step_is_found() {
    let source = "use step02_pid_ns::spawn;";
    assert!(broken(other_steps, "step03-mount-overlay/src/main.rs", source).is_empty());
    assert!(broken(other_steps, "step03-mount-overlay/tests/overlay.rs", source).is_empty());
    assert_eq!(broken(other_steps, "step01-chroot/src/main.rs", source).len(), 1);
}

#[test]
fn a_second_unsafe_block_is_found() {
    let one = "fn f() { unsafe { g() } } // unsafe";
    let two = "fn f() { unsafe { g() }; unsafe { g() } }";
    assert!(broken(unsafe_code, "crates/sys/src/fd.rs", two).is_empty());
    assert!(broken(unsafe_code, CALL_SITE, one).is_empty());
    assert_eq!(broken(unsafe_code, CALL_SITE, two).len(), 1);
    assert_eq!(broken(unsafe_code, "final/src/main.rs", one).len(), 1);
}

#[test]
fn an_architecture_outside_its_file_is_found() {
    let path = "step07-images/src/platform.rs";
    let in_code = r#"#[cfg(target_arch = "x86_64")] const THIS: &str = "amd64";"#;
    assert_eq!(broken(architectures, path, in_code).len(), 3);
    assert!(broken(architectures, ARCHITECTURES, in_code).is_empty());
    let in_test = r#"#[cfg(test)] mod tests { const THIS: &str = "amd64"; } const NEXT: u8 = 1;"#;
    assert!(broken(architectures, path, in_test).is_empty());
    let after_test = r#"#[test] fn t() { f("amd64") } fn f() -> &'static str { "amd64" }"#;
    assert_eq!(broken(architectures, path, after_test).len(), 1);
}
