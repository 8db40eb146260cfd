//! `-v` and `--mount type=volume`, as far as they ask for volumes.

use super::checked;
use crate::report::Refusal;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The one with this name; it is made when it is not there.
    Named(String),
    /// One of the container's own.
    Anonymous,
}

/// A volume that a container is to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRequest {
    /// Which.
    pub source: Source,
    /// Where, as an absolute path inside.
    pub destination: PathBuf,
    /// The words after the second colon: `ro`, `rw`, `nocopy`, `z`, `Z`, a propagation.
    pub options: Vec<String>,
}

/// The words that a volume takes. `z` and `Z` ask for labels of SELinux, which `tara` does not set: they change nothing.
const WORDS: [&str; 11] =
    ["ro", "rw", "nocopy", "z", "Z", "private", "rprivate", "slave", "rslave", "shared", "rshared"];

impl VolumeRequest {
    /// Reads `NAME:/path[:OPTIONS]` or `/path`.
    ///
    /// # Errors
    /// [`Refusal`] for what is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |why: &str| Refusal::new(format!("`-v {text}`: {why}")).help("write NAME:/path[:ro] or /path");
        let (source, destination, words) = match text.split(':').collect::<Vec<_>>()[..] {
            [destination] => (Source::Anonymous, destination, ""),
            [name, destination] => (Source::Named(checked(name)?.to_owned()), destination, ""),
            [name, destination, words] if !words.is_empty() => {
                (Source::Named(checked(name)?.to_owned()), destination, words)
            }
            _ => return Err(refused("it has too many colons").into()),
        };
        let options: Vec<String> = words.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if let Some(wrong) = options.iter().find(|word| !WORDS.contains(&word.as_str())) {
            return Err(refused(&format!("`{wrong}` does not go with a volume")).into());
        }
        Self { source, destination: destination.into(), options }.checked(refused)
    }

    /// The same from the fields of `--mount type=volume`.
    ///
    /// # Errors
    /// [`Refusal`] for a name or a path that cannot be.
    pub fn of_mount(text: &str, name: Option<&str>, destination: &str, options: Vec<String>) -> Result<Self> {
        let refused = |why: &str| Refusal::new(format!("`--mount {text}`: {why}"));
        if let Some(wrong) = options.iter().find(|word| !WORDS.contains(&word.as_str())) {
            return Err(refused(&format!("`{wrong}` does not go with a volume")).into());
        }
        let source = match name.filter(|name| !name.is_empty()) {
            Some(name) => Source::Named(checked(name)?.to_owned()),
            None => Source::Anonymous,
        };
        Self { source, destination: destination.into(), options }.checked(refused)
    }

    fn checked(self, refused: impl Fn(&str) -> Refusal) -> Result<Self> {
        let clean = self.destination.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !self.destination.is_absolute() || !clean {
            return Err(refused("the destination has to be an absolute path").into());
        }
        if self.destination.parent().is_none() {
            return Err(refused("the destination cannot be `/`").into());
        }
        // Without a slash at its end: destinations are compared.
        Ok(Self { destination: self.destination.components().collect(), ..self })
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.options.iter().any(|option| option == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_named_or_not() {
        let named = VolumeRequest::parse("data:/a/b/:ro,nocopy").expect("a volume");
        assert_eq!((named.source, named.destination), (Source::Named("data".into()), PathBuf::from("/a/b")));
        assert_eq!(VolumeRequest::parse("/a").expect("a volume").source, Source::Anonymous);
        for bad in ["data:b", "data:/", "da/ta:/b", "data:/b:colour", "data:/b:ro:ro", "data", "data:/a/../b"] {
            assert!(VolumeRequest::parse(bad).is_err(), "{bad}");
        }
    }
}
