//! What is done for a container while it lives: restart policy, log, health check, how it is stopped; and how we take part.

use crate::attach::frame::Wish;
use crate::attach::{DetachKeys, Session};
use crate::lifecycle::parse_signal;
use crate::report::Refusal;
use crate::upkeep::{HealthCheck, LogSettings, RestartPolicy, Upkeep};
use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};
use jiff::SignedDuration;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What the engine does for the container while it lives.
#[derive(Debug, Args)]
#[command(next_help_heading = "While it lives")]
pub(crate) struct SupervisionOptions {
    /// Start it again when it ends: `no`, `on-failure[:N]`, `always`, `unless-stopped`.
    #[arg(long, value_name = "POLICY", default_value = "no")]
    restart: String,
    /// How its output is kept: json-file or none.
    #[arg(long, value_name = "DRIVER", default_value = "json-file")]
    log_driver: String,
    /// max-size=SIZE of a log file (10m), max-file=N of them (3).
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
    /// The signal that asks it to end.
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds from there until it is killed.
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<u32>,
    /// Look after its health with this line for its shell.
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time from one check to the next (30s).
    #[arg(long, value_name = "TIME", value_parser = time)]
    health_interval: Option<Duration>,
    /// How long a check may take (30s).
    #[arg(long, value_name = "TIME", value_parser = time)]
    health_timeout: Option<Duration>,
    /// For so long after the start failures do not count (0s).
    #[arg(long, value_name = "TIME", value_parser = time)]
    health_start_period: Option<Duration>,
    /// Time from check to check in the start period (5s).
    #[arg(long, value_name = "TIME", value_parser = time)]
    health_start_interval: Option<Duration>,
    /// So many failures in a row make it unhealthy (3).
    #[arg(long, value_name = "N")]
    health_retries: Option<u32>,
    /// Leave out the image's health check.
    #[arg(long)]
    no_healthcheck: bool,
    /// Write the container's id to this new file.
    #[arg(long, value_name = "FILE")]
    cidfile: Option<PathBuf>,
}

/// How this command takes part in the container.
#[derive(Debug, Args)]
#[command(next_help_heading = "Attached")]
pub(crate) struct AttachOptions {
    /// Pass signals on to the program.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub(crate) sig_proxy: bool,
    /// The keys that detach and leave the program running.
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    pub(crate) detach_keys: String,
}

impl AttachOptions {
    /// A session with a program; `wish` says what is wanted of it.
    pub(crate) fn session(&self, terminal: bool, input: bool, wish: Wish) -> Result<Session> {
        let keys = DetachKeys::parse(&self.detach_keys)?;
        Ok(Session { terminal, input, wish, proxy_signals: self.sig_proxy, keys })
    }
}

impl SupervisionOptions {
    pub(crate) fn upkeep(&self, auto_remove: bool) -> Result<Upkeep> {
        let restart: RestartPolicy = self.restart.parse()?;
        if auto_remove && restart != RestartPolicy::No {
            bail!(Refusal::new("`--restart` and `--rm` do not go together"));
        }
        self.stop_signal.as_deref().map(parse_signal).transpose()?;
        Ok(Upkeep {
            restart,
            log: LogSettings::parse(&self.log_driver, &self.log_opt)?,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
            health: self.health()?,
            ..Upkeep::default()
        })
    }

    /// `None` leaves it to the image; a check without a command is none.
    fn health(&self) -> Result<Option<HealthCheck>> {
        let default = HealthCheck::default();
        let times = [self.health_interval, self.health_timeout, self.health_start_period, self.health_start_interval];
        let test = match (&self.health_cmd, self.no_healthcheck) {
            (None, true) => vec!["NONE".to_owned()],
            (Some(line), false) => vec!["CMD-SHELL".to_owned(), line.clone()],
            (Some(_), true) => bail!(Refusal::new("`--no-healthcheck` and `--health-cmd` do not go together")),
            (None, false) if times.iter().any(Option::is_some) || self.health_retries.is_some() => {
                bail!(Refusal::new("a health check needs a command").help("give one with `--health-cmd`"))
            }
            (None, false) => return Ok(None),
        };
        let given = |time: Option<Duration>, default| time.filter(|time| !time.is_zero()).unwrap_or(default);
        Ok(Some(HealthCheck {
            test,
            interval: given(self.health_interval, default.interval),
            timeout: given(self.health_timeout, default.timeout),
            start_period: given(self.health_start_period, default.start_period),
            start_interval: given(self.health_start_interval, default.start_interval),
            retries: self.health_retries.filter(|retries| *retries > 0).unwrap_or(default.retries),
        }))
    }

    /// The new file for the id; before there is a container.
    pub(crate) fn cidfile(&self) -> Result<Option<File>> {
        let make = |path: &PathBuf| {
            let refused = || format!("make the file for the container's id `{}`", path.display());
            File::create_new(path).with_context(refused)
        };
        self.cidfile.as_ref().map(make).transpose()
    }

    /// Whether the fast way, on which `tara run` is the only one to stay with the program, will do.
    pub(crate) fn needs_a_monitor(&self) -> bool {
        self.cidfile.is_some() || self.health_cmd.is_some()
    }
}

/// Writes the id where it was asked for.
pub(crate) fn write_id(file: Option<File>, id: &str) -> Result<()> {
    file.map_or(Ok(()), |mut file| file.write_all(id.as_bytes()).context("write the container's id"))
}

/// `1m30s`, `500ms`.
fn time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>().map_err(|_| format!("`{text}` is no length of time such as 1m30s"))?;
    Duration::try_from(time).map_err(|_| format!("`{text}` is negative"))
}
