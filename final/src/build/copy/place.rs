//! Where each source goes: into a folder, under a name, unpacked.

use super::super::fetch::Remote;
use super::super::stage::Stage;
use super::{missing, octal};
use anyhow::{Result, anyhow};
use std::fs::File;
use std::os::fd::AsFd;
use step03_mount_overlay::Overlay;
use step07_images::build::{Copy, Found, Ignore, Problem, Source, Step, Target};

impl Stage<'_, '_> {
    #[expect(clippy::too_many_arguments, reason = "all that a copy is about")]
    pub(super) fn place(
        &self,
        step: &Step,
        copy: &Copy,
        source: &Source<'_>,
        found: &[Found],
        destination: &str,
        target: &mut Target<'_>,
        overlay: &Overlay,
    ) -> Result<()> {
        let excluded =
            Ignore::parse(&copy.exclude.join("\n")).map_err(|why| Problem::new(&step.place, why).at("--exclude"))?;
        let folder = destination.ends_with('/') || target.is_folder(destination);
        for found in found {
            let source = source.without(&excluded, found);
            if source.leaves_out(found) {
                continue;
            }
            let unpack = copy.add && copy.unpack != Some(false) && !found.is_folder();
            if unpack && self.unpacked(found, destination, target, overlay)? {
                continue;
            }
            let mut to = match () {
                () if copy.parents => {
                    let path = String::from_utf8_lossy(&found.path).into_owned();
                    format!("{}/{path}", destination.trim_end_matches('/'))
                }
                () if found.is_folder() => destination.to_owned(),
                () if folder => format!("{}/{}", destination.trim_end_matches('/'), found.name().display()),
                () => destination.to_owned(),
            };
            if !found.is_folder() {
                let above = to.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
                target.make_folders(&above)?;
                to = to.trim_end_matches('/').to_owned();
            }
            target.copy(&source, found, &to)?;
        }
        for document in &copy.documents {
            let to = match folder {
                true => format!("{}/{}", destination.trim_end_matches('/'), document.name),
                false => destination.to_owned(),
            };
            target.make_folders(to.rsplit_once('/').map_or("", |(above, _)| above))?;
            let mode = copy.chmod.as_deref().and_then(octal).unwrap_or(0o644);
            let now = self.build.epoch.unwrap_or_else(jiff::Timestamp::now);
            target.write(document.content.as_bytes(), &to, mode, (now.as_second(), 0))?;
        }
        Ok(())
    }

    /// As if it lay in a context of its own; an archive is unpacked only if that is asked for.
    pub(super) fn place_remote(
        &self,
        step: &Step,
        copy: &Copy,
        remote: &mut Remote,
        destination: &str,
        target: &mut Target<'_>,
        overlay: &Overlay,
    ) -> Result<()> {
        let (folder, name) = self.fetched(step, remote)?;
        let folder = File::open(folder)?;
        let source = Source::new(folder.as_fd(), None);
        let found = source.select(&name).map_err(|why| missing(step, &name, why))?;
        let unpack = Some(copy.unpack == Some(true));
        let alone = Copy { exclude: Vec::new(), documents: Vec::new(), unpack, ..copy.clone() };
        self.place(step, &alone, &source, &found, destination, target, overlay)
    }

    /// `ADD` unpacks an archive into the destination.
    fn unpacked(&self, found: &Found, destination: &str, target: &Target<'_>, overlay: &Overlay) -> Result<bool> {
        let store = self.build.engine.store();
        if !store.is_tar(found.open()?)? {
            return Ok(false);
        }
        target.make_folders(destination)?;
        let into = sys::fd::open_in_root(
            overlay.as_fd(),
            &std::ffi::CString::new(destination)?,
            nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_DIRECTORY,
            nix::sys::stat::Mode::empty(),
        );
        let into = into.map_err(|errno| anyhow!("open `{destination}`: {errno}"))?;
        store.unpack_tar(found.open()?, &found.name().display().to_string(), into)?;
        Ok(true)
    }
}
