//! What an instruction says. Source: Dockerfile reference.

use super::lines::{HereDocument, Statement};
use super::problem::{Place, Problem};
use super::words::{flags, head, json_list, split};
use std::collections::BTreeMap;

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandForm {
    /// `["a", "b"]`: run as it is.
    Exec(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

/// `COPY` and `ADD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// As written; here-documents are not among them.
    pub sources: Vec<String>,
    /// Files written in the Dockerfile itself.
    pub documents: Vec<HereDocument>,
    /// Where to.
    pub destination: String,
    /// A stage or an image.
    pub from: Option<String>,
    /// `USER[:GROUP]`.
    pub chown: Option<String>,
    /// As written.
    pub chmod: Option<String>,
    /// Whether the folders of the sources' paths are kept.
    pub parents: bool,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// `--link`: the layer does not depend on what is below it. Nothing differs here, every layer is its own directory.
    pub link: bool,
    /// `ADD --checksum`.
    pub checksum: Option<String>,
    /// `ADD`: an archive among the sources is unpacked.
    pub add: bool,
    /// `ADD --unpack`; without it archives of the context are unpacked, and those that were fetched are not.
    pub unpack: Option<bool>,
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What to run.
    pub command: CommandForm,
    /// Here-documents of the shell form, for the shell.
    pub documents: Vec<HereDocument>,
    /// `--mount`, each a list of `key=value`, as written.
    pub mounts: Vec<String>,
    /// `--network`.
    pub network: Option<String>,
}

/// A health check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// docker's form: `NONE`, or `CMD` or `CMD-SHELL` and the command.
    pub test: Vec<String>,
    /// In nanoseconds, as docker's configuration has it.
    pub interval: Option<u64>,
    /// In nanoseconds.
    pub timeout: Option<u64>,
    /// In nanoseconds.
    pub start_period: Option<u64>,
    /// In nanoseconds.
    pub start_interval: Option<u64>,
    /// Failures in a row.
    pub retries: Option<u64>,
}

/// An instruction; words are as written, variables not put in yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is a word of the Dockerfile reference")]
pub enum Instruction {
    From { image: String, name: Option<String>, platform: Option<String> },
    Run(Run),
    Cmd(CommandForm),
    Entrypoint(CommandForm),
    Label(Vec<(String, String)>),
    Maintainer(String),
    Expose(Vec<String>),
    Env(Vec<(String, String)>),
    Copy(Copy),
    Volume(Vec<String>),
    User(String),
    Workdir(String),
    Arg(Vec<(String, Option<String>)>),
    Onbuild(String),
    StopSignal(String),
    Healthcheck(Health),
    Shell(Vec<String>),
}

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it says.
    pub instruction: Instruction,
    /// Where.
    pub place: Place,
    /// Keyword and rest, as one line: what progress and history show.
    pub text: String,
}

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

impl Step {
    /// Reads a statement.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(statement: &Statement, escape: char) -> Result<Self, Problem> {
        let parser = Parser { statement, escape };
        let instruction = parser.instruction()?;
        let text = format!("{} {}", statement.keyword, statement.rest).trim_end().to_owned();
        Ok(Self { instruction, place: statement.place.clone(), text })
    }
}

struct Parser<'a> {
    statement: &'a Statement,
    escape: char,
}

type Flags = BTreeMap<String, Vec<String>>;

impl Parser<'_> {
    fn instruction(&self) -> Result<Instruction, Problem> {
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

    fn problem(&self, what: impl Into<String>) -> Problem {
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
    fn flags(&self, known: &[&str]) -> Result<(Flags, String), Problem> {
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
    fn one(&self, flags: &Flags, name: &str) -> Result<Option<String>, Problem> {
        match flags.get(name).map(Vec::as_slice) {
            None => Ok(None),
            Some([value]) if value.is_empty() => {
                Err(self.problem(format!("`{name}` needs a value")).at(name.to_owned()))
            }
            Some([value]) => Ok(Some(value.clone())),
            Some(_) => Err(self.problem(format!("`{name}` is given twice")).at(name.to_owned())),
        }
    }

    fn switch(&self, flags: &Flags, name: &str) -> Result<bool, Problem> {
        match flags.get(name).and_then(|values| values.last()).map(String::as_str) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(self.problem(format!("`{name}` is true or false, not `{other}`")).at(other.to_owned())),
        }
    }

    fn without_flags(&self) -> Result<String, Problem> {
        self.flags(&[]).map(|(_, rest)| rest)
    }

    fn plain(&self) -> Result<String, Problem> {
        self.without_flags()
    }

    fn single(&self) -> Result<String, Problem> {
        let rest = self.without_flags()?;
        match split(&rest, self.escape).as_slice() {
            [_] => Ok(rest),
            words => {
                let what = format!("{} takes one argument, not {}", self.statement.keyword, words.len());
                Err(self.problem(what).at(rest.clone()))
            }
        }
    }

    fn from(&self) -> Result<Instruction, Problem> {
        let (flags, rest) = self.flags(&["--platform"])?;
        let platform = self.one(&flags, "--platform")?;
        let words = blanks(&rest);
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [image] => Ok(Instruction::From { image: image.to_owned(), name: None, platform }),
            [image, word, name] if word.eq_ignore_ascii_case("as") => {
                let lower = name.to_ascii_lowercase();
                let fits = lower.starts_with(|c: char| c.is_ascii_lowercase())
                    && lower.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
                if !fits {
                    let what = format!("`{name}` cannot be the name of a stage");
                    return Err(self
                        .problem(what)
                        .at(name.to_owned())
                        .help("a letter, then letters, digits, `-`, `_`, `.`"));
                }
                Ok(Instruction::From { image: image.to_owned(), name: Some(lower), platform })
            }
            _ => Err(self.problem("FROM takes an image, or an image and a name").help("write `FROM IMAGE [AS NAME]`")),
        }
    }

    fn run(&self) -> Result<Instruction, Problem> {
        let (flags, rest) = self.flags(&["--mount", "--network", "--security"])?;
        if let Some(security) = self.one(&flags, "--security")?.filter(|security| security != "sandbox") {
            let what =
                format!("RUN with `--security={security}` is refused: a build runs with a container's privileges");
            return Err(self.problem(what).at("--security"));
        }
        if rest.is_empty() {
            return Err(self.problem("RUN needs a command"));
        }
        let network = self.one(&flags, "--network")?;
        let mounts = flags.get("--mount").cloned().unwrap_or_default();
        let documents = self.statement.here_documents.clone();
        let command = form(&rest);
        Ok(Instruction::Run(Run { command, documents, mounts, network }))
    }

    fn command(&self) -> Result<CommandForm, Problem> {
        let rest = self.without_flags()?;
        Ok(match rest.is_empty() {
            true => CommandForm::Exec(Vec::new()),
            false => form(&rest),
        })
    }

    /// `NAME=VALUE …`, or the old form `NAME VALUE`.
    fn pairs(&self) -> Result<Vec<(String, String)>, Problem> {
        let rest = self.without_flags()?;
        let words = split(&rest, self.escape);
        let keyword = &self.statement.keyword;
        if !words.first().is_some_and(|word| word.contains('=')) {
            let (name, value) = rest.split_once(char::is_whitespace).ok_or_else(|| {
                self.problem(format!("{keyword} needs a name and a value")).at(rest.clone()).help("write `NAME=VALUE`")
            })?;
            return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
        }
        let pair = |word: &String| match word.split_once('=') {
            Some(("", _)) => Err(self.problem(format!("{keyword}: `{word}` has no name")).at(word.clone())),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => {
                let problem = self.problem(format!("{keyword}: `{word}` has no `=`")).at(word.clone());
                Err(problem.help("quote a value that has blanks: `NAME=\"a b\"`"))
            }
        };
        words.iter().map(pair).collect()
    }

    fn copy(&self, add: bool) -> Result<Instruction, Problem> {
        const BOTH: [&str; 4] = ["--chown", "--chmod", "--link", "--exclude"];
        let own: &[&str] = if add { &["--checksum", "--keep-git-dir", "--unpack"] } else { &["--from", "--parents"] };
        let (flags, rest) = self.flags(&[&BOTH[..], own].concat())?;
        let mut words = json_list(&rest).unwrap_or_else(|| blanks(&rest));
        let keyword = &self.statement.keyword;
        let destination = words.pop().filter(|_| !words.is_empty());
        let Some(destination) = destination else {
            let problem = self.problem(format!("{keyword} needs a source and a destination"));
            return Err(problem.help(format!("write `{keyword} SOURCE… DESTINATION`")));
        };
        let sources: Vec<String> = words.into_iter().filter(|word| head(word, self.escape).is_none()).collect();
        let documents = self.statement.here_documents.clone();
        if sources.len() + documents.len() > 1
            && !destination.ends_with('/')
            && destination != "."
            && destination != ".."
        {
            let what = format!("{keyword} of several sources needs a folder as its destination");
            return Err(self.problem(what).at(destination.clone()).help(format!("write `{destination}/`")));
        }
        Ok(Instruction::Copy(Copy {
            sources,
            documents,
            destination,
            from: self.one(&flags, "--from")?,
            chown: self.one(&flags, "--chown")?,
            chmod: self.one(&flags, "--chmod")?,
            parents: self.switch(&flags, "--parents")?,
            exclude: flags.get("--exclude").cloned().unwrap_or_default(),
            link: self.switch(&flags, "--link")?,
            checksum: self.one(&flags, "--checksum")?,
            add,
            unpack: flags.contains_key("--unpack").then(|| self.switch(&flags, "--unpack")).transpose()?,
        }))
    }

    fn volume(&self) -> Result<Instruction, Problem> {
        let rest = self.without_flags()?;
        let paths = json_list(&rest).unwrap_or_else(|| blanks(&rest));
        match paths.iter().any(|path| path.trim().is_empty()) || paths.is_empty() {
            true => Err(self.problem("VOLUME needs a path")),
            false => Ok(Instruction::Volume(paths)),
        }
    }

    fn arg(&self) -> Result<Instruction, Problem> {
        let rest = self.without_flags()?;
        let arg = |word: &String| {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            match name.is_empty() {
                true => Err(self.problem("ARG needs a name").at(word.clone())),
                false => Ok((name.to_owned(), value)),
            }
        };
        split(&rest, self.escape).iter().map(arg).collect::<Result<_, _>>().map(Instruction::Arg)
    }

    /// Read now, so that what is wrong with it is found where it is written.
    fn onbuild(&self) -> Result<Instruction, Problem> {
        let rest = &self.statement.rest;
        let (keyword, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let keyword = keyword.to_ascii_uppercase();
        if ["ONBUILD", "FROM", "MAINTAINER"].contains(&keyword.as_str()) {
            return Err(self.problem(format!("{keyword} is not allowed after ONBUILD")).at(rest.clone()));
        }
        let inner = Statement { keyword, rest: after.trim().to_owned(), ..self.statement.clone() };
        Parser { statement: &inner, escape: self.escape }.instruction()?;
        let mut text = rest.clone();
        for document in &self.statement.here_documents {
            text += &format!("\n{}{}", document.content, document.name);
        }
        Ok(Instruction::Onbuild(text))
    }

    fn healthcheck(&self) -> Result<Instruction, Problem> {
        const TIMES: [&str; 5] = ["--interval", "--timeout", "--start-period", "--start-interval", "--retries"];
        let (flags, rest) = self.flags(&TIMES)?;
        let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((&rest, ""));
        let test = match (kind.to_ascii_uppercase().as_str(), command.trim()) {
            ("NONE", "") if flags.is_empty() => vec!["NONE".to_owned()],
            ("NONE", _) => return Err(self.problem("HEALTHCHECK NONE takes nothing more")),
            ("CMD", "") => return Err(self.problem("HEALTHCHECK CMD needs a command")),
            ("CMD", command) => match form(command) {
                CommandForm::Exec(list) => [vec!["CMD".to_owned()], list].concat(),
                CommandForm::Shell(line) => vec!["CMD-SHELL".to_owned(), line],
            },
            _ => {
                let problem = self.problem(format!("HEALTHCHECK is CMD or NONE, not `{kind}`")).at(kind.to_owned());
                return Err(problem.help("write `HEALTHCHECK [FLAGS] CMD command` or `HEALTHCHECK NONE`"));
            }
        };
        let time = |name: &str| self.one(&flags, name)?.map(|text| self.duration(name, &text)).transpose();
        let retries = self.one(&flags, "--retries")?.map(|text| {
            text.parse::<u64>()
                .map_err(|_| self.problem(format!("`--retries` is a number, not `{text}`")).at(text.clone()))
        });
        Ok(Instruction::Healthcheck(Health {
            test,
            interval: time("--interval")?,
            timeout: time("--timeout")?,
            start_period: time("--start-period")?,
            start_interval: time("--start-interval")?,
            retries: retries.transpose()?,
        }))
    }

    fn duration(&self, name: &str, text: &str) -> Result<u64, Problem> {
        let refused = || {
            let what = format!("`{name}` is a time such as 30s or 1m30s, not `{text}`");
            self.problem(what).at(text.to_owned())
        };
        let nanos = duration(text).ok_or_else(refused)?;
        match nanos {
            1..1_000_000 => Err(self.problem(format!("`{name}` is at least 1ms")).at(text.to_owned())),
            nanos => Ok(nanos),
        }
    }

    fn shell(&self) -> Result<Instruction, Problem> {
        let rest = self.without_flags()?;
        match json_list(&rest).filter(|list| !list.is_empty()) {
            Some(list) => Ok(Instruction::Shell(list)),
            None => {
                Err(self.problem("SHELL needs a list in JSON").at(rest).help("write `SHELL [\"/bin/sh\", \"-c\"]`"))
            }
        }
    }
}

fn form(text: &str) -> CommandForm {
    json_list(text).map_or_else(|| CommandForm::Shell(text.to_owned()), CommandForm::Exec)
}

fn blanks(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Go's durations: `1h2m3.5s`, `100ms`; in nanoseconds.
fn duration(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        let after = rest.get(end..)?;
        let units = [("ms", 1e6), ("us", 1e3), ("µs", 1e3), ("ns", 1.0), ("h", 3.6e12), ("m", 6e10), ("s", 1e9)];
        let (unit, factor) = units.iter().find(|(unit, _)| after.starts_with(unit))?;
        total += number * factor;
        rest = after.get(unit.len()..)?;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on the line before")]
    (total > 0.0 && total < 9e18).then_some(total.round() as u64)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::lines::statements;

    fn parse(text: &str) -> Result<Instruction, Problem> {
        let (directives, found) = statements("Dockerfile", text)?;
        Step::parse(&found[0], directives.escape).map(|step| step.instruction)
    }

    #[test]
    fn forms_are_told_apart() {
        assert_eq!(parse("CMD [\"a\"]"), Ok(Instruction::Cmd(CommandForm::Exec(vec!["a".to_owned()]))));
        assert_eq!(parse("CMD ['a']"), Ok(Instruction::Cmd(CommandForm::Shell("['a']".to_owned()))));
        let Ok(Instruction::Env(pairs)) = parse("ENV A=1 B=\"x y\"") else { panic!() };
        assert_eq!(pairs[1], ("B".to_owned(), "\"x y\"".to_owned()));
        let Ok(Instruction::Env(pairs)) = parse("ENV A b=c d") else { panic!() };
        assert_eq!(pairs, [("A".to_owned(), "b=c d".to_owned())]);
    }

    #[test]
    fn a_typing_error_is_recognised() {
        let problem = parse("RNU echo").unwrap_err();
        assert_eq!(problem.advice(), Some("did you mean `RUN`?"));
        assert_eq!(problem.to_string(), "Dockerfile:1: there is no instruction `RNU`\n   1 | RNU echo\n     | ^^^");
    }

    #[test]
    fn times_are_gos() {
        assert_eq!(duration("1m30s"), Some(90_000_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("5"), None);
    }
}
