//! `--compare OLD.json`: what has changed, and what is noise.

use crate::results::{Results, Row};
use crate::statistics::{mann_whitney, ratio};
use crate::table::number;
use std::fmt::Write;

/// Differences below this are nobody's business, however sure they are.
const SMALL: f64 = 0.02;

/// A chance of one in a hundred to call noise a difference: a run compares dozens of rows.
const LEVEL: f64 = 0.01;

/// What is said of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing can be said but that the lists look alike.
    NoDifference,
    /// So many times as long, and the interval of 95 %.
    Slower(f64, (f64, f64)),
    /// As above, below 1.
    Faster(f64, (f64, f64)),
    /// There are not enough runs to say anything.
    TooFew,
}

/// Two lists of times.
pub(crate) fn verdict(old: &[f64], new: &[f64]) -> Verdict {
    if old.len().min(new.len()) < 5 {
        return Verdict::TooFew;
    }
    let (times, interval) = ratio(new, old);
    let sure = mann_whitney(old, new) < LEVEL && (interval.0 > 1.0 || interval.1 < 1.0);
    match times {
        _ if !sure || (times - 1.0).abs() < SMALL => Verdict::NoDifference,
        1.0.. => Verdict::Slower(times, interval),
        _ => Verdict::Faster(times, interval),
    }
}

/// A line for each row that both have.
pub(crate) fn text(old: &Results, new: &Results) -> String {
    let mut out = format!("\nCompared with {} ({}):\n", old.when, old.machine.kernel);
    if old.machine.processor != new.machine.processor || old.machine.kernel != new.machine.kernel {
        out += "  another machine or kernel: only the quotients to the floor can be compared\n";
    }
    let both = |row: &'_ Row| old.rows.iter().find(|other| other.name == row.name).cloned();
    for (row, before) in new.rows.iter().filter_map(|row| Some((row, both(row)?))) {
        let _infallible =
            writeln!(out, "  {}: {}", row.name, words(verdict(&before.samples, &row.samples), &before, row));
    }
    out
}

fn words(verdict: Verdict, old: &Row, new: &Row) -> String {
    let percent = |times: f64| (times - 1.0) * 100.0;
    let (scale, unit) = if new.unit == "µs" { (1e3, "ms") } else { (1.0, new.unit.as_str()) };
    let (was, is) = (number(old.summary.median / scale), number(new.summary.median / scale));
    match verdict {
        Verdict::NoDifference => "no difference".to_owned(),
        Verdict::TooFew => "too few runs to say".to_owned(),
        Verdict::Slower(times, (low, high)) | Verdict::Faster(times, (low, high)) => format!(
            "{} by {:.0} % ({:+.0} … {:+.0} %): {was} before, {is} {unit} now",
            if times > 1.0 { "SLOWER" } else { "faster" },
            percent(times).abs(),
            percent(low),
            percent(high)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Random;

    /// As times are: most near 100, some far above.
    fn times(seed: usize, of: f64) -> Vec<f64> {
        let mut random = Random::default();
        (0..seed).for_each(|_| _ = random.below(2));
        let one = |_| of * (100.0 + random.below(10) as f64 + if random.below(10) == 0 { 200.0 } else { 0.0 });
        (0..40).map(one).collect()
    }

    #[test]
    fn the_same_twice_is_no_difference() {
        for seed in 1..20 {
            assert_eq!(verdict(&times(0, 1.0), &times(seed * 100, 1.0)), Verdict::NoDifference, "seed {seed}");
        }
    }

    #[test]
    fn a_tenth_more_is_seen_through_the_noise() {
        let Verdict::Slower(times, interval) = verdict(&times(0, 1.0), &times(7, 1.1)) else { panic!("not seen") };
        assert!((1.05..1.15).contains(&times) && interval.0 > 1.0);
    }

    #[test]
    fn a_tenth_less_is_seen_as_well() {
        assert!(matches!(verdict(&times(0, 1.0), &times(7, 0.9)), Verdict::Faster(..)));
    }

    #[test]
    fn four_runs_say_nothing() {
        assert_eq!(verdict(&[1.0; 4], &[9.0; 40]), Verdict::TooFew);
    }
}
