//! What a start and an end mean for others: for the networks and volumes of the container.

use super::Notes;
use crate::container::Record;
use crate::network::{Mode, show};
use std::collections::BTreeMap;

impl Notes {
    /// A start: it is connected to its networks, its volumes are mounted, and then its program runs.
    #[must_use]
    pub(crate) fn and_start(self, record: &Record) -> Self {
        self.and_networks(record, "connect").and_volumes(record, "mount").and(record, "start", &[])
    }

    /// An end, after the program's own `die`.
    #[must_use]
    pub(crate) fn and_left(self, record: &Record) -> Self {
        self.and_networks(record, "disconnect").and_volumes(record, "unmount")
    }

    fn and_networks(mut self, record: &Record, action: &str) -> Self {
        if record.networking.mode == Mode::Bridge {
            for attachment in &record.networking.attachments {
                self = self.and_network(action, &attachment.network, None, Some(&record.id));
            }
        }
        self
    }

    /// One about a network; `id` is that of a user's.
    #[must_use]
    pub(crate) fn and_network(mut self, action: &str, name: &str, id: Option<&str>, container: Option<&str>) -> Self {
        let id = id.map(str::to_owned).or_else(|| show::builtin_id(name)).unwrap_or_else(|| name.to_owned());
        let mut attributes = pairs(&[("name", name), ("type", "bridge")]);
        attributes.extend(container.map(|id| ("container".to_owned(), id.to_owned())));
        self.add("network", action, &id, attributes);
        self
    }

    fn and_volumes(mut self, record: &Record, action: &str) -> Self {
        for mount in &record.mounts {
            let Some(name) = &mount.name else { continue };
            let mut attributes = pairs(&[("container", &record.id), ("driver", "local")]);
            if action == "mount" {
                let destination = mount.destination.display().to_string();
                let writable = mount.writable.to_string();
                let more = [("destination", destination.as_str()), ("propagation", &mount.propagation)];
                attributes.extend(pairs(&more));
                attributes.insert("read/write".to_owned(), writable);
            }
            self.add("volume", action, name, attributes);
        }
        self
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
