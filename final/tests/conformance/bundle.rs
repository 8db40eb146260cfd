//! The configuration that tests start from: what containerd would send, without what only some tests need.

use serde_json::{Value, json};

/// A container with namespaces of its own, docker's capabilities, and a cgroup below `parent`.
pub(crate) fn config(parent: &str, id: &str) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/bin:/sbin:/usr/bin"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities(), "effective": capabilities(), "permitted": capabilities()},
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": format!("{parent}/{id}"),
            "namespaces": namespaces(&["pid", "ipc", "uts", "mount", "network"]),
        },
    })
}

/// New namespaces of these types.
pub(crate) fn namespaces(types: &[&str]) -> Value {
    types.iter().map(|name| json!({"type": name})).collect()
}

fn mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ])
}

/// Those that docker leaves to a container.
fn capabilities() -> Value {
    json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE"
    ])
}

/// Changes `target` as RFC 7386 says: objects are merged, null removes, everything else replaces.
pub(crate) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in changes {
        if change.is_null() {
            target.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut target[&key], change);
        }
    }
}
