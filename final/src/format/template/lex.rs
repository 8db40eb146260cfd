//! A template's text into pieces, and each `{{action}}` into tokens.

use super::Fault;
use serde_json::Value;

/// A part of the template.
#[derive(Debug)]
pub(super) enum Piece {
    /// Copied as it is.
    Text(String),
    /// What stands between `{{` and `}}`; `at` is where `{{` is.
    Action { at: usize, tokens: Vec<Token> },
}

/// A word of an action, and the bytes it takes.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Dot,
    /// `.Name`; joined to the token before it when there is no space between.
    Field(String, bool),
    /// `$name` with the dollar sign.
    Variable(String),
    /// A function, `if`, `end`, `true`, …
    Word(String),
    Literal(Value),
    Open,
    Close,
    Pipe,
    Comma,
    Declare,
    Assign,
}

/// Cuts a template in pieces.
pub(super) fn pieces(source: &str) -> Result<Vec<Piece>, Fault> {
    let mut pieces = Vec::new();
    let (mut at, mut trim) = (0, false);
    while let Some(found) = source[at..].find("{{") {
        let open = at + found;
        let begin = open + 2;
        let trims_before = source[begin..].starts_with("- ") || source[begin..].starts_with("-\n");
        push_text(&mut pieces, &source[at..open], trim, trims_before);
        let inside = if trims_before { begin + 1 } else { begin };
        let (tokens, end) = action(source, open, inside)?;
        trim = source[..end].ends_with(" -}}") || source[..end].ends_with("\n-}}");
        if let Some(tokens) = tokens {
            pieces.push(Piece::Action { at: open, tokens });
        }
        at = end;
    }
    push_text(&mut pieces, &source[at..], trim, false);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start() } else { text };
    let text = if trim_end { text.trim_end() } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// The tokens from `at` on, and where the action has ended; none for a comment.
fn action(source: &str, open: usize, at: usize) -> Result<(Option<Vec<Token>>, usize), Fault> {
    let start = at + (source[at..].len() - source[at..].trim_start().len());
    if source[start..].starts_with("/*") {
        let end = source[start..].find("*/").ok_or_else(|| Fault::new(start, "unclosed comment"))? + start + 2;
        let rest = source[end..].trim_start();
        let close = if rest.starts_with("-}}") { 3 } else { 2 };
        if !rest.starts_with("}}") && !rest.starts_with("-}}") {
            return Err(Fault::new(start, "comment ends before closing delimiter"));
        }
        return Ok((None, source.len() - rest.len() + close));
    }
    let mut lexer = Lexer { source, at, tokens: Vec::new() };
    lexer.run(open)?;
    Ok((Some(lexer.tokens), lexer.at))
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn run(&mut self, open: usize) -> Result<(), Fault> {
        loop {
            let spaces = self.rest().len() - self.rest().trim_start().len();
            self.at += spaces;
            let rest = self.rest();
            if rest.starts_with("}}") {
                self.at += 2;
                return Ok(());
            }
            if spaces > 0 && rest.starts_with("-}}") {
                self.at += 3;
                return Ok(());
            }
            let Some(first) = rest.chars().next() else { return Err(Fault::new(open, "unclosed action")) };
            self.token(first)?;
        }
    }

    fn token(&mut self, first: char) -> Result<(), Fault> {
        let rest = self.rest();
        let symbol = [
            (":=", Kind::Declare),
            ("=", Kind::Assign),
            ("|", Kind::Pipe),
            (",", Kind::Comma),
            ("(", Kind::Open),
            (")", Kind::Close),
        ];
        if let Some((text, kind)) = symbol.into_iter().find(|(text, _)| rest.starts_with(text)) {
            self.push(kind, text.len());
            return Ok(());
        }
        match first {
            '"' => self.quoted(),
            '`' => {
                let end = rest[1..].find('`').ok_or_else(|| Fault::new(self.at, "unterminated raw quoted string"))?;
                let text = rest[1..=end].to_owned();
                self.push(Kind::Literal(text.into()), end + 2);
                Ok(())
            }
            '.' if rest[1..].starts_with(is_name) => {
                let name = name_at(&rest[1..]).to_owned();
                let joined = self.tokens.last().is_some_and(|last| last.end == self.at);
                let length = name.len() + 1;
                self.push(Kind::Field(name, joined), length);
                Ok(())
            }
            '.' => {
                self.push(Kind::Dot, 1);
                Ok(())
            }
            '$' => {
                let name = format!("${}", name_at(&rest[1..]));
                let length = name.len();
                self.push(Kind::Variable(name), length);
                Ok(())
            }
            '0'..='9' | '+' | '-' => self.number(),
            _ if is_name(first) => {
                let word = name_at(rest).to_owned();
                let length = word.len();
                self.push(word_kind(word), length);
                Ok(())
            }
            other => Err(Fault::new(self.at, format!("unexpected \"{other}\" in operand"))),
        }
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let (start, end) = (self.at, self.at + length);
        self.tokens.push(Token { kind, start, end });
        self.at = end;
    }

    fn number(&mut self) -> Result<(), Fault> {
        let text: String =
            self.rest().chars().take_while(|c| c.is_ascii_alphanumeric() || "+-._".contains(*c)).collect();
        let digits = text.strip_prefix('+').unwrap_or(&text).replace('_', "");
        let hexadecimal = digits.strip_prefix("0x").and_then(|digits| i64::from_str_radix(digits, 16).ok());
        let value = hexadecimal.or_else(|| digits.parse::<i64>().ok()).map(Value::from);
        let value = value.or_else(|| digits.parse::<f64>().ok().map(Value::from));
        let value = value.ok_or_else(|| Fault::new(self.at, format!("bad number syntax: \"{text}\"")))?;
        self.push(Kind::Literal(value), text.len());
        Ok(())
    }

    /// A Go string: the usual escapes.
    fn quoted(&mut self) -> Result<(), Fault> {
        let unterminated = || Fault::new(self.at, "unterminated quoted string");
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        loop {
            match characters.next().ok_or_else(unterminated)? {
                (end, '"') => {
                    self.push(Kind::Literal(text.into()), end + 1);
                    return Ok(());
                }
                (_, '\n') => return Err(unterminated()),
                (_, '\\') => text.push(match characters.next().ok_or_else(unterminated)?.1 {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    same @ ('"' | '\\' | '\'') => same,
                    other => return Err(Fault::new(self.at, format!("unknown escape `\\{other}` in a quoted string"))),
                }),
                (_, other) => text.push(other),
            }
        }
    }
}

fn word_kind(word: String) -> Kind {
    match word.as_str() {
        "true" => Kind::Literal(true.into()),
        "false" => Kind::Literal(false.into()),
        "nil" => Kind::Literal(Value::Null),
        _ => Kind::Word(word),
    }
}

fn is_name(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn name_at(text: &str) -> &str {
    text.find(|character| !is_name(character)).map_or(text, |end| &text[..end])
}
