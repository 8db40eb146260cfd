//! What a list of measurements says, and what it does not.

use serde::{Deserialize, Serialize};

/// A list in a few numbers, in the unit of the list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// How many.
    pub(crate) count: usize,
    /// The smallest: what it costs when nothing is in the way.
    pub(crate) min: f64,
    /// As many are above as below.
    pub(crate) median: f64,
    /// Nine of ten are below.
    pub(crate) p90: f64,
    /// The median of all the runs that could have been made is in here, with a probability of 95 %.
    pub(crate) interval: (f64, f64),
}

/// How many times a bootstrap draws.
const DRAWS: usize = 2000;

impl Summary {
    /// `None` of nothing.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            count: sorted.len(),
            min: *sorted.first()?,
            median: quantile(&sorted, 0.5),
            p90: quantile(&sorted, 0.9),
            interval: bootstrap(&[samples], |drawn| median(&drawn[0])),
        })
    }
}

/// The median; 0 of nothing.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// Between two neighbours it is a straight line.
#[allow(clippy::cast_possible_truncation, reason = "a place in a list")]
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = q * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// How often `of` is as large as `to`: the quotient of the medians, and its interval.
pub(crate) fn ratio(of: &[f64], to: &[f64]) -> (f64, (f64, f64)) {
    let interval = bootstrap(&[of, to], |drawn| median(&drawn[0]) / median(&drawn[1]));
    (median(of) / median(to), interval)
}

/// The middle 95 % of what `estimate` gives for lists drawn, with repetition, from `lists`. Source: B. Efron, "Bootstrap methods" (1979).
fn bootstrap(lists: &[&[f64]], estimate: impl Fn(&[Vec<f64>]) -> f64) -> (f64, f64) {
    if lists.iter().any(|list| list.is_empty()) {
        return (0.0, 0.0);
    }
    let mut random = Random::default();
    let mut draw = |list: &[f64]| -> Vec<f64> { (0..list.len()).map(|_| list[random.below(list.len())]).collect() };
    let mut estimates: Vec<f64> =
        (0..DRAWS).map(|_| estimate(&lists.iter().map(|list| draw(list)).collect::<Vec<_>>())).collect();
    estimates.sort_by(f64::total_cmp);
    (quantile(&estimates, 0.025), quantile(&estimates, 0.975))
}

/// The probability to see two lists at least as different as these when nothing differs: Mann and Whitney's test, two-sided,
/// with the normal distribution in place of the exact one, corrected for ties. It asks nothing of the lists' shape, so a few runs
/// that were disturbed do not decide. Source: H. B. Mann, D. R. Whitney (1947).
pub(crate) fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let mut all: Vec<(f64, bool)> = a.iter().map(|x| (*x, true)).chain(b.iter().map(|x| (*x, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut ranks_of_a, mut ties, mut begin) = (0.0, 0.0, 0);
    while begin < all.len() {
        let equal = all[begin..].iter().take_while(|x| x.0 == all[begin].0).count();
        let rank = begin as f64 + (equal as f64 + 1.0) / 2.0;
        ranks_of_a += rank * all[begin..begin + equal].iter().filter(|x| x.1).count() as f64;
        ties += (equal as f64).powi(3) - equal as f64;
        begin += equal;
    }
    let total = n + m;
    let u = ranks_of_a - n * (n + 1.0) / 2.0;
    let deviation = (n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)))).sqrt();
    if deviation.is_nan() || deviation == 0.0 {
        return 1.0;
    }
    let distance = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / deviation;
    (2.0 * above(distance)).min(1.0)
}

/// The share of the normal distribution above `z`, not negative. Source: Abramowitz and Stegun, 26.2.17; off by at most 7.5e-8.
fn above(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * series
}

/// Marsaglia's xorshift: the same numbers each time, so that the same measurements give the same report.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }
}

impl Random {
    /// A number from 0 to `end`, without `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end.max(1)
    }

    /// Puts a list into another order.
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_known_numbers() {
        let summary = Summary::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).expect("not empty");
        assert_eq!((summary.min, summary.median, summary.p90), (1.0, 3.0, 4.6));
        assert!(summary.interval.0 >= 1.0 && summary.interval.1 <= 5.0);
        assert!(Summary::of(&[]).is_none());
    }

    /// The worked example of two groups without an overlap: U is 0, and the exact probability 2 / 252.
    #[test]
    fn mann_whitney_tells_groups_apart() {
        let p = mann_whitney(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((p - 0.0122).abs() < 0.0005, "{p}");
        assert_eq!(mann_whitney(&[1.0, 1.0], &[1.0, 1.0]), 1.0);
    }

    #[test]
    fn the_same_distribution_is_no_difference() {
        let mut random = Random::default();
        let mut list = || -> Vec<f64> { (0..60).map(|_| random.below(1000) as f64).collect() };
        let (a, b) = (list(), list());
        assert!(mann_whitney(&a, &b) > 0.05);
        let (ratio, (low, high)) = ratio(&a, &b);
        assert!(low < ratio && ratio < high && low < 1.0 && 1.0 < high);
    }
}
