//! Who may do what: a registry answers 401 and says how to prove it; what is proven goes with each further request.
//!
//! Source: RFC 9110, 11.6.1 (`WWW-Authenticate`); distribution, "Token Authentication Specification".

use super::settings::bare;

/// What a `WWW-Authenticate` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token, to be had at `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    /// Reads one header; the scheme's name for what is neither.
    pub(super) fn parse(header: &str) -> Result<Self, String> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic);
        }
        let parameters = parameters(rest);
        let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        match get("realm") {
            Some(realm) if scheme.eq_ignore_ascii_case("bearer") => Ok(Self::Bearer { realm, service: get("service") }),
            _ => Err(scheme.chars().filter(char::is_ascii_graphic).take(32).collect()),
        }
    }
}

/// `key="value",key=value`: a comma inside quotes is no end (`scope="repository:a:pull,push"`).
fn parameters(text: &str) -> Vec<(String, String)> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').map_or((after, ""), |(value, rest)| (value, rest)),
        };
        found.push((key.trim_matches([' ', ',']).to_ascii_lowercase(), value.trim().to_owned()));
        rest = after;
    }
    found
}

/// Whether the passwords of `registry` may go to `realm` (hosts with or without a port): the same host, one below it, or one
/// of the same domain, as `auth.docker.io` is of `registry-1.docker.io`.
///
/// A domain is what is left without the first label, when that are two labels at least and not of the kind `co.uk`.
pub(super) fn may_have_passwords(registry: &str, realm: &str) -> bool {
    let (registry, realm) = (bare(registry).to_ascii_lowercase(), bare(realm).to_ascii_lowercase());
    let is_below = |domain: &str| realm == domain || realm.ends_with(&format!(".{domain}"));
    if registry == realm {
        return true;
    }
    if registry.parse::<std::net::IpAddr>().is_ok() || !registry.contains('.') {
        return false;
    }
    let parent = registry.split_once('.').map(|(_, parent)| parent).filter(|parent| is_a_domain(parent));
    is_below(&registry) || parent.is_some_and(is_below)
}

fn is_a_domain(parent: &str) -> bool {
    const SHARED: [&str; 9] = ["ac", "co", "com", "edu", "gov", "net", "or", "org", "github"];
    match parent.split('.').collect::<Vec<_>>()[..] {
        [] | [_] => false,
        [first, _] => !SHARED.contains(&first),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push""#;
        let bearer = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
        };
        assert_eq!(Challenge::parse(hub), Ok(bearer));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Ok(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), Err("Negotiate".into()));
        assert_eq!(Challenge::parse("Bearer"), Err("Bearer".into()));
        for text in ["", "Bearer realm", "Bearer realm=\"", "=", "Bearer ,=,\"=", "Bearer realm=x,,"] {
            let _does_not_panic = Challenge::parse(text);
        }
    }

    #[test]
    fn passwords_stay_in_their_domain() {
        let good = [
            ("docker.io", "auth.docker.io"),
            ("registry.gitlab.com", "gitlab.com"),
            ("registry.school.example:5000", "login.school.example"),
            ("ghcr.io", "ghcr.io"),
            ("localhost:5000", "localhost:5001"),
        ];
        for (registry, realm) in good {
            assert!(may_have_passwords(registry, realm), "{registry} {realm}");
        }
        let bad = [
            ("docker.io", "evil.io"),
            ("docker.io", "notdocker.io"),
            ("registry.co.uk", "evil.co.uk"),
            ("localhost", "evil.localhost"),
            ("127.0.0.1:5000", "127.0.0.2:5000"),
            ("10.0.0.1", "9.10.0.0.1"),
        ];
        for (registry, realm) in bad {
            assert!(!may_have_passwords(registry, realm), "{registry} {realm}");
        }
    }
}
