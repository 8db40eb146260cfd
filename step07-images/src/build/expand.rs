//! Variables in a Dockerfile's words.
//!
//! Source: Dockerfile reference, "Environment replacement"; where it is silent, buildkit's `frontend/dockerfile/shell`.

mod pattern;
mod scan;

use scan::Scan;

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

impl<'a> Expander<'a> {
    fn scan(&self, text: &'a str, keep_quotes: bool) -> Scan<'a> {
        Scan::new(*self, text, keep_quotes)
    }

    /// `text` as one word.
    ///
    /// # Errors
    /// What is wrong with it: an open quote or brace, a modifier that does not exist, `${x:?}` without a value.
    pub fn word(&self, text: &str) -> Result<String, String> {
        self.scan(text, false).until(None)
    }

    /// `text` as words: also what a variable brings is split at blanks, unless it is quoted.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn words(&self, text: &str) -> Result<Vec<String>, String> {
        let mut scan = self.scan(text, false);
        scan.until(None)?;
        Ok(scan.words.finish())
    }

    /// `text` with its variables, quotes kept: the content of a here-document.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn document(&self, text: &str) -> Result<String, String> {
        self.scan(text, true).until(None)
    }
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
