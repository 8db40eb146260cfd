//! Output as docker's: columns, sizes, times.

pub mod listing;
pub mod template;

pub use listing::{Format, Listing, Row};
pub use template::Template;

use jiff::Timestamp;
use std::io::Write;

/// Lays lines out in columns, three spaces between them; a tab ends a cell.
///
/// # Panics
/// Never: a vector takes every write.
#[must_use]
pub fn columns<'l>(lines: impl Iterator<Item = &'l str>) -> String {
    let mut writer = tabwriter::TabWriter::new(Vec::new()).padding(3);
    for line in lines {
        writeln!(writer, "{line}").expect("a vector takes every write");
    }
    let bytes = writer.into_inner().expect("a vector takes every flush");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A size as docker's: decimal units, three significant digits (`4.26MB`).
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB", "PB"] {
        if value < 999.5 {
            return if unit == "B" { format!("{value}B") } else { format!("{}{unit}", three_digits(value)) };
        }
        value /= 1000.0;
    }
    format!("{}EB", three_digits(value))
}

/// As Go's `%.3g` writes: three significant digits, no zeroes at the end.
fn three_digits(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A length of time in docker's words (`3 seconds`, `About a minute`).
#[must_use]
pub fn duration(seconds: i64) -> String {
    let (minute, hour, day) = (60, 3600, 86_400);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{} minutes", seconds / minute),
        3600..7200 => "About an hour".to_owned(),
        7200..172_800 => format!("{} hours", seconds / hour),
        172_800..1_209_600 => format!("{} days", seconds / day),
        1_209_600..5_184_000 => format!("{} weeks", seconds / (7 * day)),
        5_184_000..63_072_000 => format!("{} months", seconds / (30 * day)),
        _ => format!("{} years", seconds / (365 * day)),
    }
}

/// How long ago `then` was, in docker's words.
#[must_use]
pub fn ago(then: Timestamp) -> String {
    format!("{} ago", since(then))
}

/// The time since `then`.
#[must_use]
pub fn since(then: Timestamp) -> String {
    duration(Timestamp::now().as_second() - then.as_second())
}

/// A moment as docker's columns `CREATED AT` write it.
#[must_use]
pub fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// At most `width` characters, the last an ellipsis where some were cut.
#[must_use]
pub fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        let cases = [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_261_550, "4.26MB"),
            (77_820_000, "77.8MB"),
            (1_240_000_000, "1.24GB"),
            (999_600, "1MB"),
            (123_456, "123kB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn durations_are_dockers() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (120, "2 minutes"),
            (3_700, "About an hour"),
            (7_200, "2 hours"),
            (172_800, "2 days"),
            (1_209_600, "2 weeks"),
            (5_184_000, "2 months"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(columns(["A\tB", "long one\t"].into_iter()), "A          B\nlong one\n");
    }
}
