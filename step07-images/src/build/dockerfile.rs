//! A whole Dockerfile: what comes before the first stage, and the stages.

use super::instruction::{Instruction, Step};
use super::lines::{Directives, statements};
use super::problem::Problem;

/// A stage: from one `FROM` to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The `FROM`.
    pub from: Step,
    /// Its name, if it has one, in lower case.
    pub name: Option<String>,
    /// What follows.
    pub steps: Vec<Step>,
}

/// A Dockerfile, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What its first comments say.
    pub directives: Directives,
    /// `ARG`s before the first `FROM`.
    pub arguments: Vec<Step>,
    /// In order.
    pub stages: Vec<Stage>,
}

impl Dockerfile {
    /// Reads `text`; `file` names it in errors.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let (directives, found) = statements(file, text)?;
        let mut dockerfile = Self { directives, arguments: Vec::new(), stages: Vec::new() };
        for statement in &found {
            let step = Step::parse(statement, dockerfile.directives.escape)?;
            match (&step.instruction, dockerfile.stages.last_mut()) {
                (Instruction::From { name, .. }, _) => {
                    let name = name.clone();
                    dockerfile.stages.push(Stage { from: step, name, steps: Vec::new() });
                }
                (_, Some(stage)) => stage.steps.push(step),
                (Instruction::Arg(_), None) => dockerfile.arguments.push(step),
                (_, None) => {
                    let what = format!("{} stands before the first FROM", statement.keyword);
                    return Err(
                        Problem::new(&step.place, what).help("begin with `FROM IMAGE`; only ARG may come before")
                    );
                }
            }
        }
        match dockerfile.stages.is_empty() {
            true => Err(Problem::new(&found[0].place, "there is no FROM").help("begin with `FROM IMAGE`")),
            false => Ok(dockerfile),
        }
    }

    /// The stage that `word` means, among those before number `before`: a name, or a number. The last of a name wins.
    #[must_use]
    pub fn stage(&self, word: &str, before: usize) -> Option<usize> {
        let word = word.to_ascii_lowercase();
        let named = |stage: &Stage| stage.name.as_deref() == Some(&word);
        let earlier = self.stages.get(..before).unwrap_or(&self.stages);
        earlier.iter().rposition(named).or_else(|| word.parse().ok().filter(|index| *index < earlier.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Expander, Ignore};

    /// Pieces that mean something, in any order: nothing of it may panic, and every error can be shown.
    #[test]
    fn no_text_ends_the_program() {
        const PIECES: [&str; 40] = [
            "FROM ",
            "RUN ",
            "COPY ",
            "ADD ",
            "ENV ",
            "ARG ",
            "LABEL ",
            "ONBUILD ",
            "HEALTHCHECK ",
            "EXPOSE ",
            "a",
            "b/c",
            "é",
            "\u{1f980}",
            "\t",
            " ",
            "\n",
            "\r\n",
            "\\",
            "\\\n",
            "`",
            "\"",
            "'",
            "$",
            "${",
            "}",
            ":-",
            "##",
            "%%",
            "//",
            "<<",
            "<<-EOF",
            "EOF\n",
            "#",
            "# escape=`\n",
            "[",
            "[\"x\"]",
            "=",
            "--mount=",
            "--",
        ];
        let mut seed = 88_172_645_463_325_252_u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % 1_000_003).unwrap()
        };
        for _ in 0..20_000 {
            let text: String = (0..next() % 30).map(|_| PIECES[next() % PIECES.len()]).collect();
            if let Err(problem) = Dockerfile::parse("Dockerfile", &text) {
                let _shown = problem.to_string();
            }
            let expander = Expander { escape: '\\', lookup: &|name| Some(format!("{name} *")) };
            let _either = (expander.word(&text), expander.words(&text), expander.document(&text));
            let _any = Ignore::parse(&text).map(|ignore| ignore.leaves_out("a/b/c") || ignore.may_return_below("a"));
        }
    }
}
