//! Deletions: in a layer's tar a file named `.wh.name`, in overlayfs a character device 0:0.
//!
//! Source: OCI image specification, layer.md, "Whiteouts"; kernel, overlayfs.rst, "whiteouts and opaque directories".

use super::Refusal;

/// What an entry's own name says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// An ordinary entry.
    Plain,
    /// `.wh.name`: `name` of the layers below is gone.
    Whiteout(&'a [u8]),
    /// `.wh..wh..opq`: everything of the layers below in this folder is gone.
    Opaque,
    /// aufs's own files (`.wh..wh.plnk`, `.wh..wh.aufs`), which say nothing about the image.
    Aufs,
}

// ANCHOR: whiteout_name
impl<'a> Name<'a> {
    /// Reads the name of an entry. A whiteout of `.` or `..` would delete outside of the folder that it is in.
    pub(crate) fn parse(name: &'a [u8]) -> Result<Self, Refusal> {
        // ANCHOR: task3_name
        let Some(target) = name.strip_prefix(b".wh.") else {
            return Ok(Self::Plain);
        };
        match target {
            b"" => Err(Refusal::WhiteoutOfNothing),
            b"." | b".." => Err(Refusal::WhiteoutOfParent),
            b".wh..opq" => Ok(Self::Opaque),
            _ if target.starts_with(b".wh.") => Ok(Self::Aufs),
            _ => Ok(Self::Whiteout(target)),
        }
        // ANCHOR_END: task3_name
    }
}
// ANCHOR_END: whiteout_name

/// Refuses a folder named like a whiteout: what is below a deletion is there for one tool and not for another.
pub(crate) fn check_folder(folder: &[u8]) -> Result<(), Refusal> {
    if folder.split(|byte| *byte == b'/').any(|part| part.starts_with(b".wh.")) {
        return Err(Refusal::BelowWhiteout);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_whiteouts() {
        assert_eq!(Name::parse(b".wh.a").unwrap(), Name::Whiteout(b"a"));
        assert_eq!(Name::parse(b".wh..a").unwrap(), Name::Whiteout(b".a"));
        assert_eq!(Name::parse(b".wh..wh..opq").unwrap(), Name::Opaque);
        assert_eq!(Name::parse(b".wh..wh.plnk").unwrap(), Name::Aufs);
        assert_eq!(Name::parse(b".whale").unwrap(), Name::Plain);
        for wrong in [&b".wh."[..], b".wh..", b".wh..."] {
            assert!(Name::parse(wrong).is_err());
        }
    }
}
