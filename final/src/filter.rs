//! `--filter KEY=VALUE`: several values of one key are alternatives, several keys must all match, as docker has it.

use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::network::show::{Ports, all_networks, all_ports};
use crate::report::Refusal;
use anyhow::Result;
use jiff::{Timestamp, ToSpan};
use regex_lite::Regex;
use std::collections::{BTreeMap, HashSet};
use step04_net_bridge::{PortSpec, Protocol};

/// What containers can be asked for. Source: docker's reference, `ps`, "Filtering".
pub const OF_CONTAINERS: [&str; 14] = [
    "id", "name", "label", "exited", "status", "ancestor", "before", "since", "volume", "network", "publish", "expose",
    "health", "is-task",
];

/// The filters of one command.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    values: BTreeMap<String, Vec<String>>,
}

impl Filters {
    /// Reads them; `known` are the keys that the command has.
    ///
    /// # Errors
    /// [`Refusal`] for another key, or what is no filter.
    pub fn parse(texts: &[String], known: &[&str]) -> Result<Self> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in texts {
            let Some((key, value)) = text.split_once('=') else {
                let refusal =
                    Refusal::new(format!("invalid filter `{text}`: bad format of filter (expected name=value)"));
                return Err(refusal.code(1).into());
            };
            let key = key.trim().to_lowercase();
            if !known.contains(&key.as_str()) {
                let refusal = Refusal::new(format!("invalid filter `{key}`"));
                return Err(refusal.help(format!("the filters are: {}", known.join(", "))).code(1).into());
            }
            values.entry(key).or_default().push(value.trim().to_owned());
        }
        Ok(Self { values })
    }

    /// Whether there is one with this key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The values of a key.
    #[must_use]
    pub fn of(&self, key: &str) -> &[String] {
        self.values.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a key is not asked for, or one of its values passes `test`.
    pub fn any(&self, key: &str, test: impl FnMut(&String) -> bool) -> bool {
        !self.has(key) || self.of(key).iter().any(test)
    }

    /// Whether all the `label` filters match, and none of `label!`.
    #[must_use]
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|other| other == value),
            None => labels.contains_key(wanted),
        };
        self.of("label").iter().all(has) && !self.of("label!").iter().any(has)
    }

    /// A yes or no, such as of `dangling=true`.
    ///
    /// # Errors
    /// [`Refusal`] for another word.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(text) = self.of(key).first() else { return Ok(None) };
        match text.as_str() {
            "1" | "t" | "true" | "True" | "TRUE" => Ok(Some(true)),
            "0" | "f" | "false" | "False" | "FALSE" => Ok(Some(false)),
            _ => Err(Refusal::new(format!("invalid filter `{key}={text}`")).help("write true or false").code(1).into()),
        }
    }

    /// The moment that `until=` names: a time stamp, seconds since 1970, or how long ago (`10m`, `24h`).
    ///
    /// # Errors
    /// [`Refusal`] for what is no time.
    pub fn until(&self) -> Result<Option<Timestamp>> {
        self.of("until").first().map(|text| moment(text)).transpose()
    }
}

fn moment(text: &str) -> Result<Timestamp> {
    let now = Timestamp::now();
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(Timestamp::from_second(seconds)?);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<jiff::civil::DateTime>() {
        return Ok(date.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp());
    }
    let mut total = 0_i64;
    let mut digits = String::new();
    for character in text.chars() {
        let unit = match character {
            '0'..='9' => {
                digits.push(character);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => 0,
        };
        let number: Option<i64> = std::mem::take(&mut digits).parse().ok().filter(|_| unit > 0);
        let Some(number) = number else {
            return Err(Refusal::new(format!("`{text}` is no time"))
                .help("write 10m, 24h or a time stamp")
                .code(1)
                .into());
        };
        total += number.saturating_mul(unit);
    }
    Ok(now.checked_sub(total.seconds())?)
}

/// A test of containers by all the filters. `before` and `since` have to name containers.
///
/// # Errors
/// [`Refusal`] for a value that cannot be.
pub fn of_containers(
    engine: &Engine,
    filters: &Filters,
    all: &[Container],
) -> Result<impl Fn(&Container) -> bool + use<>> {
    let created = |key: &str| -> Result<Option<Timestamp>> {
        let Some(reference) = filters.of(key).first() else { return Ok(None) };
        let id = crate::container::find_id(engine.dirs(), reference)?;
        Ok(all.iter().find(|container| container.record.id == id).map(|container| container.record.created))
    };
    let (before, since) = (created("before")?, created("since")?);
    let ancestors: HashSet<String> =
        filters.of("ancestor").iter().flat_map(|image| descendants(engine, image)).collect();
    check_values(filters)?;
    let names = filters.of("name").iter().map(|text| pattern(text)).collect::<Result<Vec<Regex>>>()?;
    let ports = if filters.has("publish") || filters.has("expose") { all_ports(engine.dirs()) } else { Ports::new() };
    let network_ids = if filters.has("network") { network_ids(engine)? } else { BTreeMap::new() };
    let filters = filters.clone();
    Ok(move |container: &Container| {
        let Container { record, status, health } = container;
        let mounted = |wanted: &String| {
            let is = |mount: &crate::volumes::MountPoint| {
                mount.name.as_ref() == Some(wanted) || mount.destination.as_os_str() == wanted.as_str()
            };
            record.mounts.iter().any(is)
        };
        let in_network = |wanted: &String| {
            let is = |name: &String| name == wanted || Some(wanted) == network_ids.get(name);
            record.networking.names().iter().any(is)
        };
        let of_container = ports.get(&record.id).map(Vec::as_slice).unwrap_or_default();
        let published =
            |wanted: &String| of_container.iter().any(|port| is_port(wanted, port.port.number, port.port.protocol));
        let exposed = |wanted: &String| {
            let exposes = |words: &String| words.parse().is_ok_and(|port| overlap(wanted, &port));
            record.networking.expose.iter().any(exposes)
                || of_container.iter().any(|port| is_port(wanted, port.container_port, port.port.protocol))
        };
        filters.any("id", |wanted| record.id.starts_with(wanted.as_str()))
            && (names.is_empty() || names.iter().any(|pattern| matches_name(pattern, &record.name)))
            && filters.labels(&record.asked.labels)
            && filters.any("status", |wanted| wanted == status.word())
            && filters.any("exited", |code| matches!(status, Status::Exited(exit) if exit.code.to_string() == *code))
            && (!filters.has("ancestor") || ancestors.contains(&record.image_id))
            && before.is_none_or(|time| record.created < time)
            && since.is_none_or(|time| record.created > time)
            && filters.any("volume", mounted)
            && filters.any("network", in_network)
            && filters.any("health", |wanted| wanted == health.as_ref().map_or("none", |health| health.status.as_str()))
            && filters.any("is-task", |wanted| wanted == "false")
            && filters.any("publish", published)
            && filters.any("expose", exposed)
    })
}

/// The ids of networks by their names.
fn network_ids(engine: &Engine) -> Result<BTreeMap<String, String>> {
    let text = |network: &serde_json::Value, field: &str| network[field].as_str().unwrap_or_default().to_owned();
    let all = all_networks(engine.dirs())?;
    Ok(all.iter().map(|network| (text(network, "Name"), text(network, "Id"))).collect())
}

/// Whether a filter's `PORT[-PORT][/PROTOCOL]` means this port.
fn is_port(wanted: &str, number: u16, protocol: Protocol) -> bool {
    wanted.parse::<PortSpec>().is_ok_and(|wanted| wanted.container.contains(&number) && wanted.protocol == protocol)
}

fn overlap(wanted: &str, port: &PortSpec) -> bool {
    port.container.clone().any(|number| is_port(wanted, number, port.protocol))
}

fn check_values(filters: &Filters) -> Result<()> {
    const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
    let refused = |what: String, help: String| Err(Refusal::new(what).help(help).code(1).into());
    if let Some(wrong) = filters.of("status").iter().find(|state| !STATES.contains(&state.as_str())) {
        return refused(format!("invalid filter `status={wrong}`"), format!("the states are: {}", STATES.join(", ")));
    }
    if let Some(wrong) = filters.of("exited").iter().find(|code| code.parse::<i32>().is_err()) {
        return refused(format!("invalid filter `exited={wrong}`"), "write the exit code as a number".to_owned());
    }
    for key in ["publish", "expose"] {
        if let Some(wrong) = filters.of(key).iter().find(|port| port.parse::<PortSpec>().is_err()) {
            return refused(format!("invalid filter `{key}={wrong}`"), "write 80, 80/udp or 8000-8080".to_owned());
        }
    }
    const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];
    if let Some(wrong) = filters.of("health").iter().find(|health| !HEALTH.contains(&health.as_str())) {
        return refused(format!("invalid filter `health={wrong}`"), format!("they are: {}", HEALTH.join(", ")));
    }
    Ok(())
}

/// docker's names begin with a slash, and a pattern may or may not: either form may match.
fn matches_name(pattern: &Regex, name: &str) -> bool {
    pattern.is_match(name) || pattern.is_match(&format!("/{name}"))
}

fn pattern(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|error| {
        let what = format!("invalid filter `name={text}`: {error}");
        Refusal::new(what).help("it is a regular expression, such as `^web` or `web-[0-9]+`").code(1).into()
    })
}

/// The ids of an image and of all that are built on it: whose layers begin with its.
fn descendants(engine: &Engine, reference: &str) -> Vec<String> {
    let Ok(ancestor) = engine.store().resolve(reference) else { return Vec::new() };
    let diff_ids = ancestor.config.rootfs().diff_ids();
    let images = engine.store().list().unwrap_or_default();
    let built_on = images.iter().filter(|image| image.config.rootfs().diff_ids().starts_with(diff_ids));
    built_on.map(|image| image.id.to_string()).chain([ancestor.id.to_string()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Result<Filters> {
        Filters::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), &["name", "label", "until"])
    }

    #[test]
    fn filters_are_known_pairs() {
        assert!(filters(&["name=a", "label=x"]).is_ok());
        assert!(filters(&["name"]).is_err() && filters(&["colour=red"]).is_err());
    }

    #[test]
    fn labels_match_all() {
        let labels = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())].into();
        for (wanted, expected) in [(&["label=a"][..], true), (&["label=a=1", "label=b"], true), (&["label=a=2"], false)]
        {
            assert_eq!(filters(wanted).expect("filters").labels(&labels), expected, "{wanted:?}");
        }
    }

    #[test]
    fn names_match_in_part() {
        let cases =
            [("eb", true), ("^web$", true), ("^/web$", true), ("^eb", false), ("x", false), ("^(web|db)$", true)];
        for (wanted, expected) in cases {
            assert_eq!(matches_name(&pattern(wanted).expect("a pattern"), "web"), expected, "{wanted}");
        }
        assert!(pattern("(").is_err());
    }

    #[test]
    fn a_time_is_a_stamp_or_ago() {
        for good in ["10m", "1h30m", "1700000000", "2024-01-02T03:04:05Z", "2024-01-02"] {
            assert!(moment(good).is_ok(), "{good}");
        }
        assert!(moment("soon").is_err() && moment("1y").is_err());
    }
}
