//! A file that is written from its beginning to its end and not read soon.

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::fs::File;
use std::io::{self, Write};

/// So many bytes are written between two looks at what the disk has.
const STEP: usize = 4 << 20;

/// Lets go of what the disk has, while it writes: a blob of a gigabyte takes no gigabyte of the page cache from the files that will
/// be used, and the flush at the end finds little left to do.
#[derive(Debug)]
pub(crate) struct WriteBehind {
    file: File,
    since: usize,
}

impl WriteBehind {
    pub(crate) fn new(file: File) -> Self {
        Self { file, since: 0 }
    }

    /// The kernel begins to write what is new, and frees the pages that were written since the last time (posix_fadvise(2)).
    fn let_go(&mut self) {
        self.since = 0;
        let _only_a_hint = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

impl Write for WriteBehind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.since += count;
        if self.since >= STEP {
            self.let_go();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
