//! `--change` of `commit` and `import`: instructions of a Dockerfile that change an image's configuration.

use crate::report::Refusal;
use anyhow::Result;
use oci_spec::image::Config;

/// Applies the instructions in their order.
///
/// # Errors
/// [`Refusal`] for one that is unknown, or not as it should be.
pub fn apply(mut config: Config, changes: &[String]) -> Result<Config> {
    for change in changes {
        one(&mut config, change)?;
    }
    Ok(config)
}

fn one(config: &mut Config, change: &str) -> Result<()> {
    let (instruction, rest) = change.trim().split_once(char::is_whitespace).unwrap_or((change.trim(), ""));
    let rest = rest.trim();
    let some = || (!rest.is_empty()).then(|| rest.to_owned());
    match instruction.to_uppercase().as_str() {
        "CMD" => config.set_cmd(Some(command(rest))),
        "ENTRYPOINT" => config.set_entrypoint(Some(command(rest))),
        "ENV" => {
            let mut env = config.env().clone().unwrap_or_default();
            for (name, value) in pairs(change, rest)? {
                env.retain(|entry| entry.split_once('=').is_none_or(|(other, _)| other != name));
                env.push(format!("{name}={value}"));
            }
            config.set_env(Some(env))
        }
        "LABEL" => {
            let mut labels = config.labels().clone().unwrap_or_default();
            labels.extend(pairs(change, rest)?);
            config.set_labels(Some(labels))
        }
        "EXPOSE" => {
            let ports = rest
                .split_whitespace()
                .map(|port| if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") });
            config.set_exposed_ports(Some(joined(config.exposed_ports().clone(), ports)))
        }
        "VOLUME" => {
            let paths = if rest.starts_with('[') {
                command(rest)
            } else {
                rest.split_whitespace().map(str::to_owned).collect()
            };
            config.set_volumes(Some(joined(config.volumes().clone(), paths)))
        }
        "USER" => config.set_user(some()),
        "WORKDIR" => config.set_working_dir(some()),
        "STOPSIGNAL" => {
            crate::lifecycle::parse_signal(rest)?;
            config.set_stop_signal(some())
        }
        _ => return Err(refused(change, "the instruction is unknown")),
    };
    Ok(())
}

fn refused(change: &str, why: &str) -> anyhow::Error {
    let help = "the instructions are CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR";
    Refusal::new(format!("`--change {change}`: {why}")).help(help).code(1).into()
}

/// A JSON list, or else a line for the shell.
fn command(text: &str) -> Vec<String> {
    let list = serde_json::from_str(text).ok().filter(|_| text.starts_with('['));
    list.unwrap_or_else(|| ["/bin/sh", "-c", text].map(str::to_owned).to_vec())
}

fn joined(old: Option<Vec<String>>, new: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut all = old.unwrap_or_default();
    for entry in new {
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    all
}

/// `A=b C="d e"`, or `A the rest`.
fn pairs(change: &str, text: &str) -> Result<Vec<(String, String)>> {
    let words = words(text);
    if let Some((first, _)) = words.split_first()
        && !first.contains('=')
    {
        let (name, value) =
            text.split_once(char::is_whitespace).ok_or_else(|| refused(change, "a value is missing"))?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(refused(change, "write NAME=VALUE")),
    };
    let pairs = words.iter().map(pair).collect::<Result<Vec<_>>>()?;
    if pairs.is_empty() { Err(refused(change, "write NAME=VALUE")) } else { Ok(pairs) }
}

/// Words between spaces; quotes and backslashes keep spaces.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '"' | '\'') => (quote, begun) = (Some(character), true),
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => word.extend(characters.next()),
            (None, _) if character.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => {
                word.push(character);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_configuration() {
        let changes = [
            "CMD [\"a\", \"b\"]",
            "ENV A=1 B=\"two words\"",
            "env A 3 4",
            "LABEL x=y",
            "EXPOSE 80 53/udp",
            "VOLUME /a /b",
            "USER u",
            "WORKDIR /w",
            "STOPSIGNAL TERM",
            "ENTRYPOINT exec x",
        ];
        let config = apply(Config::default(), &changes.map(str::to_owned)).expect("a configuration");
        assert_eq!(config.cmd().as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(config.env().as_deref(), Some(&["B=two words".to_owned(), "A=3 4".to_owned()][..]));
        assert_eq!(config.exposed_ports().as_deref(), Some(&["80/tcp".to_owned(), "53/udp".to_owned()][..]));
        assert_eq!(config.entrypoint().as_ref().map(Vec::len), Some(3));
        for bad in ["RUN x", "ENV", "LABEL =x", "STOPSIGNAL NO", ""] {
            assert!(apply(Config::default(), &[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
