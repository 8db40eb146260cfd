//! One character after another: quotes, escapes, variables and their modifiers.

use super::Expander;
use super::pattern::{Token, cut, replace};
use std::iter::Peekable;
use std::str::Chars;

/// Words within words (`${a:-${b:-…}}`) at most this deep.
const DEEPEST: usize = 100;

/// The words so far, as blanks outside of quotes divide them.
#[derive(Default)]
pub(super) struct Words {
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

    pub(super) fn finish(mut self) -> Vec<String> {
        self.end();
        self.done
    }
}

pub(super) struct Scan<'a> {
    expander: Expander<'a>,
    chars: Peekable<Chars<'a>>,
    pub(super) words: Words,
    keep_quotes: bool,
    depth: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(expander: Expander<'a>, text: &'a str, keep_quotes: bool) -> Self {
        Self { expander, chars: text.chars().peekable(), words: Words::default(), keep_quotes, depth: 0 }
    }

    /// Up to the character `stop`, which is taken; or to the end, where there has to be none.
    pub(super) fn until(&mut self, stop: Option<char>) -> Result<String, String> {
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
