//! Mount options in words, and what the kernel calls them.

use crate::Error;
use crate::overlay::c_string;
use std::ffi::CString;
use std::path::Path;
use sys::mount::{Propagation, attr};

/// The options of one mount, sorted by whom they are for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Attributes of the mount to set, and to clear on a copy.
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) bind: bool,
    pub(crate) recursive: bool,
    /// Nothing new: the attributes of what is mounted there already.
    pub(crate) remount: bool,
    pub(crate) propagation: Propagation,
    /// What remains is for the file system itself.
    data: Vec<String>,
}

/// The words that concern the mount and not the file system: attribute, and whether the word sets or clears it.
const ATTRIBUTES: [(&str, u64, bool); 13] = [
    ("ro", attr::RDONLY, true),
    ("rw", attr::RDONLY, false),
    ("nosuid", attr::NOSUID, true),
    ("suid", attr::NOSUID, false),
    ("nodev", attr::NODEV, true),
    ("dev", attr::NODEV, false),
    ("noexec", attr::NOEXEC, true),
    ("exec", attr::NOEXEC, false),
    ("nosymfollow", attr::NOSYMFOLLOW, true),
    ("symfollow", attr::NOSYMFOLLOW, false),
    ("noatime", attr::NOATIME, true),
    ("strictatime", attr::STRICTATIME, true),
    ("relatime", 0, true),
];

impl Options {
    /// Sorts the words; a later one wins. Source: OCI runtime specification, config.md, "Linux mount options".
    pub(crate) fn parse(words: &[String]) -> Result<Self, Error> {
        let propagation = Propagation::Private;
        let mut options =
            Self { set: 0, clear: 0, bind: false, recursive: false, remount: false, propagation, data: Vec::new() };
        for word in words {
            options.take(word)?;
        }
        Ok(options)
    }

    fn take(&mut self, word: &str) -> Result<(), Error> {
        if let Some((_, attribute, sets)) = ATTRIBUTES.iter().find(|(name, ..)| *name == word) {
            let (into, from) = if *sets { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
            *into |= attribute;
            *from &= !attribute;
            return Ok(());
        }
        match word {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "remount" => self.remount = true,
            "private" | "rprivate" => self.propagation = Propagation::Private,
            "slave" | "rslave" => self.propagation = Propagation::Slave,
            "shared" | "rshared" => self.propagation = Propagation::Shared,
            "defaults" | "async" => {}
            "" => return Err(Error::Option(String::new())),
            data => self.data.push(data.to_owned()),
        }
        Ok(())
    }

    /// The file system's own options, as fsconfig takes them.
    pub(crate) fn data(self) -> Result<Vec<(CString, Option<CString>)>, Error> {
        let pair = |word: String| match word.split_once('=') {
            Some((key, value)) => Ok((c_string(Path::new(key))?, Some(c_string(Path::new(value))?))),
            None => Ok((c_string(Path::new(&word))?, None)),
        };
        self.data.into_iter().map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_by_whom_they_are_for() {
        let words = ["rbind", "ro", "noexec", "exec", "size=1m", "rslave", "newinstance"].map(str::to_owned);
        let options = Options::parse(&words).expect("options");
        assert_eq!((options.set, options.clear), (attr::RDONLY, attr::NOEXEC));
        assert!(options.bind && options.recursive && options.propagation == Propagation::Slave);
        assert_eq!(
            options.data().expect("data"),
            [(c"size".into(), Some(c"1m".into())), (c"newinstance".into(), None)]
        );
    }
}
