//! PAX extended headers: records of `length key=value\n`. Source: POSIX.1-2017, pax, "pax Extended Header".
//!
//! The `tar` crate cuts them at newlines. An attribute's value may hold a newline (a file capability does), and what
//! follows it would be read as a record of its own: a `path` that another tool does not see. So they are read here by their length.

use super::Refusal;

/// Extended headers may have this many bytes, as in Go's archive/tar.
pub(crate) const LIMIT: u64 = 1 << 20;

const WRONG: Refusal = Refusal::Header { why: "an extended record is malformed" };

/// What an extended header overrides. Later records win.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    /// Seconds and nanoseconds; the nanoseconds count forward also before 1970.
    pub(crate) mtime: Option<(i64, u32)>,
    /// Extended attributes: the full name and the value.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: bool,
}

impl Extended {
    pub(crate) fn parse(mut records: &[u8]) -> Result<Self, Refusal> {
        let mut extended = Self::default();
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or(WRONG)?;
            extended.take(key, value)?;
            records = rest;
        }
        Ok(extended)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"mtime" => self.mtime = Some(time(value).ok_or(WRONG)?),
            _ => {
                self.sparse |= key.starts_with(b"GNU.sparse.");
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.attributes.retain(|(known, _)| known != name);
                    self.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// The first record's key and value, and the rest. The length counts itself, the space and the newline.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let (b'\n', record) = record.get(space + 1..)?.split_last()? else {
        return None;
    };
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn number(value: &[u8]) -> Result<u64, Refusal> {
    let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(WRONG)
}

/// `seconds[.fraction]`, perhaps negative.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    match (seconds.starts_with('-'), nanos) {
        (true, 1..) => Some((whole.checked_sub(1)?, 1_000_000_000 - nanos)),
        _ => Some((whole, nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines_and_look_like_records() {
        let extended = Extended::parse(b"37 SCHILY.xattr.user.a=\n13 path=evil\n12 path=abc\n");
        let extended = extended.unwrap();
        assert_eq!(extended.path.as_deref(), Some(&b"abc"[..]));
        assert_eq!(extended.attributes, [(b"user.a".to_vec(), b"\n13 path=evil".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for wrong in
            [&b"x"[..], b"5 a=b\n", b"99 a=b\n", b"6 a=bc", b"0 a=b\n", b"10 size=-1\n", b"-6 a=b\n", b"5 abc\n"]
        {
            assert!(Extended::parse(wrong).is_err(), "{:?}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn times_have_nanoseconds() {
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"7"), Some((7, 0)));
        assert_eq!(time(b"1.2.3"), None);
    }
}
