//! `HEALTHCHECK`, and times as Go writes them.

use super::super::problem::Problem;
use super::forms::form;
use super::parser::Parser;
use super::{CommandForm, Health, Instruction};

impl Parser<'_> {
    pub(super) fn healthcheck(&self) -> Result<Instruction, Problem> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_gos() {
        assert_eq!(duration("1m30s"), Some(90_000_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("5"), None);
    }
}
