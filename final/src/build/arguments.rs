//! Variables: `ARG`, `ENV`, what the platform and the command line say. Source: Dockerfile reference, "ARG".

use std::collections::BTreeMap;
use step07_images::build::{Expander, Place, Problem};

/// Given on the command line, they are there in every `RUN`, and in no history and no cache key.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// Whether `name` is one of the predefined proxies.
pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|known| name == *known || name == known.to_ascii_uppercase())
}

/// The proxies of the command line.
pub(super) fn proxies(given: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    given.iter().filter(|(name, _)| is_proxy(name))
}

/// What a platform's arguments are: `TARGETARCH` and the like.
pub(super) fn of_platform(target: Option<&str>, stage: &str) -> BTreeMap<String, String> {
    let architecture = step07_images::ARCHITECTURE;
    let here = format!("linux/{architecture}");
    let target = target.unwrap_or(&here);
    let mut all = BTreeMap::from([("TARGETSTAGE".to_owned(), stage.to_owned())]);
    for (kind, platform) in [("TARGET", target), ("BUILD", &here)] {
        let mut parts = platform.split('/');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (os, architecture, variant) = (part(), part(), part());
        for (name, value) in
            [("PLATFORM", platform.to_owned()), ("OS", os), ("ARCH", architecture), ("VARIANT", variant)]
        {
            all.insert(format!("{kind}{name}"), value);
        }
    }
    all
}

/// The variables of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    /// `ARG`s in scope that have a value.
    pub(super) arguments: BTreeMap<String, String>,
}

impl Variables {
    /// Puts `env`, then arguments, then proxies into words.
    pub(super) fn expand<T>(
        &self,
        escape: char,
        env: &[String],
        given: &BTreeMap<String, String>,
        with: impl FnOnce(Expander<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let lookup = |name: &str| {
            let of_env = env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
            let proxy = || given.get(name).filter(|_| is_proxy(name)).cloned();
            of_env.or_else(|| self.arguments.get(name).cloned()).or_else(proxy)
        };
        with(Expander { escape, lookup: &lookup })
    }
}

/// What is wrong with a word, shown at it.
pub(super) fn at_word(place: &Place, word: &str, why: String) -> anyhow::Error {
    Problem::new(place, why).at(word.to_owned()).into()
}
