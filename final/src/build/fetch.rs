//! `ADD https://…`: a file from the network, on its way into a layer.

use super::stage::Stage;
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use step07_images::build::{Copy, Problem, Step};
use step07_images::registry::Registries;
use step07_images::{Digest, Limits};

/// A source that is an address.
pub(super) struct Remote {
    url: String,
    /// Of its content, as `--checksum` promises it or as it came.
    pub(super) digest: Digest,
    /// Where it lies, and under which name; `None` until it is needed.
    file: Option<(PathBuf, String)>,
}

impl Remote {
    /// What of it a result depends on.
    pub(super) fn key(&self) -> String {
        format!("\nremote {} {}", self.url, self.digest)
    }
}

/// Whether a source of `ADD` is an address.
pub(super) fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git@", "git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme))
}

impl Stage<'_, '_> {
    /// The addresses among the sources. With a checksum nothing is fetched yet: an earlier build may have it.
    pub(super) fn remotes(&self, step: &Step, copy: &Copy) -> Result<Vec<Remote>> {
        let urls: Vec<&String> = copy.sources.iter().filter(|source| copy.add && is_remote(source)).collect();
        let promised = self.promised(step, copy, urls.len())?;
        urls.into_iter().map(|url| self.remote(step, url, promised)).collect()
    }

    fn promised(&self, step: &Step, copy: &Copy, urls: usize) -> Result<Option<Digest>> {
        let Some(text) = &copy.checksum else { return Ok(None) };
        let text = self.word(step, text)?;
        let problem = |what: String| Problem::new(&step.place, what).at(text.clone());
        if urls != 1 || copy.sources.len() != 1 {
            return Err(problem("--checksum is for one source, which has to be an address".to_owned()).into());
        }
        text.parse().map(Some).map_err(|error: step07_images::Error| problem(error.to_string()).into())
    }

    fn remote(&self, step: &Step, url: &str, promised: Option<Digest>) -> Result<Remote> {
        if !url.starts_with("http") || url.split(['?', '#']).next().is_some_and(|path| path.ends_with(".git")) {
            let problem = Problem::new(&step.place, format!("ADD of a git repository is not supported: `{url}`"));
            return Err(problem.at(url.to_owned()).help("clone it first, and put it into the context").into());
        }
        let mut remote = Remote { url: url.to_owned(), digest: Digest::of(b""), file: None };
        match promised {
            Some(promised) => remote.digest = promised,
            None => remote.digest = self.fetch(step, &mut remote)?,
        }
        Ok(remote)
    }

    /// The file, fetched if that was not needed so far: the folder it is in, and its name.
    pub(super) fn fetched(&self, step: &Step, remote: &mut Remote) -> Result<(PathBuf, String)> {
        if remote.file.is_none() {
            let actual = self.fetch(step, remote)?;
            if actual != remote.digest {
                let what = format!("`{}` is {actual}, --checksum says {}", remote.url, remote.digest);
                let problem = Problem::new(&step.place, what).at(remote.digest.to_string());
                return Err(problem.help("the file has changed: look at it before you trust it").into());
            }
        }
        remote.file.clone().context("a file that was fetched is there")
    }

    /// As docker has it: 0600, and as old as the server says.
    fn fetch(&self, step: &Step, remote: &mut Remote) -> Result<Digest> {
        let folder = self.build.session.new_folder("fetched")?;
        let part = folder.join("part");
        let mut file = File::create(&part).with_context(|| format!("create `{}`", part.display()))?;
        let fetched = Registries::read()?.fetch(&remote.url, &mut file, Limits::default().bytes);
        let fetched = fetched.map_err(|error| Problem::new(&step.place, error.to_string()).at(remote.url.clone()))?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.set_modified(fetched.modified.as_deref().and_then(time).unwrap_or(SystemTime::UNIX_EPOCH))?;
        let Some(name) = fetched.name else {
            let problem = Problem::new(&step.place, format!("`{}` names no file", remote.url)).at(remote.url.clone());
            return Err(problem.help("name a file as the destination, not a folder").into());
        };
        // Beside it a part of another name could be the file's own.
        let place = folder.join("whole");
        fs::create_dir(&place).and_then(|()| fs::rename(&part, place.join(&name))).context("name what was fetched")?;
        remote.file = Some((place, name));
        Ok(fetched.digest)
    }
}

/// `Wed, 21 Oct 2015 07:28:00 GMT`.
fn time(text: &str) -> Option<SystemTime> {
    let at: Timestamp = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_second().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_times_are_read() {
        let at = time("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        assert_eq!(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 1_445_412_480);
        assert_eq!(time("yesterday"), None);
    }
}
