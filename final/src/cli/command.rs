//! The commands, and what each needs of the engine.

use super::*;
use crate::engine::{Engine, Finished};
use anyhow::Result;
use clap::Subcommand;
use std::path::Path;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Run(Lazily<run::Run>),
    Create(Lazily<run::Create>),
    Start(Lazily<start::Start>),
    Stop(Lazily<stop::Stop>),
    Restart(Lazily<stop::Restart>),
    Kill(Lazily<kill::Kill>),
    Wait(Lazily<wait::Wait>),
    Attach(Lazily<attach::Attach>),
    Exec(Lazily<exec::Exec>),
    Pause(Lazily<pause::Pause>),
    Unpause(Lazily<pause::Unpause>),
    Update(Lazily<update::Update>),
    Stats(Lazily<stats::Stats>),
    Logs(Lazily<logs::Logs>),
    Rename(Lazily<rename::Rename>),
    Port(Lazily<port::Port>),
    Events(Lazily<events::Events>),
    Top(Lazily<top::Top>),
    Cp(Lazily<cp::Cp>),
    Diff(Lazily<diff::Diff>),
    Export(Lazily<export::Export>),
    Commit(Lazily<commit::Commit>),
    Ps(Lazily<ps::Ps>),
    Rm(Lazily<rm::Rm>),
    Images(Lazily<images::Images>),
    Rmi(Lazily<rmi::Rmi>),
    Build(Lazily<build::Build>),
    Pull(Lazily<pull::Pull>),
    Push(Lazily<push::Push>),
    Login(Lazily<login::Login>),
    Logout(Lazily<login::Logout>),
    Tag(Lazily<tag::Tag>),
    History(Lazily<history::History>),
    Save(Lazily<save::Save>),
    Search(Lazily<search::Search>),
    /// Look at manifests of a registry.
    #[command(subcommand)]
    Manifest(Lazily<manifest::Manifest>),
    /// This machine's images as a registry.
    #[command(subcommand)]
    Registry(Lazily<registry::Registry>),
    Load(Lazily<load::Load>),
    Import(Lazily<import::Import>),
    Inspect(Lazily<inspect::Inspect>),
    Info(Lazily<info::Info>),
    Version(Lazily<version::Version>),
    #[command(subcommand)]
    Network(Lazily<network::Network>),
    /// Look after containers.
    #[command(subcommand)]
    Container(Lazily<groups::Container>),
    /// Look after images.
    #[command(subcommand)]
    Image(Lazily<groups::Image>),
    /// Look after volumes: directories that outlive containers.
    #[command(subcommand)]
    Volume(Lazily<volume::Volume>),
    /// Look after what the engine keeps.
    #[command(subcommand)]
    System(Lazily<system::System>),
    Completion(Lazily<shell::Completion>),
    #[command(hide = true)]
    Man(Lazily<shell::Man>),
    /// What stays with a detached container; the engine starts it itself.
    #[command(hide = true)]
    Monitor,
    /// A RUN of a build; the build starts it itself.
    #[command(hide = true)]
    BuildStep,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// What failed; its exit code is [`Command::exit_code`]'s.
    pub(super) fn run(&self, root: Option<&Path>, run: Option<&Path>) -> Result<Finished> {
        let engine = || Engine::open(root, run);
        let code = match self {
            Self::Run(command) => return command.run(engine),
            Self::Container(command) => return command.run(root, run),
            Self::Exec(command) => command.run(&Engine::open_to_join(root, run)?)?,
            Self::Monitor => crate::monitor::main(engine())?,
            Self::BuildStep => return crate::build::step_main(&engine()?),
            Self::Version(command) => command.run()?,
            Self::Completion(command) => command.run()?,
            Self::Man(command) => command.run()?,
            // No store, and no user namespace: these speak to registries only.
            Self::Login(command) => command.run()?,
            Self::Logout(command) => command.run()?,
            Self::Search(command) => command.run()?,
            Self::Manifest(command) => command.run()?,
            Self::Create(command) => command.run(&engine()?)?,
            Self::Start(command) => command.run(&engine()?)?,
            Self::Stop(command) => command.run(&engine()?)?,
            Self::Restart(command) => command.run(&engine()?)?,
            Self::Kill(command) => command.run(&engine()?)?,
            Self::Wait(command) => command.run(&engine()?)?,
            Self::Attach(command) => command.run(&engine()?)?,
            Self::Pause(command) => command.run(&engine()?)?,
            Self::Unpause(command) => command.run(&engine()?)?,
            Self::Update(command) => command.run(&engine()?)?,
            Self::Stats(command) => command.run(&engine()?)?,
            Self::Logs(command) => command.run(&engine()?)?,
            Self::Rename(command) => command.run(&engine()?)?,
            Self::Port(command) => command.run(&engine()?)?,
            Self::Events(command) => command.run(&engine()?)?,
            Self::Top(command) => command.run(&engine()?)?,
            Self::Cp(command) => command.run(&engine()?)?,
            Self::Diff(command) => command.run(&engine()?)?,
            Self::Export(command) => command.run(&engine()?)?,
            Self::Commit(command) => command.run(&engine()?)?,
            Self::Ps(command) => command.run(&engine()?)?,
            Self::Rm(command) => command.run(&engine()?)?,
            Self::Images(command) => command.run(&engine()?)?,
            Self::Rmi(command) => command.run(&engine()?)?,
            Self::Build(command) => command.run(&engine()?)?,
            Self::Pull(command) => command.run(&engine()?)?,
            Self::Push(command) => command.run(&engine()?)?,
            Self::Tag(command) => command.run(&engine()?)?,
            Self::History(command) => command.run(&engine()?)?,
            Self::Save(command) => command.run(&engine()?)?,
            Self::Registry(command) => command.run(&engine()?)?,
            Self::Load(command) => command.run(&engine()?)?,
            Self::Import(command) => command.run(&engine()?)?,
            Self::Inspect(command) => command.run(&engine()?)?,
            Self::Info(command) => command.run(&engine()?)?,
            Self::Network(command) => command.run(&engine()?)?,
            Self::Image(command) => command.run(&engine()?)?,
            Self::Volume(command) => command.run(&engine()?)?,
            Self::System(command) => command.run(&engine()?)?,
        };
        Ok(code.into())
    }

    /// Only where the exit code is otherwise the program's own do errors of the engine need codes of their own, as docker's.
    pub(super) fn exit_code(&self, error: &anyhow::Error) -> u8 {
        let programs_own = match self {
            Self::Run(_) | Self::Exec(_) | Self::Attach(_) | Self::BuildStep => true,
            Self::Container(command) => command.runs_a_program(),
            _ => false,
        };
        if programs_own { report::exit_code(error) } else { 1 }
    }
}
