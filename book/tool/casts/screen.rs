//! What a terminal shows after the bytes of a program: lines without end, for a page has no height.

/// The lines, and where the next character goes.
#[derive(Debug, Default)]
pub(super) struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    /// Shows a piece of output. Colours and questions to the terminal have no effect.
    pub(super) fn show(&mut self, output: &str) {
        let mut rest = output.chars();
        while let Some(letter) = rest.next() {
            match letter {
                '\n' => self.row += 1,
                '\r' => self.column = 0,
                '\u{8}' => self.column = self.column.saturating_sub(1),
                '\u{1b}' => self.obey(&mut rest),
                letter if letter.is_control() => {}
                letter => self.put(letter),
            }
        }
    }

    /// A control sequence: `ESC [`, numbers, a letter.
    fn obey(&mut self, rest: &mut std::str::Chars<'_>) {
        if rest.as_str().starts_with('[') {
            rest.next();
        }
        let mut number = String::new();
        let letter = rest.find(|letter| {
            number.extend(letter.is_ascii_digit().then_some(letter));
            letter.is_ascii_alphabetic()
        });
        let count = number.parse().unwrap_or(1);
        match letter {
            Some('A') => self.row = self.row.saturating_sub(count),
            Some('C') => self.column += count,
            Some('D') => self.column = self.column.saturating_sub(count),
            Some('K') => self.cut(),
            Some('J') => {
                self.cut();
                self.lines.truncate(self.row + 1);
            }
            _ => {}
        }
    }

    fn put(&mut self, letter: char) {
        let column = self.column;
        let line = self.line();
        if line.len() <= column {
            line.resize(column + 1, ' ');
        }
        line[column] = letter;
        self.column += 1;
    }

    /// The line where the cursor is.
    fn line(&mut self) -> &mut Vec<char> {
        if self.lines.len() <= self.row {
            self.lines.resize(self.row + 1, Vec::new());
        }
        &mut self.lines[self.row]
    }

    fn cut(&mut self) {
        let column = self.column;
        self.line().truncate(column);
    }

    /// The line where the cursor is, as text.
    pub(super) fn last_line(&self) -> String {
        self.lines.get(self.row).map(|line| line.iter().collect()).unwrap_or_default()
    }

    /// All that is shown.
    pub(super) fn text(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| line.iter().collect::<String>()).collect();
        let newline = if self.row >= self.lines.len() { "\n" } else { "" };
        lines.join("\n") + newline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(output: &str) -> String {
        let mut screen = Screen::default();
        screen.show(output);
        screen.text()
    }

    #[test]
    fn a_line_is_written_over_and_cut_off() {
        assert_eq!(shown("50 %\r100 %\r\nnext\u{8}\u{8}\u{1b}[Kw"), "100 %\nnew");
        assert_eq!(shown("one\r\ntwo\r\n\u{1b}[2A\u{1b}[Jthree"), "three");
    }

    #[test]
    fn colours_and_questions_are_not_text() {
        assert_eq!(shown("\u{1b}[1;31mred\u{1b}[0m \u{1b}[6n/ # \u{7}"), "red / # ");
        assert_eq!(shown("a\r\n"), "a\n");
    }
}
