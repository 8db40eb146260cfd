//! From the keyword to the instruction; flags.

use super::super::lines::Statement;
use super::super::problem::Problem;
use super::super::words::{flags, split};
use super::Instruction;
use super::forms::blanks;
use std::collections::BTreeMap;

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads one statement.
pub(super) struct Parser<'a> {
    pub(super) statement: &'a Statement,
    pub(super) escape: char,
}

/// The values of each flag.
pub(super) type Flags = BTreeMap<String, Vec<String>>;

impl Parser<'_> {
    pub(super) fn instruction(&self) -> Result<Instruction, Problem> {
        let keyword = self.statement.keyword.as_str();
        if !KEYWORDS.contains(&keyword) {
            return Err(self.unknown(keyword));
        }
        if self.statement.rest.is_empty() && keyword != "CMD" && keyword != "ENTRYPOINT" {
            return Err(self.problem(format!("{keyword} needs an argument")).at(keyword.to_owned()));
        }
        match keyword {
            "FROM" => self.from(),
            "RUN" => self.run(),
            "CMD" => self.command().map(Instruction::Cmd),
            "ENTRYPOINT" => self.command().map(Instruction::Entrypoint),
            "LABEL" => self.pairs().map(Instruction::Label),
            "ENV" => self.pairs().map(Instruction::Env),
            "MAINTAINER" => Ok(Instruction::Maintainer(self.plain()?)),
            "EXPOSE" => self.without_flags().map(|rest| Instruction::Expose(blanks(&rest))),
            "ADD" => self.copy(true),
            "COPY" => self.copy(false),
            "VOLUME" => self.volume(),
            "USER" => Ok(Instruction::User(self.single()?)),
            "WORKDIR" => Ok(Instruction::Workdir(self.plain()?)),
            "ARG" => self.arg(),
            "ONBUILD" => self.onbuild(),
            "STOPSIGNAL" => Ok(Instruction::StopSignal(self.single()?)),
            "HEALTHCHECK" => self.healthcheck(),
            _ => self.shell(),
        }
    }

    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem::new(&self.statement.place, what)
    }

    fn unknown(&self, keyword: &str) -> Problem {
        let first = self.statement.place.text.first().map_or("", |line| line.trim());
        let written: String = first.chars().take(keyword.chars().count()).collect();
        let problem = self.problem(format!("there is no instruction `{keyword}`")).at(written);
        let near = KEYWORDS
            .iter()
            .map(|known| (distance(known, keyword), known.chars().next() != keyword.chars().next(), known))
            .min();
        match near.filter(|(distance, ..)| *distance <= 2) {
            Some((.., known)) => problem.help(format!("did you mean `{known}`?")),
            None => problem.help(format!("the instructions are {}", KEYWORDS.join(", "))),
        }
    }

    /// The flags, of which only `known` are allowed, and what follows them.
    pub(super) fn flags(&self, known: &[&str]) -> Result<(Flags, String), Problem> {
        let (words, rest) = flags(&self.statement.rest, self.escape);
        let mut found = Flags::new();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            if !known.contains(&name) {
                let keyword = &self.statement.keyword;
                let problem = self.problem(format!("{keyword} has no flag `{name}`")).at(name.to_owned());
                return Err(match known {
                    [] => problem,
                    known => problem.help(format!("it has {}", known.join(", "))),
                });
            }
            found.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        Ok((found, rest))
    }

    /// The value of a flag that may be given once.
    pub(super) fn one(&self, flags: &Flags, name: &str) -> Result<Option<String>, Problem> {
        match flags.get(name).map(Vec::as_slice) {
            None => Ok(None),
            Some([value]) if value.is_empty() => {
                Err(self.problem(format!("`{name}` needs a value")).at(name.to_owned()))
            }
            Some([value]) => Ok(Some(value.clone())),
            Some(_) => Err(self.problem(format!("`{name}` is given twice")).at(name.to_owned())),
        }
    }

    pub(super) fn switch(&self, flags: &Flags, name: &str) -> Result<bool, Problem> {
        match flags.get(name).and_then(|values| values.last()).map(String::as_str) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(self.problem(format!("`{name}` is true or false, not `{other}`")).at(other.to_owned())),
        }
    }

    pub(super) fn without_flags(&self) -> Result<String, Problem> {
        self.flags(&[]).map(|(_, rest)| rest)
    }

    pub(super) fn plain(&self) -> Result<String, Problem> {
        self.without_flags()
    }

    pub(super) fn single(&self) -> Result<String, Problem> {
        let rest = self.without_flags()?;
        match split(&rest, self.escape).as_slice() {
            [_] => Ok(rest),
            words => {
                let what = format!("{} takes one argument, not {}", self.statement.keyword, words.len());
                Err(self.problem(what).at(rest.clone()))
            }
        }
    }
}

/// How many letters differ: insertions, deletions, changes.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(20).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, d) in b.iter().enumerate() {
            let cost = corner + usize::from(c != *d);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
