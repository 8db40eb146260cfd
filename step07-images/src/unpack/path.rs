//! The names in a layer, checked before anything is done with them.

use super::Refusal;
use std::ffi::CString;

/// A name inside the layer: parts joined by single slashes, none of them `.` or `..`; empty for the layer's root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LayerPath(Vec<u8>);

impl LayerPath {
    // ANCHOR: check_path
    /// Takes a name as it stands in the tar. `./a//b/` is `a/b`; what could leave the layer is refused, not cleaned up:
    /// tools that clean up do it in different ways, and a hostile image lives on the difference.
    pub(crate) fn check(name: &[u8], max_depth: usize) -> Result<Self, Refusal> {
        // ANCHOR: task1_path
        if name.is_empty() {
            return Err(Refusal::EmptyName);
        }
        if name.contains(&0) {
            return Err(Refusal::ZeroByte);
        }
        if name.starts_with(b"/") {
            return Err(Refusal::Absolute);
        }
        let mut path = Vec::with_capacity(name.len());
        let mut depth = 0;
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(Refusal::DotDot),
                _ => {}
            }
            if depth > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(part);
            depth += 1;
        }
        if depth > max_depth {
            return Err(Refusal::TooDeep { depth, limit: max_depth });
        }
        Ok(Self(path))
        // ANCHOR_END: task1_path
    }
    // ANCHOR_END: check_path

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder it is in (empty for the root) and its own name.
    pub(crate) fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (&[], &self.0),
        }
    }

    /// As text; `None` when it is no UTF-8.
    pub(crate) fn into_text(self) -> Option<String> {
        String::from_utf8(self.0).ok()
    }

    /// The path as openat2 wants it.
    pub(crate) fn as_c(&self) -> CString {
        c_path(&self.0)
    }
}

/// `path` as a C string; `.` for the root.
pub(crate) fn c_path(path: &[u8]) -> CString {
    let path = if path.is_empty() { b"." } else { path };
    CString::new(path).expect("checked names have no zero bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str) -> Result<String, String> {
        let path = LayerPath::check(name.as_bytes(), 4).map_err(|refusal| refusal.to_string())?;
        Ok(String::from_utf8(path.0).unwrap())
    }

    #[test]
    fn names_are_cleaned_or_refused() {
        for (name, clean) in [("a", "a"), ("./a//b/", "a/b"), ("./", ""), (".", ""), ("...", "..."), ("a/.b", "a/.b")] {
            assert_eq!(check(name).as_deref(), Ok(clean));
        }
        for wrong in ["", "/", "/a", "..", "a/..", "a/../b", "./..", "a\0b", "a/b/c/d/e"] {
            assert!(check(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn split_gives_the_folder_and_the_name() {
        let path = LayerPath::check(b"a/b/c", 9).unwrap();
        assert_eq!(path.split(), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(LayerPath::check(b"c", 9).unwrap().split(), (&b""[..], &b"c"[..]));
    }
}
