//! Where everything is: what stays (`ROOT`) and what dies with the machine (`RUN`).

use anyhow::{Context, Result};
use nix::unistd::Uid;
use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The two directories of an engine.
///
/// ```text
/// ROOT  /var/lib/tara, rootless $XDG_DATA_HOME/tara
///   images/  layers/  tmp/       step 7's store
///   containers/<id>/             container.json, diff/ (what was written), work/ (overlayfs's own)
///   names/<name>                 a link to the id
///   volumes/<name>/              volume.json, _data/ (what is in it), users/<id> of the containers that mount it
/// RUN   /run/tara, rootless $XDG_RUNTIME_DIR/tara
///   containers/<id>/             state.json, with the record of a `--rm`; the directory itself is locked (flock) as long
///                                as its supervisor lives
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// What stays.
    pub root: PathBuf,
    /// What dies with the machine.
    pub run: PathBuf,
}

impl Dirs {
    /// The directories that were asked for, or those of real root or of the user `uid`.
    ///
    /// # Errors
    /// When a relative directory cannot be made absolute, or an ordinary user has no home.
    pub fn choose(root: Option<&Path>, run: Option<&Path>, uid: Uid) -> Result<Self> {
        let root = match root {
            Some(root) => std::path::absolute(root)?,
            None => default_root(uid)?,
        };
        let run = match run {
            Some(run) => std::path::absolute(run)?,
            None => default_run(uid)?,
        };
        Ok(Self { root, run })
    }

    /// What stays of the container `id`.
    #[must_use]
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// What lives of the container `id`.
    #[must_use]
    pub fn live(&self, id: &str) -> PathBuf {
        self.lives().join(id)
    }

    /// The log of the container `id`, named as docker's.
    #[must_use]
    pub fn log(&self, id: &str) -> PathBuf {
        self.container(id).join(format!("{id}-json.log"))
    }

    /// The folder of the volumes.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The folder of all containers.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// The folder of all that live.
    #[must_use]
    pub fn lives(&self) -> PathBuf {
        self.run.join("containers")
    }

    /// The folder of the names.
    #[must_use]
    pub fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// Makes the folders; they are the engine's alone: a program inside a container may have any user's number.
    ///
    /// # Errors
    /// mkdir(2).
    pub fn make(&self) -> Result<()> {
        for folder in [self.containers(), self.names(), self.lives()] {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o711).create(&folder);
            made.with_context(|| format!("cannot make the state directory `{}`", folder.display()))?;
        }
        Ok(())
    }
}

fn default_root(uid: Uid) -> Result<PathBuf> {
    if uid.is_root() {
        return Ok("/var/lib/tara".into());
    }
    if let Some(data) = absolute_variable("XDG_DATA_HOME") {
        return Ok(data.join("tara"));
    }
    let home = absolute_variable("HOME").context("there is no HOME; choose a state directory with `--root DIR`")?;
    Ok(home.join(".local/share/tara"))
}

fn default_run(uid: Uid) -> Result<PathBuf> {
    if uid.is_root() {
        return Ok("/run/tara".into());
    }
    if let Some(runtime) = absolute_variable("XDG_RUNTIME_DIR") {
        return Ok(runtime.join("tara"));
    }
    let session = PathBuf::from(format!("/run/user/{uid}"));
    if fs::metadata(&session).is_ok_and(|meta| meta.uid() == uid.as_raw()) {
        return Ok(session.join("tara"));
    }
    own_folder_in_tmp(uid)
}

/// Without a session there is only /tmp, where anybody could have made the folder before us.
fn own_folder_in_tmp(uid: Uid) -> Result<PathBuf> {
    let folder = PathBuf::from(format!("/tmp/tara-run-{uid}"));
    let _there_already = DirBuilder::new().mode(0o700).create(&folder);
    let meta = fs::symlink_metadata(&folder).with_context(|| format!("look at `{}`", folder.display()))?;
    let ours = meta.is_dir() && meta.uid() == uid.as_raw() && meta.mode() & 0o022 == 0;
    anyhow::ensure!(ours, "`{}` is somebody else's; choose another with `--run-root DIR`", folder.display());
    Ok(folder)
}

fn absolute_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}
