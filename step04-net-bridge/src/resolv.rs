//! The files of `/etc` that say who one is and whom to ask: text in, text out.

use std::fmt::Write;
use std::net::IpAddr;

/// Where the host says whom to ask, the likeliest first to be what works: a stub resolver's own list, then the usual file.
const FULL_LIST: &str = "/run/systemd/resolve/resolv.conf";
const USUAL: &str = "/etc/resolv.conf";

/// Whom to ask for names, and how. Source: resolv.conf(5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Who is asked, in this order.
    pub servers: Vec<IpAddr>,
    /// What is appended to short names.
    pub search: Vec<String>,
    /// `ndots:1`, `timeout:3`, …
    pub options: Vec<String>,
}

/// What the user chose in place of the host's (`--dns`, `--dns-search`, `--dns-option`); empty means nothing.
pub type Chosen = Resolver;

impl Resolver {
    /// Reads a resolv.conf; what is not understood is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let words_of = |words: std::str::SplitAsciiWhitespace<'_>| words.map(str::to_owned).collect();
            match words.next() {
                Some("nameserver") => resolver.servers.extend(words.next().and_then(server)),
                // The last line of these counts.
                Some("search" | "domain") => resolver.search = words_of(words),
                Some("options") => resolver.options.extend::<Vec<String>>(words_of(words)),
                _ => {}
            }
        }
        resolver
    }

    /// What a container can use of the host's: servers on the host's own loopback are out of its reach. Where there is nothing
    /// else, the list behind the stub resolver (`behind`) takes the place.
    // ANCHOR: reachable
    #[must_use]
    pub fn reachable(self, behind: Option<&str>) -> Self {
        let works = |server: &IpAddr| !server.is_loopback();
        if self.servers.iter().any(works) || behind.is_none() {
            return Self { servers: self.servers.into_iter().filter(works).collect(), ..self };
        }
        let behind = Self::parse(behind.unwrap_or_default());
        Self { servers: behind.servers.into_iter().filter(works).collect(), ..self }
    }
    // ANCHOR_END: reachable

    /// The host's, as a container can use it. No server is left where the host has only one on its loopback and nothing says
    /// what is behind it: then names need `--dns`.
    #[must_use]
    pub fn of_host() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        Self::parse(&read(USUAL).unwrap_or_default()).reachable(read(FULL_LIST).as_deref())
    }

    /// With what the user chose in the place of the host's, each part by itself.
    #[must_use]
    pub fn with(self, chosen: Chosen) -> Self {
        let or = |chosen: Vec<String>, own| if chosen.is_empty() { own } else { chosen };
        Self {
            servers: if chosen.servers.is_empty() { self.servers } else { chosen.servers },
            // docker: a single dot means no search at all.
            search: or(chosen.search, self.search).into_iter().filter(|domain| domain != ".").collect(),
            options: or(chosen.options, self.options),
        }
    }

    /// The text of `/etc/resolv.conf`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            let _to_a_string = writeln!(text, "nameserver {server}");
        }
        for (key, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                let _to_a_string = writeln!(text, "{key} {}", words.join(" "));
            }
        }
        text
    }
}

/// A link-local server has its link in its name, which means nothing inside.
fn server(word: &str) -> Option<IpAddr> {
    word.parse().ok()
}

/// The text of `/etc/hosts`: loopback, the container's own addresses and names, and what `--add-host` says.
#[must_use]
pub fn hosts(own: &[IpAddr], names: &[&str], added: &[(String, IpAddr)]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for (name, address) in added {
        let _to_a_string = writeln!(text, "{address}\t{name}");
    }
    for address in own {
        let _to_a_string = writeln!(text, "{address}\t{}", names.join(" "));
    }
    text
}

/// The text of `/etc/hostname`.
#[must_use]
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(resolver: &Resolver) -> Vec<String> {
        resolver.servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stub_resolver_is_replaced_by_what_is_behind_it() {
        let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";
        let resolver = Resolver::parse(stub).reachable(Some("nameserver 192.0.2.1\nnameserver 127.0.0.1\n"));
        assert_eq!(resolver.to_text(), "nameserver 192.0.2.1\nsearch lan\noptions edns0 trust-ad\n");
        assert!(Resolver::parse(stub).reachable(None).servers.is_empty());
    }

    #[test]
    fn servers_that_work_stay_as_they_are() {
        let text = "# a comment\nnameserver 192.0.2.7\nnameserver 127.0.0.1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n";
        assert_eq!(servers(&Resolver::parse(text).reachable(Some("nameserver 9.9.9.9"))), ["192.0.2.7", "2001:db8::1"]);
    }

    #[test]
    fn what_the_user_chose_takes_the_place_of_the_hosts() {
        let host = Resolver::parse("nameserver 192.0.2.7\nsearch a b\noptions x\n");
        let chosen = Chosen { servers: vec!["192.0.2.9".parse().unwrap()], search: vec![".".into()], options: vec![] };
        assert_eq!(host.with(chosen).to_text(), "nameserver 192.0.2.9\noptions x\n");
    }

    #[test]
    fn hosts_names_the_container_and_what_was_added() {
        let text = hosts(
            &["172.20.0.2".parse().unwrap()],
            &["web", "0123456789ab"],
            &[("db".into(), "192.0.2.1".parse().unwrap())],
        );
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"), "{text}");
        assert!(text.ends_with("192.0.2.1\tdb\n172.20.0.2\tweb 0123456789ab\n"), "{text}");
    }
}
