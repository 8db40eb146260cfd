//! Blocks of commands and what they print.
//!
//! ````text
//! ```console,needs=root
//! $ hostname
//! lab
//! ```
//! ````
//!
//! A line that begins with `$ ` is a command, lines that begin with `> ` continue it, all others are what it printed. All
//! blocks of a page run one after the other in one shell. What differs from run to run (numbers of namespaces, ids, times, the names of
//! temporary folders) is taken out of both sides before they are compared; a line `…` stands for any lines.
//!
//! Beside `console` may stand: `needs=root` (real root), `needs=machine` (cgroup v2: runs in the machine with a kernel of its own),
//! `needs=lab` (works on a lab: runs in the workshop, with a student's folder of its own), `any=numbers` (any number is as good as any other), `setup` (run
//! before each page).

use crate::pages::{Block, Page};
use regex::Regex;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// Where a block can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Anywhere, also without root.
    Nothing,
    /// As root.
    Root,
    /// In the machine.
    Machine,
    /// In the workshop, as a student.
    Lab,
}

/// A block of commands.
#[derive(Debug, Clone)]
pub struct Transcript {
    /// The line of its fence.
    pub line: usize,
    /// Where it runs.
    pub need: Need,
    /// Whether it prepares the place for every page.
    pub setup: bool,
    /// Whether numbers are compared.
    any_numbers: bool,
    /// The commands and what they printed.
    pub exchanges: Vec<Exchange>,
}

/// One command and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The command; it may have several lines.
    pub command: String,
    /// The lines it printed.
    pub output: Vec<String>,
}

/// The transcripts of a page.
///
/// # Panics
/// On a condition that is not known, and on a block that does not begin with a command: with the page and the line.
#[must_use]
pub fn transcripts(page: &Page) -> Vec<Transcript> {
    let is_console = |block: &Block| block.info == "console" || block.info.starts_with("console,");
    page.blocks().iter().filter(|block| is_console(block)).map(|block| parse(page, block)).collect()
}

fn parse(page: &Page, block: &Block) -> Transcript {
    let place = format!("{}:{}", page.path.display(), block.line);
    let mut transcript =
        Transcript { line: block.line, need: Need::Nothing, setup: false, any_numbers: false, exchanges: Vec::new() };
    for word in block.info.split(',').skip(1) {
        match word {
            "needs=root" => transcript.need = Need::Root,
            "needs=machine" => transcript.need = Need::Machine,
            "needs=lab" => transcript.need = Need::Lab,
            "any=numbers" => transcript.any_numbers = true,
            "setup" => transcript.setup = true,
            other => panic!("{place}: `{other}` is no condition of a console block"),
        }
    }
    for line in &block.lines {
        let last = transcript.exchanges.last_mut();
        if let Some(command) = line.strip_prefix("$ ") {
            transcript.exchanges.push(Exchange { command: command.to_owned(), output: Vec::new() });
        } else {
            let last = last.unwrap_or_else(|| panic!("{place}: the block begins with no command"));
            match line.strip_prefix("> ") {
                Some(more) if last.output.is_empty() => last.command.extend(["\n", more]),
                _ => last.output.push(line.clone()),
            }
        }
    }
    transcript
}

/// The mark before the output of each command: a character that no program prints.
const MARK: char = '\u{1e}';

/// What a shell is given to run the transcripts one after the other.
#[must_use]
pub fn script(transcripts: &[Transcript]) -> String {
    let mut script = String::from("exec 2>&1 </dev/null\nstatus=0\n");
    for exchange in transcripts.iter().flat_map(|transcript| &transcript.exchanges) {
        let quoted = exchange.command.replace('\'', r"'\''");
        // `$?` is that of the command before, not of our mark.
        writeln!(script, "printf '\\036\\n'\n(exit $status)\neval '{quoted}'\nstatus=$?").expect("a string takes all");
    }
    // What a page leaves in the background ends with it.
    script.push_str("printf '\\036\\n'\nkill $(jobs -p) 2>/dev/null\nwait\n");
    script
}

/// Runs the transcripts by `shell` (bash, in the folder and the environment of its own) and gives them back with what was printed
/// now. `names` are pairs: a path of the sandbox, and how readers see it.
///
/// # Errors
/// When the shell does not start.
pub fn run(shell: &mut Command, transcripts: &[Transcript], names: &[(&str, &str)]) -> io::Result<Vec<Transcript>> {
    let output = shell.arg("-c").arg(script(transcripts)).output()?;
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    names.iter().for_each(|(path, name)| printed = printed.replace(path, name));
    let mark = format!("{MARK}\n");
    let mut pieces = printed.split(&mark).skip(1);
    let mut transcripts = transcripts.to_vec();
    for exchange in transcripts.iter_mut().flat_map(|transcript| &mut transcript.exchanges) {
        let piece = pieces.next().unwrap_or("(the shell ended before this command)");
        exchange.output = piece.lines().map(|line| line.trim_end().to_owned()).collect();
    }
    Ok(transcripts)
}

impl Transcript {
    /// Whether what was printed is what the page says.
    #[must_use]
    pub fn agrees(&self, now: &Self) -> bool {
        let redact =
            |lines: &[String]| -> Vec<String> { lines.iter().map(|line| redacted(line, self.any_numbers)).collect() };
        let same = |page: &Exchange, now: &Exchange| matches(&redact(&page.output), &redact(&now.output));
        self.exchanges.iter().zip(&now.exchanges).all(|(page, now)| same(page, now))
    }

    /// The lines between the fences.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let lines = |exchange: &Exchange| {
            let command = format!("$ {}", exchange.command.replace('\n', "\n> "));
            let command: Vec<String> = command.lines().map(str::to_owned).collect();
            command.into_iter().chain(exchange.output.clone()).collect::<Vec<_>>()
        };
        self.exchanges.iter().flat_map(lines).collect()
    }
}

/// The line without what differs from run to run, and without any number if all are equal.
pub(crate) fn redacted(line: &str, any_numbers: bool) -> String {
    let mut line = line.to_owned();
    for (pattern, name) in REDACTIONS.iter() {
        line = pattern.replace_all(&line, *name).into_owned();
    }
    if any_numbers {
        line = NUMBERS.replace_all(&line, "N").into_owned();
    }
    // Columns are as wide as their numbers.
    SPACES.replace_all(line.trim_end(), " ").into_owned()
}

static REDACTIONS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"\[\d{6,}\]", "[INODE]"),
        (r"\.rs:\d+", ".rs:LINE"),
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"\b[0-9a-f]{12}\b", "ID"),
        (r"\bstep0\d-[A-Za-z0-9]{6}\b", "step0-SCRATCH"),
        (r"\b\d\d:\d\d(:\d\d)?\b", "TIME"),
        (r"\b\d+(\.\d+)? ?(µs|ms|s|seconds?)\b", "DURATION"),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).expect("a regular expression"), name))
    .into()
});
static NUMBERS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+").expect("a regular expression"));
static SPACES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s+").expect("a regular expression"));

/// Line by line; `…` is any number of lines.
fn matches(page: &[String], now: &[String]) -> bool {
    match page.split_first() {
        None => now.is_empty(),
        Some((first, rest)) if first.trim() == "…" => (0..=now.len()).any(|skipped| matches(rest, &now[skipped..])),
        Some((first, rest)) => now.first() == Some(first) && matches(rest, &now[1..]),
    }
}

const BEGIN: &str = "-----8<-----";
const END: &str = "----->8-----";

/// What a failed comparison says: the block as it would be now, in a form that [`accept`] understands.
#[must_use]
pub fn complaint(page: &Page, transcript: &Transcript, now: &Transcript) -> String {
    let mut text = format!("{}:{}: this is what the page says\n", page.path.display(), transcript.line);
    transcript.lines().iter().for_each(|line| text.extend([line.as_str(), "\n"]));
    writeln!(text, "{BEGIN} {}:{}", page.path.display(), transcript.line).expect("a string takes all");
    now.lines().iter().for_each(|line| text.extend([line.as_str(), "\n"]));
    text + END + "\nif it is meant: cargo book test --accept, then read the difference\n"
}

/// The same for a file that is made anew as a whole.
#[must_use]
pub fn complaint_of_file(path: &Path, lines: &[String]) -> String {
    let lines = lines.join("\n");
    format!(
        "{BEGIN} {}:0\n{lines}\n{END}\nif it is meant: cargo book test --accept, then read the difference\n",
        path.display()
    )
}

/// Writes the blocks of the complaints in `report` into their pages, and gives how many. What stands at line 0 is a whole file.
///
/// # Errors
/// A page that cannot be read or written.
pub fn accept(report: &str) -> io::Result<usize> {
    let mut found = complaints(report);
    // From the end of a page to its beginning: the lines above keep their numbers.
    found.sort_by_key(|(_, line, _)| std::cmp::Reverse(*line));
    for (path, line, lines) in &found {
        let text = match line {
            0 => lines.join("\n") + "\n",
            line => replaced(&std::fs::read_to_string(path)?, *line, lines),
        };
        std::fs::write(path, text)?;
    }
    Ok(found.len())
}

fn complaints(report: &str) -> Vec<(String, usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut lines = report.lines();
    while let Some(line) = lines.next() {
        let Some(place) = line.strip_prefix(BEGIN) else { continue };
        let Some((path, number)) = place.trim().rsplit_once(':') else { continue };
        let Ok(number) = number.parse() else { continue };
        let block = lines.by_ref().take_while(|line| *line != END).map(str::to_owned).collect();
        found.push((path.to_owned(), number, block));
    }
    found
}

fn replaced(text: &str, fence: usize, block: &[String]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[fence..].iter().position(|line| *line == "```").map_or(lines.len(), |length| fence + length);
    let block = block.iter().map(String::as_str);
    let all: Vec<&str> = lines[..fence].iter().copied().chain(block).chain(lines[end..].iter().copied()).collect();
    all.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page { name: "p".to_owned(), path: "p.md".into(), text: text.to_owned() }
    }

    fn bash(page: &Page) -> Vec<Transcript> {
        run(&mut Command::new("bash"), &transcripts(page), &[("/etc", "/configuration")]).expect("bash")
    }

    #[test]
    fn commands_run_in_one_shell_and_their_output_is_told_apart() {
        let page = page("```console\n$ x='a b'\n$ echo \"$x\"\na b\n$ printf no-newline; false\n$ echo $? /etc\n```\n");
        let now = bash(&page);
        let output: Vec<_> = now[0].exchanges.iter().map(|exchange| exchange.output.join("|")).collect();
        assert_eq!(output, ["", "a b", "no-newline", "1 /configuration"]);
    }

    #[test]
    fn what_differs_from_run_to_run_is_not_compared() {
        let text = |output: &str, info: &str| transcripts(&page(&format!("```{info}\n$ x\n{output}\n```\n"))).remove(0);
        let agrees = |a, b| text(a, "console").agrees(&text(b, "console"));
        assert!(agrees("pid:[4026531836]   x", "pid:[4026999999] x"));
        assert!(agrees("…\nlast", "first\nsecond\nlast") && !agrees("…\nlast", "first\nlast\nother"));
        assert!(!agrees("exit 1", "exit 2"));
        assert!(text("PID 17", "console,any=numbers").agrees(&text("PID 4", "console")));
    }

    #[test]
    fn a_changed_output_is_a_complaint_that_can_be_accepted() {
        let page = page("before\n```console\n$ echo new\nold\n```\nafter\n");
        let (was, now) = (transcripts(&page).remove(0), bash(&page).remove(0));
        assert!(!was.agrees(&now));
        let found = complaints(&complaint(&page, &was, &now));
        assert_eq!(found, [("p.md".to_owned(), 2, vec!["$ echo new".to_owned(), "new".to_owned()])]);
        assert_eq!(replaced(&page.text, 2, &found[0].2), "before\n```console\n$ echo new\nnew\n```\nafter\n");
    }
}
