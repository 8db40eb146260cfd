//! What is mounted in a container: what every one has, what goes with its network, what was asked for.

use super::{Engine, RunRequest};
use crate::network;
use crate::users;
use crate::volumes::MountPoint;
use std::path::Path;
use step03_mount_overlay::{Mount, Setting, defaults};

impl Engine {
    /// Everything that is mounted in a container of `request`, as far as it does not depend on its id.
    pub(crate) fn mounts_of(&self, request: &RunRequest) -> Vec<Mount> {
        self.mounts(request, &[], "")
    }

    pub(super) fn mounts(&self, request: &RunRequest, points: &[MountPoint], id: &str) -> Vec<Mount> {
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

/// POSIX shared memory is files in `/dev/shm`: in the host's IPC namespace they are the host's.
fn share_memory_with_the_host(mounts: &mut [Mount]) {
    for mount in mounts.iter_mut().filter(|mount| mount.destination == Path::new("/dev/shm")) {
        let options = ["rbind", "nosuid", "noexec", "nodev"].map(str::to_owned).to_vec();
        *mount = Mount { fs_type: "bind".into(), source: "/dev/shm".into(), options, ..mount.clone() };
    }
}
