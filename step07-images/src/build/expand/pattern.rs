//! Patterns of the modifiers `#`, `%` and `/`: `*`, `?` and characters.

/// A character of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Char(char),
    One,
    Many,
}

impl Token {
    pub(super) fn of(c: char) -> Self {
        match c {
            '*' => Self::Many,
            '?' => Self::One,
            c => Self::Char(c),
        }
    }
}

/// The lengths of all beginnings of `text` that the pattern matches, shortest first.
fn matches(pattern: &[Token], text: &[char]) -> Vec<usize> {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in pattern {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            match token {
                Token::Many => next[at] = reached[at] || (at > 0 && next[at - 1]),
                Token::One => next[at] = at > 0 && reached[at - 1],
                Token::Char(c) => next[at] = at > 0 && reached[at - 1] && text[at - 1] == *c,
            }
        }
        reached = next;
    }
    reached.iter().enumerate().filter_map(|(at, reached)| reached.then_some(at)).collect()
}

/// `${x#…}` and `${x%…}`: without what the pattern matches at the front, or at the end.
pub(super) fn cut(value: &str, pattern: &[Token], front: bool, longest: bool) -> String {
    let mut text: Vec<char> = value.chars().collect();
    let mut pattern = pattern.to_vec();
    if !front {
        text.reverse();
        pattern.reverse();
    }
    let found = matches(&pattern, &text);
    let length = if longest { found.last() } else { found.first() }.copied().unwrap_or(0);
    text.drain(..length);
    if !front {
        text.reverse();
    }
    text.into_iter().collect()
}

/// `${x/…/…}`: the first match replaced, or all.
pub(super) fn replace(value: &str, pattern: &[Token], with: &str, all: bool) -> String {
    let text: Vec<char> = value.chars().collect();
    let (mut result, mut at, mut done) = (String::new(), 0, false);
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        match matches(pattern, rest).last().copied().filter(|length| *length > 0 && !done) {
            Some(length) => {
                result += with;
                at += length;
                done = !all;
            }
            None => {
                result.push(text[at]);
                at += 1;
            }
        }
    }
    result
}
