//! `-v` and `--tmpfs`, in docker's words.

use crate::Error;
use crate::mounts::Mount;
use std::path::PathBuf;

/// `SOURCE:DESTINATION[:OPTION,…]`, both absolute; writable unless an option is `ro`. Nothing is looked up yet.
///
/// # Errors
/// [`Error::Volume`].
pub fn parse_volume(text: &str) -> Result<Mount, Error> {
    let refused = || Error::Volume(text.to_owned());
    let (source, destination, options) = match text.split(':').collect::<Vec<_>>()[..] {
        [source, destination] => (source, destination, ""),
        [source, destination, options] if !options.is_empty() => (source, destination, options),
        _ => return Err(refused()),
    };
    let known = ["ro", "rw", "private", "rprivate", "slave", "rslave", "shared", "rshared", ""];
    if !source.starts_with('/')
        || !destination.starts_with('/')
        || !options.split(',').all(|word| known.contains(&word))
    {
        return Err(refused());
    }
    // Read-only is the whole volume, with what is mounted below it, as docker's.
    let whole = |word| if word == "ro" { "rro" } else { word };
    let words = ["rbind"].into_iter().chain(options.split(',').filter(|word| !word.is_empty()).map(whole));
    Ok(Mount {
        destination: destination.into(),
        fs_type: "bind".to_owned(),
        source: PathBuf::from(source),
        options: words.map(str::to_owned).collect(),
    })
}

/// `DESTINATION[:OPTION,…]`; without options as docker's: nothing in it is executed, no device, no set-user-ID.
///
/// # Errors
/// [`Error::Option`].
pub fn parse_tmpfs(text: &str) -> Result<Mount, Error> {
    let (destination, words) = text.split_once(':').unwrap_or((text, ""));
    let mut options = ["nosuid", "nodev", "noexec", "mode=1777"].map(str::to_owned).to_vec();
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let key = word.split_once('=').map_or(word, |(key, _)| key);
        let flags = ["ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev"];
        let settings = ["size", "mode", "uid", "gid", "nr_inodes"];
        if !if word.contains('=') { settings.contains(&key) } else { flags.contains(&key) } {
            return Err(Error::Option(word.to_owned()));
        }
        options.push(word.to_owned());
    }
    Ok(Mount { destination: destination.into(), fs_type: "tmpfs".to_owned(), source: "tmpfs".into(), options })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_two_absolute_paths_and_options() {
        let mount = parse_volume("/a:/b").expect("a volume");
        assert_eq!((mount.options, mount.destination), (vec!["rbind".to_owned()], PathBuf::from("/b")));
        assert_eq!(parse_volume("/a:/b:ro").expect("a volume").options, ["rbind", "rro"]);
        for bad in ["/a", "a:/b", "/a:b", "/a:/b:rx", "/a:/b:ro:z", "/a:/b:", ""] {
            assert!(matches!(parse_volume(bad), Err(Error::Volume(_))), "{bad}");
        }
    }

    #[test]
    fn a_tmpfs_is_harmless_unless_it_says_otherwise() {
        let mount = parse_tmpfs("/t:size=1m,exec").expect("a tmpfs");
        assert_eq!(mount.options, ["nosuid", "nodev", "noexec", "mode=1777", "size=1m", "exec"]);
        assert!(matches!(parse_tmpfs("/t:size=1m,colour"), Err(Error::Option(word)) if word == "colour"));
        assert!(matches!(parse_tmpfs("/t:ro=1"), Err(Error::Option(_))));
    }
}
