//! `--ulimit`: the limits of one process. Source: getrlimit(2).

use crate::Error;
use nix::sys::resource::{RLIM_INFINITY, Resource, rlim_t, setrlimit};
use std::ffi::CStr;
use sys::{Failure, Whilst};

/// Limits that are ready for the child.
#[derive(Debug, Clone, Default)]
pub struct Limits(Vec<Limit>);

#[derive(Debug, Clone, Copy)]
struct Limit {
    name: &'static CStr,
    resource: Resource,
    soft: rlim_t,
    hard: rlim_t,
}

/// Docker's names; OCI's are the same with `RLIMIT_` before.
const RESOURCES: [(&CStr, Resource); 16] = [
    (c"as", Resource::RLIMIT_AS),
    (c"core", Resource::RLIMIT_CORE),
    (c"cpu", Resource::RLIMIT_CPU),
    (c"data", Resource::RLIMIT_DATA),
    (c"fsize", Resource::RLIMIT_FSIZE),
    (c"locks", Resource::RLIMIT_LOCKS),
    (c"memlock", Resource::RLIMIT_MEMLOCK),
    (c"msgqueue", Resource::RLIMIT_MSGQUEUE),
    (c"nice", Resource::RLIMIT_NICE),
    (c"nofile", Resource::RLIMIT_NOFILE),
    (c"nproc", Resource::RLIMIT_NPROC),
    (c"rss", Resource::RLIMIT_RSS),
    (c"rtprio", Resource::RLIMIT_RTPRIO),
    (c"rttime", Resource::RLIMIT_RTTIME),
    (c"sigpending", Resource::RLIMIT_SIGPENDING),
    (c"stack", Resource::RLIMIT_STACK),
];

impl Limits {
    /// Adds `NAME=SOFT[:HARD]`, docker's `--ulimit`; `-1` is no limit. A later one of the same name counts.
    ///
    /// # Errors
    /// [`Error::Limit`], also for a soft limit above the hard one.
    pub fn parse(&mut self, text: &str) -> Result<(), Error> {
        let refused = || Error::Limit(text.to_owned());
        let (name, values) = text.split_once('=').ok_or_else(refused)?;
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let value = |text: &str| match text {
            "-1" | "unlimited" => Some(RLIM_INFINITY),
            number => number.parse().ok(),
        };
        let (soft, hard) = (value(soft).ok_or_else(refused)?, value(hard).ok_or_else(refused)?);
        self.add(name, soft, hard).map_err(|_| refused())
    }

    /// Adds a limit by its name (`nofile`, `RLIMIT_NOFILE`); `u64::MAX` is no limit.
    ///
    /// # Errors
    /// [`Error::Limit`] for an unknown name, and for a soft limit above the hard one.
    pub fn add(&mut self, name: &str, soft: u64, hard: u64) -> Result<(), Error> {
        let wanted = name.strip_prefix("RLIMIT_").unwrap_or(name).to_ascii_lowercase();
        let found = RESOURCES.iter().find(|(name, _)| name.to_bytes() == wanted.as_bytes());
        match found {
            Some((name, resource)) if soft <= hard => {
                self.0.retain(|limit| limit.name != *name);
                self.0.push(Limit { name, resource: *resource, soft, hard });
                Ok(())
            }
            _ => Err(Error::Limit(name.to_owned())),
        }
    }

    /// Each by docker's name, with soft and hard value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        self.0.iter().map(|limit| (limit.name.to_str().unwrap_or_default(), limit.soft, limit.hard))
    }

    /// Sets them for this process and its children. Child half, while it is still root: a hard limit goes up only with
    /// CAP_SYS_RESOURCE.
    ///
    /// # Errors
    /// EPERM for a hard limit that goes up. Source: setrlimit(2).
    #[deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros)]
    #[deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    pub fn enter(&self) -> Result<(), Failure<'_>> {
        for limit in &self.0 {
            setrlimit(limit.resource, limit.soft, limit.hard).whilst("set the limit", limit.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_dockers() {
        let mut limits = Limits::default();
        for good in ["nofile=1024", "nofile=1024:4096", "core=0", "memlock=-1:-1", "nproc=3:unlimited"] {
            limits.parse(good).unwrap();
        }
        assert_eq!(limits.0.len(), 4);
        assert_eq!((limits.0[0].soft, limits.0[0].hard), (1024, 4096));
        for bad in ["nofile", "files=1", "nofile=2:1", "nofile=-1:5", "nofile=", "nofile=1:2:3", "=1", "nofile=0x10"] {
            assert!(matches!(limits.parse(bad), Err(Error::Limit(text)) if text == bad), "{bad}");
        }
    }
}
