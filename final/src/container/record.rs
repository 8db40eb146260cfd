//! What stays of a container: its record, `container.json`.

use super::file::{Sync, replace, write_new};
use super::state::{Live, PAUSE, STATE, State};
use super::{Turn, none};
use crate::dirs::Dirs;
use crate::network::Networking;
use crate::reclaim::gone;
use crate::upkeep::Upkeep;
use crate::volumes::MountPoint;
use anyhow::{Context, Result};
use jiff::Timestamp;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;

const RECORD: &str = "container.json";

/// What stays of a container as long as it exists: `ROOT/containers/<id>/container.json`. Of a container that is removed when it
/// ends (`--rm`) nothing has to outlive the machine, and it is part of `RUN/containers/<id>/state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, without docker's leading slash.
    pub name: String,
    /// The image as it was asked for.
    pub image: String,
    /// The image's id (`sha256:…`).
    pub image_id: String,
    /// The layers below what it writes, the lowest first.
    pub layers: Vec<PathBuf>,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is removed when it ends (`--rm`).
    pub auto_remove: bool,
    /// Whether PID 1 is an init of ours (`--init`).
    pub init: bool,
    /// Whether standard input is passed on (`-i`).
    pub interactive: bool,
    /// What its network was asked to be.
    #[serde(default)]
    pub networking: Networking,
    /// What the image and the arguments come to.
    pub spec: Spec,
    /// The words about privileges that the specification does not show any more.
    #[serde(default)]
    pub security: Option<AskedPrivileges>,
    /// The signal that asks its program to end, by name or number; the image may name one.
    pub stop_signal: Option<String>,
    /// When its program last began; `None` for one that never did.
    pub started: Option<Timestamp>,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
    /// What is done for it while it lives.
    #[serde(default)]
    pub upkeep: Upkeep,
    /// What was asked for, where the specification only has what came of it.
    #[serde(default)]
    pub asked: Asked,
    /// Its volumes, and what of the host is bound into it.
    #[serde(default)]
    pub mounts: Vec<MountPoint>,
}

/// What was asked for with a container, for `ps`, `inspect` and `commit`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Asked {
    /// The image's labels and its own.
    pub labels: BTreeMap<String, String>,
    /// The entrypoint of the image or of `--entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// The image's command or the given one.
    pub cmd: Option<Vec<String>>,
    /// The user in the words of the image or of `-u`.
    pub user: String,
    /// The destinations of the volumes that the image or `-v` asks for.
    pub volumes: Vec<String>,
    /// The containers whose volumes it shares.
    pub volumes_from: Vec<String>,
}

/// What was asked for about privileges, in docker's words, for `inspect`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AskedPrivileges {
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--privileged`.
    pub privileged: bool,
    /// `--security-opt`.
    pub options: Vec<String>,
    /// `--group-add`.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// How a container ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exit {
    /// The program's exit code, or 128 and the signal's number; 255 when nobody saw the end.
    pub code: u8,
    /// When its program began.
    pub started: Option<Timestamp>,
    /// When it ended, or was found dead.
    pub finished: Timestamp,
    /// Whether the kernel ended one of its processes for want of memory.
    #[serde(default)]
    pub oom_killed: bool,
}

impl Record {
    /// What the record calls its program, with its arguments.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        self.spec.process().as_ref().and_then(|process| process.args().clone()).unwrap_or_default()
    }

    /// Whether its program has a terminal.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.spec.process().as_ref().and_then(oci_spec::runtime::Process::terminal).unwrap_or(false)
    }

    /// The record without what only a start needs: the specification is most of it.
    #[must_use]
    pub(crate) fn for_events(&self) -> Self {
        let mut spec = Spec::default();
        spec.set_annotations(self.spec.annotations().clone());
        spec.set_process(None).set_mounts(None).set_linux(None);
        Self { spec, layers: Vec::new(), ..self.clone() }
    }

    /// Reads the record of `id`; `None` when there is none or it is half-written.
    #[must_use]
    pub fn read(dirs: &Dirs, id: &str) -> Option<Self> {
        match fs::read(dirs.container(id).join(RECORD)) {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(_) => Live::<Self>::read(dirs, id)?.record,
        }
    }

    /// The same for a command that names the container as `reference`.
    ///
    /// # Errors
    /// [`Refusal`](crate::report::Refusal) when there is none: it may have been removed since its id was found.
    pub(crate) fn find(dirs: &Dirs, id: &str, reference: &str) -> Result<Self> {
        Self::read(dirs, id).ok_or_else(|| none(reference))
    }

    /// Writes it before its program can run: from then on it is a container, whatever happens to its supervisor. One that is
    /// thrown away anyway (`--rm`) needs no such promise.
    ///
    /// # Errors
    /// As [`Record::write`].
    pub fn write_starting(&self, dirs: &Dirs) -> Result<()> {
        if self.auto_remove { Ok(()) } else { self.write_as(dirs, Sync::Later) }
    }

    /// Takes it from the disk before a container that is removed when it ends runs: it is part of the state then.
    ///
    /// # Errors
    /// unlink(2).
    pub(crate) fn leave_disk(&self, dirs: &Dirs) -> Result<()> {
        if !self.auto_remove {
            return Ok(());
        }
        let path = dirs.container(&self.id).join(RECORD);
        fs::remove_file(&path).or_else(gone).with_context(|| format!("remove `{}`", path.display()))
    }

    /// Writes down that it runs. What is to stay is synced to the disk now, while the program is on its way; of `--rm` the
    /// record and the state are one file.
    ///
    /// # Errors
    /// open(2), write(2), fdatasync(2).
    pub fn write_started(&self, dirs: &Dirs, state: &State) -> Result<()> {
        if !self.auto_remove {
            let path = dirs.container(&self.id).join(RECORD);
            File::open(&path)?.sync_data().with_context(|| format!("sync `{}`", path.display()))?;
        }
        let live = Live { state: state.clone(), record: self.auto_remove.then_some(self) };
        let _of_the_last_start =
            if self.upkeep.restarts > 0 { fs::remove_file(dirs.live(&self.id).join(PAUSE)) } else { Ok(()) };
        write_new(&dirs.live(&self.id).join(STATE), &live, Sync::Later)
    }

    /// Writes it for good, in the place of an earlier one.
    ///
    /// # Errors
    /// write(2), rename(2).
    pub fn write(&self, dirs: &Dirs) -> Result<()> {
        self.write_as(dirs, Sync::Now)
    }

    fn write_as(&self, dirs: &Dirs, sync: Sync) -> Result<()> {
        let path = dirs.container(&self.id).join(RECORD);
        if path.exists() { replace(&path, self, sync) } else { write_new(&path, self, sync) }
    }

    /// The same for a command that names the container as `reference`.
    ///
    /// # Errors
    /// [`Refusal`](crate::report::Refusal) when it has been removed meanwhile; and as [`Record::write`].
    pub(crate) fn rewrite(&self, dirs: &Dirs, reference: &str) -> Result<()> {
        let path = dirs.container(&self.id).join(RECORD);
        if self.auto_remove && !path.exists() {
            return match State::read(dirs, &self.id) {
                Some(state) => self.write_in_place(dirs, state),
                None => Err(none(reference)),
            };
        }
        let written = replace(&path, self, Sync::Now);
        written.map_err(|error| match error.downcast_ref::<io::Error>() {
            Some(cause) if cause.kind() == ErrorKind::NotFound => none(reference),
            _ => error,
        })
    }

    /// Leaves the end of a container that is removed now to those who wait for it ([`LastWord`](super::LastWord)): into the
    /// same file, not into a new one in its place.
    ///
    /// # Errors
    /// write(2).
    pub fn write_last_word(&self, dirs: &Dirs) -> Result<()> {
        // What is on the disk may have got another name, and other limits, since this supervisor wrote it.
        match Live::<Self>::read(dirs, &self.id) {
            Some(Live { state, record: Some(on_disk) }) => {
                Self { exit: self.exit.clone(), ..on_disk }.write_in_place(dirs, state)
            }
            _ => Ok(()),
        }
    }

    fn write_in_place(&self, dirs: &Dirs, state: State) -> Result<()> {
        let path = dirs.live(&self.id).join(STATE);
        let content = serde_json::to_vec(&Live { state, record: Some(self) })?;
        fs::write(&path, content).with_context(|| format!("write `{}`", path.display()))
    }

    /// Writes down how it ended.
    ///
    /// # Errors
    /// As [`Record::write`].
    pub fn write_ended(&self, dirs: &Dirs) -> Result<()> {
        let _turn = Turn::take(dirs, &self.id, &self.name);
        // What is on the disk may have got another name, and other limits, since this supervisor read it.
        let on_disk = Self::read(dirs, &self.id).unwrap_or_else(|| self.clone());
        let mut upkeep = self.upkeep.clone();
        upkeep.restart = on_disk.upkeep.restart;
        let ended = Self { started: self.started, exit: self.exit.clone(), upkeep, ..on_disk };
        ended.write(dirs).with_context(|| format!("cannot write down how container `{}` ended", self.name))
    }
}

impl Exit {
    /// How long the program ran.
    #[must_use]
    pub fn ran(&self) -> Option<std::time::Duration> {
        self.finished.duration_since(self.started?).try_into().ok()
    }
}
