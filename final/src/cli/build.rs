//! `tara build`.

use super::options::default_networking;
use super::print;
use crate::build::{Context, Form, Output, Progress, Request, Secret};
use crate::engine::Engine;
use crate::report::Refusal;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::path::PathBuf;
use step07_images::Reference;

/// Build an image from a Dockerfile.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The Dockerfile; `-` for standard input [default: CONTEXT/Dockerfile].
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The image's name; may be given several times.
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<Reference>,
    /// The stage to build [default: the last].
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// The value of an ARG; without `=` that of the environment's variable.
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Take nothing from earlier builds.
    #[arg(long)]
    no_cache: bool,
    /// Ask for newer images of `FROM` and `COPY --from` also where they are here.
    #[arg(long)]
    pull: bool,
    /// What the image is for, as `linux/amd64`.
    #[arg(long)]
    platform: Option<String>,
    /// A label for the image.
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// A secret for `RUN --mount=type=secret`: `id=ID,src=FILE` or `id=ID,env=NAME`.
    #[arg(long, value_name = "KEY=VALUE,…")]
    secret: Vec<String>,
    /// The network of RUN: `bridge`, `none` or `host`.
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// The cgroup below which RUN has its own.
    #[arg(long, value_name = "CGROUP")]
    cgroup_parent: Option<String>,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t)]
    progress: ProgressForm,
    /// Write the image's id to a file.
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Print the image's id only.
    #[arg(short, long)]
    quiet: bool,
    /// Write the result somewhere else: `type=local,dest=DIR`, `type=tar,dest=FILE`, `type=oci|docker,dest=FILE`, `type=oci,tar=false,dest=DIR`.
    #[arg(short, long, value_name = "KEY=VALUE,…")]
    output: Option<Output>,
    /// The folder that COPY and ADD read; `-` for a tar or a Dockerfile on standard input.
    #[arg(value_name = "CONTEXT|-")]
    context: String,
    // `tara build prune` reads as docker's `builder prune`.
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ProgressForm {
    /// One line a step on a terminal, else plain.
    #[default]
    Auto,
    /// Line by line.
    Plain,
}

impl Build {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        if self.context == "prune" && !std::path::Path::new("prune").exists() {
            let bytes = engine.store().prune_builds().context("cannot remove what builds have kept")?;
            print(&format!("Total reclaimed space: {}\n", crate::format::size(bytes)));
            return Ok(0);
        }
        let form = match self.progress {
            _ if self.quiet => Form::Quiet,
            ProgressForm::Auto => Form::auto(),
            ProgressForm::Plain => Form::Plain,
        };
        let progress = Progress::new(form);
        let context = Context::open(&self.context, self.file.as_deref(), engine.store())?;
        let id = engine.build(&self.request(engine)?, &context, &progress)?;
        if let Some(path) = &self.iidfile {
            std::fs::write(path, id.to_string()).with_context(|| format!("write `{}`", path.display()))?;
        }
        if self.quiet {
            print(&format!("{id}\n"));
        }
        Ok(0)
    }

    fn request(&self, engine: &Engine) -> Result<Request> {
        let labels = self.label.iter().map(|text| pair(text));
        Ok(Request {
            file: self.file.clone(),
            names: self.tag.clone(),
            target: self.target.clone(),
            arguments: self.build_arg.iter().filter_map(|text| argument(text)).collect(),
            no_cache: self.no_cache,
            pull: self.pull,
            platform: self.platform.clone(),
            labels: labels.collect(),
            secrets: self.secret.iter().map(|text| secret(text)).collect::<Result<BTreeMap<_, _>>>()?,
            networking: default_networking(engine, self.network.as_deref())?,
            cgroup_parent: self.cgroup_parent.clone(),
            output: self.output.clone(),
        })
    }
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

/// Without a value it is the environment's, and nothing where that has none.
fn argument(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => std::env::var(text).ok().map(|value| (text.to_owned(), value)),
    }
}

fn secret(text: &str) -> Result<(String, Secret)> {
    let value = |keys: &[&str]| {
        text.split(',').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            keys.contains(&key).then(|| value.to_owned())
        })
    };
    let refused = || Refusal::new(format!("`--secret {text}`")).help("write `id=ID,src=FILE` or `id=ID,env=NAME`");
    let id = value(&["id"]).ok_or_else(refused)?;
    let secret = match (value(&["src", "source"]), value(&["env"])) {
        (Some(path), _) => Secret::File(path.into()),
        (None, Some(name)) => Secret::Variable(name),
        (None, None) if std::env::var_os(&id).is_some() => Secret::Variable(id.clone()),
        (None, None) => return Err(refused().into()),
    };
    Ok((id, secret))
}
