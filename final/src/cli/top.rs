//! `tara top`.

use super::print;
use crate::container::{Container, Status};
use crate::engine::Engine;
use crate::events::note;
use crate::format::columns;
use crate::lifecycle::not_up;
use crate::report::Refusal;
use crate::top::{Process, processes};
use anyhow::Result;
use clap::Args;

/// Show the processes of a container, as the host sees them.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The container's name, id or beginning of its id.
    container: String,
    /// In the words of ps(1): `-ef`, `aux`, or `-o` and columns such as `pid,user,rss,args`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS-OPTION")]
    options: Vec<String>,
}

const EF: [&str; 8] = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
const AUX: [&str; 9] = ["user", "pid", "%cpu", "vsz", "rss", "tty", "stat", "start", "time"];

impl Top {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let names = self.columns()?;
        let Container { record, status, .. } = Container::find(engine.dirs(), &self.container)?;
        let state = match status {
            Status::Running(state) => state,
            other => return Err(not_up(&self.container, &other)),
        };
        let line =
            |process: &Process| names.iter().filter_map(|name| process.column(name)).collect::<Vec<_>>().join("\t");
        let header = names.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>().join("\t");
        let lines: Vec<String> = std::iter::once(header).chain(processes(&state)?.iter().map(line)).collect();
        print(&columns(lines.iter().map(String::as_str)));
        note(engine.dirs(), &record, "top", &[]);
        Ok(0)
    }

    fn columns(&self) -> Result<Vec<String>> {
        let words: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let chosen = match words[..] {
            [] | ["-ef" | "-e" | "-f" | "ef" | "-eF"] => list(&EF),
            ["aux" | "-aux" | "au" | "u"] => list(&[&AUX[..], &["command"]].concat()),
            ["-o" | "-eo" | "o", names] => names.split(',').map(str::to_lowercase).collect(),
            [one] if one.starts_with("-o") => one[2..].split(',').map(str::to_lowercase).collect(),
            _ => {
                let refusal = Refusal::new(format!("`ps {}` is not known here", words.join(" ")));
                return Err(refusal.help("write -ef, aux, or -o and columns such as pid,user,rss,args").code(1).into());
            }
        };
        let sample = Process {
            pid: 0,
            ppid: 0,
            user: String::new(),
            command: String::new(),
            comm: String::new(),
            state: 'R',
            tty: String::new(),
            ticks: 0,
            started: jiff::Timestamp::UNIX_EPOCH,
            rss: 0,
            vsz: 0,
            numbers: [0; 4],
        };
        match chosen.iter().find(|name| sample.column(name).is_none()) {
            Some(unknown) => {
                let refusal = Refusal::new(format!("unknown column `{unknown}`"));
                Err(refusal.help("see ps(1), \"STANDARD FORMAT SPECIFIERS\"").code(1).into())
            }
            None => Ok(chosen),
        }
    }
}
