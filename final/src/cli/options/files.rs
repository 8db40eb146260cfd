//! File systems inside: volumes, mounts, a read-only root.

use crate::report::Refusal;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::Path;
use step03_mount_overlay::{Mount, parse_tmpfs, parse_volume};

/// What is mounted besides what every container has.
#[derive(Debug, Args)]
pub(crate) struct FileOptions {
    /// Bind a directory or file of the host.
    #[arg(short, long, value_name = "SRC:DST[:ro]")]
    volume: Vec<String>,
    /// Attach a file system: `type=bind|tmpfs,src=…,dst=…[,readonly]`.
    #[arg(long, value_name = "KEY=VALUE,…")]
    mount: Vec<String>,
    /// Mount an empty tmpfs.
    #[arg(long, value_name = "DST[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Forbid writing to the root file system.
    #[arg(long)]
    pub(crate) read_only: bool,
}

impl FileOptions {
    pub(crate) fn mounts(&self) -> Result<Vec<Mount>> {
        let volumes = self.volume.iter().map(|text| volume(text));
        let mounts = self.mount.iter().map(|text| mount(text));
        let tmpfs = self.tmpfs.iter().map(|text| Ok(parse_tmpfs(text)?));
        let mounts: Vec<Mount> = volumes.chain(mounts).chain(tmpfs).collect::<Result<_>>()?;
        for (index, mount) in mounts.iter().enumerate() {
            if mounts.iter().skip(index + 1).any(|other| other.destination == mount.destination) {
                bail!(Refusal::new(format!("duplicate mount point: `{}`", mount.destination.display())));
            }
        }
        Ok(mounts)
    }
}

/// As docker's: a directory that is not there is made.
fn volume(text: &str) -> Result<Mount> {
    let source = text.split(':').next().unwrap_or_default();
    if !source.starts_with(['/', '.']) && text.contains(':') {
        let what = format!("named volumes such as `{source}` are not there yet");
        bail!(Refusal::new(what).help("give a directory of the host, as an absolute path"));
    }
    let absolute = std::path::absolute(source).context("the volume's directory")?;
    let rest = text.get(source.len()..).unwrap_or_default();
    let mount = parse_volume(&format!("{}{rest}", absolute.display()))?;
    if !mount.source.exists() {
        fs::create_dir_all(&mount.source)
            .with_context(|| format!("cannot make the volume `{}`", mount.source.display()))?;
    }
    Ok(mount)
}

/// `--mount type=bind,src=/a,dst=/b,readonly`. Source: docker's reference, "Bind mounts", "tmpfs mounts".
fn mount(text: &str) -> Result<Mount> {
    let refused = |why: &str| {
        Refusal::new(format!("`--mount {text}`: {why}")).help("write type=bind|tmpfs,src=…,dst=…[,readonly]")
    };
    let (mut kind, mut source, mut destination, mut options) = ("bind", None, None, Vec::new());
    for field in text.split(',') {
        match field.split_once('=').unwrap_or((field, "")) {
            ("type", value) => kind = value,
            ("src" | "source", value) => source = Some(value),
            ("dst" | "destination" | "target", value) => destination = Some(value),
            ("readonly" | "ro", "" | "true" | "1") => options.push("ro".to_owned()),
            ("readonly" | "ro", "false" | "0") => {}
            ("bind-propagation", value) => options.push(value.to_owned()),
            ("tmpfs-size", value) => options.push(format!("size={value}")),
            ("tmpfs-mode", value) => options.push(format!("mode={value}")),
            ("", _) => bail!(refused("a field is empty")),
            (other, _) => bail!(refused(&format!("`{other}` is unknown"))),
        }
    }
    let destination = destination.ok_or_else(|| refused("`dst` is missing"))?;
    match (kind, source) {
        ("bind", Some(source)) if Path::new(source).is_absolute() => {
            let propagation = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "ro"];
            if let Some(wrong) = options.iter().find(|option| !propagation.contains(&option.as_str())) {
                bail!(refused(&format!("`{wrong}` does not go with a bind mount")));
            }
            Ok(parse_volume(&join_options(&format!("{source}:{destination}"), &options))?)
        }
        ("bind", _) => bail!(refused("`src` has to be an absolute path")),
        ("tmpfs", None) => Ok(parse_tmpfs(&join_options(destination, &options))?),
        ("tmpfs", Some(_)) => bail!(refused("a tmpfs has no `src`")),
        ("volume", _) => bail!(refused("named volumes are not there yet")),
        (other, _) => bail!(refused(&format!("the type `{other}` is unknown"))),
    }
}

fn join_options(text: &str, options: &[String]) -> String {
    if options.is_empty() { text.to_owned() } else { format!("{text}:{}", options.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_takes_dockers_words() {
        let bind = mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave").unwrap();
        assert_eq!(
            (bind.fs_type.as_str(), bind.options),
            ("bind", ["rbind", "rro", "rslave"].map(str::to_owned).to_vec())
        );
        let tmpfs = mount("type=tmpfs,target=/t,tmpfs-size=1m").unwrap();
        assert!(tmpfs.fs_type == "tmpfs" && tmpfs.options.contains(&"size=1m".to_owned()));
        for bad in
            ["type=bind,dst=/b", "src=a,dst=/b", "type=tmpfs,src=/a,dst=/t", "type=x,dst=/b", "dst=/b,colour=1", ""]
        {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
