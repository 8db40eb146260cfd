//! Errors where the caller asked for them.

use crate::report;
use anyhow::Error;
use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// `time="…" level=error msg="…"`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where errors go besides standard error.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) file: Option<PathBuf>,
    pub(super) format: Format,
}

impl Log {
    /// Reports an error: people read it on standard error, the caller of the runtime reads the log's last line.
    pub(super) fn error(&self, error: &Error) {
        eprint!("{}", report::text(error));
        if let Some(file) = &self.file {
            // Where even this fails, standard error has it.
            let _unwritable = self.append(file, &one_line(error));
        }
    }

    fn append(&self, file: &Path, message: &str) -> std::io::Result<()> {
        let time = Timestamp::now();
        let line = match self.format {
            Format::Json => json!({ "level": "error", "msg": message, "time": time.to_string() }).to_string(),
            Format::Text => format!("time=\"{time}\" level=error msg={}", json!(message)),
        };
        // One write: several runtimes may append to the same file.
        OpenOptions::new().create(true).append(true).open(file)?.write_all(format!("{line}\n").as_bytes())
    }
}

/// The whole chain in a line, as callers quote it: docker and containerd look in it for the kernel's own words.
fn one_line(error: &Error) -> String {
    let report = report::text(error);
    let lines = report.lines().map(|line| line.trim().trim_start_matches("error: ").trim_start_matches("while: "));
    lines.filter(|line| !line.starts_with("help: ")).collect::<Vec<_>>().join(": ")
}
