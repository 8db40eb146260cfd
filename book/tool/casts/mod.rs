//! Recorded sessions at a terminal: what motion teaches, and the same as text.
//!
//! `book/casts/NAME.txt` says what is typed: lines of a prompt and the keys after it, below a title. `NAME.cast` is what came of it,
//! in the form of asciinema (asciicast v2), which other players read as well. A page has the whole text; `theme/casts.js` plays it.

mod screen;

use crate::console::redacted;
use crate::folder;
use anyhow::{Context, Result, bail, ensure};
use screen::Screen;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// The size of the terminal.
pub const COLUMNS: u16 = 80;
/// The size of the terminal.
pub const ROWS: u16 = 24;
/// The prompts that are waited for: of the shell outside, of busybox's inside.
const PROMPTS: [&str; 2] = ["$ ", "/ # "];
/// Seconds between two keys, and before the first: nobody types in the recording, so all type alike.
const KEY: f64 = 0.05;
const PAUSE: f64 = 1.0;
/// Set by `cargo book cast`: every recording counts as changed.
pub const ANEW: &str = "BOOK_CAST_ANEW";
/// Longer waits teach no more than this.
const LONGEST: f64 = 2.5;

/// What is typed.
#[derive(Debug)]
pub struct Script {
    /// What it shows.
    pub title: String,
    /// Whether numbers are compared when it is played again.
    pub any_numbers: bool,
    /// Prompts and the keys after them.
    pub typed: Vec<(&'static str, String)>,
}

/// A recording.
#[derive(Debug, PartialEq)]
pub struct Cast {
    title: String,
    /// Seconds since the begin, the event's letter (`o` output, `m` a command begins), its text.
    events: Vec<(f64, char, String)>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u8,
    width: u16,
    height: u16,
    title: String,
}

/// The names of all scripts, sorted.
///
/// # Errors
/// A folder that cannot be read.
pub fn names() -> Result<Vec<String>> {
    let entries = fs::read_dir(folder().join("casts")).context("read the folder of the casts")?;
    let scripts = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".txt")?.to_owned()));
    let mut names: Vec<String> = scripts.collect();
    names.sort();
    Ok(names)
}

/// Where the recording of this name is.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    folder().join("casts").join(name).with_extension("cast")
}

impl Script {
    /// The script of this name.
    ///
    /// # Errors
    /// A line that is neither a property nor a prompt with keys.
    pub fn read(name: &str) -> Result<Self> {
        let path = path(name).with_extension("txt");
        let text = fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
        Self::parse(&text).with_context(|| format!("`{}`", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut script = Self { title: String::new(), any_numbers: false, typed: Vec::new() };
        for line in text.lines() {
            let typed = PROMPTS.iter().find_map(|prompt| Some((*prompt, line.strip_prefix(prompt)?.to_owned())));
            match (typed, line.split_once(": ")) {
                (Some(typed), _) => script.typed.push(typed),
                (None, Some(("title", title))) => title.clone_into(&mut script.title),
                (None, Some(("any", "numbers"))) => script.any_numbers = true,
                _ => bail!("`{line}` is no line of a script"),
            }
        }
        ensure!(!script.title.is_empty() && !script.typed.is_empty(), "a title and something to type are wanted");
        Ok(script)
    }
}

/// Makes a recording of what a terminal shows while a script is typed.
#[derive(Debug)]
pub struct Recorder {
    cast: Cast,
    screen: Screen,
    clock: f64,
}

impl Recorder {
    /// An empty one.
    #[must_use]
    pub fn new(script: &Script) -> Self {
        let cast = Cast { title: script.title.clone(), events: Vec::new() };
        Self { cast, screen: Screen::default(), clock: 0.0 }
    }

    /// Output that came so many seconds after what was before.
    pub fn output(&mut self, after: f64, text: &str) {
        // Tenths: more would differ each time and tell nobody anything.
        self.clock += (after.min(LONGEST) * 10.0).round() / 10.0;
        self.screen.show(text);
        self.event('o', text);
    }

    /// Whether the last line is this prompt and nothing else.
    #[must_use]
    pub fn is_at(&self, prompt: &str) -> bool {
        self.screen.last_line() == prompt
    }

    /// The keys of a command, as their echo shows them, one after the other; without the key that ends it.
    pub fn typed(&mut self, keys: &str) {
        self.clock += PAUSE;
        self.event('m', keys);
        for key in keys.chars() {
            self.clock += KEY;
            self.screen.show(key.encode_utf8(&mut [0; 4]));
            self.event('o', &key.to_string());
        }
        self.clock += PAUSE / 2.0;
    }

    fn event(&mut self, letter: char, text: &str) {
        let at = (self.clock * 100.0).round() / 100.0;
        self.cast.events.push((at, letter, text.to_owned()));
    }

    /// The recording. The prompt that nobody answers any more is left out.
    #[must_use]
    pub fn finish(mut self) -> Cast {
        if let Some((_, _, text)) = self.cast.events.last_mut() {
            for prompt in PROMPTS {
                *text = text.strip_suffix(prompt).unwrap_or(text).to_owned();
            }
        }
        self.cast
    }
}

impl Cast {
    /// The recording of this name.
    ///
    /// # Errors
    /// A file that is not there, or no asciicast v2.
    pub fn read(name: &str) -> Result<Self> {
        let path = path(name);
        let read = || Self::parse(&fs::read_to_string(&path)?);
        read().with_context(|| format!("read the cast `{}` (`cargo book cast {name}` records it)", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let header: Header = serde_json::from_str(lines.next().unwrap_or_default())?;
        ensure!(header.version == 2, "version {} of asciicast", header.version);
        let events: serde_json::Result<Vec<_>> = lines.map(serde_json::from_str).collect();
        let events: Vec<(f64, char, String)> = events?;
        ensure!(events.is_sorted_by(|a, b| a.0 <= b.0), "its time runs backwards");
        Ok(Self { title: header.title, events })
    }

    /// The lines of its file.
    ///
    /// # Errors
    /// None that is known: JSON takes every text.
    pub fn lines(&self) -> Result<Vec<String>> {
        let header = Header { version: 2, width: COLUMNS, height: ROWS, title: self.title.clone() };
        let events = self.events.iter().map(serde_json::to_string);
        Ok(std::iter::once(serde_json::to_string(&header)).chain(events).collect::<Result<_, _>>()?)
    }

    /// All that was on the screen.
    #[must_use]
    pub fn text(&self) -> String {
        let mut screen = Screen::default();
        self.outputs().for_each(|(_, text)| screen.show(text));
        screen.text().trim_end().to_owned()
    }

    /// Whether the same was typed and shown, but for what differs from run to run. Where numbers do not count, it does not count either how
    /// often a line came: it is one that tells of something that changes.
    #[must_use]
    pub fn agrees(&self, now: &Self, any_numbers: bool) -> bool {
        let lines = |cast: &Self| {
            let text = cast.text();
            let mut lines: Vec<String> = text.lines().map(|line| redacted(line, any_numbers)).collect();
            lines.dedup_by(|a, b| any_numbers && a == b);
            lines
        };
        self.title == now.title && lines(self) == lines(now)
    }

    fn outputs(&self) -> impl Iterator<Item = (f64, &str)> {
        self.events.iter().filter(|(_, letter, _)| *letter == 'o').map(|(at, _, text)| (*at, text.as_str()))
    }

    /// What the player needs: for each change of the screen its time in milliseconds, how many letters of the text before it stay, and
    /// those that come; and the times at which commands begin.
    fn frames(&self) -> (Vec<(u64, usize, String)>, Vec<u64>) {
        let (mut screen, mut before) = (Screen::default(), Vec::new());
        let mut frames = Vec::new();
        for (at, text) in self.outputs() {
            screen.show(text);
            let now: Vec<char> = screen.text().chars().collect();
            let kept = before.iter().zip(&now).take_while(|(a, b)| a == b).count();
            frames.push((milliseconds(at), kept, now[kept..].iter().collect()));
            before = now;
        }
        let commands = self.events.iter().filter(|(_, letter, _)| *letter == 'm');
        (frames, commands.map(|(at, _, _)| milliseconds(*at)).collect())
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a recording lasts seconds")]
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

/// The recording as a figure: the text for everybody, and beside it what the player needs.
///
/// # Errors
/// When there is none of this name.
pub(crate) fn figure(name: &str) -> Result<String> {
    let cast = Cast::read(name)?;
    let (frames, commands) = cast.frames();
    let data = serde_json::to_string(&(frames, commands))?.replace('<', "\\u003c");
    let mut figure = String::from("<figure class=\"cast\">\n");
    writeln!(figure, "<pre tabindex=\"0\" aria-label=\"{}\">{}</pre>", escaped(&cast.title), escaped(&cast.text()))?;
    writeln!(figure, "<script type=\"application/json\">{data}</script>")?;
    writeln!(figure, "<figcaption>{}.</figcaption>\n</figure>", escaped(&cast.title))?;
    Ok(figure)
}

/// On one line: Markdown ends a figure at an empty one.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    text.replace('\n', "&#10;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> Cast {
        let script = Script::parse("title: Two\n$ date\n$ exit").expect("a script");
        let mut recorder = Recorder::new(&script);
        recorder.output(0.004, "$ ");
        assert!(recorder.is_at("$ ") && !recorder.is_at("/ # "));
        recorder.typed("date");
        recorder.output(9.0, "\r\n\r\n<today>\r\n$ ");
        recorder.finish()
    }

    #[test]
    fn a_recording_is_an_asciicast_and_comes_back() {
        let cast = recorded();
        let lines = cast.lines().expect("JSON");
        assert_eq!(lines[0], r#"{"version":2,"width":80,"height":24,"title":"Two"}"#);
        assert_eq!(lines[2..4], [r#"[1.0,"m","date"]"#, r#"[1.05,"o","d"]"#]);
        assert_eq!(Cast::parse(&lines.join("\n")).expect("the same"), cast);
        assert_eq!(cast.text(), "$ date\n\n<today>");
    }

    #[test]
    fn the_player_gets_what_changes_and_when() {
        let (frames, commands) = recorded().frames();
        assert_eq!(frames[..2], [(0, 0, "$ ".to_owned()), (1050, 2, "d".to_owned())]);
        assert_eq!(frames.last().expect("frames"), &(4200, 6, "\n\n<today>\n".to_owned()));
        assert_eq!(commands, [1000]);
    }

    #[test]
    fn a_script_says_what_is_wrong_with_it() {
        let error = Script::parse("title: T\nls").expect_err("no prompt");
        assert_eq!(error.to_string(), "`ls` is no line of a script");
    }
}
