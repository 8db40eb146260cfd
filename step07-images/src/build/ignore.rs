//! `.dockerignore`: what of the context is not there for the build.
//!
//! Source: Dockerfile reference, ".dockerignore files"; moby, `patternmatcher` and `ignorefile`.

use super::pattern::Pattern;

/// The patterns of a `.dockerignore`, in order: the last one that matches decides.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    /// `!`: what matches is there after all.
    exception: bool,
    /// The text up to the first wildcard.
    literal: String,
}

impl Ignore {
    /// Reads a `.dockerignore`.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(Rule::parse)
            .collect::<Result<_, _>>()
            .map(|rules: Vec<Option<Rule>>| Self { rules: rules.into_iter().flatten().collect() })
    }

    /// Whether nothing is ignored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether `path`, relative to the context and without `./`, is left out. A pattern that matches a folder matches all in it.
    #[must_use]
    pub fn leaves_out(&self, path: &str) -> bool {
        let mut out = false;
        for rule in &self.rules {
            if rule.exception == out && rule.covers(path) {
                out = !rule.exception;
            }
        }
        out
    }

    /// Whether something below the folder `path`, which is left out, may be there by an exception.
    #[must_use]
    pub fn may_return_below(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        let reaches = |rule: &&Rule| rule.literal.starts_with(&prefix) || prefix.starts_with(&rule.literal);
        self.rules.iter().filter(|rule| rule.exception).any(|rule| reaches(&rule))
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Option<Self>, String> {
        let exception = line.starts_with('!');
        let text = line.strip_prefix('!').unwrap_or(line).trim();
        if text.is_empty() {
            return Err("`!` alone is no pattern".to_owned());
        }
        let clean = clean(text);
        let relative = clean.trim_start_matches('/');
        if relative.is_empty() || relative == "." {
            return Ok(None);
        }
        let literal = relative.split(['*', '?', '[', '\\']).next().unwrap_or_default().to_owned();
        Ok(Some(Self { pattern: Pattern::of_ignore(relative)?, exception, literal }))
    }

    fn covers(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.filter_map(|end| path.get(..end)).any(|part| self.pattern.matches(part))
    }
}

/// Go's `filepath.Clean`: no `.`, no `//`, `..` taken together with what is before it.
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") | None if !rooted => parts.push(".."),
                _ => drop(parts.pop()),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_match_decides() {
        let ignore = Ignore::parse("# c\n*.md\n!README.md\nREADME-secret.md\n/build/\n!build/keep/*.o\n").unwrap();
        let out = ["a.md", "build", "build/x", "build/keep", "README-secret.md"];
        let there = ["README.md", "x/a.md", "build/keep/a.o", "# c"];
        for path in out {
            assert!(ignore.leaves_out(path), "{path}");
        }
        for path in there {
            assert!(!ignore.leaves_out(path), "{path}");
        }
        assert!(ignore.may_return_below("build"));
        assert!(!ignore.may_return_below("other"));
    }

    #[test]
    fn everything_but() {
        let ignore = Ignore::parse("*\n!src/**\n  **/tmp \n").unwrap();
        assert!(ignore.leaves_out("a") && ignore.leaves_out("src/x/tmp/y"));
        assert!(!ignore.leaves_out("src/a/b"));
        assert!(Ignore::parse("!").is_err() && Ignore::parse("a[").is_err());
    }

    #[test]
    fn paths_are_cleaned_as_gos() {
        for (path, expected) in [("a/./b//c/", "a/b/c"), ("/../a", "/a"), ("a/..", "."), ("../a", "../a"), ("/", "/")] {
            assert_eq!(clean(path), expected);
        }
    }
}
