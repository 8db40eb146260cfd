//! Bad input: `create` says which field, ends with 1 and leaves nothing.

use crate::{Behaviour, behaviour};
use serde_json::{Value, json};
use std::fs;

pub(crate) fn all() -> Vec<Behaviour> {
    let refused = |name: &str, patch: Value, field: &'static str| {
        behaviour(name, move |case| {
            case.configure(patch.clone());
            case.assert_refused(field);
        })
    };
    vec![
        behaviour("broken_json", |case| {
            fs::write(case.bundle().join("config.json"), "{\"ociVersion\": ").unwrap();
            case.assert_refused("config.json");
        }),
        behaviour("no_configuration", |case| {
            fs::remove_file(case.bundle().join("config.json")).unwrap();
            case.assert_refused("config.json");
        }),
        refused("a_wrong_type", json!({"process": {"args": "true"}}), "process.args"),
        refused("a_wrong_type_deep_inside", json!({"process": {"user": {"uid": "root"}}}), "process.user.uid"),
        refused("no_version", json!({"ociVersion": null}), "ociVersion"),
        refused("a_version_of_another_world", json!({"ociVersion": "99.0.0"}), "ociVersion"),
        refused("no_root", json!({"root": null}), "root"),
        refused("a_root_that_is_missing", json!({"root": {"path": "nowhere"}}), "root.path"),
        refused("a_root_that_is_a_file", json!({"root": {"path": "config.json"}}), "root.path"),
        refused("no_program", json!({"process": {"args": []}}), "process.args"),
        refused(
            "an_unknown_capability",
            json!({"process": {"capabilities": {"bounding": ["CAP_DREAM"]}}}),
            "process.capabilities.bounding[0]",
        ),
        refused(
            "a_relative_mount_destination",
            json!({"mounts": [{"destination": "proc", "type": "proc", "source": "proc"}]}),
            "mounts[0].destination",
        ),
        refused(
            "a_mount_without_a_destination",
            json!({"mounts": [{"type": "proc", "source": "proc"}]}),
            "mounts[0].destination",
        ),
        refused(
            "a_mount_option_that_no_file_system_knows",
            json!({"mounts": [{"destination": "/m", "type": "tmpfs", "source": "t", "options": ["nonsense"]}]}),
            "mounts[0].options",
        ),
        refused("an_environment_without_a_name", json!({"process": {"env": ["=x"]}}), "process.env[0]"),
        refused("an_oom_score_out_of_range", json!({"process": {"oomScoreAdj": 5000}}), "process.oomScoreAdj"),
    ]
}
