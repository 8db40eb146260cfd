//! A new container on the disk: its name, its folders, its overlay, its specification.

use super::request::{asked, hostname, networking, privileges};
use super::{Engine, RunRequest};
use crate::container::Record;
use crate::names::claim_name;
use crate::reclaim::gone;
use crate::spec;
use crate::users;
use crate::volumes::{self, MountPoint, Wanted};
use anyhow::{Context, Result};
use jiff::Timestamp;
use oci_spec::runtime::Spec;
use std::fs::DirBuilder;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use step03_mount_overlay::{Layers, Overlay};
use step06_capabilities::User;
use step07_images::Image;
use sys::explain::phase;

impl Engine {
    /// Name, folders, overlay and record of a new container.
    pub(super) fn make(&self, request: &RunRequest, image: &Image, id: &str) -> Result<(Record, Overlay)> {
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

    /// Lets a volatile overlay be mounted once more. The kernel leaves a mark that forbids it, because what was not synced may be
    /// lost with the machine; this machine has not gone down since. Source: Linux, filesystems/overlayfs.rst, "Volatile mount".
    ///
    /// # Errors
    /// unlink(2).
    pub(crate) fn forget_volatile(&self, id: &str) -> Result<()> {
        let mark = self.dirs.container(id).join("work/work/incompat");
        std::fs::remove_dir_all(&mark).or_else(gone).with_context(|| format!("remove `{}`", mark.display()))
    }

    /// Mounts the overlay over the container's own layer.
    pub(crate) fn overlay(&self, id: &str, lower: &[PathBuf], volatile: bool) -> Result<Overlay> {
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
}
