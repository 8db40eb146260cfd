//! What a build may read: a folder of the host, or an archive on standard input; the Dockerfile and `.dockerignore` in it.

use super::progress::Progress;
use crate::report::Refusal;
use anyhow::{Context as _, Result, bail};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs;
use std::io::{BufRead, BufReader, Read, stdin};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use step07_images::build::{Dockerfile, Ignore};
use step07_images::{Scratch, Store};

/// A Dockerfile and a `.dockerignore` are read into memory: at most this many bytes, BuildKit's bound.
const LARGEST: u64 = 16 << 20;

/// The folder that a build reads.
#[derive(Debug)]
pub struct Context {
    /// Where it is.
    pub path: PathBuf,
    folder: OwnedFd,
    /// What is not there.
    pub ignore: Ignore,
    /// The Dockerfile, if it came another way.
    given: Option<(String, String)>,
    /// Holds what came on standard input.
    _scratch: Option<Scratch>,
}

impl Context {
    /// The folder `word`, or for `-` what comes on standard input: an archive, or nothing but a Dockerfile.
    ///
    /// # Errors
    /// What cannot be read; an archive that is hostile.
    pub fn open(word: &str, file: Option<&Path>, store: &Store) -> Result<Self> {
        if word == "-" {
            anyhow::ensure!(
                file != Some(Path::new("-")),
                "standard input cannot be both the context and the Dockerfile"
            );
            return Self::from_input(store, file);
        }
        if word.contains("://") || word.starts_with("git@") {
            let refusal =
                Refusal::new(format!("`{word}` is not a folder: contexts from the network are not supported"));
            bail!(refusal.help("get it first, and name the folder"));
        }
        let path = fs::canonicalize(word).with_context(|| format!("the context `{word}`"))?;
        let given = match file {
            Some(file) if file == Path::new("-") => {
                Some(("-".to_owned(), read_text(stdin().lock(), "the Dockerfile")?))
            }
            Some(file) => Some((shown(file), text_of(file)?)),
            None => None,
        };
        Self::of_folder(path, file, given, None)
    }

    fn of_folder(
        path: PathBuf,
        file: Option<&Path>,
        given: Option<(String, String)>,
        scratch: Option<Scratch>,
    ) -> Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder =
            open(&path, flags, Mode::empty()).with_context(|| format!("open the context `{}`", path.display()))?;
        let mut context = Self { path, folder, ignore: Ignore::default(), given, _scratch: scratch };
        context.ignore = context.read_ignore(file)?;
        Ok(context)
    }

    fn from_input(store: &Store, file: Option<&Path>) -> Result<Self> {
        let mut input = BufReader::with_capacity(1 << 16, stdin().lock());
        let scratch = store.scratch().context("a place for the context")?;
        let path = scratch.folder("context")?;
        if !looks_like_an_archive(&mut input)? {
            let text = read_text(input, "the Dockerfile")?;
            return Self::of_folder(path, None, Some(("-".to_owned(), text)), Some(scratch));
        }
        let into = open(&path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        store.unpack_tar(input, "the context", into).context("unpack the context")?;
        let given = match file {
            Some(file) => Some((shown(file), text_of(&path.join(file))?)),
            None => None,
        };
        Self::of_folder(path, file, given, Some(scratch))
    }

    /// The folder, open.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// `<dockerfile>.dockerignore`, or `.dockerignore`.
    fn read_ignore(&self, file: Option<&Path>) -> Result<Ignore> {
        let own = file.map(|file| PathBuf::from(format!("{}.dockerignore", file.display())));
        let own = own.unwrap_or_else(|| self.path.join("Dockerfile.dockerignore"));
        for path in [own, self.path.join(".dockerignore")] {
            match fs::symlink_metadata(&path) {
                Ok(data) if data.is_file() => {
                    let ignore = Ignore::parse(&text_of(&path)?);
                    return ignore.map_err(|why| Refusal::new(format!("`{}`: {why}", path.display())).into());
                }
                _ => {}
            }
        }
        Ok(Ignore::default())
    }

    /// Reads the Dockerfile.
    pub(super) fn dockerfile(&self, file: Option<&Path>, progress: &Progress) -> Result<Dockerfile> {
        let name = file.map_or_else(|| "Dockerfile".to_owned(), shown);
        let vertex = progress.begin(&format!("[internal] load build definition from {name}"));
        let (name, text) = match &self.given {
            Some(given) => given.clone(),
            None => {
                let path = self.path.join("Dockerfile");
                let lower = self.path.join("dockerfile");
                let path = if !path.exists() && lower.exists() { lower } else { path };
                (name, text_of(&path)?)
            }
        };
        vertex.note(&format!("transferring dockerfile: {}B done", text.len()));
        vertex.done();
        Ok(Dockerfile::parse(&name, &text)?)
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn text_of(path: &Path) -> Result<String> {
    let doing = || format!("read `{}`", path.display());
    // A fifo would wait for ever.
    let data = fs::metadata(path).with_context(doing)?;
    anyhow::ensure!(data.is_file(), "`{}` is not a file", path.display());
    read_text(fs::File::open(path).with_context(doing)?, &format!("`{}`", path.display()))
}

fn read_text(reader: impl Read, what: &str) -> Result<String> {
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| format!("read {what}"))?;
    anyhow::ensure!(bytes.len() as u64 <= LARGEST, "{what} is larger than 16 MiB");
    String::from_utf8(bytes).with_context(|| format!("{what} is not text in UTF-8"))
}

/// A tar, plain or compressed, rather than a Dockerfile.
fn looks_like_an_archive(input: &mut impl BufRead) -> Result<bool> {
    let first = input.fill_buf().context("read standard input")?;
    // gzip, zstd, xz, bzip2.
    let signs: [&[u8]; 4] = [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], &[0xfd, b'7', b'z', b'X', b'Z', 0], b"BZh"];
    Ok(signs.iter().any(|sign| first.starts_with(sign)) || first.get(257..262) == Some(b"ustar"))
}
