//! What follows each keyword.

use super::super::lines::Statement;
use super::super::problem::Problem;
use super::super::words::{head, json_list, split};
use super::parser::Parser;
use super::{CommandForm, Copy, Instruction, Run};

impl Parser<'_> {
    pub(super) fn from(&self) -> Result<Instruction, Problem> {
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

    pub(super) fn run(&self) -> Result<Instruction, Problem> {
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

    pub(super) fn command(&self) -> Result<CommandForm, Problem> {
        let rest = self.without_flags()?;
        Ok(match rest.is_empty() {
            true => CommandForm::Exec(Vec::new()),
            false => form(&rest),
        })
    }

    /// `NAME=VALUE …`, or the old form `NAME VALUE`.
    pub(super) fn pairs(&self) -> Result<Vec<(String, String)>, Problem> {
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

    pub(super) fn copy(&self, add: bool) -> Result<Instruction, Problem> {
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

    pub(super) fn volume(&self) -> Result<Instruction, Problem> {
        let rest = self.without_flags()?;
        let paths = json_list(&rest).unwrap_or_else(|| blanks(&rest));
        match paths.iter().any(|path| path.trim().is_empty()) || paths.is_empty() {
            true => Err(self.problem("VOLUME needs a path")),
            false => Ok(Instruction::Volume(paths)),
        }
    }

    pub(super) fn arg(&self) -> Result<Instruction, Problem> {
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
    pub(super) fn onbuild(&self) -> Result<Instruction, Problem> {
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

    pub(super) fn shell(&self) -> Result<Instruction, Problem> {
        let rest = self.without_flags()?;
        match json_list(&rest).filter(|list| !list.is_empty()) {
            Some(list) => Ok(Instruction::Shell(list)),
            None => {
                Err(self.problem("SHELL needs a list in JSON").at(rest).help("write `SHELL [\"/bin/sh\", \"-c\"]`"))
            }
        }
    }
}

pub(super) fn form(text: &str) -> CommandForm {
    json_list(text).map_or_else(|| CommandForm::Shell(text.to_owned()), CommandForm::Exec)
}

pub(super) fn blanks(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
