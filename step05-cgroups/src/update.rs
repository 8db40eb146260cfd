//! Limits on what runs already.

use crate::cgroup::{Cgroup, DEADLINE, deadline};
use crate::hierarchy::{Controller, Version};
use crate::limits::{Limits, RawFile};
use crate::plan::trees;
use crate::words::{DEVICES, Setting, WORDS, needed};
use crate::{Error, device_program, files};
use nix::errno::Errno;
use std::os::fd::AsFd;
use std::time::Instant;

impl Cgroup {
    /// Sets the limits that are given and leaves the others as they are. In v1 a controller that had no limit so far has no
    /// directory yet: it is made, and the processes are moved into it.
    ///
    /// # Errors
    /// As [`Cgroup::create`]; [`Error::DevicesAreFixed`].
    pub fn update(&mut self, limits: &Limits) -> Result<(), Error> {
        limits.check()?;
        if limits.devices.is_some() {
            return Err(Error::DevicesAreFixed);
        }
        for (controller, flag) in needed(limits) {
            self.ensure_controller(controller, flag)?;
        }
        self.set(limits)
    }

    pub(crate) fn ensure_controller(&mut self, controller: Controller, flag: &'static str) -> Result<(), Error> {
        let parent = self.parent.clone();
        for (tree, wishes) in trees(&parent, &[(controller, Some(flag))])? {
            if self.directory_of(controller).is_none() {
                self.make_in(tree, &wishes)?;
                self.gather(controller)?;
            } else {
                parent.ensure(tree, &wishes)?;
            }
        }
        Ok(())
    }

    /// The directory in the freezer's tree, which no start pays for.
    pub(crate) fn make_freezer(&mut self) -> Result<(), Error> {
        let parent = self.parent.clone();
        for (tree, wishes) in trees(&parent, &[(Controller::Freezer, Some("pause"))])? {
            self.make_in(tree, &wishes)?;
        }
        Ok(())
    }

    /// Moves all processes that are in the cgroup into the directory of `controller`, until no new one turns up. Not for a start:
    /// each move waits for the kernel, 4 to 11 ms.
    pub(crate) fn gather(&self, controller: Controller) -> Result<(), Error> {
        let Some(directory) = self.directory_of(controller) else { return Ok(()) };
        let (begin, procs) = (Instant::now(), directory.path.join("cgroup.procs"));
        loop {
            let inside = files::processes(&directory.path)?;
            let outside: Vec<i32> = self.processes()?.into_iter().filter(|pid| !inside.contains(pid)).collect();
            if outside.is_empty() {
                return Ok(());
            }
            for pid in outside {
                match files::write(&procs, &pid.to_string()) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(Error::path("move a process into", &directory.path, errno)),
                }
            }
            if begin.elapsed() > DEADLINE {
                return Err(deadline("move", "moved", &directory.path));
            }
        }
    }

    pub(crate) fn set(&self, limits: &Limits) -> Result<(), Error> {
        let mut again = Vec::new();
        for word in &WORDS {
            let Some(directory) = self.directory_of(word.controller) else { continue };
            for setting in word.settings(limits, directory.version) {
                match directory.set(&setting) {
                    // v1 wants memory ≤ memory and swap at every moment: when both grow, the second has to go first.
                    Err(Error::Limit { errno: Errno::EINVAL, .. }) => again.push((directory, setting)),
                    result => result?,
                }
            }
        }
        again.iter().try_for_each(|(directory, setting)| directory.set(setting))?;
        limits.files.iter().try_for_each(|file| self.set_file(file))
    }

    fn set_file(&self, file: &RawFile) -> Result<(), Error> {
        let RawFile { flag, controller, .. } = *file;
        let none = || Error::NoController { flag, controller: controller.v1_name() };
        let directory = self.directory_of(controller).ok_or_else(none)?;
        let (name, value) = file.on(directory.version).ok_or(Error::OtherVersion { flag })?;
        let path = directory.path.join(name);
        files::write(&path, value).map_err(|errno| Error::Limit { flag, value: value.clone(), path, errno })
    }

    /// v1 has files for it, v2 a program.
    pub(crate) fn set_devices(&self, limits: &Limits) -> Result<(), Error> {
        let rules = limits.devices.as_deref().unwrap_or_default();
        let Some(directory) = self.directory_of(Controller::Devices) else { return Ok(()) };
        if directory.version == Version::V2 {
            return device_program::attach(rules, directory.fd.as_fd(), &directory.path);
        }
        directory.set(&Setting { flag: DEVICES, file: "devices.deny", value: "a *:* rwm".to_owned(), asked: true })?;
        for run in rules.chunk_by(|one, next| one.allow == next.allow) {
            let file = if run.iter().all(|rule| rule.allow) { "devices.allow" } else { "devices.deny" };
            let path = directory.path.join(file);
            files::write_each(&path, run.iter().map(ToString::to_string)).map_err(|(value, errno)| Error::Limit {
                flag: DEVICES,
                value,
                path,
                errno,
            })?;
        }
        Ok(())
    }
}
