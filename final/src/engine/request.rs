//! What `run` and `create` are asked for, and what the record keeps of it.

use crate::container::{Asked, AskedPrivileges};
use crate::network::{self, Networking};
use crate::spec::{Arguments, Security};
use crate::upkeep::Upkeep;
use crate::volumes::VolumeRequest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use step03_mount_overlay::Mount;
use step07_images::Image;

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

/// What the record keeps of it; nothing of the default.
pub(super) fn privileges(security: &Security) -> Option<AskedPrivileges> {
    let Security { cap_add, cap_drop, privileged, options, groups, .. } = security;
    let default = [cap_add, cap_drop, options, groups].iter().all(|words| words.is_empty()) && !privileged;
    let asked = || AskedPrivileges {
        cap_add: cap_add.clone(),
        cap_drop: cap_drop.clone(),
        privileged: *privileged,
        options: options.clone(),
        groups: groups.clone(),
    };
    (!default).then(asked)
}

/// What the record says of the request and the image, for those who ask later.
pub(super) fn asked(request: &RunRequest, image: &Image) -> Asked {
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

pub(super) fn hostname(request: &RunRequest, id: &str) -> String {
    let short = || id.chars().take(12).collect();
    let of_host = request.networking.has_the_hosts_name().then(network::files::of_host);
    request.hostname.clone().or(of_host).unwrap_or_else(short)
}

/// What was asked for, and what the image adds to it.
pub(super) fn networking(request: &RunRequest, image: &Image) -> Networking {
    let mut networking = request.networking.clone();
    let exposed = image.config.config().as_ref().and_then(|config| config.exposed_ports().clone());
    networking.expose.extend(exposed.unwrap_or_default());
    if networking.publish_all {
        network::publish_all(&mut networking);
    }
    networking
}
