//! An image of one layer from a directory or a tarball.

pub(crate) mod tarball;

use crate::compression::Decoder;
use crate::error::{Doing, Error};
use crate::intake::{Added, Expected, Intake};
use crate::load::{Loaded, Source, docker};
use crate::reference::Reference;
use crate::store::Store;
use oci_spec::image::{Arch, Config, HistoryBuilder, ImageConfigurationBuilder, Os, RootFsBuilder};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

impl Store {
    /// Makes an image of a file system: a directory, a tar (plain or compressed), or a stream of one. `config` says what to run.
    ///
    /// A tarball's bytes are kept as they are: they are the layer; only xz and bzip2 are taken off. A directory is written as a tar and compressed with gzip at its
    /// fastest level: every tool reads gzip, and a plain tar would double the image's place on the disk.
    ///
    /// # Errors
    /// As [`Store::load`], for the one layer; [`Error::Io`] for a directory that cannot be read.
    pub fn import(&self, source: Source<'_>, name: Option<&Reference>, config: Config) -> Result<Loaded, Error> {
        let mut intake = Intake::begin(self)?;
        let layer = match source {
            Source::Path(path) if path.is_dir() => self.import_folder(path, &mut intake)?,
            Source::Path(path) => {
                let file = File::open(path).doing("open", path)?;
                tarball(file, named(format!("`{}`", path.display())), &intake)?
            }
            Source::Stream(stream) => tarball(stream, named("the input".into()), &intake)?,
        };
        let created = rfc3339(SystemTime::now());
        self.single_layer(intake, &layer, name, config, &created, "imported")
    }

    fn import_folder(&self, folder: &Path, intake: &mut Intake<'_>) -> Result<Added, Error> {
        let path = intake.folder().join("folder.tar.gz");
        let file = File::create(&path).doing("create", &path)?;
        let gzip = flate2::write::GzEncoder::new(
            std::io::BufWriter::with_capacity(1 << 18, file),
            flate2::Compression::fast(),
        );
        let (gzip, skipped) = tarball::write_folder(folder, gzip)?;
        let file = gzip.finish().doing("write", &path)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error).doing("write", &path)?;
        intake.skip(skipped);
        self.stored_layer(intake, &path, format!("`{}`", folder.display()))
    }

    /// Takes a layer that is a file of the intake's folder already.
    pub(crate) fn stored_layer(&self, intake: &mut Intake<'_>, path: &Path, what: String) -> Result<Added, Error> {
        let file = File::open(path).doing("open", path)?;
        intake.layer(file, Expected { stored: Some(path.to_owned()), ..named(what) })
    }

    /// Writes configuration and manifest of an image with one layer, and commits.
    pub(crate) fn single_layer(
        &self,
        mut intake: Intake<'_>,
        layer: &Added,
        name: Option<&Reference>,
        config: Config,
        created: &str,
        comment: &str,
    ) -> Result<Loaded, Error> {
        let history = HistoryBuilder::default().created(created).comment(comment).build();
        let rootfs = RootFsBuilder::default().typ("layers").diff_ids(vec![layer.diff_id.to_string()]).build();
        let image = ImageConfigurationBuilder::default()
            .created(created)
            .architecture(Arch::from(sys::arch::OCI_ARCHITECTURE))
            .os(Os::Linux)
            .config(config)
            .rootfs(rootfs.expect("all the required fields are set"))
            .history(vec![history.expect("all the required fields are set")])
            .build()
            .expect("all the required fields are set");
        let what = "write the configuration".to_owned();
        let bytes = serde_json::to_vec(&image).map_err(|source| Error::Json { what, source })?;
        let manifest = docker::manifest(&bytes, std::slice::from_ref(layer), &mut intake)?;
        intake.image(manifest, name.map(std::slice::from_ref).unwrap_or_default(), layer.bytes);
        self.committed(intake)
    }
}

fn tarball(reader: impl Read + Send, expected: Expected, intake: &Intake<'_>) -> Result<Added, Error> {
    intake.layer(Decoder::to_layer(reader, &expected.what)?, expected)
}

fn named(what: String) -> Expected {
    Expected { what, ..Expected::default() }
}

/// A time as the specification wants it, in whole seconds, UTC.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month and day of a number of days after 1970-01-01. Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_rfc3339() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59Z");
    }
}
