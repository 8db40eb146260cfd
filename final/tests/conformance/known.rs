//! Where Debian's runc 1.1.5 and crun 1.8.1 do not do what the tests ask, and why.

/// A reason begins so where the behaviour fails at some times only.
pub(crate) const RACE: &str = "a race: ";

/// Runtime, behaviour, reason.
const FAILURES: &[(&str, &str, &str)] = &[
    ("runc", "process::rlimit_given_twice_is_an_error", "the last one wins"),
    ("runc", "process::scheduler_batch_with_nice", NEWER),
    ("runc", "process::scheduler_idle", NEWER),
    ("runc", "process::scheduler_that_is_unknown_is_an_error", NEWER),
    ("runc", "process::io_priority_best_effort", NEWER),
    ("runc", "process::io_priority_idle", NEWER),
    ("runc", "process::exec_cpu_affinity_holds_for_exec", NEWER),
    ("runc", "mounts::idmap_shows_other_owners", NEWER),
    ("runc", "mounts::no_mounts_at_all", "looks for its own descriptors in the container's /proc"),
    ("runc", "namespaces::time_offset_of_boottime", NEWER),
    ("runc", "namespaces::time_offsets_without_a_time_namespace_are_an_error", NEWER),
    ("runc", "namespaces::mappings_without_a_user_namespace_are_an_error", "ignores them"),
    ("runc", "namespaces::domainname", NEWER),
    ("runc", "linux::rootfs_propagation_shared", "shares only where the bundle is on the caller's root file system"),
    ("runc", "linux::net_devices_are_moved_and_renamed", NEWER),
    ("runc", "linux::net_device_that_is_missing_is_an_error", NEWER),
    ("runc", "linux::personality_linux32", NEWER),
    ("runc", "linux::personality_that_is_unknown_is_an_error", NEWER),
    ("runc", "seccomp::flag_log", "says that it has no flags yet"),
    ("runc", "hooks::poststart_has_the_state_on_its_input", POSTSTART),
    ("runc", "hooks::all_six_run_in_order_and_each_list_too", POSTSTART),
    ("runc", "hooks::start_container_that_fails_fails_start", "`start` does not wait for the hook"),
    ("runc", "hooks::poststop_that_fails_does_not_keep_the_container", "leaves the rest of the list out"),
    ("runc", "errors::a_version_of_another_world", "does not look at it"),
    ("runc", "errors::no_version", "does not look at it"),
    ("runc", "errors::an_unknown_capability", "warns"),
    ("runc", "errors::a_relative_mount_destination", "warns and takes it from the root"),
    ("crun", "lifecycle::kill_with_an_unknown_signal_is_an_error", "sends something else"),
    ("crun", "lifecycle::listen_fds_are_handed_on_and_named", "hands them on without LISTEN_FDS"),
    ("crun", "commands::events_stats_once", "has no `events`"),
    ("crun", "commands::resume_of_a_running_container_is_an_error", "takes it as done"),
    ("crun", "commands::features_are_those_of_the_specification", "has no `features`"),
    ("crun", "exec::env", "takes them as the whole environment, PATH too"),
    ("crun", "process::cwd_that_is_relative_is_an_error", "takes it from the root"),
    ("crun", "process::rlimit_given_twice_is_an_error", LEFT),
    ("crun", "process::scheduler_batch_with_nice", NEWER),
    ("crun", "process::scheduler_idle", NEWER),
    ("crun", "process::scheduler_that_is_unknown_is_an_error", NEWER),
    ("crun", "process::io_priority_best_effort", NEWER),
    ("crun", "process::io_priority_idle", NEWER),
    ("crun", "process::exec_cpu_affinity_holds_for_exec", NEWER),
    ("crun", "mounts::bind_with_nosymfollow", NEWER),
    ("crun", "mounts::tmpfs_with_nosymfollow", NEWER),
    ("crun", "mounts::later_option_wins", "`rw` does not undo `ro`"),
    ("crun", "mounts::suid_undoes_nosuid", "`suid` does not undo `nosuid`"),
    ("crun", "mounts::propagation_shared", PROPAGATION),
    ("crun", "mounts::propagation_rshared", PROPAGATION),
    ("crun", "mounts::propagation_unbindable", PROPAGATION),
    ("crun", "mounts::rnoatime_reaches_mounts_below", "does not clear the other choices of atime before"),
    ("crun", "mounts::no_mounts_at_all", "wants at least one, though the property is optional"),
    ("crun", "namespaces::time_offset_of_boottime", "writes the offsets too late for this kernel"),
    ("crun", "namespaces::time_offsets_without_a_time_namespace_are_an_error", "ignores them"),
    ("crun", "namespaces::mappings_without_a_user_namespace_are_an_error", "ignores them"),
    ("crun", "linux::device_of_an_unknown_type_is_an_error", "ignores it"),
    ("crun", "linux::rootfs_propagation_that_is_unknown_is_an_error", "ignores it"),
    ("crun", "linux::net_devices_are_moved_and_renamed", NEWER),
    ("crun", "linux::net_device_that_is_missing_is_an_error", NEWER),
    ("crun", "cgroups::cpuset_of_a_cpu_that_is_missing_is_an_error", LEFT),
    ("crun", "seccomp::notify_without_a_listener_is_an_error", "takes it"),
    ("crun", "hooks::startContainer_has_the_state_on_its_input", "says that the bundle is `/`"),
    ("crun", "hooks::all_six_run_in_order_and_each_list_too", "a race: poststart does not wait for startContainer"),
    ("crun", "hooks::start_container_that_fails_fails_start", "`start` does not wait for the hook"),
    ("crun", "hooks::hook_with_a_timeout_of_zero_is_an_error", "takes it as none"),
    ("crun", "errors::a_wrong_type", "ignores what has another type"),
    ("crun", "errors::a_wrong_type_deep_inside", "ignores what has another type"),
    ("crun", "errors::an_unknown_capability", "warns"),
    ("crun", "errors::a_relative_mount_destination", "takes it from the root"),
];

const NEWER: &str = "the property is newer than this release";
const POSTSTART: &str = "runs poststart at the end of `create`";
const LEFT: &str = "leaves the cgroups behind";
const PROPAGATION: &str = "does not set it on the mount";

/// Why `runtime` is known to fail at `behaviour`.
pub(crate) fn failure(runtime: &str, behaviour: &str) -> Option<&'static str> {
    FAILURES.iter().find(|(who, what, _)| (*who, *what) == (runtime, behaviour)).map(|(.., reason)| *reason)
}
