//! Definitions of options that are made when their command is the one that was asked for.
//!
//! There are several hundred options, and a run of the program uses one command's: all of them would be a tenth of a container's start.

use clap::error::Error;
use clap::{ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::ops::Deref;

/// `P::try_parse_from`, with nothing defined of `program` but the options `G`, which every command has, and the command that is asked
/// for: clap would give each of fifty commands its own copy of these options.
///
/// # Errors
/// What the whole definition says of `arguments`.
pub(crate) fn parse<P: Parser, G: Args, S: Subcommand>(
    program: &'static str,
    arguments: &[OsString],
) -> Result<P, Error> {
    let all = S::augment_subcommands(Command::new(program));
    // Where this finds another's argument, that is an error here, and so none is the last word.
    if let Some(asked) = arguments.iter().skip(1).find_map(|word| all.find_subcommand(word)) {
        let alone = G::augment_args(Command::new(program)).subcommand(asked.clone());
        let parsed = alone.try_get_matches_from(arguments).and_then(|mut found| P::from_arg_matches_mut(&mut found));
        if parsed.is_ok() {
            return parsed;
        }
    }
    P::try_parse_from(arguments)
}

/// The options `T` of a command, defined only when the command is used: a `T` in every other respect.
#[derive(Debug)]
pub(crate) struct Lazily<T>(T);

impl<T: Args> Args for Lazily<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(T::augment_args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(T::augment_args_for_update)
    }
}

impl<T: Subcommand> Subcommand for Lazily<T> {
    fn augment_subcommands(command: Command) -> Command {
        command.defer(T::augment_subcommands)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        command.defer(T::augment_subcommands_for_update)
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}

impl<T: FromArgMatches> FromArgMatches for Lazily<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T> Deref for Lazily<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
