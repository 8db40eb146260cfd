//! Variables in a Dockerfile's words.
//!
//! Source: Dockerfile reference, "Environment replacement"; where it is silent, buildkit's `frontend/dockerfile/shell`.

use std::iter::Peekable;
use std::str::Chars;

/// Takes quotes and escapes away and puts variables in.
#[derive(Clone, Copy)]
pub struct Expander<'a> {
    /// Takes the meaning of the next character away.
    pub escape: char,
    /// The value of a variable.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Expander<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expander").field("escape", &self.escape).finish_non_exhaustive()
    }
}

/// Words within words (`${a:-${b:-…}}`) at most this deep.
const DEEPEST: usize = 100;

impl Expander<'_> {
    /// `text` as one word.
    ///
    /// # Errors
    /// What is wrong with it: an open quote or brace, a modifier that does not exist, `${x:?}` without a value.
    pub fn word(&self, text: &str) -> Result<String, String> {
        let mut scan = Scan {
            expander: *self,
            chars: text.chars().peekable(),
            words: Words::default(),
            keep_quotes: false,
            depth: 0,
        };
        scan.until(None)
    }

    /// `text` as words: also what a variable brings is split at blanks, unless it is quoted.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn words(&self, text: &str) -> Result<Vec<String>, String> {
        let mut scan = Scan {
            expander: *self,
            chars: text.chars().peekable(),
            words: Words::default(),
            keep_quotes: false,
            depth: 0,
        };
        scan.until(None)?;
        Ok(scan.words.finish())
    }

    /// `text` with its variables, quotes kept: the content of a here-document.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn document(&self, text: &str) -> Result<String, String> {
        let mut scan = Scan {
            expander: *self,
            chars: text.chars().peekable(),
            words: Words::default(),
            keep_quotes: true,
            depth: 0,
        };
        scan.until(None)
    }
}

#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
    begun: bool,
}

impl Words {
    fn bare(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.end();
            } else {
                self.begun = true;
                self.word.push(c);
            }
        }
    }

    fn quoted(&mut self, text: &str) {
        self.begun = true;
        self.word += text;
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.end();
        self.done
    }
}

struct Scan<'a> {
    expander: Expander<'a>,
    chars: Peekable<Chars<'a>>,
    words: Words,
    keep_quotes: bool,
    depth: usize,
}

impl Scan<'_> {
    /// Up to the character `stop`, which is taken; or to the end, where there has to be none.
    fn until(&mut self, stop: Option<char>) -> Result<String, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("too many braces within braces".to_owned());
        }
        let mut text = String::new();
        while let Some(&c) = self.chars.peek() {
            if Some(c) == stop {
                self.chars.next();
                self.depth -= 1;
                return Ok(text);
            }
            match c {
                '\'' if !self.keep_quotes => self.single_quoted(&mut text)?,
                '"' if !self.keep_quotes => self.double_quoted(&mut text)?,
                '$' => {
                    let value = self.dollar()?;
                    self.words.bare(&value);
                    text += &value;
                }
                c if c == self.expander.escape => self.escaped(&mut text),
                c => {
                    self.chars.next();
                    self.words.bare(c.encode_utf8(&mut [0; 4]));
                    text.push(c);
                }
            }
        }
        self.depth -= 1;
        match stop {
            Some(stop) => Err(format!("a `{stop}` is missing")),
            None => Ok(text),
        }
    }

    fn escaped(&mut self, text: &mut String) {
        let escape = self.chars.next().unwrap_or_default();
        let keeps = |next: &char| self.keep_quotes && *next != '$' && *next != escape;
        let Some(next) = self.chars.peek().copied() else { return };
        if keeps(&next) {
            text.push(escape);
        }
        self.chars.next();
        self.words.quoted(next.encode_utf8(&mut [0; 4]));
        text.push(next);
    }

    fn single_quoted(&mut self, text: &mut String) -> Result<(), String> {
        self.chars.next();
        let mut inside = String::new();
        loop {
            match self.chars.next() {
                Some('\'') => break,
                Some(c) => inside.push(c),
                None => return Err("a quote `'` is open".to_owned()),
            }
        }
        self.words.quoted(&inside);
        *text += &inside;
        Ok(())
    }

    fn double_quoted(&mut self, text: &mut String) -> Result<(), String> {
        self.chars.next();
        let mut inside = String::new();
        loop {
            match self.chars.peek().copied() {
                None => return Err("a quote `\"` is open".to_owned()),
                Some('"') => {
                    self.chars.next();
                    break;
                }
                Some('$') => {
                    let before = std::mem::take(&mut self.words);
                    inside += &self.dollar()?;
                    self.words = before;
                }
                Some(c) => {
                    self.chars.next();
                    let next = self.chars.peek().copied();
                    match next {
                        Some(next) if c == self.expander.escape && (next == '"' || next == '$' || next == c) => {
                            self.chars.next();
                            inside.push(next);
                        }
                        _ => inside.push(c),
                    }
                }
            }
        }
        self.words.quoted(&inside);
        *text += &inside;
        Ok(())
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        match name.as_str() {
            "" => Ok("$".to_owned()),
            name => Ok(self.value(name).unwrap_or_default()),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek().copied() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
            Some(c) if c.is_ascii_digit() => {
                while let Some(c) = self.chars.next_if(char::is_ascii_digit) {
                    name.push(c);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '!') => name.extend(self.chars.next()),
            _ => {}
        }
        name
    }

    fn value(&self, name: &str) -> Option<String> {
        (self.expander.lookup)(name)
    }

    /// What is inside `${…}`.
    fn braced(&mut self) -> Result<String, String> {
        let name = self.name();
        if name.is_empty() {
            return Err("`${` without a name".to_owned());
        }
        let value = self.value(&name);
        let colon = self.chars.next_if_eq(&':').is_some();
        let modifier = self.chars.next();
        let missing = value.as_ref().is_none_or(|value| colon && value.is_empty());
        // What the words of the modifier bring is counted by the caller, once.
        let before = std::mem::take(&mut self.words);
        let result = match modifier {
            Some('}') if !colon => Ok(value.unwrap_or_default()),
            Some('-') => self.until(Some('}')).map(|word| if missing { word } else { value.unwrap_or_default() }),
            Some('+') => self.until(Some('}')).map(|word| if missing { String::new() } else { word }),
            Some('?') => self.until(Some('}')).and_then(|word| match value.filter(|_| !missing) {
                Some(value) => Ok(value),
                None if word.is_empty() => Err(format!("`{name}` has no value")),
                None => Err(format!("`{name}`: {word}")),
            }),
            Some(end @ ('#' | '%')) if !colon => {
                let longest = self.chars.next_if_eq(&end).is_some();
                let pattern = self.pattern(&['}'])?.0;
                Ok(cut(&value.unwrap_or_default(), &pattern, end == '#', longest))
            }
            Some('/') if !colon => {
                let all = self.chars.next_if_eq(&'/').is_some();
                let (pattern, stop) = self.pattern(&['/', '}'])?;
                let with = if stop == '/' { self.until(Some('}'))? } else { String::new() };
                Ok(replace(&value.unwrap_or_default(), &pattern, &with, all))
            }
            None => Err("a `}` is missing".to_owned()),
            Some(other) => Err(format!("`{}{other}` is no modifier", if colon { ":" } else { "" })),
        };
        self.words = before;
        result
    }

    /// The raw pattern up to one of `stops`; variables in it are expanded, an escape stays with what it escapes.
    fn pattern(&mut self, stops: &[char]) -> Result<(Vec<Token>, char), String> {
        let mut tokens = Vec::new();
        while let Some(&c) = self.chars.peek() {
            if stops.contains(&c) {
                self.chars.next();
                return Ok((tokens, c));
            }
            match c {
                '$' => tokens.extend(self.dollar()?.chars().map(Token::of)),
                c if c == self.expander.escape => {
                    self.chars.next();
                    tokens.extend(self.chars.next().map(Token::Char));
                }
                c => {
                    self.chars.next();
                    tokens.push(Token::of(c));
                }
            }
        }
        Err("a `}` is missing".to_owned())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Many,
}

impl Token {
    fn of(c: char) -> Self {
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

fn cut(value: &str, pattern: &[Token], front: bool, longest: bool) -> String {
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

fn replace(value: &str, pattern: &[Token], with: &str, all: bool) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "A" => "hello",
            "E" => "",
            "P" => "a/b/c.tar.gz",
            "W" => "x  y",
            _ => return None,
        };
        Some(value.to_owned())
    }

    const EXPANDER: Expander<'_> = Expander { escape: '\\', lookup: &lookup };

    #[test]
    fn words_are_expanded_as_the_reference_says() {
        let cases = [
            ("$A", "hello"),
            ("${A}x", "hellox"),
            ("$AB", ""),
            (r"\$A", "$A"),
            ("'$A'", "$A"),
            (r#""$A 'x'""#, "hello 'x'"),
            (r#""\$A \a \\""#, r"$A \a \"),
            ("${U:-d}", "d"),
            ("${E:-d}", "d"),
            ("${E-d}", ""),
            ("${A:+s}", "s"),
            ("${U:+s}", ""),
            ("${U:-${A}!}", "hello!"),
            ("${P#*/}", "b/c.tar.gz"),
            ("${P##*/}", "c.tar.gz"),
            ("${P%.*}", "a/b/c.tar"),
            ("${P%%.*}", "a/b/c"),
            ("${P/\\//-}", "a-b/c.tar.gz"),
            ("${P//\\//-}", "a-b-c.tar.gz"),
            ("${A//l?/L}", "heLo"),
            ("$", "$"),
            ("a$", "a$"),
            ("$$", "$$"),
            (r"a\ b", "a b"),
            (r"x\", "x"),
        ];
        for (text, expected) in cases {
            assert_eq!(EXPANDER.word(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in ["${A", "'x", "\"x", "${A:x}", "${}", "${U:?none}", "${U?}"] {
            assert!(EXPANDER.word(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_variables_blanks_split_unless_quoted() {
        assert_eq!(EXPANDER.words("a $W 'b c'").unwrap(), ["a", "x", "y", "b c"]);
        assert_eq!(EXPANDER.words(r#""$W""#).unwrap(), ["x  y"]);
        assert_eq!(EXPANDER.words("''").unwrap(), [""]);
    }

    #[test]
    fn braces_have_a_bound() {
        assert!(EXPANDER.word(&"${U:-".repeat(100_000)).is_err());
    }
}
