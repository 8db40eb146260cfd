//! The text of a Dockerfile as statements: directives, comments, continued lines, here-documents.
//!
//! Source: Dockerfile reference, "Format", "Parser directives", "Here-documents"; where it is silent, buildkit's
//! `frontend/dockerfile/parser`.

use super::problem::{Place, Problem};
use super::words::here_documents;

/// A here-document of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HereDocument {
    /// The word that begins and ends it.
    pub name: String,
    /// Its lines; tabs at their beginning are gone when it began with `<<-`.
    pub content: String,
    /// Whether variables in it are expanded: its name was not quoted.
    pub expand: bool,
    /// The descriptor in front of `<<`.
    pub descriptor: Option<u32>,
}

/// One statement: its keyword and what follows, continued lines joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// In upper case.
    pub keyword: String,
    /// What follows the keyword, trimmed.
    pub rest: String,
    /// In order.
    pub here_documents: Vec<HereDocument>,
    /// Where it stands.
    pub place: Place,
}

/// What the first comments say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `syntax`: another frontend, which there is none of here.
    pub syntax: Option<String>,
    /// `escape`: continues a line, and takes the meaning of the next character away.
    pub escape: char,
    /// `check`.
    pub check: Option<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: None }
    }
}

/// Splits `text` into statements. `file` names it in errors.
///
/// # Errors
/// A wrong directive; a here-document without an end; no statement at all.
pub fn statements(file: &str, text: &str) -> Result<(Directives, Vec<Statement>), Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let (directives, first) = directives(file, &lines)?;
    let mut reader = Reader { file, lines: &lines, at: first, escape: directives.escape };
    let mut found = Vec::new();
    while let Some(statement) = reader.statement()? {
        found.push(statement);
    }
    if found.is_empty() {
        let place = Place { file: file.to_owned(), line: 1, text: Vec::new() };
        return Err(Problem::new(&place, "the file has no instructions").help("begin with `FROM IMAGE`"));
    }
    Ok((directives, found))
}

/// `# name=value` lines at the very beginning; the first line of another kind ends them.
fn directives(file: &str, lines: &[&str]) -> Result<(Directives, usize), Problem> {
    let mut directives = Directives::default();
    let mut seen: Vec<String> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((name, value)) = directive(line) else { return Ok((directives, index)) };
        let place = Place { file: file.to_owned(), line: index + 1, text: vec![(*line).to_owned()] };
        if seen.contains(&name) {
            return Err(Problem::new(&place, format!("the directive `{name}` is given twice")));
        }
        match (name.as_str(), value) {
            ("escape", "\\") => directives.escape = '\\',
            ("escape", "`") => directives.escape = '`',
            ("escape", other) => {
                return Err(Problem::new(&place, format!("`{other}` cannot be the escape character"))
                    .at(other)
                    .help("it is a backslash or a backtick"));
            }
            ("syntax", value) => directives.syntax = Some(value.to_owned()),
            ("check", value) => directives.check = Some(value.to_owned()),
            // Any other is a comment, and then so is all that follows.
            _ => return Ok((directives, index)),
        }
        seen.push(name);
    }
    Ok((directives, lines.len()))
}

fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then(|| (name.to_ascii_lowercase(), value))
}

struct Reader<'a> {
    file: &'a str,
    lines: &'a [&'a str],
    at: usize,
    escape: char,
}

impl Reader<'_> {
    fn statement(&mut self) -> Result<Option<Statement>, Problem> {
        let Some((start, text)) = self.joined() else { return Ok(None) };
        let (keyword, rest) = text.split_once([' ', '\t']).unwrap_or((&text, ""));
        let keyword = keyword.to_ascii_uppercase();
        let (rest, mut statement_end) = (rest.trim().to_owned(), self.at);
        let takes_documents = match keyword.as_str() {
            "RUN" | "COPY" | "ADD" => true,
            "ONBUILD" => ["RUN", "COPY", "ADD"]
                .iter()
                .any(|word| rest.split_whitespace().next().is_some_and(|next| next.eq_ignore_ascii_case(word))),
            _ => false,
        };
        let mut documents = Vec::new();
        if takes_documents {
            for head in here_documents(&rest, self.escape) {
                let content = self.content(&head.name, head.strip_tabs).ok_or_else(|| {
                    let what = format!("the here-document `{}` has no end", head.name);
                    Problem::new(&self.place(start, statement_end), what)
                        .at(format!("<<{}", if head.strip_tabs { "-" } else { "" }))
                        .help(format!("end it with a line `{}`", head.name))
                })?;
                documents.push(HereDocument {
                    name: head.name,
                    content,
                    expand: head.expand,
                    descriptor: head.descriptor,
                });
            }
            // Only the instruction's own lines are shown in errors.
            statement_end = statement_end.max(start + 1);
        }
        let place = self.place(start, statement_end);
        Ok(Some(Statement { keyword, rest, here_documents: documents, place }))
    }

    fn place(&self, start: usize, end: usize) -> Place {
        let text = self.lines[start..end].iter().map(|line| (*line).to_owned()).collect();
        Place { file: self.file.to_owned(), line: start + 1, text }
    }

    /// The next line with all that continue it, and where it began. Comments and empty lines in between do not end it.
    fn joined(&mut self) -> Option<(usize, String)> {
        let mut text = String::new();
        let mut start = None;
        while let Some(line) = self.lines.get(self.at) {
            let (index, trimmed) = (self.at, line.trim());
            self.at += 1;
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let line = if start.is_none() { line.trim_start() } else { line };
            start.get_or_insert(index);
            match continued(line, self.escape) {
                Some(line) => text += line,
                None => {
                    text += line;
                    break;
                }
            }
        }
        let text = text.trim().to_owned();
        // An escape alone on the last line is nothing.
        start.filter(|_| !text.is_empty()).map(|start| (start, text))
    }

    fn content(&mut self, name: &str, strip_tabs: bool) -> Option<String> {
        let mut content = String::new();
        loop {
            let line = *self.lines.get(self.at)?;
            self.at += 1;
            let line = if strip_tabs { line.trim_start_matches('\t') } else { line };
            if line == name {
                return Some(content);
            }
            content += line;
            content.push('\n');
        }
    }
}

/// The line without the escape at its end, if it goes on.
fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    // Two are one that is meant literally.
    (!before.ends_with(escape)).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(text: &str) -> Vec<(String, String)> {
        let (_, found) = statements("Dockerfile", text).unwrap();
        found.into_iter().map(|statement| (statement.keyword, statement.rest)).collect()
    }

    #[test]
    fn lines_are_joined_and_comments_dropped() {
        let text = "# c\nfrom a\nRUN one \\\n  # in between\n\n  two \\  \n three\nRUN x\\\\\n";
        let expected = [("FROM", "a"), ("RUN", "one   two  three"), ("RUN", "x\\\\")];
        let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(rests(text), expected);
    }

    #[test]
    fn the_escape_may_be_a_backtick() {
        assert_eq!(rests("# escape=`\nRUN a `\nb\n")[0].1, "a b");
        assert!(statements("D", "# escape=x\nRUN a").is_err());
        // After any other line it is a comment.
        assert_eq!(rests("# a comment\n# escape=`\nRUN a `\n")[0].1, "a `");
    }

    #[test]
    fn here_documents_are_read() {
        let text = "FROM a\nCOPY <<A <<-'B' /x/\none\n$X\nA\n\ttwo\n\tB\nRUN echo\n";
        let (_, found) = statements("Dockerfile", text).unwrap();
        let documents = &found[1].here_documents;
        assert_eq!(documents[0].content, "one\n$X\n");
        assert!(documents[0].expand && !documents[1].expand);
        assert_eq!(documents[1].content, "two\n");
        assert_eq!(found[2].keyword, "RUN");
        assert!(statements("Dockerfile", "FROM a\nRUN <<EOF\nx\n").is_err());
    }
}
