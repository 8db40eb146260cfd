//! Words of an instruction: split at blanks outside quotes; lists in JSON; the heads of here-documents.

/// Splits at blanks that are neither quoted nor escaped. Quotes stay: expansion takes them away.
#[must_use]
pub(super) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A list of strings in JSON, if that is what `text` is; anything else is the shell's.
#[must_use]
pub(super) fn json_list(text: &str) -> Option<Vec<String>> {
    text.trim_start().starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Flags (`--name=value`) in front, and what follows them.
#[must_use]
pub(super) fn flags(text: &str, escape: char) -> (Vec<String>, String) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let end = end_of_word(rest, escape);
        let (flag, after) = rest.split_at(end);
        rest = after.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(unquoted(flag, escape));
    }
    (flags, rest.to_owned())
}

fn end_of_word(text: &str, escape: char) -> usize {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return at,
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape && quote != Some('\'') => {
                chars.next();
            }
            _ => {}
        }
    }
    text.len()
}

fn unquoted(word: &str, escape: char) -> String {
    let (mut text, mut quote) = (String::new(), None);
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape && quote != Some('\'') => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    text
}

/// The head of a here-document: `<<NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The word that ends it.
    pub(super) name: String,
    /// Whether variables in it are expanded.
    pub(super) expand: bool,
    /// `<<-`.
    pub(super) strip_tabs: bool,
    /// The number in front.
    pub(super) descriptor: Option<u32>,
}

/// The heads of here-documents among the words of `text`.
#[must_use]
pub(super) fn here_documents(text: &str, escape: char) -> Vec<Head> {
    split(text, escape).iter().filter_map(|word| head(word, escape)).collect()
}

/// `3<<-"NAME"`.
#[must_use]
pub(super) fn head(word: &str, escape: char) -> Option<Head> {
    let (number, rest) = word.split_once("<<")?;
    if !number.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let strip_tabs = rest.starts_with('-');
    let quoted = rest.strip_prefix('-').unwrap_or(rest);
    if quoted.is_empty() || quoted.contains('<') {
        return None;
    }
    let name = unquoted(quoted, escape);
    (!name.is_empty()).then(|| Head { expand: name == quoted, name, strip_tabs, descriptor: number.parse().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_quotes() {
        assert_eq!(split(r#"a="x y" b=c\ d 'e f'"#, '\\'), [r#"a="x y""#, r"b=c\ d", "'e f'"]);
    }

    #[test]
    fn flags_end_where_the_words_begin() {
        let (found, rest) = flags(r#"--mount=type=cache,target="/a b" --x  ls -l --y"#, '\\');
        assert_eq!(found, ["--mount=type=cache,target=/a b", "--x"]);
        assert_eq!(rest, "ls -l --y");
    }

    #[test]
    fn heads_of_here_documents_are_words() {
        assert_eq!(here_documents("cat <<EOF 3<<-'X' a<<b $((1<<2)) <<<x", '\\').len(), 2);
    }

    #[test]
    fn a_list_is_json_or_nothing() {
        assert_eq!(json_list(r#"["a", "b"]"#), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(json_list("['a']"), None);
        assert_eq!(json_list("echo"), None);
    }
}
