//! Mount options in words, and what the kernel calls them.

use crate::Error;
use crate::overlay::c_string;
use std::ffi::CString;
use std::path::Path;
use sys::mount::{Propagation, attr};

/// The options of one mount, sorted by whom they are for.
#[derive(Debug)]
pub(crate) struct Options {
    /// For the mount itself.
    pub(crate) own: Attributes,
    /// For all the mounts below it, too.
    pub(crate) all: Attributes,
    pub(crate) bind: bool,
    pub(crate) recursive: bool,
    /// Nothing new: the attributes of what is mounted there already.
    pub(crate) remount: bool,
    pub(crate) propagation: Propagation,
    /// Whether that is for the mounts below it, too.
    pub(crate) propagation_of_all: bool,
    /// A tmpfs begins with what it covers.
    pub(crate) copy_up: bool,
    /// The owners are shown by a map (`idmap`), below it too (`ridmap`).
    pub(crate) map_owners: Option<Reach>,
    /// What remains is for the file system itself.
    data: Vec<String>,
}

/// How far an option reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Own,
    All,
}

/// Attributes to set, and to clear on a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Attributes {
    pub(crate) const NONE: Self = Self { set: 0, clear: 0 };

    /// A later word wins. How access times are kept is one value of several bits: all of it is cleared for a new one.
    fn take(&mut self, bits: u64, sets: bool) {
        let among_several = bits & attr::ATIME != 0 || bits == 0;
        let mask = if among_several { attr::ATIME } else { bits };
        self.set &= !mask;
        self.clear &= !mask;
        if sets {
            self.set |= bits;
        }
        if !sets || among_several {
            self.clear |= mask;
        }
    }
}

/// The words that concern the mount and not the file system: attribute, and whether the word sets or clears it. With an `r` in
/// front they are for the mounts below, too.
const ATTRIBUTES: [(&str, u64, bool); 18] = [
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
    ("nodiratime", attr::NODIRATIME, true),
    ("diratime", attr::NODIRATIME, false),
    ("noatime", attr::NOATIME, true),
    ("strictatime", attr::STRICTATIME, true),
    // What is left when it is none of the others.
    ("relatime", 0, true),
    ("atime", 0, true),
    ("norelatime", 0, true),
    ("nostrictatime", 0, true),
];

impl Options {
    /// Sorts the words; a later one wins. Source: OCI runtime specification, config.md, "Linux mount options".
    pub(crate) fn parse(words: &[String]) -> Result<Self, Error> {
        let mut options = Self {
            own: Attributes::NONE,
            all: Attributes::NONE,
            bind: false,
            recursive: false,
            remount: false,
            propagation: Propagation::Unchanged,
            propagation_of_all: false,
            copy_up: false,
            map_owners: None,
            data: Vec::new(),
        };
        for word in words {
            options.take(word)?;
        }
        Ok(options)
    }

    fn take(&mut self, word: &str) -> Result<(), Error> {
        let find = |word: &str| ATTRIBUTES.iter().find(|(name, ..)| *name == word);
        if let Some((_, attribute, sets)) = find(word) {
            self.own.take(*attribute, *sets);
            return Ok(());
        }
        if let Some((_, attribute, sets)) = word.strip_prefix('r').and_then(find) {
            self.all.take(*attribute, *sets);
            return Ok(());
        }
        if let Some(propagation) = propagation(word.strip_prefix('r').unwrap_or(word)) {
            self.propagation = propagation;
            self.propagation_of_all = word.starts_with('r');
            return Ok(());
        }
        match word {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.map_owners = Some(Reach::Own),
            "ridmap" => self.map_owners = Some(Reach::All),
            "defaults" | "async" | "nomand" | "noiversion" | "nolazytime" | "loud" => {}
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

fn propagation(word: &str) -> Option<Propagation> {
    Some(match word {
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "shared" => Propagation::Shared,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_by_whom_they_are_for() {
        let words = ["rbind", "ro", "noexec", "exec", "rnosuid", "size=1m", "rslave", "newinstance"].map(str::to_owned);
        let options = Options::parse(&words).expect("options");
        assert_eq!(options.own, Attributes { set: attr::RDONLY, clear: attr::NOEXEC });
        assert_eq!(options.all, Attributes { set: attr::NOSUID, clear: 0 });
        assert!(options.bind && options.recursive && options.propagation == Propagation::Slave);
        assert!(options.propagation_of_all);
        assert_eq!(
            options.data().expect("data"),
            [(c"size".into(), Some(c"1m".into())), (c"newinstance".into(), None)]
        );
    }

    #[test]
    fn one_way_to_keep_access_times_replaces_another() {
        let own = |words: &[&str]| {
            Options::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).expect("options").own
        };
        assert_eq!(own(&["noatime"]), Attributes { set: attr::NOATIME, clear: attr::ATIME });
        assert_eq!(own(&["noatime", "relatime"]), Attributes { set: 0, clear: attr::ATIME });
        assert_eq!(own(&["nodiratime"]), Attributes { set: attr::NODIRATIME, clear: 0 });
    }
}
