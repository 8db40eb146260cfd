//! `attack`.

use super::arguments::AttackArgs;
use super::chosen;
use crate::attack::{self, Attack, Target};
use crate::report::Ink;
use crate::workspace::Workspace;
use anyhow::{Result, anyhow};
use serde_json::json;

pub(super) fn attack(workspace: &Workspace, args: &AttackArgs, json: bool) -> Result<bool> {
    // Against engines one after the other: each takes its time.
    let rounds: Vec<Vec<Attack>> = if args.against.is_empty() {
        vec![attack::of_lab(chosen(workspace, &args.number)?)]
    } else {
        args.against.iter().map(|name| Ok(attack::against(target(name)?))).collect::<Result<_>>()?
    };
    let (mut as_expected, ink) = (true, Ink::of_stdout());
    for attacks in rounds {
        let programs = attack::Programs::build(workspace, &attacks)?;
        for (attack, verdict) in attacks.iter().zip(attack::play(&attacks, &programs)?) {
            let expected = verdict.works.is_none_or(|works| works == attack.works);
            as_expected &= expected;
            if json {
                println!("{}", json!({ "verdict": verdict, "expected": attack.works }));
            } else {
                print!("{}", text(&verdict, expected, ink));
            }
        }
    }
    Ok(as_expected)
}

fn target(name: &str) -> Result<Target> {
    let found = Target::try_from(name.to_owned()).ok().filter(|target| Target::ENGINES.contains(target));
    let known = Target::ENGINES.map(|target| target.to_string()).join(", ");
    found.ok_or_else(|| anyhow!("there is no engine `{name}` to attack: {known}"))
}

fn text(verdict: &attack::Verdict, expected: bool, ink: Ink) -> String {
    let result = match verdict.works {
        Some(true) => ink.red("works"),
        Some(false) => ink.green("blocked"),
        None => ink.dim("not run"),
    };
    let expected = if expected { "" } else { ", and should not be so" };
    let place = if verdict.in_machine { " (in the lab machine)" } else { "" };
    let target = verdict.target.to_string();
    let seen = ink.dim(&format!("{}{place}", verdict.seen));
    format!("{target:<16} {:<66} {result}{expected}\n    {seen}\n", verdict.says)
}
