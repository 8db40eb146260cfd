//! The five sets of capabilities of a process, and how it goes down to them. Source: capabilities(7), "Thread capability sets".

#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use crate::Capabilities;
use nix::unistd::Uid;
use sys::capability;
use sys::{Failure, Whilst};

/// What a container's process may hold, in the five places where the kernel keeps it.
// ANCHOR: sets
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What can ever be had again, also by a set-user-ID program: the ceiling.
    pub bounding: Capabilities,
    /// What may be made effective.
    pub permitted: Capabilities,
    /// What the kernel checks.
    pub effective: Capabilities,
    /// What a program file with inheritable capabilities would add. Empty: in docker it was not, and that was CVE-2022-24769.
    pub inheritable: Capabilities,
    /// What a program without file capabilities keeps across execve. Only within permitted and inheritable.
    pub ambient: Capabilities,
}
// ANCHOR_END: sets

impl Sets {
    /// As docker has them: root holds all of `capabilities`; another user holds none, and can get them back by a
    /// set-user-ID program alone.
    #[must_use]
    pub fn of_user(capabilities: Capabilities, uid: Uid) -> Self {
        let held = if uid.is_root() { capabilities } else { Capabilities::NONE };
        Self { bounding: capabilities, permitted: held, effective: held, ..Self::default() }
    }

    /// Lowers the ceiling: takes out of the bounding set what of `kernel` is not in ours. Child half, before the user changes,
    /// because it needs CAP_SETPCAP.
    // ANCHOR: bounding
    pub(crate) fn lower_bounding(&self, kernel: Capabilities) -> Result<(), Failure<'static>> {
        // ANCHOR: task2_bounding
        for capability in (kernel - self.bounding).iter() {
            // Not to be ignored: a capability that stays here comes back with the next set-user-ID program.
            capability::drop_bounding(capability.number()).whilst("drop from the bounding set", capability.name())?;
        }
        Ok(())
        // ANCHOR_END: task2_bounding
    }
    // ANCHOR_END: bounding

    /// Makes effective whatever is permitted: a change of user has emptied the effective set. Child half.
    pub(crate) fn raise() -> Result<(), Failure<'static>> {
        let mut now = capability::get().whilst("read the capabilities", c"")?;
        now.effective = now.permitted;
        capability::set(&now).whilst("make the permitted capabilities effective", c"")
    }

    /// Goes down to the four other sets. Child half.
    ///
    /// What the engine itself does not have, the container cannot get: it is left out, as runc does.
    // ANCHOR: enter
    pub(crate) fn enter(&self) -> Result<(), Failure<'static>> {
        // ANCHOR: task2_sets
        let had = capability::get().whilst("read the capabilities", c"")?;
        let sets = capability::Sets {
            effective: self.effective.bits() & had.permitted,
            permitted: self.permitted.bits() & had.permitted,
            inheritable: self.inheritable.bits() & had.permitted,
        };
        // The ambient set is empty for whoever did not fill it, but the engine's caller may have.
        capability::clear_ambient().whilst("empty the ambient set", c"")?;
        capability::set(&sets).whilst("set the capabilities", c"")?;
        for capability in self.ambient.iter() {
            capability::raise_ambient(capability.number()).whilst("make ambient", capability.name())?;
        }
        Ok(())
        // ANCHOR_END: task2_sets
    }
    // ANCHOR_END: enter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_holds_nothing_but_the_ceiling_stays() {
        let docker = Capabilities::docker();
        let root = Sets::of_user(docker, Uid::from_raw(0));
        assert_eq!((root.effective, root.permitted, root.bounding), (docker, docker, docker));
        let user = Sets::of_user(docker, Uid::from_raw(1000));
        assert_eq!((user.effective, user.permitted, user.bounding), (Capabilities::NONE, Capabilities::NONE, docker));
        assert_eq!((root.inheritable, root.ambient), (Capabilities::NONE, Capabilities::NONE));
    }
}
