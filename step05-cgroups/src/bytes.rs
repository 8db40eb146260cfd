//! Amounts of memory in docker's words: `64m`, `1.5g`, `-1`.

use crate::Error;
use std::fmt;
use std::str::FromStr;

/// An amount of memory or of traffic, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Bytes(pub u64);

/// The units of `docker run -m`, by their first letter; each is 1024 of the one before.
const UNITS: [char; 6] = ['b', 'k', 'm', 'g', 't', 'p'];

impl FromStr for Bytes {
    type Err = Error;

    /// `4096`, `64m`, `64mb`, `64MiB`, `1.5g`. Source: docker's reference, "Runtime constraints on resources".
    // ANCHOR: bytes
    fn from_str(text: &str) -> Result<Self, Error> {
        // ANCHOR: task3_bytes
        let wrong = || Error::Bytes(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
        let (number, unit) = lower.split_at(digits);
        let power = match unit {
            "" | "b" => 0,
            unit => {
                let letter = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
                UNITS
                    .iter()
                    .position(|known| letter == known.to_string())
                    .filter(|power| *power > 0)
                    .ok_or_else(wrong)?
            }
        };
        scale(number, 1 << (10 * power)).map(Self).ok_or_else(wrong)
        // ANCHOR_END: task3_bytes
    }
    // ANCHOR_END: bytes
}

/// A decimal number times `unit`, rounded down. Digits behind the eighteenth are below a byte.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction = fraction.get(..fraction.len().min(18))?;
    let below_one = digits(fraction)? * u128::from(unit) / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let total = digits(whole)?.checked_mul(u128::from(unit))?.checked_add(below_one)?;
    u64::try_from(total).ok()
}

impl fmt::Display for Bytes {
    /// The number in the largest unit that it is a whole multiple of: `64m`, `1000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power =
            (1..UNITS.len()).rev().find(|power| self.0 != 0 && self.0.is_multiple_of(1 << (10 * power))).unwrap_or(0);
        match UNITS.get(power).filter(|_| power > 0) {
            Some(unit) => write!(f, "{}{unit}", self.0 >> (10 * power)),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A number that may be "as many as you like": the kernel writes `max` (v2) or -1 (v1), docker -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maximum<T> {
    /// No limit.
    Unlimited,
    /// At most this.
    Of(T),
}

impl<T: fmt::Display> Maximum<T> {
    /// In the words of cgroup v1's memory and v2's files.
    pub(crate) fn or(&self, unlimited: &str) -> String {
        match self {
            Self::Unlimited => unlimited.to_owned(),
            Self::Of(number) => number.to_string(),
        }
    }
}

impl FromStr for Maximum<Bytes> {
    type Err = Error;

    /// `-1` is unlimited (`--memory-swap`).
    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "-1" { Ok(Self::Unlimited) } else { text.parse().map(Self::Of) }
    }
}

impl FromStr for Maximum<u64> {
    type Err = Error;

    /// `-1` and `0` are unlimited (`--pids-limit`).
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse::<i64>() {
            Ok(-1 | 0) => Ok(Self::Unlimited),
            Ok(number) => u64::try_from(number).map(Self::Of).map_err(|_| Error::Number(text.to_owned())),
            Err(_) => Err(Error::Number(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_words_are_understood() {
        let cases = [
            ("0", 0),
            ("4096", 4096),
            ("4096b", 4096),
            ("1k", 1024),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            (".5k", 512),
            ("2t", 2 << 40),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Bytes>().unwrap(), Bytes(bytes), "{text}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "m", "-1", "64x", "64 mm", "1e3", "1.2.3", "64bb", "99999999999999999999", "20000p", "٣"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn unlimited_is_minus_one_and_for_pids_zero_too() {
        assert_eq!("-1".parse::<Maximum<Bytes>>().unwrap(), Maximum::Unlimited);
        assert_eq!("1g".parse::<Maximum<Bytes>>().unwrap(), Maximum::Of(Bytes(1 << 30)));
        assert_eq!("0".parse::<Maximum<u64>>().unwrap(), Maximum::Unlimited);
        assert_eq!("20".parse::<Maximum<u64>>().unwrap(), Maximum::Of(20));
        assert!("-2".parse::<Maximum<u64>>().is_err() && "max".parse::<Maximum<u64>>().is_err());
    }

    #[test]
    fn a_size_is_written_in_its_largest_whole_unit() {
        let texts = [64 << 20, 1000, 0, 3 << 29].map(|bytes| Bytes(bytes).to_string());
        assert_eq!(texts, ["64m", "1000", "0", "1536m"]);
    }
}
