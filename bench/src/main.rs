//! `bench`: what a container's start costs, next to the least that it can cost and to everything else that is installed.
//!
//! How to read the numbers: `bench/README.md`.

mod cgroup;
mod compare;
mod density;
mod exec;
mod facts;
mod html;
mod image;
mod machines;
mod packages;
mod parts;
mod results;
mod rounds;
mod scaling;
mod stage;
mod startup;
mod statistics;
mod subject;
mod svg;
mod table;
mod tara;
mod transfer;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use results::Results;
use rounds::Rounds;
use stage::Stage;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Measures containers: tara, its peers, virtual machines, and the floor below them all.
#[derive(Debug, Parser)]
#[command(name = "bench", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Subcommand)]
enum What {
    /// From the start of a process to its exit, of a program that does nothing.
    Startup,
    /// Another program in a container that runs.
    Exec,
    /// Many containers at once: time to start and stop them, memory, disk.
    Density {
        /// How many.
        #[arg(default_value_t = 100)]
        count: usize,
    },
    /// Start-up against running containers, layers, mounts of the host.
    Scaling,
    /// Images of what Debian's packages have installed, from a registry on this machine, into empty stores.
    Pull {
        /// How large the one of five layers is.
        #[arg(default_value_t = 500)]
        megabytes: u64,
        /// How many files the other one has.
        #[arg(default_value_t = 20_000)]
        files: usize,
    },
    /// A Dockerfile of ten instructions.
    Build,
    /// Show results that were written by `--json`.
    Show {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct How {
    /// Rounds that count.
    #[arg(short = 'n', long, global = true, default_value_t = 30)]
    rounds: usize,
    /// Rounds before, which do not count.
    #[arg(long, global = true, default_value_t = 2)]
    warm_up: usize,
    /// Milliseconds between two runs.
    #[arg(long, global = true, default_value_t = 10)]
    gap: u64,
    /// Measure only what has one of these words in its name.
    #[arg(long, global = true, value_delimiter = ',', value_name = "WORDS")]
    only: Vec<String>,
    /// Keep images and containers in a folder here instead of on a tmpfs.
    #[arg(long, global = true, value_name = "DIR")]
    disk: Option<PathBuf>,
    /// Write the results to this file.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a report to this file: a page with charts.
    #[arg(long, global = true, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the charts into this folder.
    #[arg(long, global = true, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Say what has changed since these results, and what is noise.
    #[arg(long, global = true, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Take `tara` and the steps as they are built.
    #[arg(long, global = true)]
    no_build: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let What::Show { file } = &cli.what {
        let shown = Results::read(file).and_then(|results| cli.report(&results));
        return shown.map_or_else(failed, |()| ExitCode::SUCCESS);
    }
    let result = if stage::is_inside() { cli.run().map(|()| ExitCode::SUCCESS) } else { cli.begin() };
    result.unwrap_or_else(failed)
}

#[allow(clippy::needless_pass_by_value, reason = "as `unwrap_or_else` gives it")]
fn failed(error: anyhow::Error) -> ExitCode {
    eprintln!("bench: {error:#}");
    ExitCode::FAILURE
}

impl Cli {
    /// In the outer process.
    fn begin(&self) -> Result<ExitCode> {
        if !self.how.no_build {
            build()?;
        }
        let field = startup::Field { only: self.how.only.clone(), ..startup::Field::default() };
        if matches!(self.what, What::Startup)
            && field.wants("QEMU")
            && let Err(error) = machines::fetch(&folder_of_programs()?)
        {
            eprintln!("bench: no kernel for QEMU: {error:#}");
        }
        stage::outer(self.how.disk.as_deref())
    }

    /// In the inner one.
    fn run(&self) -> Result<()> {
        let stage = Stage::set(folder_of_programs()?)?;
        let rounds =
            Rounds { count: self.how.rounds, warm_up: self.how.warm_up, gap: Duration::from_millis(self.how.gap) };
        let mut results = match &self.what {
            What::Startup => startup::run(&stage, rounds, self.how.only.clone())?,
            What::Exec => exec::run(&stage, rounds, self.how.only.clone())?,
            What::Density { count } => density::run(&stage, *count, &self.how.only)?,
            What::Scaling => scaling::run(&stage, rounds)?,
            What::Pull { megabytes, files } => {
                transfer::pull(&stage, rounds, self.how.only.clone(), (*megabytes, *files))?
            }
            What::Build => transfer::build(&stage, rounds, self.how.only.clone())?,
            What::Show { .. } => bail!("nothing is measured to show a file"),
        };
        results.machine.file_system("ROOT", &stage.disk);
        results.machine.file_system("RUN", Path::new("/run"));
        self.report(&results)
    }

    fn report(&self, results: &Results) -> Result<()> {
        print!("{}", table::text(results));
        if let Some(path) = &self.how.json {
            results.write(path)?;
        }
        if let Some(path) = &self.how.html {
            fs::write(path, html::write(results)).with_context(|| format!("write `{}`", path.display()))?;
        }
        if let Some(folder) = &self.how.svg {
            for (name, chart) in svg::all(results) {
                let path = folder.join(format!("{}-{name}.svg", results.kind));
                fs::write(&path, chart).with_context(|| format!("write `{}`", path.display()))?;
            }
        }
        if let Some(old) = &self.how.compare {
            print!("{}", compare::text(&Results::read(old)?, results));
        }
        Ok(())
    }
}

/// The folder that this program is in: those of the workspace are beside it.
fn folder_of_programs() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find this program")?;
    Ok(program.parent().context("this program is in no folder")?.to_owned())
}

/// Builds what is measured, as this program was built.
fn build() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args(["build", "--quiet", "--bins", "-p", "tara"]);
    for step in
        ["01-chroot", "02-pid-ns", "03-mount-overlay", "04-net-bridge", "05-cgroups", "06-capabilities", "07-images"]
    {
        command.arg("-p").arg(format!("step{step}"));
    }
    if folder_of_programs()?.ends_with("release") {
        command.arg("--release");
    } else {
        eprintln!("bench: not built with `--release`: these numbers are of no use to anybody");
    }
    if !command.status().context("start cargo")?.success() {
        bail!("what is to be measured does not build");
    }
    Ok(())
}
