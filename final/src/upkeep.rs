//! What is done for a container while it lives: how its log is kept, when it is started again, how it is asked to end, how its
//! health is looked after. Part of its record.

use crate::report::Refusal;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upkeep {
    /// When it is started again.
    pub restart: RestartPolicy,
    /// How its output is kept.
    pub log: LogSettings,
    /// The signal that asks it to end, in place of the image's.
    pub stop_signal: Option<String>,
    /// Seconds from there to SIGKILL; `None` is 10.
    pub stop_timeout: Option<u32>,
    /// How to find out whether it does its work.
    pub health: Option<HealthCheck>,
    /// How often its restart policy has started it again.
    pub restarts: u32,
    /// Whether somebody has stopped it: `unless-stopped` leaves it alone then.
    pub stopped_by_hand: bool,
}

impl Upkeep {
    /// With the image's health check where none was given; a check of `NONE` is none.
    #[must_use]
    pub(crate) fn with_image(mut self, check: Option<HealthCheck>) -> Self {
        self.health = self.health.or(check).filter(|check| !check.command().is_empty());
        self
    }
}

/// When a container is started again by itself. Source: docker's reference, "Restart policies".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When its exit code is not 0, at most so often in a row (0: without a limit).
    OnFailure(u32),
    /// Whenever it ends, and after a reboot even when it was stopped before.
    Always,
    /// Whenever it ends by itself.
    UnlessStopped,
}

impl RestartPolicy {
    /// Whether a container that has ended with `code`, and was started again `restarts` times in a row, is started again.
    #[must_use]
    pub fn applies(self, code: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure(limit) => code != 0 && (limit == 0 || restarts < limit),
            Self::Always | Self::UnlessStopped => true,
        }
    }

    /// Whether it is started after a reboot.
    #[must_use]
    pub fn starts_at_boot(self, stopped_by_hand: bool) -> bool {
        matches!(self, Self::Always) || (matches!(self, Self::UnlessStopped) && !stopped_by_hand)
    }

    /// docker's word without the number.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// docker's `MaximumRetryCount`.
    #[must_use]
    pub fn limit(self) -> u32 {
        if let Self::OnFailure(limit) = self { limit } else { 0 }
    }
}

impl FromStr for RestartPolicy {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            Refusal::new(format!("`{text}` is no restart policy"))
                .help("write no, on-failure, on-failure:N, always or unless-stopped")
        };
        match text.split_once(':') {
            None if text == "no" || text.is_empty() => Ok(Self::No),
            None if text == "on-failure" => Ok(Self::OnFailure(0)),
            None if text == "always" => Ok(Self::Always),
            None if text == "unless-stopped" => Ok(Self::UnlessStopped),
            Some(("on-failure", limit)) => Ok(Self::OnFailure(limit.parse().map_err(|_| refused())?)),
            _ => Err(refused().into()),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure(limit @ 1..) => write!(f, "on-failure:{limit}"),
            other => f.write_str(other.name()),
        }
    }
}

/// How long a restart waits: 100 ms, doubled each time up to a minute; after 10 s of running it begins anew.
#[derive(Debug)]
pub struct BackOff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
/// After a program has run for so long, the next restart waits as the first one did.
pub const GOOD_RUN: Duration = Duration::from_secs(10);

impl Default for BackOff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl BackOff {
    /// How long to wait after a program that ran for `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= GOOD_RUN {
            self.next = FIRST;
        }
        let now = self.next;
        self.next = (now * 2).min(LONGEST);
        now
    }
}

/// How output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSettings {
    /// Whether it is kept at all (`--log-driver none`).
    pub keep: bool,
    /// The most bytes of one file; `None` is no limit.
    pub max_size: Option<u64>,
    /// The most files.
    pub max_file: u32,
}

impl Default for LogSettings {
    /// 3 files of 10 MB: docker has no limit of its own, and so fills disks; its documentation advises this.
    fn default() -> Self {
        Self { keep: true, max_size: Some(10_000_000), max_file: 3 }
    }
}

impl LogSettings {
    /// docker's words: a driver, and options `NAME=VALUE`.
    ///
    /// # Errors
    /// [`Refusal`] for what is unknown.
    pub fn parse(driver: &str, options: &[String]) -> Result<Self> {
        let keep = match driver {
            "json-file" | "local" => true,
            "none" => false,
            _ => {
                let refusal = Refusal::new(format!("the log driver `{driver}` is unknown"));
                return Err(refusal.help("json-file and none are there").into());
            }
        };
        let mut settings = Self { keep, ..Self::default() };
        for option in options {
            let refused = || {
                let help = "write max-size=10m or max-file=3; max-size=-1 is no limit";
                anyhow::Error::from(Refusal::new(format!("`--log-opt {option}`")).help(help))
            };
            match option.split_once('=').ok_or_else(refused)? {
                ("max-size", "-1") => settings.max_size = None,
                ("max-size", size) => settings.max_size = Some(bytes(size).ok_or_else(refused)?),
                ("max-file", count) => {
                    settings.max_file = count.parse().ok().filter(|count| *count > 0).ok_or_else(refused)?;
                }
                _ => return Err(refused()),
            }
        }
        Ok(settings)
    }
}

/// `10m`: docker reads sizes of logs in decimal units.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match lower.get(digits.len()..)? {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|size| *size > 0)
}

/// How to find out whether a container does its work. Source: docker's reference, "HEALTHCHECK"; times in nanoseconds in
/// images, here [`Duration`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `CMD` and a program with its arguments, or `CMD-SHELL` and a line for the shell.
    pub test: Vec<String>,
    /// From the end of one check to the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// In the beginning failures do not count for so long.
    pub start_period: Duration,
    /// From check to check in that time.
    pub start_interval: Duration,
    /// So many failures in a row make it unhealthy.
    pub retries: u32,
}

impl Default for HealthCheck {
    /// docker's defaults.
    fn default() -> Self {
        Self {
            test: Vec::new(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
            retries: 3,
        }
    }
}

impl HealthCheck {
    /// docker's `Healthcheck` in an image's configuration: times in nanoseconds, 0 for the default.
    #[must_use]
    pub fn of_image(config: &[u8]) -> Option<Self> {
        let config: serde_json::Value = serde_json::from_slice(config).ok()?;
        let found = config.get("config")?.get("Healthcheck")?;
        let test: Vec<String> = serde_json::from_value(found.get("Test")?.clone()).ok()?;
        let default = Self::default();
        let number = |name: &str| found.get(name).and_then(serde_json::Value::as_u64).filter(|number| *number > 0);
        let time = |name: &str, default| number(name).map_or(default, Duration::from_nanos);
        Some(Self {
            test,
            interval: time("Interval", default.interval),
            timeout: time("Timeout", default.timeout),
            start_period: time("StartPeriod", default.start_period),
            start_interval: time("StartInterval", default.start_interval),
            retries: number("Retries").and_then(|number| number.try_into().ok()).unwrap_or(default.retries),
        })
    }

    /// The program with its arguments.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        match self.test.split_first() {
            Some((kind, line)) if kind == "CMD-SHELL" => {
                ["/bin/sh", "-c"].into_iter().map(str::to_owned).chain([line.join(" ")]).collect()
            }
            Some((kind, program)) if kind == "CMD" => program.to_vec(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_dockers_words() {
        for word in ["no", "on-failure", "on-failure:3", "always", "unless-stopped"] {
            assert_eq!(word.parse::<RestartPolicy>().unwrap().to_string(), word);
        }
        assert!("on-failure:x".parse::<RestartPolicy>().is_err() && "never".parse::<RestartPolicy>().is_err());
        assert!(RestartPolicy::OnFailure(2).applies(1, 1) && !RestartPolicy::OnFailure(2).applies(1, 2));
        assert!(!RestartPolicy::OnFailure(0).applies(0, 0) && RestartPolicy::Always.applies(0, 1000));
    }

    #[test]
    fn the_back_off_doubles_to_a_minute_and_begins_anew() {
        let (mut back_off, short) = (BackOff::default(), Duration::from_secs(1));
        let waits: Vec<u128> = (0..12).map(|_| back_off.after(short).as_millis()).collect();
        assert_eq!(waits[..4], [100, 200, 400, 800]);
        assert_eq!(waits[10..], [60_000, 60_000]);
        assert_eq!(back_off.after(GOOD_RUN).as_millis(), 100);
    }

    #[test]
    fn log_options_are_dockers() {
        let options = ["max-size=1m".to_owned(), "max-file=5".to_owned()];
        let settings = LogSettings::parse("json-file", &options).unwrap();
        assert_eq!((settings.max_size, settings.max_file), (Some(1_000_000), 5));
        assert!(LogSettings::parse("syslog", &[]).is_err() && LogSettings::parse("none", &["a=b".to_owned()]).is_err());
    }
}
