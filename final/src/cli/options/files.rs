//! File systems inside: volumes, mounts, a read-only root.

use crate::report::Refusal;
use crate::volumes::VolumeRequest;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::Path;
use step03_mount_overlay::{Mount, parse_tmpfs, parse_volume};

/// What is mounted besides what every container has.
#[derive(Debug, Args)]
pub(crate) struct FileOptions {
    /// Mount a volume by its name, or a directory or file of the host by its path; a path alone makes a volume without a name.
    /// `z` and `Z` are taken and change nothing.
    #[arg(short, long, value_name = "[SRC:]DST[:ro]")]
    volume: Vec<String>,
    /// Mount the volumes of another container as well.
    #[arg(long, value_name = "CONTAINER[:ro]")]
    volumes_from: Vec<String>,
    /// Attach a file system: `type=volume|bind|tmpfs,src=…,dst=…[,readonly]`.
    #[arg(long, value_name = "KEY=VALUE,…")]
    mount: Vec<String>,
    /// Mount an empty tmpfs.
    #[arg(long, value_name = "DST[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Forbid writing to the root file system.
    #[arg(long)]
    pub(crate) read_only: bool,
}

/// What one option asks for.
#[derive(Debug)]
enum Asked {
    Mount(Mount),
    Volume(VolumeRequest),
}

impl Asked {
    fn destination(&self) -> &Path {
        match self {
            Self::Mount(mount) => &mount.destination,
            Self::Volume(volume) => &volume.destination,
        }
    }
}

impl FileOptions {
    /// What is mounted of the host and anew, and the volumes.
    pub(crate) fn mounts(&self) -> Result<(Vec<Mount>, Vec<VolumeRequest>)> {
        let volumes = self.volume.iter().map(|text| volume(text));
        let mounts = self.mount.iter().map(|text| mount(text));
        let tmpfs = self.tmpfs.iter().map(|text| Ok(Asked::Mount(parse_tmpfs(text)?)));
        let all: Vec<Asked> = volumes.chain(mounts).chain(tmpfs).collect::<Result<_>>()?;
        for (index, asked) in all.iter().enumerate() {
            let destination = asked.destination();
            if all.iter().skip(index + 1).any(|other| other.destination() == destination) {
                bail!(Refusal::new(format!("duplicate mount point: `{}`", destination.display())));
            }
        }
        let (mut mounts, mut volumes) = (Vec::new(), Vec::new());
        for asked in all {
            match asked {
                Asked::Mount(mount) => mounts.push(mount),
                Asked::Volume(volume) => volumes.push(volume),
            }
        }
        Ok((mounts, volumes))
    }

    /// The containers whose volumes are mounted as well.
    pub(crate) fn volumes_from(&self) -> Vec<String> {
        self.volumes_from.clone()
    }
}

/// As docker's: a directory of the host that is not there is made.
fn volume(text: &str) -> Result<Asked> {
    let source = text.split(':').next().unwrap_or_default();
    if !text.contains(':') || !source.starts_with(['/', '.']) {
        return VolumeRequest::parse(text).map(Asked::Volume);
    }
    let absolute = std::path::absolute(source).context("the volume's directory")?;
    let rest = without_labels(text.get(source.len()..).unwrap_or_default());
    let mount = parse_volume(&format!("{}{rest}", absolute.display()))?;
    if !mount.source.exists() {
        fs::create_dir_all(&mount.source)
            .with_context(|| format!("cannot make the volume `{}`", mount.source.display()))?;
    }
    Ok(Asked::Mount(mount))
}

/// `:/b:ro,z` without `z` and `Z`: they ask for labels of SELinux, which `tara` does not set.
fn without_labels(rest: &str) -> String {
    match rest.rsplit_once(':') {
        Some((place, words)) if !place.is_empty() && !words.is_empty() => {
            let words: Vec<&str> = words.split(',').filter(|word| !["z", "Z"].contains(word)).collect();
            if words.is_empty() { place.to_owned() } else { format!("{place}:{}", words.join(",")) }
        }
        _ => rest.to_owned(),
    }
}

/// `--mount type=bind,src=/a,dst=/b,readonly`. Source: docker's reference, "Bind mounts", "Volumes", "tmpfs mounts".
fn mount(text: &str) -> Result<Asked> {
    let refused = |why: &str| {
        Refusal::new(format!("`--mount {text}`: {why}")).help("write type=volume|bind|tmpfs,src=…,dst=…[,readonly]")
    };
    let (mut kind, mut source, mut destination, mut options) = ("volume", None, None, Vec::new());
    for field in text.split(',') {
        match field.split_once('=').unwrap_or((field, "")) {
            ("type", value) => kind = value,
            ("src" | "source", value) => source = Some(value),
            ("dst" | "destination" | "target", value) => destination = Some(value),
            ("readonly" | "ro", "" | "true" | "1") => options.push("ro".to_owned()),
            ("volume-nocopy", "" | "true" | "1") => options.push("nocopy".to_owned()),
            ("readonly" | "ro" | "volume-nocopy", "false" | "0") => {}
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
            Ok(Asked::Mount(parse_volume(&join_options(&format!("{source}:{destination}"), &options))?))
        }
        ("bind", _) => bail!(refused("`src` has to be an absolute path")),
        ("tmpfs", None) => Ok(Asked::Mount(parse_tmpfs(&join_options(destination, &options))?)),
        ("tmpfs", Some(_)) => bail!(refused("a tmpfs has no `src`")),
        ("volume", name) => VolumeRequest::of_mount(text, name, destination, options).map(Asked::Volume),
        (other, _) => bail!(refused(&format!("the type `{other}` is unknown"))),
    }
}

fn join_options(text: &str, options: &[String]) -> String {
    if options.is_empty() { text.to_owned() } else { format!("{text}:{}", options.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(text: &str) -> Mount {
        match mount(text).unwrap() {
            Asked::Mount(mount) => mount,
            Asked::Volume(volume) => panic!("a volume: {volume:?}"),
        }
    }

    #[test]
    fn mount_takes_dockers_words() {
        let bind = mounted("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave");
        assert_eq!(
            (bind.fs_type.as_str(), bind.options),
            ("bind", ["rbind", "rro", "rslave"].map(str::to_owned).to_vec())
        );
        let tmpfs = mounted("type=tmpfs,target=/t,tmpfs-size=1m");
        assert!(tmpfs.fs_type == "tmpfs" && tmpfs.options.contains(&"size=1m".to_owned()));
        assert!(
            matches!(mount("src=data,dst=/b,volume-nocopy").unwrap(), Asked::Volume(volume) if volume.options == ["nocopy"])
        );
        assert_eq!(without_labels(":/b:ro,z"), ":/b:ro");
        assert_eq!(without_labels(":/b:Z"), ":/b");
        for bad in
            ["type=bind,dst=/b", "src=/a,dst=/b", "type=tmpfs,src=/a,dst=/t", "type=x,dst=/b", "dst=/b,colour=1", ""]
        {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
