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
