//! `RUN --mount`. Source: Dockerfile reference, "RUN --mount".

use super::copy::overlay;
use super::stage::Stage;
use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use step03_mount_overlay::{Mount, parse_tmpfs};
use step07_images::Digest;
use step07_images::build::{Found, How, Problem, Run, Source, Step, Target, digest};

/// A secret of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The content of a file.
    File(PathBuf),
    /// The value of a variable of the environment.
    Variable(String),
}

impl Secret {
    fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => fs::read(path).with_context(|| format!("read the secret `{}`", path.display())),
            Self::Variable(name) => {
                let value = std::env::var_os(name).with_context(|| format!("the environment has no `{name}`"))?;
                Ok(value.into_encoded_bytes())
            }
        }
    }
}

/// What the mounts of one `RUN` come to. Dropped, it lets go of shared caches and removes secrets.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// What of them the result depends on.
    pub(super) key: String,
    asked: Vec<Asked>,
    folder: Option<PathBuf>,
    cache: PathBuf,
    variables: Vec<String>,
    /// Caches that are this `RUN`'s alone, until it ends.
    locks: Vec<Flock<File>>,
}

#[derive(Debug)]
enum Asked {
    Ready(Mount),
    Cache { place: PathBuf, destination: PathBuf, read_only: bool, owner: (u32, u32), mode: u32, lock: bool },
}

type Options = BTreeMap<String, String>;

impl Stage<'_, '_> {
    /// Reads the mounts of a `RUN` and makes what they need.
    pub(super) fn attached(&self, step: &Step, run: &Run) -> Result<Attached> {
        let mut attached = Attached::default();
        attached.cache = self.build.engine.store().cache_dir().join("mounts");
        for text in &run.mounts {
            let text = self.word(step, text)?;
            let options = options(step, &text)?;
            let kind = options.get("type").map_or("bind", String::as_str);
            attached.key += &match kind {
                // Secrets and the content of caches do not count.
                "secret" | "cache" | "tmpfs" => format!("\nmount {text}"),
                _ => String::new(),
            };
            match kind {
                "bind" => self.bind(step, &options, &mut attached)?,
                "cache" => self.cache(step, &options, &mut attached)?,
                "tmpfs" => attached.asked.push(Asked::Ready(self.tmpfs(step, &options)?)),
                "secret" => self.secret(step, &options, &mut attached)?,
                "ssh" => {
                    let problem = Problem::new(&step.place, "mounts of the type ssh are not supported").at("type=ssh");
                    return Err(problem.help("pass a key as a secret").into());
                }
                other => {
                    let problem = Problem::new(&step.place, format!("there is no mount of the type `{other}`"));
                    return Err(problem.at(other.to_owned()).help("it is bind, cache, tmpfs or secret").into());
                }
            }
        }
        Ok(attached)
    }

    fn target_of(&self, step: &Step, options: &Options) -> Result<PathBuf> {
        let target = ["target", "dst", "destination"].iter().find_map(|key| options.get(*key));
        let target = target.ok_or_else(|| Problem::new(&step.place, "the mount needs `target=`").at("--mount"))?;
        Ok(PathBuf::from(self.absolute(target)))
    }

    fn bind(&self, step: &Step, options: &Options, attached: &mut Attached) -> Result<()> {
        let destination = self.target_of(step, options)?;
        let path = ["source", "src"].iter().find_map(|key| options.get(*key)).map_or("/", String::as_str);
        let writable = ["rw", "readwrite"].iter().any(|key| is_true(options, key));
        let folder = self.build.session.new_folder("bind")?;
        let copied = match options.get("from") {
            None => {
                let context = self.build.context;
                let source = Source::new(context.fd(), Some(&context.ignore));
                let found = one(step, &source, path)?;
                let inputs = digest(&source, &found, &self.build.known, false).context("read the context")?;
                attached.key += &format!("\nbind {} {inputs} {writable}", destination.display());
                copy_aside(&source, &found, &folder, false)?
            }
            Some(from) => {
                let state = self.root_of(step, from)?;
                let unused = self.build.session.new_folder("unused")?;
                let root = overlay(self, &state.dirs, &unused)?;
                let source = Source::new(root.as_fd(), None);
                let found = one(step, &source, path)?;
                attached.key += &format!("\nbind {} {} {path} {writable}", destination.display(), state.key);
                copy_aside(&source, &found, &folder, true)?
            }
        };
        attached.asked.push(Asked::Ready(bound(copied, destination, !writable)));
        Ok(())
    }

    fn cache(&self, step: &Step, options: &Options, attached: &mut Attached) -> Result<()> {
        let destination = self.target_of(step, options)?;
        if options.contains_key("from") {
            bail!(Problem::new(&step.place, "a cache that begins with a copy (`from=`) is not supported").at("from="));
        }
        let id = options.get("id").cloned().unwrap_or_else(|| destination.display().to_string());
        let sharing = options.get("sharing").map_or("shared", String::as_str);
        let place = match sharing {
            "shared" | "locked" => attached.cache.join(Digest::of(id.as_bytes()).hex()),
            "private" => self.build.session.new_folder("private")?,
            other => {
                let problem = Problem::new(&step.place, format!("`sharing={other}` is unknown")).at(other.to_owned());
                bail!(problem.help("it is shared, locked or private"));
            }
        };
        attached.asked.push(Asked::Cache {
            place,
            destination,
            read_only: ["ro", "readonly"].iter().any(|key| is_true(options, key)),
            owner: (number(step, options, "uid", 0)?, number(step, options, "gid", 0)?),
            mode: mode(step, options, 0o755)?,
            lock: sharing == "locked",
        });
        Ok(())
    }

    fn tmpfs(&self, step: &Step, options: &Options) -> Result<Mount> {
        let destination = self.target_of(step, options)?;
        let size = options.get("size").map(|size| format!(",size={size}")).unwrap_or_default();
        Ok(parse_tmpfs(&format!("{}:exec{size}", destination.display()))?)
    }

    fn secret(&self, step: &Step, options: &Options, attached: &mut Attached) -> Result<()> {
        let target = ["target", "dst", "destination"].iter().find_map(|key| options.get(*key));
        let base = target.and_then(|target| Path::new(target).file_name()).map(|name| name.display().to_string());
        let Some(id) = options.get("id").cloned().or(base) else {
            bail!(Problem::new(&step.place, "the secret needs `id=` or `target=`").at("--mount"));
        };
        let Some(secret) = self.build.request.secrets.get(&id) else {
            if is_true(options, "required") {
                let problem = Problem::new(&step.place, format!("there is no secret `{id}`")).at("--mount");
                bail!(problem.help(format!("give it: `tara build --secret id={id},src=FILE`")));
            }
            return Ok(());
        };
        let content = secret.read()?;
        if let Some(variable) = options.get("env") {
            let value = String::from_utf8(content.clone()).context("a secret in a variable has to be text")?;
            attached.variables.push(format!("{variable}={value}"));
            if target.is_none() {
                return Ok(());
            }
        }
        let destination =
            target.map_or_else(|| PathBuf::from(format!("/run/secrets/{id}")), |target| self.absolute(target).into());
        let folder = attached.secrets(&self.build.engine.dirs().run)?;
        let path = folder.join(attached.asked.len().to_string());
        fs::write(&path, content).context("write the secret")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode(step, options, 0o400)?))?;
        let owner = (number(step, options, "uid", 0)?, number(step, options, "gid", 0)?);
        if owner != (0, 0) {
            chown(&path, Some(owner.0), Some(owner.1)).context("set the owner of the secret")?;
        }
        attached.asked.push(Asked::Ready(bound(path, destination, true)));
        Ok(())
    }
}

impl Attached {
    /// The mounts themselves, caches made and waited for.
    pub(super) fn mounts(&mut self) -> Result<Vec<Mount>> {
        let mounts = self.asked.iter().map(Asked::mount).collect::<Result<_>>()?;
        // Each once and in one order: two stages that want the same two caches must not wait for each other.
        let places: BTreeSet<&Path> = self.asked.iter().filter_map(Asked::locked).collect();
        self.locks = places.into_iter().map(lock).collect::<Result<_>>()?;
        Ok(mounts)
    }

    /// Secrets as variables.
    pub(super) fn variables(&self) -> Vec<String> {
        self.variables.clone()
    }

    /// A folder below RUN, which is memory on most machines: a secret is not written to the disk.
    fn secrets(&mut self, run: &Path) -> Result<PathBuf> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let folder = run.join("secrets").join(crate::container::new_id()?);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).context("make a place for secrets")?;
        self.folder = Some(folder.clone());
        Ok(folder)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _what_stays_is_gone_with_the_machine = fs::remove_dir_all(folder);
        }
    }
}

impl Asked {
    fn mount(&self) -> Result<Mount> {
        match self {
            Self::Ready(mount) => Ok(mount.clone()),
            Self::Cache { place, destination, read_only, owner, mode, .. } => {
                if !place.exists() {
                    fs::create_dir_all(place).with_context(|| format!("make the cache `{}`", place.display()))?;
                    fs::set_permissions(place, fs::Permissions::from_mode(*mode))?;
                    chown(place, Some(owner.0), Some(owner.1)).context("set the owner of the cache")?;
                }
                Ok(bound(place.clone(), destination.clone(), *read_only))
            }
        }
    }

    /// The cache that nobody else may have meanwhile.
    fn locked(&self) -> Option<&Path> {
        match self {
            Self::Cache { place, lock: true, .. } => Some(place),
            _ => None,
        }
    }
}

/// Waits until no other `RUN` has the cache, of this build or of another.
fn lock(place: &Path) -> Result<Flock<File>> {
    let doing = || format!("wait for the cache `{}`", place.display());
    let folder = File::open(place).with_context(doing)?;
    Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, errno)| errno).with_context(doing)
}

fn bound(source: PathBuf, destination: PathBuf, read_only: bool) -> Mount {
    let words = ["rbind"].into_iter().chain(read_only.then_some("ro"));
    Mount { destination, fs_type: "bind".to_owned(), source, options: words.map(str::to_owned).collect() }
}

fn one(step: &Step, source: &Source<'_>, path: &str) -> Result<Found> {
    let found = source.select(path).map_err(|why| Problem::new(&step.place, why.to_string()).at(path.to_owned()))?;
    found.into_iter().next().context("nothing was found")
}

/// A copy for the container: it may write to it, and what `.dockerignore` leaves out is not there.
fn copy_aside(source: &Source<'_>, found: &Found, folder: &Path, owners: bool) -> Result<PathBuf> {
    let into = File::open(folder)?;
    let how = How { owner: (!owners).then_some((0, 0)), attributes: owners, ..How::default() };
    let name = if found.is_folder() { "" } else { "file" };
    Target::new(into.as_fd(), how).copy(source, found, name)?;
    Ok(folder.join(name))
}

fn options(step: &Step, text: &str) -> Result<Options> {
    const KNOWN: [&str; 20] = [
        "type",
        "target",
        "dst",
        "destination",
        "source",
        "src",
        "from",
        "rw",
        "readwrite",
        "ro",
        "readonly",
        "id",
        "sharing",
        "mode",
        "uid",
        "gid",
        "size",
        "required",
        "env",
        "readwrite",
    ];
    let mut options = Options::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
        if !KNOWN.contains(&key) {
            bail!(Problem::new(&step.place, format!("a mount has no option `{key}`")).at(key.to_owned()));
        }
        options.insert(key.to_owned(), value.to_owned());
    }
    Ok(options)
}

fn is_true(options: &Options, key: &str) -> bool {
    options.get(key).is_some_and(|value| value == "true" || value == "1")
}

fn number(step: &Step, options: &Options, key: &str, default: u32) -> Result<u32> {
    let Some(text) = options.get(key) else { return Ok(default) };
    let wrong = || Problem::new(&step.place, format!("`{key}={text}` is not a number")).at(text.clone());
    text.parse().map_err(|_| wrong().into())
}

fn mode(step: &Step, options: &Options, default: u32) -> Result<u32> {
    let Some(text) = options.get("mode") else { return Ok(default) };
    let wrong = || Problem::new(&step.place, format!("`mode={text}` is not a mode in octal")).at(text.clone());
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| wrong().into())
}
