//! Go's `Sprintf`, for the verbs that a format of docker's needs: `%s %d %v %q %t %x %f %c %%` with width and precision.

use super::functions::text;
use serde_json::Value;

/// Fills `format` in.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out += before;
        let verb = Verb::read(after);
        rest = verb.rest;
        match (verb.letter, values.len()) {
            (None, _) => out += "%!(NOVERB)",
            (Some('%'), _) => out.push('%'),
            (Some(letter), 0) => out += &format!("%!{letter}(MISSING)"),
            (Some(letter), _) => {
                let value = values.next().unwrap_or(&Value::Null);
                out += &verb.padded(verb.shown(letter, value));
            }
        }
    }
    out += rest;
    let extra: Vec<String> = values.map(text).collect();
    if extra.is_empty() { out } else { format!("{out}%!(EXTRA {})", extra.join(", ")) }
}

struct Verb<'f> {
    left: bool,
    zeroes: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    letter: Option<char>,
    rest: &'f str,
}

impl<'f> Verb<'f> {
    fn read(text: &'f str) -> Self {
        let flags_end = text.find(|character| !"-+# 0".contains(character)).unwrap_or(text.len());
        let (flags, rest) = text.split_at(flags_end);
        let (width, rest) = number(rest);
        let (precision, rest) = match rest.strip_prefix('.') {
            Some(rest) => {
                let (precision, rest) = number(rest);
                (Some(precision), rest)
            }
            None => (None, rest),
        };
        let letter = rest.chars().next();
        let rest = &rest[letter.map_or(0, char::len_utf8)..];
        let [left, zeroes, plus] = ['-', '0', '+'].map(|flag| flags.contains(flag));
        Self { left, zeroes, plus, width, precision, letter, rest }
    }

    fn shown(&self, letter: char, value: &Value) -> String {
        let wrong = || format!("%!{letter}({})", text(value));
        let cut = |text: String| match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text,
        };
        match (letter, value) {
            ('s', _) => cut(text(value)),
            ('v', _) => text(value),
            ('q', Value::String(text)) => format!("{:?}", cut(text.clone())),
            ('t', Value::Bool(value)) => value.to_string(),
            ('d', Value::Number(number)) if !number.is_f64() => {
                let sign = if self.plus && number.as_i64().is_some_and(|number| number >= 0) { "+" } else { "" };
                format!("{sign}{number}")
            }
            ('x', Value::Number(number)) => number.as_u64().map_or_else(wrong, |number| format!("{number:x}")),
            ('x', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('f', Value::Number(number)) => {
                number.as_f64().map_or_else(wrong, |number| format!("{number:.*}", self.precision.unwrap_or(6)))
            }
            ('c', Value::Number(number)) => {
                let character = number.as_u64().and_then(|number| char::from_u32(u32::try_from(number).ok()?));
                character.map_or_else(wrong, String::from)
            }
            _ => wrong(),
        }
    }

    fn padded(&self, text: String) -> String {
        let width = self.width;
        match () {
            () if self.left => format!("{text:<width$}"),
            () if self.zeroes => format!("{text:0>width$}"),
            () => format!("{text:>width$}"),
        }
    }
}

/// Digits at the beginning; a width that no line has counts as none.
fn number(text: &str) -> (usize, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.parse().ok().filter(|number| *number <= 4096).unwrap_or(0), rest)
}
