//! What can go wrong with a registry. Each lie, detour and delay has words of its own.

use std::path::PathBuf;

/// An error of talking to a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message beside each field says what it holds")]
pub enum Error {
    #[error("cannot reach the registry `{host}`: {why}")]
    Unreachable { host: String, why: String },
    #[error("the connection to the registry `{host}` was lost: {why}")]
    Lost { host: String, why: String },
    #[error("the registry `{host}` cannot be trusted: {why}")]
    Tls { host: String, why: String },
    #[error("the registry `{host}` cannot be trusted: its certificate is an authority's own, not a server's")]
    Authority { host: String },
    #[error("the registry `{host}` speaks plain HTTP, and is not allowed to")]
    PlainHttp { host: String },
    #[error("{what}: no answer for {seconds} s")]
    Silent { what: String, seconds: u64 },
    #[error("{what}: fewer than {slowest} bytes a second arrive")]
    TooSlow { what: String, slowest: u64 },
    #[error("{what}: the connection was cut after {got} of {size} bytes, {tries} times in a row")]
    Cut { what: String, got: u64, size: u64, tries: u32 },
    #[error("{action} access denied for {repository}, repository does not exist or may require `tara login {host}`")]
    Denied { action: &'static str, repository: String, host: String },
    #[error("login to {host} failed: unauthorized: {why}")]
    WrongPassword { host: String, why: String },
    #[error("manifest for {reference} not found: manifest unknown")]
    NoManifest { reference: String },
    #[error("{what}: not found at the registry `{host}`")]
    NotFound { what: String, host: String },
    #[error("{what}: the registry `{host}` answers {status}{}", reason(message))]
    Status { what: String, host: String, status: u16, message: String },
    #[error("{what}: the registry `{host}` answers nonsense: {why}")]
    Nonsense { what: String, host: String, why: String },
    #[error("{what}: more than {limit} bytes, which no honest registry sends")]
    TooLarge { what: String, limit: u64 },
    #[error("{what}: the registry `{host}` leads on to `{to}`, which is not http: refused")]
    RedirectScheme { what: String, host: String, to: String },
    #[error("{what}: the registry `{host}` leads from https to plain http `{to}`: refused")]
    RedirectDown { what: String, host: String, to: String },
    #[error("{what}: the registry `{host}` leads in a circle, over `{to}`")]
    RedirectLoop { what: String, host: String, to: String },
    #[error("{what}: the registry `{host}` leads on more than {limit} times")]
    RedirectMost { what: String, host: String, limit: usize },
    #[error("cannot fetch `{url}`: {why}")]
    Fetch { url: String, why: String },
    #[error("write what comes from `{url}`: {}", crate::error::describe(error))]
    Write { url: String, error: std::io::Error },
    #[error("the registry `{host}` sends its users to `{realm}` for tokens, which is no https address: refused")]
    RealmScheme { host: String, realm: String },
    #[error("the registry `{host}` asks for its password to be sent to `{realm}`: refused")]
    RealmElsewhere { host: String, realm: String },
    #[error("the registry `{host}` wants authentication of the kind `{scheme}`, which is not supported")]
    Scheme { host: String, scheme: String },
    #[error("the credential helper `{helper}` failed: {why}")]
    Helper { helper: String, why: String },
    #[error("`{}`: {why}", path.display())]
    Settings { path: PathBuf, why: String },
    #[error("the registry `{host}` has no catalogue to search")]
    NoCatalogue { host: String },
}

fn reason(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl Error {
    /// What the user can do about it; `None` when there is nothing but to read the message.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable { .. } => "is the name right, and the network there? `tara run demo` needs none",
            Self::Tls { .. } => {
                "put its authority's certificate into `/etc/tara/certs.d/HOST/ca.crt`, or name it `insecure` in \
                 `/etc/tara/registries.toml`"
            }
            Self::Authority { .. } => {
                "make the server a certificate with `openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`"
            }
            Self::PlainHttp { .. } => "if you trust the network, name it `insecure` in `/etc/tara/registries.toml`",
            Self::Lost { .. } | Self::Silent { .. } | Self::TooSlow { .. } | Self::Cut { .. } => {
                "try again: what has arrived is kept, and the rest is asked for"
            }
            Self::WrongPassword { .. } => "check the user's name and password",
            Self::RealmElsewhere { .. } => {
                "if that address belongs to this registry, name it in `auth-hosts` of `/etc/tara/registries.toml`"
            }
            Self::TooLarge { .. }
            | Self::RedirectScheme { .. }
            | Self::RedirectDown { .. }
            | Self::RedirectLoop { .. }
            | Self::RedirectMost { .. }
            | Self::RealmScheme { .. } => "this registry is broken or hostile: do not use it",
            _ => return None,
        })
    }
}
