//! File name patterns: Go's `filepath.Match`, and `.dockerignore`'s, which also has `**`.

/// A pattern, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// That character.
    Char(char),
    /// Any but a slash.
    One,
    /// Any number of any but a slash.
    Star,
    /// Whole folders: nothing, or anything that ends in a slash.
    Folders,
    /// Anything.
    Everything,
    /// One of these ranges, or none of them.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Pattern {
    /// Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a]`, and a backslash before what is meant literally.
    ///
    /// # Errors
    /// A bracket or a backslash that is not followed by what it needs.
    pub fn of_go(text: &str) -> Result<Self, String> {
        Self::parse(text, false)
    }

    /// `.dockerignore`'s: the same and `**`. Source: moby, `patternmatcher`.
    ///
    /// # Errors
    /// As [`Pattern::of_go`].
    pub fn of_ignore(text: &str) -> Result<Self, String> {
        Self::parse(text, true)
    }

    fn parse(text: &str, double: bool) -> Result<Self, String> {
        let mut chars = text.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' if double && chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    if chars.peek().is_none() { Token::Everything } else { Token::Folders }
                }
                '*' => Token::Star,
                '?' => Token::One,
                '\\' => Token::Char(chars.next().ok_or_else(|| wrong(text))?),
                '[' => class(&mut chars).ok_or_else(|| wrong(text))?,
                c => Token::Char(c),
            });
        }
        Ok(Self { tokens })
    }

    /// Whether nothing in `text` is a pattern.
    #[must_use]
    pub fn is_plain(text: &str) -> bool {
        !text.contains(['*', '?', '[', '\\'])
    }

    /// Whether the whole of `path` matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let text: Vec<char> = path.chars().collect();
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for token in &self.tokens {
            reached = step(token, &reached, &text);
        }
        reached.last().copied().unwrap_or(false)
    }
}

/// Where one can be in `text` after `token`, from where one was before: no backtracking, so no pattern takes for ever.
fn step(token: &Token, before: &[bool], text: &[char]) -> Vec<bool> {
    let mut after = vec![false; before.len()];
    let mut inside = false;
    for at in 0..before.len() {
        let last = at.checked_sub(1).and_then(|last| text.get(last)).copied();
        let was = at > 0 && before[at - 1];
        after[at] = match token {
            Token::Char(c) => was && last == Some(*c),
            Token::One => was && last != Some('/'),
            Token::Class { negated, ranges } => {
                was && last.is_some_and(|c| {
                    c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
                })
            }
            Token::Star => before[at] || (at > 0 && after[at - 1] && last != Some('/')),
            Token::Everything => before[at] || (at > 0 && after[at - 1]),
            Token::Folders => {
                let here = before[at] || (inside && last == Some('/'));
                inside |= before[at];
                here
            }
        };
    }
    after
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        match chars.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { negated, ranges }),
            ']' | '-' => return None,
            c => {
                let low = if c == '\\' { chars.next()? } else { c };
                let mut high = low;
                if chars.next_if_eq(&'-').is_some() {
                    high = match chars.next()? {
                        ']' | '-' => return None,
                        '\\' => chars.next()?,
                        c => c,
                    };
                }
                ranges.push((low, high));
            }
        }
    }
}

fn wrong(text: &str) -> String {
    format!("`{text}` is not a pattern: a bracket or a backslash has no end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_gos() {
        let cases = [
            ("*", "abc", true),
            ("*", "a/b", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            (r"\*x", "*x", true),
            ("**", "a/b", false),
            ("[]a]", "]", false),
        ];
        for (pattern, path, expected) in cases {
            let found = Pattern::of_go(pattern).is_ok_and(|pattern| pattern.matches(path));
            assert_eq!(found, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn two_stars_are_folders() {
        let cases = [
            ("**", "a/b", true),
            ("**/b", "b", true),
            ("**/b", "a/c/b", true),
            ("**/b", "ab", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**", "a/b", true),
            ("a/**", "a", false),
            ("**/*.go", "x/y.go", true),
            ("**foo", "x/foo", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(Pattern::of_ignore(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
    }
}
