//! What an instruction says. Source: Dockerfile reference.

mod forms;
mod health;
mod parser;

use super::lines::{HereDocument, Statement};
use super::problem::{Place, Problem};
use parser::Parser;

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
}
