//! The image `demo`: made from this machine's own programs, so that the first container needs no network and no set-up.

mod elf;
mod files;
mod programs;

use crate::error::{Doing, Error};
use crate::image::Image;
use crate::import::tarball::TarWriter;
use crate::intake::Intake;
use crate::reference::Reference;
use crate::store::Store;
use files::Files;
use oci_spec::image::{Config, ConfigBuilder};
use std::fs::File;
use std::io::BufWriter;

/// The demo image's name.
pub const NAME: &str = "demo:latest";

/// A constant, so that the same programs give the same digest: 2024-01-01.
const CREATED: &str = "2024-01-01T00:00:00Z";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Store {
    /// The demo image; made now when it is not there: from a static busybox, or else from this machine's shell and core tools.
    ///
    /// # Errors
    /// [`Error::Demo`] on a machine with neither; otherwise as [`Store::import`].
    pub fn ensure_demo(&self) -> Result<Image, Error> {
        match self.resolve(NAME) {
            Err(Error::NoSuchImage { .. }) => self.make_demo(),
            result => result,
        }
    }

    fn make_demo(&self) -> Result<Image, Error> {
        let mut intake = Intake::begin(self)?;
        let files = demo_files()?;
        let path = intake.folder().join("demo.tar");
        let mut tar = TarWriter::new(BufWriter::new(File::create(&path).doing("create", &path)?));
        files.write(&mut tar)?;
        let buffer = tar.finish().doing("write", &path)?;
        buffer.into_inner().map_err(std::io::IntoInnerError::into_error).doing("write", &path)?;
        // A plain tar: small, quick to make, and its digest does not change with a compressor's version.
        let layer = self.stored_layer(&mut intake, &path, "the demo image".into())?;
        let name: Reference = NAME.parse()?;
        let loaded =
            self.single_layer(intake, &layer, Some(&name), config(), CREATED, "made by tara from the host's programs")?;
        Ok(loaded.images.into_iter().next().expect("one image was committed"))
    }
}

fn config() -> Config {
    let config = ConfigBuilder::default().env(vec![PATH.to_owned()]).cmd(vec!["sh".to_owned()]).working_dir("/");
    config.build().expect("no field is required")
}

fn demo_files() -> Result<Files, Error> {
    let mut files = Files::default();
    for folder in ["bin", "dev", "etc", "home", "proc", "sys", "usr", "var"] {
        files.folder(folder, 0o755);
    }
    files.folder("root", 0o700);
    files.folder("tmp", 0o1777);
    files.folder("var/tmp", 0o1777);
    files.link("sbin", "bin");
    files.link("usr/bin", "../bin");
    files.link("usr/sbin", "../bin");
    files.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
    files.text("etc/group", "root:x:0:\nnogroup:x:65534:\n");
    files.text("etc/os-release", "NAME=\"tara demo\"\nID=tara-demo\nPRETTY_NAME=\"tara demo\"\n");
    programs::add(&mut files)?;
    Ok(files)
}
