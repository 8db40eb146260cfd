//! What the commands do. The command line, and later the daemon and the OCI face, call this and hold no logic of their own.

use crate::cgroup;
use crate::container::{Asked, AskedPrivileges, Container, Exit, LastWord, Lock, Record, State, new_id};
use crate::dirs::Dirs;
use crate::events::{Notes, note_other};
use crate::launch::{Launch, Supervision, launch};
use crate::monitor::Monitor;
use crate::names::claim_name;
use crate::network::{self, Begun, Networking, Plan, open_namespace};
use crate::reclaim::{put_to_rest, reclaim, reclaim_with_volumes};
use crate::rootless::Privilege;
use crate::spec::{self, Arguments, Security};
use crate::trash::{Thrown, throw_away};
use crate::upkeep::{HealthCheck, Upkeep};
use crate::users;
use crate::volumes::{self, MountPoint, VolumeRequest, Wanted};
use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use step02_pid_ns::ForwardedSignals;
use step03_mount_overlay::{Layers, Mount, Overlay, Setting, defaults};
use step06_capabilities::User;
use step07_images::{Digest, Error as ImageError, Image, Reference, Removed, Store};
use sys::explain::phase;
use sys::process::exit_code;

/// An engine on its two directories.
#[derive(Debug)]
pub struct Engine {
    dirs: Dirs,
    store: Store,
    privilege: Privilege,
}

/// What `run` is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunRequest {
    /// The image's name or id.
    pub image: String,
    /// The container's name, if one was chosen.
    pub name: Option<String>,
    /// The host name inside; the short id when none was chosen.
    pub hostname: Option<String>,
    /// `USER[:GROUP]` in place of the image's.
    pub user: Option<String>,
    /// Volumes and the like, on top of what every container has.
    pub mounts: Vec<Mount>,
    /// Whether the container is removed when it ends.
    pub auto_remove: bool,
    /// Whether PID 1 is an init of ours.
    pub init: bool,
    /// Whether standard input is passed on.
    pub interactive: bool,
    /// What is done for it while it lives.
    pub upkeep: Upkeep,
    /// `--label`, on top of the image's.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `-v` and `--mount`, as far as they ask for volumes.
    #[serde(default)]
    pub volumes: Vec<VolumeRequest>,
    /// The containers whose volumes are mounted as well.
    #[serde(default)]
    pub volumes_from: Vec<String>,
    /// What the specification is built from; mounts and the host name are filled in by the engine.
    pub arguments: Arguments,
    /// What its network is to be.
    #[serde(default)]
    pub networking: Networking,
}

/// How a container came to its end.
#[derive(Debug)]
pub struct Finished {
    /// Its program's exit code.
    pub code: u8,
    /// With `--rm`: what is still to be removed.
    pub thrown: Option<Thrown>,
}

/// A container whose program has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) record: Record,
    /// Its mount namespace. While we have it, the kernel does not unmount: with the last process it would do that first, and tell
    /// of the end afterwards.
    pub(crate) mounts: Option<OwnedFd>,
}

impl From<u8> for Finished {
    fn from(code: u8) -> Self {
        Self { code, thrown: None }
    }
}

impl Engine {
    /// Opens the engine; as an ordinary user this process becomes root of a user namespace.
    ///
    /// # Errors
    /// Where user namespaces are forbidden; when the state directories cannot be made.
    pub fn open(root: Option<&Path>, run: Option<&Path>) -> Result<Self> {
        let dirs = Dirs::choose(root, run, nix::unistd::geteuid())?;
        let privilege = Privilege::acquire()?;
        let store = Store::open(&dirs.root).context("cannot open the store of images")?;
        Ok(Self { dirs, store, privilege })
    }

    /// Opens the engine for what only joins a container: no user namespace is made, the container's is entered later.
    ///
    /// # Errors
    /// When the state directories cannot be made.
    pub fn open_to_join(root: Option<&Path>, run: Option<&Path>) -> Result<Self> {
        let dirs = Dirs::choose(root, run, nix::unistd::geteuid())?;
        let store = Store::open(&dirs.root).context("cannot open the store of images")?;
        Ok(Self { dirs, store, privilege: Privilege::of_joining() })
    }

    /// Where it keeps everything.
    #[must_use]
    pub fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    /// Its images.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What it may do here.
    #[must_use]
    pub fn privilege(&self) -> Privilege {
        self.privilege
    }

    /// Finds an image; `demo` is made when it is not there.
    ///
    /// # Errors
    /// As [`Store::resolve`].
    pub fn image(&self, reference: &str) -> Result<Image> {
        match self.store.resolve(reference) {
            Err(ImageError::NoSuchImage { .. }) if is_demo(reference) => Ok(self.store.ensure_demo()?),
            image => Ok(image?),
        }
    }

    /// Runs a container in the foreground, to its end.
    ///
    /// # Errors
    /// What kept its program from running; nothing of the container is left then.
    pub fn run(&self, request: &RunRequest) -> Result<Finished> {
        self.run_new(request, None)
    }

    /// Makes a container and stays with it until it has ended: in the foreground, or as its monitor.
    pub(crate) fn run_new(&self, request: &RunRequest, mut monitor: Option<&mut Monitor>) -> Result<Finished> {
        phase("take the signals that will be the container's, choose its id, lock its folder");
        // From here on signals are the container's: none may end us between its parts.
        let signals = ForwardedSignals::block()?;
        let id = new_id()?;
        // First of all: what the network takes from here on, a lock says whose it is.
        let lock = Lock::create(&self.dirs, &id)?;
        let own_users = request.arguments.security.own_users;
        // A network of a user namespace is its own: it is made with that, and connected then.
        let begun = if own_users { Ok(None) } else { self.plan(&id, None, &request.networking).begin_early() };
        // A network that was begun is waited for when something fails: see [`Begun`].
        phase("find the image: its configuration and its layers");
        let started = self.image(&request.image).and_then(|image| {
            let started = begun.and_then(|begun| {
                self.make_and_start(request, &image, &id, begun, &lock, &signals, monitor.as_deref_mut())
            });
            let called = request.name.as_deref().or(id.get(..12)).unwrap_or_default();
            started.with_context(|| format!("cannot start container `{called}`"))
        });
        match started {
            Ok(ran) => self.end(ran, lock, &signals, monitor),
            // What failed first is what the user has to know; what stays, `system check` names.
            Err(error) => Err(match reclaim_with_volumes(&self.dirs, &id, Some(lock)) {
                Ok(()) => error,
                Err(leftover) => error.context(format!("{leftover:#}")),
            }),
        }
    }

    /// Runs a step of a build over the layers of `image`. When it has ended well, what it has written is the folder `upper`.
    pub(crate) fn run_step(&self, request: &RunRequest, image: &Image, upper: &Path) -> Result<Finished> {
        let signals = ForwardedSignals::block()?;
        let id = new_id()?;
        let lock = Lock::create(&self.dirs, &id)?;
        let begun = self.plan(&id, None, &request.networking).begin_early();
        let started = begun.and_then(|begun| self.make_and_start(request, image, &id, begun, &lock, &signals, None));
        match started {
            Ok(mut ran) => {
                // The next step will find them below its own overlay.
                drop(ran.mounts.take());
                let from = self.dirs.container(&id).join("diff");
                std::fs::rename(&from, upper).with_context(|| format!("take `{}`", from.display()))?;
                self.end(ran, lock, &signals, None)
            }
            Err(error) => Err(match reclaim(&self.dirs, &id, Some(lock)) {
                Ok(()) => error.context("cannot run the step"),
                Err(leftover) => error.context(format!("{leftover:#}")),
            }),
        }
    }

    /// Everything that is mounted in a container of `request`, as far as it does not depend on its id.
    pub(crate) fn mounts_of(&self, request: &RunRequest) -> Vec<Mount> {
        self.mounts(request, &[], "")
    }

    fn plan<'a>(&'a self, id: &'a str, name: Option<&'a str>, networking: &'a Networking) -> Plan<'a> {
        Plan { dirs: &self.dirs, id, name, networking }
    }

    #[allow(clippy::too_many_arguments, reason = "what a start needs and nobody owns")]
    fn make_and_start(
        &self,
        request: &RunRequest,
        image: &Image,
        id: &str,
        begun: Option<Begun>,
        lock: &Lock,
        signals: &ForwardedSignals,
        mut monitor: Option<&mut Monitor>,
    ) -> Result<Ran> {
        let (record, overlay) = match &mut monitor {
            Some(monitor) => {
                let made = self.make(&self.with_health_of(request, image), image, id)?;
                monitor.prepare(&made.0, lock)?;
                made
            }
            // Nobody is there to look after its health.
            None => self.make(request, image, id)?,
        };
        let notes = Notes::default().and(&record, "create", &[]);
        self.start_made(record, &overlay, begun, signals, monitor, notes)
    }

    /// Makes a container whose program does not run yet.
    ///
    /// # Errors
    /// What cannot be had; nothing of the container is left then.
    pub fn create(&self, request: &RunRequest) -> Result<String> {
        let image = self.image(&request.image)?;
        let id = new_id()?;
        let lock = Lock::create(&self.dirs, &id)?;
        let request = &self.with_health_of(request, &image);
        let written = self.make(request, &image, &id).and_then(|(record, _)| record.write(&self.dirs).map(|()| record));
        match written {
            Ok(record) => {
                Notes::default().and(&record, "create", &[]).write(&self.dirs);
                put_to_rest(&self.dirs, &id, lock)?;
                Ok(id)
            }
            Err(error) => {
                reclaim_with_volumes(&self.dirs, &id, Some(lock))?;
                Err(error.context("cannot create the container"))
            }
        }
    }

    /// The image's health check where none was given.
    fn with_health_of(&self, request: &RunRequest, image: &Image) -> RunRequest {
        let mut request = request.clone();
        // docker's field, which the OCI's types do not have.
        let blob = self.dirs.root.join("images/blobs").join(image.id.to_string().replace(':', "/"));
        let check = HealthCheck::of_image(&std::fs::read(blob).unwrap_or_default());
        request.upkeep = request.upkeep.with_image(check);
        request
    }

    /// Name, folders, overlay and record of a new container.
    fn make(&self, request: &RunRequest, image: &Image, id: &str) -> Result<(Record, Overlay)> {
        phase("claim the name, make the container's own folders");
        let name = claim_name(&self.dirs, id, request.name.as_deref())?;
        let folder = self.dirs.container(id);
        for (path, mode) in [(folder.clone(), 0o700), (folder.join("diff"), 0o755), (folder.join("work"), 0o700)] {
            let made = DirBuilder::new().mode(mode).create(&path);
            made.with_context(|| format!("make `{}`", path.display()))?;
        }
        phase("mount the overlay over the image's layers, attached nowhere yet");
        let own_users = request.arguments.security.own_users;
        // A volatile overlay cannot be mounted a second time.
        let mut overlay = self.overlay(id, &image.layers, request.auto_remove && !own_users)?;
        // What is copied into volumes has the image's owners: those of the disk.
        let mounts = self.attach_volumes(request, image, id, &overlay)?;
        if own_users {
            users::take(&self.dirs, id)?;
            drop(overlay);
            overlay = self.overlay(id, &image.layers, request.auto_remove)?;
        }
        phase("write the specification; the user is looked up in the container's own files");
        let record = self.record(request, image, id, name, mounts, &overlay)?;
        Ok((record, overlay))
    }

    /// Everything that is mounted besides what every container has; the image's volumes among it.
    fn attach_volumes(
        &self,
        request: &RunRequest,
        image: &Image,
        id: &str,
        overlay: &Overlay,
    ) -> Result<Vec<MountPoint>> {
        let of_image = image.config.config().as_ref().and_then(|config| config.volumes().clone()).unwrap_or_default();
        let wanted = Wanted {
            volumes: &request.volumes,
            volumes_from: &request.volumes_from,
            of_image: &of_image,
            mounts: &request.mounts,
        };
        volumes::attach(&self.dirs, id, wanted, overlay.as_fd())
    }

    /// Starts the program of a container that is made and locked, and stays with it until its end, which is in the record
    /// then.
    pub(crate) fn start_made(
        &self,
        mut record: Record,
        overlay: &Overlay,
        network: Option<Begun>,
        signals: &ForwardedSignals,
        monitor: Option<&mut Monitor>,
        notes: Notes,
    ) -> Result<Ran> {
        phase("share the network and write down that it is starting");
        record.exit = None;
        record.started = Some(Timestamp::now());
        network::share(&self.dirs, &mut record)?;
        users::write(&self.dirs, &mut record)?;
        let network = self.network_of(&record, network)?;
        record.write_starting(&self.dirs)?;
        let spec = record.spec.clone();
        cgroup::remember(&self.dirs.live(&record.id), &spec)?;
        let what = Launch {
            spec: &spec,
            shared_memory: network::shared_memory(&self.dirs, &record)?,
            root: overlay,
            root_path: None,
            network,
            init: record.init,
            interactive: record.interactive,
            privilege: self.privilege,
            gate: None,
            barrier: None,
            listener: None,
            extra_descriptors: 0,
            new_keyring: true,
        };
        let has_monitor = monitor.is_some();
        let supervision = monitor.map_or(Supervision::Foreground, Supervision::Monitor);
        let mut mounts = None;
        let ended = launch(what, signals, supervision, |pid| {
            if !has_monitor {
                mounts = open_namespace(Path::new(&format!("/proc/{pid}/ns/mnt"))).ok();
            }
            let state = state_of(pid)?;
            record.write_started(&self.dirs, &state)?;
            notes.and_start(&record).write(&self.dirs);
            Ok(())
        })?;
        phase("the program has ended: give back what it had on the network");
        network::release(&self.dirs, &record)?;
        record.exit = Some(Exit {
            code: code(ended.status)?,
            started: record.started,
            finished: Timestamp::now(),
            oom_killed: ended.oom_killed,
        });
        if record.auto_remove && (has_monitor || LastWord::is_asked_for(&self.dirs, &record.id)) {
            record.write_last_word(&self.dirs)?;
        }
        Ok(Ran { record, mounts })
    }

    /// The container's network, begun if nobody has yet, with the files that go with it.
    fn network_of(&self, record: &Record, begun: Option<Begun>) -> Result<Option<Begun>> {
        let begun = match begun {
            Some(begun) => Some(begun),
            None if users::are_own(&record.spec) => {
                self.plan(&record.id, Some(&record.name), &record.networking).later()?
            }
            None => self.plan(&record.id, Some(&record.name), &record.networking).begin()?,
        };
        match begun {
            Some(begun) => begun.with_files(&self.dirs, record).map(Some),
            None => network::files::write(&self.dirs, record).map(|_| None),
        }
    }

    /// Mounts the overlay over the container's own layer.
    pub(crate) fn overlay(&self, id: &str, lower: &[std::path::PathBuf], volatile: bool) -> Result<Overlay> {
        let folder = self.dirs.container(id);
        let (upper, work) = (folder.join("diff"), folder.join("work"));
        let userxattr = self.privilege.in_user_namespace;
        let layers = Layers { lower, upper: &upper, work: &work, volatile, userxattr };
        match users::of(&self.dirs, id)? {
            None => Ok(Overlay::prepare(&layers, &folder)?),
            Some(users) => Ok(Overlay::prepare_mapped(&layers, &folder, &users)?),
        }
    }

    fn record(
        &self,
        request: &RunRequest,
        image: &Image,
        id: &str,
        name: String,
        mounts: Vec<MountPoint>,
        overlay: &Overlay,
    ) -> Result<Record> {
        Ok(Record {
            spec: self.spec(request, image, id, &mounts, overlay)?,
            id: id.to_owned(),
            name,
            image: request.image.clone(),
            image_id: image.id.to_string(),
            layers: image.layers.clone(),
            created: Timestamp::now(),
            auto_remove: request.auto_remove,
            init: request.init,
            interactive: request.interactive,
            networking: networking(request, image),
            security: privileges(&request.arguments.security),
            stop_signal: image.config.config().as_ref().and_then(|config| config.stop_signal().clone()),
            started: None,
            exit: None,
            upkeep: request.upkeep.clone(),
            asked: asked(request, image),
            mounts,
        })
    }

    /// The user is looked up in the container's own files, so the overlay comes before the specification.
    fn spec(
        &self,
        request: &RunRequest,
        image: &Image,
        id: &str,
        mounts: &[MountPoint],
        overlay: &Overlay,
    ) -> Result<Spec> {
        let of_image = image.config.config().as_ref().and_then(|config| config.user().clone()).unwrap_or_default();
        let mut user = User::lookup(overlay.as_fd(), request.user.as_deref().unwrap_or(&of_image))?;
        user.add_groups(overlay.as_fd(), &request.arguments.security.groups)?;
        let mut arguments = request.arguments.clone();
        arguments.hostname = hostname(request, id);
        arguments.mounts = self.mounts(request, mounts, id);
        spec::build(&image.config, &arguments, &user, id, self.privilege.in_user_namespace)
    }

    fn mounts(&self, request: &RunRequest, points: &[MountPoint], id: &str) -> Vec<Mount> {
        let setting = Setting {
            in_user_namespace: self.privilege.in_user_namespace,
            has_tty_group: self.privilege.has_many_users,
            own_network: request.arguments.own_network,
            ..Setting::default()
        };
        let security = &request.arguments.security;
        let setting = Setting { shm_size: security.shm_size.unwrap_or(setting.shm_size), ..setting };
        let mut own = request.mounts.clone();
        // The points begin with what was asked for as mounts.
        own.extend(points.iter().skip(request.mounts.len()).map(MountPoint::mount));
        if self.privilege.in_user_namespace || security.own_users {
            own.extend(security.device_mounts());
        }
        // The outer mount first, or it would cover the inner one.
        own.sort_by_key(|mount| mount.destination.components().count());
        // One that is asked for takes the place of one that every container has (`--tmpfs /dev/shm`).
        let mut mounts = defaults(&setting);
        if request.networking.ipc == network::Other::Host {
            share_memory_with_the_host(&mut mounts);
        }
        mounts.extend(network::files::mounts(&self.dirs, id, &request.networking));
        mounts.push(cgroup_mount());
        if security.privileged {
            let of_the_kernel =
                |mount: &&mut Mount| ["/sys", "/sys/fs/cgroup"].iter().any(|path| mount.destination == Path::new(path));
            mounts.iter_mut().filter(of_the_kernel).for_each(|mount| mount.options.retain(|option| option != "ro"));
        }
        mounts.retain(|default| !own.iter().any(|mount| mount.destination == default.destination));
        mounts.extend(own);
        if security.own_users {
            users::map_binds(&mut mounts);
        }
        mounts
    }

    /// After the end: `--rm` removes everything, a restart policy starts it again, else the record stays and says how it ended.
    pub(crate) fn end(
        &self,
        ran: Ran,
        lock: Lock,
        signals: &ForwardedSignals,
        monitor: Option<&mut Monitor>,
    ) -> Result<Finished> {
        let Ran { mut record, mounts } = ran;
        let code = |record: &Record| record.exit.as_ref().map_or(125, |exit| exit.code);
        let died = |record: &Record| {
            let ran = record.exit.as_ref().and_then(Exit::ran).unwrap_or_default().as_secs();
            let more = [("exitCode", code(record).to_string()), ("execDuration", ran.to_string())];
            Notes::default().and_oom(record).and(record, "die", &more).and_left(record)
        };
        phase("away with all of it: renamed into the trash, emptied by whom this process leaves behind");
        if record.auto_remove {
            let notes = died(&record).and(&record, "destroy", &[]);
            if record.mounts.iter().any(|mount| mount.name.is_some()) {
                volumes::release(&self.dirs, &record.id, true)?;
            }
            let thrown = throw_away(&self.dirs, &record, lock)?;
            notes.write(&self.dirs);
            return Ok(Finished { code: code(&record), thrown: Some(thrown.with(mounts)) });
        }
        died(&record).write(&self.dirs);
        if let Some(monitor) = monitor {
            record = self.start_by_policy(record, signals, monitor, &died)?;
        }
        record.write_ended(&self.dirs)?;
        put_to_rest(&self.dirs, &record.id, lock)?;
        Ok(code(&record).into())
    }

    /// Removes an image or one of its names.
    ///
    /// # Errors
    /// As [`Store::remove`].
    pub fn remove_image(&self, reference: &str, force: bool) -> Result<Removed> {
        let containers = Container::all(&self.dirs)?;
        let users = |image: &Digest| {
            let of_image = containers.iter().filter(|container| container.record.image_id == image.to_string());
            of_image.map(|container| container.record.id.chars().take(12).collect()).collect()
        };
        let removed = self.store.remove(reference, force, &users)?;
        for name in &removed.untagged {
            note_other(&self.dirs, "image", "untag", name, &[]);
        }
        if let Some(image) = removed.deleted.first() {
            note_other(&self.dirs, "image", "delete", &image.to_string(), &[]);
        }
        Ok(removed)
    }
}

/// What a container sees of its limits. Which trees that is, is known when the cgroup is made.
fn cgroup_mount() -> Mount {
    Mount {
        destination: "/sys/fs/cgroup".into(),
        fs_type: "cgroup".to_owned(),
        source: "cgroup".into(),
        options: ["nosuid", "noexec", "nodev", "relatime", "ro"].map(str::to_owned).to_vec(),
    }
}

/// What the record keeps of it; nothing of the default.
fn privileges(Security { cap_add, cap_drop, privileged, options, .. }: &Security) -> Option<AskedPrivileges> {
    let default = cap_add.is_empty() && cap_drop.is_empty() && !privileged && options.is_empty();
    let asked = || AskedPrivileges {
        cap_add: cap_add.clone(),
        cap_drop: cap_drop.clone(),
        privileged: *privileged,
        options: options.clone(),
    };
    (!default).then(asked)
}

/// What the record says of the request and the image, for those who ask later.
fn asked(request: &RunRequest, image: &Image) -> Asked {
    let of_image = image.config.config().clone().unwrap_or_default();
    let arguments = &request.arguments;
    let (entrypoint, default) = match arguments.entrypoint.as_deref() {
        None => (of_image.entrypoint().clone(), of_image.cmd().clone()),
        Some("") => (None, None),
        Some(program) => (Some(vec![program.to_owned()]), None),
    };
    let mut labels: BTreeMap<String, String> = of_image.labels().clone().unwrap_or_default().into_iter().collect();
    labels.extend(request.labels.clone());
    let own = request.volumes.iter().map(|volume| volume.destination.display().to_string());
    Asked {
        labels,
        entrypoint,
        cmd: if arguments.command.is_empty() { default } else { Some(arguments.command.clone()) },
        user: request.user.clone().or(of_image.user().clone()).unwrap_or_default(),
        volumes: own.chain(of_image.volumes().clone().unwrap_or_default()).collect(),
        volumes_from: request.volumes_from.clone(),
    }
}

/// POSIX shared memory is files in `/dev/shm`: in the host's IPC namespace they are the host's.
fn share_memory_with_the_host(mounts: &mut [Mount]) {
    for mount in mounts.iter_mut().filter(|mount| mount.destination == Path::new("/dev/shm")) {
        let options = ["rbind", "nosuid", "noexec", "nodev"].map(str::to_owned).to_vec();
        *mount = Mount { fs_type: "bind".into(), source: "/dev/shm".into(), options, ..mount.clone() };
    }
}

fn hostname(request: &RunRequest, id: &str) -> String {
    let short = || id.chars().take(12).collect();
    let of_host = request.networking.has_the_hosts_name().then(network::files::of_host);
    request.hostname.clone().or(of_host).unwrap_or_else(short)
}

/// What was asked for, and what the image adds to it.
fn networking(request: &RunRequest, image: &Image) -> Networking {
    let mut networking = request.networking.clone();
    let exposed = image.config.config().as_ref().and_then(|config| config.exposed_ports().clone());
    networking.expose.extend(exposed.unwrap_or_default());
    if networking.publish_all {
        network::publish_all(&mut networking);
    }
    networking
}

pub(crate) fn is_demo(reference: &str) -> bool {
    let demo = step07_images::demo::NAME.parse::<Reference>();
    matches!((reference.parse::<Reference>(), demo), (Ok(wanted), Ok(demo)) if wanted == demo)
}

fn state_of(pid: Pid) -> Result<State> {
    // A child that we have not waited for is in /proc even when it has ended.
    let start_time = sys::process::start_time(pid).with_context(|| format!("the start time of process {pid}"))?;
    Ok(State { host_pid: pid.as_raw(), start_time, started: Timestamp::now(), paused: false })
}

fn code(status: WaitStatus) -> Result<u8> {
    exit_code(status).context("the program did not end")
}
