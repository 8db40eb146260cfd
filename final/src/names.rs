//! Names for containers that were given none, in docker's manner: an adjective and a surname from the history of computing.

use anyhow::{Result, ensure};

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
