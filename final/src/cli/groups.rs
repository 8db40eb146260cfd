//! The groups `container` and `image`: the same commands under the names that docker gave them later.

use super::inspect::{Kind, What};
use super::*;
use crate::engine::{Engine, Finished};
use anyhow::Result;
use clap::Subcommand;
use std::path::Path;

/// Look after containers.
#[derive(Debug, Subcommand)]
pub(crate) enum Container {
    Attach(attach::Attach),
    Commit(commit::Commit),
    Cp(cp::Cp),
    Create(run::Create),
    Diff(diff::Diff),
    Exec(exec::Exec),
    Export(export::Export),
    /// Show all about containers.
    Inspect(What),
    Kill(kill::Kill),
    Logs(logs::Logs),
    #[command(visible_aliases = ["list", "ps"])]
    Ls(ps::Ps),
    Prune(prune::Containers),
    Pause(pause::Pause),
    Port(port::Port),
    Rename(rename::Rename),
    Restart(stop::Restart),
    #[command(visible_alias = "remove")]
    Rm(rm::Rm),
    Run(run::Run),
    Start(start::Start),
    Stats(stats::Stats),
    Stop(stop::Stop),
    Top(top::Top),
    Unpause(pause::Unpause),
    Update(update::Update),
    Wait(wait::Wait),
}

/// Look after images.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    History(history::History),
    Import(import::Import),
    /// Show all about images.
    Inspect(What),
    Load(load::Load),
    #[command(visible_alias = "list")]
    Ls(images::Images),
    Prune(prune::Images),
    Pull(pull::Pull),
    Push(push::Push),
    #[command(visible_alias = "remove")]
    Rm(rmi::Rmi),
    Save(save::Save),
    Tag(tag::Tag),
}

impl Container {
    /// Whether the exit code is otherwise a program's own.
    pub(super) fn runs_a_program(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Exec(_) | Self::Attach(_))
    }

    /// Does it, as [`command::Command::run`].
    pub(super) fn run(&self, root: Option<&Path>, run: Option<&Path>) -> Result<Finished> {
        let engine = || Engine::open(root, run);
        let code = match self {
            Self::Run(command) => return command.run(engine),
            Self::Exec(command) => command.run(&Engine::open_to_join(root, run)?)?,
            Self::Attach(command) => command.run(&engine()?)?,
            Self::Commit(command) => command.run(&engine()?)?,
            Self::Cp(command) => command.run(&engine()?)?,
            Self::Create(command) => command.run(&engine()?)?,
            Self::Diff(command) => command.run(&engine()?)?,
            Self::Export(command) => command.run(&engine()?)?,
            Self::Inspect(what) => what.run(&engine()?, Some(Kind::Container))?,
            Self::Kill(command) => command.run(&engine()?)?,
            Self::Logs(command) => command.run(&engine()?)?,
            Self::Ls(command) => command.run(&engine()?)?,
            Self::Prune(command) => command.run(&engine()?)?,
            Self::Pause(command) => command.run(&engine()?)?,
            Self::Port(command) => command.run(&engine()?)?,
            Self::Rename(command) => command.run(&engine()?)?,
            Self::Restart(command) => command.run(&engine()?)?,
            Self::Rm(command) => command.run(&engine()?)?,
            Self::Start(command) => command.run(&engine()?)?,
            Self::Stats(command) => command.run(&engine()?)?,
            Self::Stop(command) => command.run(&engine()?)?,
            Self::Top(command) => command.run(&engine()?)?,
            Self::Unpause(command) => command.run(&engine()?)?,
            Self::Update(command) => command.run(&engine()?)?,
            Self::Wait(command) => command.run(&engine()?)?,
        };
        Ok(code.into())
    }
}

impl Image {
    pub(super) fn run(&self, engine: &Engine) -> Result<u8> {
        match self {
            Self::History(command) => command.run(engine),
            Self::Import(command) => command.run(engine),
            Self::Inspect(what) => what.run(engine, Some(Kind::Image)),
            Self::Load(command) => command.run(engine),
            Self::Ls(command) => command.run(engine),
            Self::Prune(command) => command.run(engine),
            Self::Pull(command) => command.run(engine),
            Self::Push(command) => command.run(engine),
            Self::Rm(command) => command.run(engine),
            Self::Save(command) => command.run(engine),
            Self::Tag(command) => command.run(engine),
        }
    }
}
