//! `-v` and `--tmpfs`, in docker's words.

use crate::Error;
use crate::mounts::{Kind, Mount};
use std::path::PathBuf;
use sys::mount::attr::{NODEV, NOEXEC, NOSUID, RDONLY};

/// `SOURCE:DESTINATION[:ro|rw]`, both absolute. Nothing is looked up yet.
///
/// # Errors
/// [`Error::Volume`].
pub fn parse_volume(text: &str) -> Result<Mount, Error> {
    let refused = || Error::Volume(text.to_owned());
    let (source, destination, attributes) = match text.split(':').collect::<Vec<_>>()[..] {
        [source, destination] | [source, destination, "rw"] => (source, destination, 0),
        [source, destination, "ro"] => (source, destination, RDONLY),
        _ => return Err(refused()),
    };
    if !source.starts_with('/') || !destination.starts_with('/') {
        return Err(refused());
    }
    Ok(Mount {
        kind: Kind::Bind {
            source: PathBuf::from(source),
        },
        destination: destination.into(),
        attributes,
    })
}

/// `DESTINATION[:OPTION,…]`; without options as docker's: nothing in it is executed, no device, no set-user-ID.
///
/// # Errors
/// [`Error::TmpfsOption`].
pub fn parse_tmpfs(text: &str) -> Result<Mount, Error> {
    let (destination, words) = text.split_once(':').unwrap_or((text, ""));
    let mut attributes = NOSUID | NODEV | NOEXEC;
    let mut options = Vec::new();
    for word in words.split(',').filter(|word| !word.is_empty()) {
        match word.split_once('=') {
            Some((key @ ("size" | "mode" | "uid" | "gid" | "nr_inodes"), value)) => {
                options.push((key.to_owned(), Some(value.to_owned())));
            }
            None => attributes = with_flag(attributes, word).ok_or_else(|| Error::TmpfsOption(word.to_owned()))?,
            Some(_) => return Err(Error::TmpfsOption(word.to_owned())),
        }
    }
    if !options.iter().any(|(key, _)| key == "mode") {
        options.push(("mode".to_owned(), Some("1777".to_owned())));
    }
    Ok(Mount {
        kind: Kind::FileSystem {
            fs_type: "tmpfs",
            options,
        },
        destination: destination.into(),
        attributes,
    })
}

fn with_flag(attributes: u64, word: &str) -> Option<u64> {
    Some(match word {
        "ro" => attributes | RDONLY,
        "rw" => attributes & !RDONLY,
        "exec" => attributes & !NOEXEC,
        "noexec" => attributes | NOEXEC,
        "suid" => attributes & !NOSUID,
        "nosuid" => attributes | NOSUID,
        "dev" => attributes & !NODEV,
        "nodev" => attributes | NODEV,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_writable_unless_it_says_ro() {
        let mount = parse_volume("/a:/b").expect("a volume");
        assert_eq!((mount.attributes, mount.destination), (0, PathBuf::from("/b")));
        assert_eq!(parse_volume("/a:/b:ro").expect("a volume").attributes, RDONLY);
        for bad in ["/a", "a:/b", "/a:b", "/a:/b:rx", "/a:/b:ro:z", ""] {
            assert!(matches!(parse_volume(bad), Err(Error::Volume(_))), "{bad}");
        }
    }

    #[test]
    fn a_tmpfs_is_harmless_unless_it_says_otherwise() {
        let mount = parse_tmpfs("/t:size=1m,exec").expect("a tmpfs");
        assert_eq!(mount.attributes, NOSUID | NODEV);
        assert!(matches!(parse_tmpfs("/t:size=1m,colour"), Err(Error::TmpfsOption(word)) if word == "colour"));
    }
}
