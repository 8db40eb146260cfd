//! Names of containers: claimed under no lock, checked, and made up for those that were given none, in docker's manner: an
//! adjective and a surname from the history of computing.

use crate::dirs::Dirs;
use crate::report::Refusal;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;

const ADJECTIVES: [&str; 48] = [
    "able", "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "candid", "careful", "clever", "cosy",
    "curious", "daring", "deft", "eager", "early", "fair", "fond", "frank", "gentle", "glad", "golden", "hardy",
    "honest", "jolly", "keen", "kind", "lively", "lucid", "merry", "modest", "neat", "noble", "patient", "placid",
    "plucky", "quick", "quiet", "ready", "serene", "sharp", "sincere", "steady", "sunny", "tidy", "warm", "witty",
];

const SURNAMES: [&str; 48] = [
    "allen",
    "babbage",
    "backus",
    "bartik",
    "boole",
    "brooks",
    "cerf",
    "church",
    "cocke",
    "codd",
    "conway",
    "corbato",
    "curry",
    "dijkstra",
    "easley",
    "engelbart",
    "ershov",
    "floyd",
    "goldberg",
    "gray",
    "hamilton",
    "hamming",
    "hoare",
    "hopper",
    "iverson",
    "johnson",
    "kay",
    "kernighan",
    "kleene",
    "knuth",
    "lamport",
    "lebedev",
    "liskov",
    "lovelace",
    "mccarthy",
    "milner",
    "naur",
    "neumann",
    "perlis",
    "postel",
    "ritchie",
    "shannon",
    "sutherland",
    "tarjan",
    "thompson",
    "turing",
    "wilkes",
    "wirth",
];

/// A name made of eight random bytes; with a digit after it when `attempt` is not the first.
#[must_use]
pub fn random_name(random: [u8; 8], attempt: u32) -> String {
    let [first, second] =
        [&random[..4], &random[4..]].map(|half| half.iter().fold(0, |sum, byte| sum * 251 + usize::from(*byte)));
    let digit = if attempt == 0 { String::new() } else { (attempt % 10).to_string() };
    format!("{}_{}{digit}", ADJECTIVES[first % ADJECTIVES.len()], SURNAMES[second % SURNAMES.len()])
}

/// Checks a name that was asked for, by docker's rule.
///
/// # Errors
/// With the rule in the message.
pub fn check(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.clone().count() > 0 && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    ensure!(
        first && rest,
        "`{name}` is no container name: two or more of [a-zA-Z0-9_.-] are wanted, the first a letter or digit"
    );
    Ok(())
}

/// Gives the container `id` the name it was asked for, or one that is free. A name is a link that is made only if it is
/// not there: that is the lock.
///
/// # Errors
/// [`Refusal`] for a name that another container has.
pub fn claim_name(dirs: &Dirs, id: &str, wanted: Option<&str>) -> Result<String> {
    if let Some(name) = wanted {
        check(name)?;
        return if try_name(dirs, id, name)? { Ok(name.to_owned()) } else { Err(conflict(dirs, name)) };
    }
    for attempt in 0..1000 {
        let mut random = [0; 8];
        sys::process::random(&mut random).context("random bytes for a name")?;
        let name = random_name(random, attempt);
        if try_name(dirs, id, &name)? {
            return Ok(name);
        }
    }
    bail!("no free name was found; give one with `--name`")
}

fn try_name(dirs: &Dirs, id: &str, name: &str) -> Result<bool> {
    let link = dirs.names().join(name);
    loop {
        match symlink(id, &link) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => dirs.make()?,
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("make the name `{}`", link.display()));
            }
            Err(_) => return Ok(false),
        }
    }
}

fn conflict(dirs: &Dirs, name: &str) -> anyhow::Error {
    let owner = fs::read_link(dirs.names().join(name)).unwrap_or_default();
    let what = format!("the container name `{name}` is already in use by container `{}`", owner.display());
    Refusal::new(what).help("remove that container (`tara rm`), or choose another name").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["web", "web-1", "a.b_c", "9x"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", "a/b", "a b", "../a", "ä1"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for attempt in 0..3 {
            check(&random_name([255, 1, 2, 3, 250, 5, 6, 7], attempt)).expect("a made name is a name");
        }
    }
}
