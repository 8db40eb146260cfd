//! What a `COPY` depends on: names, modes, owners and contents of its sources, as one digest. Times do not count.
//!
//! Contents that have not changed since they were last hashed are not read again: inode, size and both times say so.

use super::source::{Found, Source, kind, link_of, shown};
use crate::digest::Digest;
use crate::error::{Doing, Error};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// How a file looked when it was hashed: device, inode, size, and the times of its content and of its inode in nanoseconds.
type Look = (u64, u64, i64, i128, i128);

type Files = HashMap<Vec<u8>, (Look, Digest)>;

/// What is known of the files of one context, kept between builds.
#[derive(Debug, Default)]
pub struct Known {
    path: Option<PathBuf>,
    /// By their paths; and whether anything is new.
    files: Mutex<(Files, bool)>,
    /// When we began: what was changed later may be changed again without a sign.
    began: i128,
}

/// Younger than this, a file can change once more within the same tick of the clock. Source: git, "racy git".
const TICK: i128 = 20_000_000;

impl Known {
    /// What was kept at `path`; nothing when there is nothing, or nothing that can be read.
    #[must_use]
    pub fn read(path: PathBuf) -> Self {
        let files = fs::read(&path).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let began = i128::try_from(began).unwrap_or(i128::MAX);
        Self { path: Some(path), files: Mutex::new((files, false)), began }
    }

    /// Keeps it for the next build. It is only a shortcut: what cannot be written is not missed.
    pub fn keep(&self) {
        let Ok(files) = self.files.lock() else { return };
        let (Some(path), (files, true)) = (&self.path, &*files) else { return };
        let mut text = Vec::new();
        for (name, (look, digest)) in files {
            let (dev, inode, size, mtime, ctime) = look;
            let numbers = format!("{digest} {dev} {inode} {size} {mtime} {ctime} ");
            text.extend_from_slice(numbers.as_bytes());
            text.extend_from_slice(name);
            text.push(0);
        }
        let beside = path.with_extension(std::process::id().to_string());
        let written = File::create(&beside).and_then(|mut file| file.write_all(&text));
        let _without_it_files_are_read_again = written.and_then(|()| fs::rename(&beside, path));
    }

    fn digest(
        &self,
        path: &[u8],
        stat: &FileStat,
        open: impl FnOnce() -> Result<File, Error>,
    ) -> Result<Digest, Error> {
        let look = look(stat);
        if let Ok(files) = self.files.lock()
            && let Some((known, digest)) = files.0.get(path)
            && *known == look
        {
            return Ok(*digest);
        }
        let digest = hash(open()?).doing("read", shown(path))?;
        let settled = look.3.max(look.4) + TICK < self.began;
        if let Ok(mut files) = self.files.lock()
            && settled
            && self.path.is_some()
        {
            files.0.insert(path.to_vec(), (look, digest));
            files.1 = true;
        }
        Ok(digest)
    }
}

fn parse(bytes: &[u8]) -> Option<Files> {
    let mut files = HashMap::new();
    for line in bytes.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let mut parts = line.splitn(7, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(parts.next()?).ok();
        let digest = word()?.parse().ok()?;
        let look = (
            word()?.parse().ok()?,
            word()?.parse().ok()?,
            word()?.parse().ok()?,
            word()?.parse().ok()?,
            word()?.parse().ok()?,
        );
        files.insert(parts.next()?.to_vec(), (look, digest));
    }
    Some(files)
}

fn look(stat: &FileStat) -> Look {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    #[allow(clippy::useless_conversion, reason = "their types differ between architectures")]
    (
        stat.st_dev.into(),
        stat.st_ino.into(),
        stat.st_size,
        nanos(stat.st_mtime, stat.st_mtime_nsec),
        nanos(stat.st_ctime, stat.st_ctime_nsec),
    )
}

fn hash(mut file: File) -> std::io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// The digest of `found`, what is in it included. With `owners` the owners count; those of a context do not, every file is root's.
///
/// # Errors
/// What cannot be read.
pub fn digest(source: &Source<'_>, found: &Found, known: &Known, owners: bool) -> Result<Digest, Error> {
    let mut sum = Sum { source, known, owners, hasher: Sha256::new() };
    sum.line(found.name().as_encoded_bytes(), &found.stat);
    match kind(&found.stat) {
        SFlag::S_IFDIR => sum.folder(found.folder()?.as_fd(), &found.path)?,
        SFlag::S_IFREG => {
            let digest = known.digest(&found.path, &found.stat, || found.open())?;
            sum.hasher.update(digest.to_string());
        }
        _ => {}
    }
    Ok(Digest::from_bytes(sum.hasher.finalize().into()))
}

struct Sum<'a> {
    source: &'a Source<'a>,
    known: &'a Known,
    owners: bool,
    hasher: Sha256,
}

impl Sum<'_> {
    fn line(&mut self, name: &[u8], stat: &FileStat) {
        let owner = if self.owners { (stat.st_uid, stat.st_gid) } else { (0, 0) };
        self.hasher.update((name.len() as u64).to_le_bytes());
        self.hasher.update(name);
        self.hasher.update(format!(" {:o} {}:{} {}\n", stat.st_mode, owner.0, owner.1, stat.st_rdev));
    }

    fn folder(&mut self, folder: BorrowedFd<'_>, path: &[u8]) -> Result<(), Error> {
        for entry in self.source.entries(folder, path)? {
            self.line(entry.name.to_bytes(), &entry.stat);
            match kind(&entry.stat) {
                SFlag::S_IFDIR => {
                    let inside = openat(folder, entry.name.as_c_str(), super::source::FOLDER, Mode::empty());
                    self.folder(inside.doing("open", shown(&entry.path))?.as_fd(), &entry.path)?;
                    self.hasher.update(b"/");
                }
                SFlag::S_IFREG => {
                    let digest = self.known.digest(&entry.path, &entry.stat, || open(folder, &entry))?;
                    self.hasher.update(digest.to_string());
                }
                SFlag::S_IFLNK => {
                    let link = link_of(folder, &entry)?;
                    self.hasher.update((link.len() as u64).to_le_bytes());
                    self.hasher.update(link);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Opens a regular file: what has taken its place by now (a fifo would wait, a device would act) is refused.
pub(super) fn open(folder: BorrowedFd<'_>, entry: &super::source::Entry) -> Result<File, Error> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = openat(folder, entry.name.as_c_str(), flags, Mode::empty()).doing("open", shown(&entry.path))?;
    let stat = fstat(&file).doing("look at", shown(&entry.path))?;
    match kind(&stat) {
        SFlag::S_IFREG => Ok(file.into()),
        _ => Err(Error::io("read", shown(&entry.path), nix::errno::Errno::EAGAIN)),
    }
}

/// Where what is known of the context at `path` is kept below `folder`.
#[must_use]
pub fn kept_at(folder: &Path, context: &Path) -> PathBuf {
    folder.join(Digest::of(context.as_os_str().as_encoded_bytes()).hex())
}
