//! `tara cp`.

use super::export::refuse_terminal;
use crate::copy::How;
use crate::engine::Engine;
use crate::report::Refusal;
use anyhow::{Context, Result};
use clap::Args;
use std::io::{BufWriter, Write, stdin, stdout};

/// Copy files into a container or out of it; `-` is a tar on standard input or output.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// Keep the owners.
    #[arg(short, long)]
    archive: bool,
    /// Copy what a symbolic link leads to.
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Taken as docker takes it: there is no progress to hide.
    #[arg(short, long)]
    quiet: bool,
    /// From where: `CONTAINER:PATH`, a path, or `-`.
    source: String,
    /// Where to: a path, `-`, or `CONTAINER:PATH`.
    destination: String,
}

impl Cp {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let how = How { archive: self.archive, follow: self.follow_link };
        match (parts(&self.source), parts(&self.destination)) {
            ((Some(_), _), (Some(_), _)) => {
                let refusal = Refusal::new("copying between containers is not supported");
                Err(refusal.help("pipe one into the other: `tara cp A:/x - | tara cp - B:/`").code(1).into())
            }
            ((None, _), (None, _)) => {
                let refusal = Refusal::new("must specify at least one container source");
                Err(refusal.help("write CONTAINER:PATH for one of the two").code(1).into())
            }
            ((Some(container), path), (None, "-")) => {
                refuse_terminal()?;
                let mut out = BufWriter::with_capacity(1 << 18, stdout().lock());
                engine.copy_out_as_tar(container, path, &mut out, how)?;
                out.flush().context("write to standard output").map(|()| 0)
            }
            ((Some(container), path), (None, target)) => engine.copy_out(container, path, target, how).map(|()| 0),
            ((None, "-"), (Some(container), path)) => {
                engine.copy_in_from_tar(stdin().lock(), container, path, how).map(|()| 0)
            }
            ((None, source), (Some(container), path)) => engine.copy_in(source, container, path, how).map(|()| 0),
        }
    }
}

/// The container and the path; a path of the host begins with `/` or `.`, or has no colon.
fn parts(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((container, path))
            if !text.starts_with(['/', '.']) && !container.contains('/') && !container.is_empty() =>
        {
            (Some(container), if path.is_empty() { "/" } else { path })
        }
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_after_a_name_makes_it_a_container() {
        assert_eq!(parts("web:/a:b"), (Some("web"), "/a:b"));
        for host in ["/a:b", "./a:b", "a/b:c", "a", "-"] {
            assert_eq!(parts(host), (None, host));
        }
    }
}
