//! Instructions that change nothing but the configuration.

use super::Stage;
use anyhow::Result;
use step07_images::build::{CommandForm, Empty, Healthcheck, Instruction, Problem, Step};

impl Stage<'_, '_> {
    pub(super) fn metadata(&mut self, step: &Step, instruction: &Instruction) -> Result<()> {
        let by = match instruction {
            Instruction::Env(pairs) => self.env(step, pairs)?,
            Instruction::Label(pairs) => self.label(step, pairs)?,
            Instruction::Cmd(form) => {
                let command = self.with_shell(form);
                self.command_set = true;
                let by = format!("CMD {}", quoted(&command));
                self.state.document.config.cmd = Some(command);
                by
            }
            Instruction::Entrypoint(form) => {
                let command = self.with_shell(form);
                let by = format!("ENTRYPOINT {}", quoted(&command));
                self.state.document.config.entrypoint = Some(command).filter(|command| !command.is_empty());
                if !self.command_set {
                    self.state.document.config.cmd = None;
                }
                by
            }
            Instruction::Maintainer(author) => {
                self.state.document.author = Some(author.clone());
                format!("MAINTAINER {author}")
            }
            Instruction::Expose(words) => self.expose(step, words)?,
            Instruction::Volume(paths) => self.volume(step, paths)?,
            Instruction::User(user) => {
                let user = self.word(step, user)?;
                self.state.document.config.user.clone_from(&user);
                format!("USER {user}")
            }
            Instruction::StopSignal(signal) => self.stop_signal(step, signal)?,
            Instruction::Healthcheck(health) => {
                self.state.document.config.healthcheck = Some(Healthcheck {
                    test: health.test.clone(),
                    interval: health.interval,
                    timeout: health.timeout,
                    start_period: health.start_period,
                    start_interval: health.start_interval,
                    retries: health.retries,
                });
                step.text.clone()
            }
            Instruction::Shell(list) => {
                self.state.document.config.shell = Some(list.clone());
                format!("SHELL {}", quoted(list))
            }
            Instruction::Onbuild(text) => {
                self.state.document.config.on_build.push(text.clone());
                format!("ONBUILD {text}")
            }
            _ => step.text.clone(),
        };
        self.history(by, true);
        Ok(())
    }

    /// The shell form is a line for the image's shell.
    pub(in super::super) fn with_shell(&self, form: &CommandForm) -> Vec<String> {
        let default = || ["/bin/sh", "-c"].map(str::to_owned).to_vec();
        match form {
            CommandForm::Exec(list) => list.clone(),
            CommandForm::Shell(line) => {
                let mut command = self.state.document.config.shell.clone().unwrap_or_else(default);
                command.push(line.clone());
                command
            }
        }
    }

    /// All values are those from before the instruction.
    fn env(&mut self, step: &Step, pairs: &[(String, String)]) -> Result<String> {
        let pair = |(name, value): &(String, String)| Ok((self.word(step, name)?, self.word(step, value)?));
        let pairs: Vec<(String, String)> = pairs.iter().map(pair).collect::<Result<_>>()?;
        let env = &mut self.state.document.config.env;
        for (name, value) in &pairs {
            let entry = format!("{name}={value}");
            match env.iter_mut().find(|known| known.split_once('=').is_some_and(|(known, _)| known == name)) {
                Some(known) => *known = entry,
                None => env.push(entry),
            }
        }
        Ok(format!("ENV {}", joined(&pairs)))
    }

    fn label(&mut self, step: &Step, pairs: &[(String, String)]) -> Result<String> {
        let pair = |(name, value): &(String, String)| Ok((self.word(step, name)?, self.word(step, value)?));
        let pairs: Vec<(String, String)> = pairs.iter().map(pair).collect::<Result<_>>()?;
        self.state.document.config.labels.extend(pairs.iter().cloned());
        Ok(format!("LABEL {}", joined(&pairs)))
    }

    fn expose(&mut self, step: &Step, words: &[String]) -> Result<String> {
        let mut all = Vec::new();
        for word in words {
            for port in self.expand(step, word, |to, word| to.words(word))? {
                let ports = ports(&port).ok_or_else(|| {
                    let what = format!("`{port}` is not a port");
                    Problem::new(&step.place, what).at(word.clone()).help("write `80`, `80/udp` or `8000-8010/tcp`")
                })?;
                self.state.document.config.exposed_ports.extend(ports.into_iter().map(|port| (port, Empty {})));
                all.push(port);
            }
        }
        Ok(format!("EXPOSE [{}]", all.join(" ")))
    }

    fn volume(&mut self, step: &Step, paths: &[String]) -> Result<String> {
        let paths: Vec<String> = paths.iter().map(|path| self.word(step, path)).collect::<Result<_>>()?;
        self.state.document.config.volumes.extend(paths.iter().map(|path| (path.clone(), Empty {})));
        Ok(format!("VOLUME [{}]", paths.join(" ")))
    }

    fn stop_signal(&mut self, step: &Step, signal: &str) -> Result<String> {
        let signal = self.word(step, signal)?;
        let name = signal.to_ascii_uppercase();
        let known = nix::sys::signal::Signal::iterator().any(|known| {
            let known = known.as_str();
            known == name || known.strip_prefix("SIG") == Some(&name)
        });
        let number = signal.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
        if !known && !number && !name.starts_with("SIGRTM") {
            return Err(Problem::new(&step.place, format!("there is no signal `{signal}`")).at(signal).into());
        }
        self.state.document.config.stop_signal = Some(signal.clone());
        Ok(format!("STOPSIGNAL {signal}"))
    }
}

fn joined(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// As BuildKit's history shows a list.
fn quoted(list: &[String]) -> String {
    format!("[{}]", list.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" "))
}

/// `80`, `80/udp`, `8000-8002`: as `80/tcp`, each for itself.
fn ports(text: &str) -> Option<Vec<String>> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return None;
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then(|| (first..=last).map(|port| format!("{port}/{protocol}")).collect())
}
