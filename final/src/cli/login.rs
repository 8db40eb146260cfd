//! `tara login` and `tara logout`.

use super::print;
use crate::report::Refusal;
use anyhow::{Context, Result};
use clap::Args;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use std::io::{BufRead, IsTerminal, Read, Write, stdin};
use step07_images::registry::{Credentials, Registries};

/// The longest password that is read.
const MOST: u64 = 64 << 10;

/// Log in to a registry; what works is kept where docker keeps it.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The user's name; asked for when it is missing.
    #[arg(short, long)]
    username: Option<String>,
    /// The password. Every user of this machine can see it here: `--password-stdin` is better.
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// The registry's host, with its port where it has one.
    #[arg(default_value = "docker.io")]
    host: String,
}

/// Forget the password for a registry.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The registry's host, with its port where it has one.
    #[arg(default_value = "docker.io")]
    host: String,
}

impl Login {
    pub(crate) fn run(&self) -> Result<u8> {
        let host = host(&self.host)?;
        if self.password.is_some() {
            eprintln!("warning: `--password` on the command line is seen by all users; use `--password-stdin`");
        }
        let user = match &self.username {
            Some(user) => user.clone(),
            None => ask("Username: ")?,
        };
        let secret = match (&self.password, self.password_stdin) {
            (Some(password), _) => password.clone(),
            (None, true) => from_stdin()?,
            (None, false) => ask_secretly()?,
        };
        let credentials = Credentials { user, secret, is_token: false };
        let place = Registries::read()?.login(&host, &credentials)?;
        print(&format!("Login Succeeded\nThe password is kept in {place}\n"));
        Ok(0)
    }
}

impl Logout {
    pub(crate) fn run(&self) -> Result<u8> {
        let host = host(&self.host)?;
        match Registries::read()?.logout(&host)? {
            true => print(&format!("Removing login credentials for {host}\n")),
            false => print(&format!("Not logged in to {host}\n")),
        }
        Ok(0)
    }
}

/// The host of an address that people write (`https://host/v1/`).
pub(super) fn host(text: &str) -> Result<String> {
    let host = text.split_once("://").map_or(text, |(_, rest)| rest).split('/').next().unwrap_or_default();
    if matches!(host, "index.docker.io" | "registry-1.docker.io" | "docker.io") {
        return Ok("docker.io".to_owned());
    }
    let good = format!("{host}/x").parse::<step07_images::Reference>().is_ok();
    let refusal =
        || Refusal::new(format!("`{text}` is no registry's host")).help("write `host` or `host:port`").code(1);
    anyhow::ensure!(good && !host.is_empty(), refusal());
    Ok(host.to_owned())
}

fn from_stdin() -> Result<String> {
    let mut text = String::new();
    stdin().take(MOST).read_to_string(&mut text).context("cannot read the password")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(question: &str) -> Result<String> {
    if !stdin().is_terminal() {
        let refusal = Refusal::new("nobody is there to ask for the user's name and password");
        return Err(refusal.help("say `--username` and `--password-stdin`").code(1).into());
    }
    print(question);
    std::io::stdout().flush()?;
    let mut line = String::new();
    stdin().lock().take(MOST).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Without an echo on the terminal.
fn ask_secretly() -> Result<String> {
    let Ok(before) = tcgetattr(stdin()) else { return ask("Password: ") };
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(stdin(), SetArg::TCSANOW, &silent)?;
    let answer = ask("Password: ");
    tcsetattr(stdin(), SetArg::TCSANOW, &before)?;
    print("\n");
    answer
}
