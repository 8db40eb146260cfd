//! A container on the disk: its record, what lives of it, its lock and its name.

use crate::dirs::Dirs;
use crate::monitor::health::Health;
use crate::names;
use crate::network::Networking;
use crate::report::Refusal;
use crate::upkeep::Upkeep;
use crate::volumes::MountPoint;
use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

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

/// What lives of a running container: `RUN/containers/<id>/state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The first process, as the host numbers it.
    pub host_pid: i32,
    /// Its start time in clock ticks since boot: a pid alone may be somebody else's by now.
    pub start_time: u64,
    /// When its program began.
    pub started: Timestamp,
    /// Whether all its processes are stopped (`pause`).
    #[serde(skip)]
    pub paused: bool,
}

/// What a container is doing, by what the lock and the files say.
#[derive(Debug, Clone)]
pub enum Status {
    /// It is made, and its program has never run.
    Created,
    /// Its supervisor lives; its program does not run yet.
    Starting,
    /// Its supervisor lives, and so does the program.
    Running(State),
    /// It has ended, and its monitor is about to start it again.
    Restarting(Exit),
    /// It has ended.
    Exited(Exit),
    /// Its supervisor is dead and has not said how the program ended.
    Abandoned(Option<State>),
}

/// A container that is there.
#[derive(Debug, Clone)]
pub struct Container {
    /// What stays.
    pub record: Record,
    /// What it is doing.
    pub status: Status,
    /// What its health checks have found, while it runs and has some.
    pub health: Option<Health>,
}

impl Status {
    /// docker's word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created | Self::Starting => "created",
            Self::Running(state) if state.paused => "paused",
            Self::Running(_) => "running",
            Self::Restarting(_) => "restarting",
            Self::Exited(_) => "exited",
            Self::Abandoned(_) => "dead",
        }
    }
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
    /// [`Refusal`] when there is none: it may have been removed since its id was found.
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
    /// [`Refusal`] when it has been removed meanwhile; and as [`Record::write`].
    pub(crate) fn rewrite(&self, dirs: &Dirs, reference: &str) -> Result<()> {
        let written = replace(&dirs.container(&self.id).join(RECORD), self, Sync::Now);
        written.map_err(|error| match error.downcast_ref::<io::Error>() {
            Some(cause) if cause.kind() == ErrorKind::NotFound => none(reference),
            _ => error,
        })
    }

    /// Leaves the end of a container that is removed now to those who wait for it ([`LastWord`]): into the same file, not
    /// into a new one in its place.
    ///
    /// # Errors
    /// write(2).
    pub fn write_last_word(&self, dirs: &Dirs) -> Result<()> {
        let path = dirs.live(&self.id).join(STATE);
        let Some(state) = State::read(dirs, &self.id) else { return Ok(()) };
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

impl State {
    /// Forgets what a supervisor that was killed wrote down of the last run. Under the container's lock.
    pub(crate) fn forget(dirs: &Dirs, id: &str) {
        let _none_is_as_good = fs::remove_file(dirs.live(id).join(STATE));
    }

    /// Reads what lives of `id`; `None` when its program has not begun, or nothing of it lives.
    #[must_use]
    pub fn read(dirs: &Dirs, id: &str) -> Option<Self> {
        let state = Live::<Record>::read(dirs, id)?.state;
        Some(Self { paused: dirs.live(id).join(PAUSED).exists(), ..state })
    }

    /// Sends a signal to the first process of the container. SIGKILL ends all the others with it: the kernel ends a PID
    /// namespace with its PID 1.
    ///
    /// # Errors
    /// pidfd_send_signal(2). A process that is gone, or a pid that is another process by now, is no error.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let Some(process) = self.open() else { return Ok(()) };
        match sys::process::pidfd_send(&process, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).with_context(|| format!("send signal {signal} to process {}", self.host_pid)),
        }
    }

    /// The first process of the container; `None` when it is gone, or its pid is another process by now.
    #[must_use]
    pub fn open(&self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(self.host_pid);
        let process = sys::process::pidfd_open(pid).ok()?;
        // Asked after the descriptor is open: from then on the number cannot become somebody else's.
        (sys::process::start_time(pid).ok() == Some(self.start_time)).then_some(process)
    }
}

/// The open `state.json` of a container: what its monitor says last is read here even when the file has lost its name.
#[derive(Debug)]
pub struct LastWord(File);

impl LastWord {
    /// Opens it, and says that somebody wants to know; `None` when nothing of the container lives.
    #[must_use]
    pub fn ask_for(dirs: &Dirs, id: &str) -> Option<Self> {
        let folder = dirs.live(id);
        let _ends_at_this_moment = File::create(folder.join(ASKED_FOR));
        File::open(folder.join(STATE)).ok().map(Self)
    }

    /// Whether somebody wants to know: a `tara run --rm` writes nothing else when it ends.
    #[must_use]
    pub(crate) fn is_asked_for(dirs: &Dirs, id: &str) -> bool {
        dirs.live(id).join(ASKED_FOR).exists()
    }

    /// How the container ended, if its monitor has said so.
    #[must_use]
    pub fn exit(mut self) -> Option<Exit> {
        let mut text = String::new();
        self.0.read_to_string(&mut text).ok()?;
        serde_json::from_str::<Live<Record>>(&text).ok()?.record?.exit
    }
}

/// `RUN/containers/<id>/state.json`: the state, and the record where it is nowhere else.
#[derive(Debug, Serialize, Deserialize)]
struct Live<R> {
    #[serde(flatten)]
    state: State,
    record: Option<R>,
}

impl Live<Record> {
    fn read(dirs: &Dirs, id: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(dirs.live(id).join(STATE)).ok()?).ok()
    }
}

/// When a file has to be on the disk itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    Now,
    Later,
}

impl Exit {
    /// How long the program ran.
    #[must_use]
    pub fn ran(&self) -> Option<std::time::Duration> {
        self.finished.duration_since(self.started?).try_into().ok()
    }

    /// Says that the monitor is about to start the program again: `RUN/containers/<id>/restarting.json` in the place of the
    /// state.
    ///
    /// # Errors
    /// write(2).
    pub(crate) fn write_pause(&self, dirs: &Dirs, id: &str) -> Result<()> {
        let folder = dirs.live(id);
        write_new(&folder.join(PAUSE), self, Sync::Later)?;
        fs::remove_file(folder.join(STATE)).context("end the container's state")
    }

    fn read_pause(dirs: &Dirs, id: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(dirs.live(id).join(PAUSE)).ok()?).ok()
    }
}

const PAUSE: &str = "restarting.json";
const RECORD: &str = "container.json";
const STATE: &str = "state.json";
/// There when somebody waits for the end (`wait`).
const ASKED_FOR: &str = "asked-for";
/// There as long as the container is paused. The kernel knows it too, but to ask it takes as long as all the rest of `ps`.
pub(crate) const PAUSED: &str = "paused";

/// Notes that the container is paused, or no longer.
pub(crate) fn set_paused(dirs: &Dirs, id: &str, paused: bool) -> Result<()> {
    let path = dirs.live(id).join(PAUSED);
    let done = if paused { fs::write(&path, "") } else { fs::remove_file(&path).or_else(crate::reclaim::gone) };
    done.with_context(|| format!("note in `{}` whether it is paused", path.display()))
}

/// Writes a file that was not there, by one write(2): whoever reads it before that reads nothing, which is no JSON.
fn write_new(path: &Path, content: &impl Serialize, sync: Sync) -> Result<()> {
    let context = || format!("write `{}`", path.display());
    let mut file = File::create_new(path).with_context(context)?;
    file.write_all(&serde_json::to_vec(content)?).with_context(context)?;
    if sync == Sync::Now { file.sync_data().with_context(context) } else { Ok(()) }
}

/// Replaces a file as a whole, also across a power cut: whoever reads sees the old one or the new one.
fn replace(path: &Path, content: &impl Serialize, sync: Sync) -> Result<()> {
    let temporary = path.with_extension("new");
    let _of_an_earlier_crash = fs::remove_file(&temporary);
    write_new(&temporary, content, sync).inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    fs::rename(&temporary, path).with_context(|| format!("write `{}`", path.display()))
}

/// The lock of a container, held as long as its supervisor lives: the kernel lets go of it with the process.
#[derive(Debug)]
pub struct Lock {
    folder: Flock<File>,
}

impl Lock {
    /// Makes `RUN/containers/<id>` and locks it. Before anything else of the container: what is there and not locked is dead.
    ///
    /// # Errors
    /// mkdir(2), flock(2).
    pub fn create(dirs: &Dirs, id: &str) -> Result<Self> {
        let path = dirs.live(id);
        let context = || format!("cannot make `{}`", path.display());
        loop {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => dirs.make()?,
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).with_context(context),
                _ => {
                    let folder = Flock::lock(File::open(&path)?, FlockArg::LockExclusive);
                    let folder = folder.map_err(|(_, errno)| io::Error::from(errno)).with_context(context)?;
                    // A `system reclaim` at this very moment may have taken the folder for a dead one.
                    if folder.metadata()?.nlink() > 0 {
                        return Ok(Self { folder });
                    }
                }
            }
        }
    }

    /// Locks `id` for its removal, if nobody else has it: also where nothing of it lives, so that it cannot be started or
    /// removed by somebody else meanwhile.
    ///
    /// # Errors
    /// mkdir(2), flock(2); [`Alive`] in the inner result.
    pub(crate) fn to_remove(dirs: &Dirs, id: &str) -> Result<Result<Self, Alive>> {
        let path = dirs.live(id);
        let context = || format!("lock `{}`", path.display());
        loop {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => dirs.make()?,
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).with_context(context),
                _ => {}
            }
            let folder = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                folder => folder.with_context(context)?,
            };
            match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
                Ok(folder) if folder.metadata()?.nlink() > 0 => return Ok(Ok(Self { folder })),
                // Somebody has removed it between our two steps.
                Ok(_) => {}
                Err((_, Errno::EWOULDBLOCK)) => return Ok(Err(Alive)),
                Err((_, errno)) => return Err(errno).with_context(context),
            }
        }
    }

    /// Locks what lives of `id` if nobody does; `None` when nothing of it lives.
    ///
    /// # Errors
    /// `EWOULDBLOCK` as [`Alive`] when its supervisor lives.
    pub fn of_the_dead(dirs: &Dirs, id: &str) -> Result<Option<Self>, Alive> {
        let Ok(folder) = File::open(dirs.live(id)) else { return Ok(None) };
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(folder) => Ok(Some(Self { folder })),
            Err((_, Errno::EWOULDBLOCK)) => Err(Alive),
            Err(_) => Ok(None),
        }
    }

    /// Waits until nobody holds the lock of `id`: until its supervisor is dead.
    ///
    /// # Errors
    /// flock(2).
    pub fn wait(dirs: &Dirs, id: &str) -> Result<()> {
        let Ok(folder) = File::open(dirs.live(id)) else { return Ok(()) };
        match Flock::lock(folder, FlockArg::LockShared) {
            Ok(_unlocked_at_once) => Ok(()),
            Err((_, errno)) => Err(errno).context("wait for the container's lock"),
        }
    }

    /// The locked folder.
    #[must_use]
    pub fn folder(&self) -> &File {
        &self.folder
    }
}

/// Whose turn it is to read, change and write a container's record: held for as long as that takes.
#[derive(Debug)]
pub(crate) struct Turn {
    _folder: Flock<File>,
}

impl Turn {
    /// Waits for it.
    ///
    /// # Errors
    /// [`Refusal`] when the container is gone; flock(2).
    pub(crate) fn take(dirs: &Dirs, id: &str, reference: &str) -> Result<Self> {
        let folder = File::open(dirs.container(id)).map_err(|_| none(reference))?;
        let locked = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        Ok(Self { _folder: locked.context("lock the container's record")? })
    }
}

/// The supervisor of a container lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alive;

/// Whether somebody holds the lock of `id`; `None` when nothing of it lives.
fn is_alive(dirs: &Dirs, id: &str) -> Option<bool> {
    is_locked(&dirs.live(id))
}

/// Whether somebody holds the lock of a folder; `None` when it is not there.
pub(crate) fn is_locked(folder: &Path) -> Option<bool> {
    let folder = File::open(folder).ok()?;
    Some(matches!(Flock::lock(folder, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK))))
}

/// 64 random hexadecimal digits.
///
/// # Errors
/// getrandom(2).
pub fn new_id() -> Result<String> {
    let mut bytes = [0; 32];
    sys::process::random(&mut bytes).context("random bytes for an id")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Gives the container `id` the name it was asked for, or one that is free. A name is a link that is made only if it is
/// not there: that is the lock.
///
/// # Errors
/// [`Refusal`] for a name that another container has.
pub fn claim_name(dirs: &Dirs, id: &str, wanted: Option<&str>) -> Result<String> {
    if let Some(name) = wanted {
        names::check(name)?;
        return if try_name(dirs, id, name)? { Ok(name.to_owned()) } else { Err(conflict(dirs, name)) };
    }
    for attempt in 0..1000 {
        let mut random = [0; 8];
        sys::process::random(&mut random).context("random bytes for a name")?;
        let name = names::random_name(random, attempt);
        if try_name(dirs, id, &name)? {
            return Ok(name);
        }
    }
    bail!("no free name was found; give one with `--name`")
}

fn try_name(dirs: &Dirs, id: &str, name: &str) -> Result<bool> {
    let link = dirs.names().join(name);
    loop {
        match symlink(id, &link) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => dirs.make()?,
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("make the name `{}`", link.display()));
            }
            Err(_) => return Ok(false),
        }
    }
}

fn conflict(dirs: &Dirs, name: &str) -> anyhow::Error {
    let owner = fs::read_link(dirs.names().join(name)).unwrap_or_default();
    let what = format!("the container name `{name}` is already in use by container `{}`", owner.display());
    Refusal::new(what).help("remove that container (`tara rm`), or choose another name").into()
}

impl Container {
    /// Reads the container with exactly this id; `None` when it is not there or half-made.
    #[must_use]
    pub fn read(dirs: &Dirs, id: &str) -> Option<Self> {
        // The lock is asked before the record: a container that ends in between is seen as ended, not as abandoned.
        let alive = is_alive(dirs, id);
        let state = State::read(dirs, id);
        let record = Record::read(dirs, id)?;
        let status = match (alive, state, record.exit.clone()) {
            (_, _, Some(exit)) => Status::Exited(exit),
            (Some(true), Some(state), None) => Status::Running(state),
            (Some(true), None, None) => match Exit::read_pause(dirs, id) {
                Some(exit) => Status::Restarting(exit),
                None => Status::Starting,
            },
            (None, None, None) if record.started.is_none() => Status::Created,
            (_, state, None) => Status::Abandoned(state),
        };
        let is_checked = record.upkeep.health.is_some() && matches!(status, Status::Running(_));
        let health = is_checked.then(|| Health::read(dirs, id)).flatten();
        Some(Self { record, status, health })
    }

    /// All containers, the newest first.
    ///
    /// # Errors
    /// When the folder of containers cannot be read.
    pub fn all(dirs: &Dirs) -> Result<Vec<Self>> {
        let mut all: Vec<_> = ids(&dirs.containers())?.iter().filter_map(|id| Self::read(dirs, id)).collect();
        all.sort_by_key(|container| std::cmp::Reverse(container.record.created));
        Ok(all)
    }

    /// Finds a container by its id, its name, or the beginning of its id, in this order.
    ///
    /// # Errors
    /// [`Refusal`] when there is none, or several ids begin so.
    pub fn find(dirs: &Dirs, reference: &str) -> Result<Self> {
        let id = find_id(dirs, reference)?;
        Self::read(dirs, &id).ok_or_else(|| none(reference))
    }
}

/// The id that `reference` means, even of a container that is half-made.
///
/// # Errors
/// As [`Container::find`].
pub fn find_id(dirs: &Dirs, reference: &str) -> Result<String> {
    if names::check(reference).is_err() {
        return Err(none(reference));
    }
    let ids = ids(&dirs.containers())?;
    if ids.iter().any(|id| id == reference) {
        return Ok(reference.to_owned());
    }
    if let Ok(id) = fs::read_link(dirs.names().join(reference)) {
        return Ok(id.display().to_string());
    }
    let mut begin_so = ids.into_iter().filter(|id| id.starts_with(reference));
    match (begin_so.next(), begin_so.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => {
            let what = format!("`{reference}` is the beginning of several container ids");
            Err(Refusal::new(what).help("write more digits of the id").code(1).into())
        }
        _ => Err(none(reference)),
    }
}

/// Why nothing can be done with a container that is not there.
pub(crate) fn none(reference: &str) -> anyhow::Error {
    let refusal = Refusal::new(format!("no such container: `{reference}`"));
    refusal.help("`tara ps -a` lists the containers").code(1).into()
}

/// The names in a folder; none when the folder is not there.
///
/// # Errors
/// readdir(3).
pub fn ids(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("read `{}`", folder.display()))?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}
