//! Where everything is: the workshop's own folder, and the student's.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders that a command works in.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The workshop: the reference, the labs' descriptions.
    pub root: PathBuf,
    /// The student's crates, one a lab, and the progress.
    pub mine: PathBuf,
}

impl Workspace {
    /// Looks for the workshop from the working directory upwards, then where this program was built. The student's
    /// folder is `dir`, or `my-labs` in the workshop.
    ///
    /// # Errors
    /// When there is no workshop.
    pub fn find(dir: Option<&Path>) -> Result<Self> {
        let here = std::env::current_dir().context("the working directory")?;
        let built = Path::new(env!("CARGO_MANIFEST_DIR"));
        let is_workshop =
            |folder: &&Path| folder.join("labs/step01.toml").is_file() && folder.join("crates/sys").is_dir();
        let root = here
            .ancestors()
            .chain(built.ancestors())
            .find(is_workshop)
            .context("this is not the workshop: run it below the folder that holds `labs/` and `crates/`")?;
        let mine = match dir {
            Some(dir) => here.join(dir),
            None => here
                .ancestors()
                .find(|folder| folder.join("progress.json").is_file())
                .map_or_else(|| root.join("my-labs"), Path::to_owned),
        };
        Ok(Self { root: root.to_owned(), mine })
    }

    /// A folder below `target` for what is made again at will.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.target().join("labs").join(name)
    }

    /// Cargo's folder.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), |dir| self.root.join(dir))
    }
}

/// The Rust sources of a crate: paths from its folder (`src/root.rs`) with their texts, sorted.
///
/// # Errors
/// For a folder without `src`, or a file that cannot be read.
pub fn sources(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let files = files_below(&folder.join("src"))?;
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
        Ok((path.strip_prefix(folder).context("a path below the crate")?.to_owned(), text))
    };
    files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")).map(read).collect()
}

/// All plain files below a folder, sorted; links are left out.
///
/// # Errors
/// readdir(3).
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
