//! All of it put on, in the one order that works.

use crate::{Capabilities, Error, Filter, Profile, Sets, User};
use nix::sys::prctl::set_no_new_privs;
use sys::capability::keep_across_setuid;
use sys::{Failure, Whilst};

/// What the program may be and do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The capabilities.
    pub sets: Sets,
    /// Who it runs as.
    pub user: User,
    /// False in a user namespace with a map of a single user: see [`User::enter`].
    pub may_set_groups: bool,
    /// Which system calls are answered; `None` is `seccomp=unconfined`.
    pub profile: Option<Profile>,
    /// Whether execve can no longer add privileges: set-user-ID and file capabilities do not count.
    pub no_new_privs: bool,
}

/// Privileges that are ready for the child.
#[derive(Debug)]
pub struct Privileges {
    sets: Sets,
    user: User,
    may_set_groups: bool,
    filter: Option<Filter>,
    no_new_privs: bool,
    kernel: Capabilities,
}

impl Privileges {
    /// Compiles the filter and asks the kernel which capabilities it has.
    ///
    /// # Errors
    /// [`Error::Profile`] and what else is wrong with the profile; [`Error::LastCapability`].
    pub fn new(options: &Options) -> Result<Self, Error> {
        // Docker's profiles ask for the bounding set: what the program could get, not what it holds now.
        let compile = |profile: &Profile| Filter::compile(profile, options.sets.bounding);
        Ok(Self {
            sets: options.sets,
            user: options.user.clone(),
            may_set_groups: options.may_set_groups,
            filter: options.profile.as_ref().map(compile).transpose()?,
            no_new_privs: options.no_new_privs,
            kernel: Capabilities::of_kernel()?,
        })
    }

    /// The same with a filter that is compiled already ([`Filter::standard`], [`Filter::compile`]).
    #[must_use]
    pub fn filtered(self, filter: Filter) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// The filter, if there is one.
    #[must_use]
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Gives up everything but what was asked for. Child half; the last thing that needs root, after the last mount.
    ///
    /// # Errors
    /// The call that failed. Nobody may go on after that: whoever half gave up root is root.
    // ANCHOR: enter
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn enter(&self) -> Result<(), Failure<'_>> {
        self.become_user()?;
        self.confine()
    }

    /// The first half: the ceiling, the groups, the user. What a change of user undoes and a filter might refuse, for example to die
    /// with the parent, is done between the two halves.
    ///
    /// # Errors
    /// As [`Privileges::enter`].
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn become_user(&self) -> Result<(), Failure<'_>> {
        // ANCHOR: task3_user
        // The ceiling first: it needs CAP_SETPCAP, and a later setuid would have taken that away.
        self.sets.lower_bounding(self.kernel)?;
        // A change from user 0 to another empties the permitted set. Not yet: the filter may need CAP_SYS_ADMIN.
        keep_across_setuid(true).whilst("keep the capabilities for a moment", c"")?;
        self.user.enter(self.may_set_groups)?;
        keep_across_setuid(false).whilst("no longer keep the capabilities", c"")
        // ANCHOR_END: task3_user
    }

    /// The second half: the capabilities and the filter.
    ///
    /// # Errors
    /// As [`Privileges::enter`].
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn confine(&self) -> Result<(), Failure<'_>> {
        self.confine_and(|filter| filter.load())
    }

    /// The same with another way to load the filter: one that has a listener.
    ///
    /// # Errors
    /// As [`Privileges::enter`].
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn confine_and<'p>(&'p self, load: impl Fn(&'p Filter) -> Result<(), Failure<'p>>) -> Result<(), Failure<'p>> {
        // ANCHOR: task3_confine
        let load_filter = || self.filter.as_ref().map_or(Ok(()), &load);
        if self.no_new_privs {
            self.sets.enter()?;
            set_no_new_privs().whilst("forbid new privileges", c"")?;
            // With no_new_privs anybody may load a filter, so it comes last: it need not let the calls above pass.
            load_filter()
        } else {
            // Without it the kernel wants CAP_SYS_ADMIN, or a user could filter what a set-user-ID program relies on. So the
            // filter comes before the capabilities go, and has to let capget, capset and prctl pass.
            Sets::raise()?;
            load_filter()?;
            self.sets.enter()
        }
        // ANCHOR_END: task3_confine
    }
    // ANCHOR_END: enter
}
