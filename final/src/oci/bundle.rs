//! A bundle: `config.json`, read and checked before anything is made. Every complaint names the field.

use super::check::check;
use crate::report::Refusal;
use anyhow::{Context, Result, bail};
use oci_spec::runtime::Spec;
use std::fs;
use std::path::{Path, PathBuf};

/// A bundle whose configuration holds water.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Absolute, without links.
    pub(super) path: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) spec: Spec,
    /// As it is written.
    pub(super) text: Vec<u8>,
}

impl Bundle {
    /// Reads the bundle at `path`; `config` is its configuration where it is not in the bundle.
    ///
    /// # Errors
    /// [`Refusal`] that names the field for what is not as the specification wants it, and for what is not supported.
    pub(super) fn read(path: &Path, config: Option<&Path>) -> Result<Self> {
        let path = fs::canonicalize(path).with_context(|| format!("find the bundle `{}`", path.display()))?;
        let file = path.join(config.unwrap_or(Path::new("config.json")));
        let text = fs::read(&file).with_context(|| format!("read `{}`", file.display()))?;
        let spec: Spec = parse(&text, &file)?;
        check(&spec)?;
        let rootfs = spec.root().as_ref().map(|root| path.join(root.path())).unwrap_or_default();
        let rootfs = match fs::canonicalize(&rootfs) {
            Ok(found) if found.is_dir() => found,
            Ok(_) => bail!(wrong("root.path", format!("`{}` is not a directory", rootfs.display()))),
            Err(error) => return Err(error).context(wrong("root.path", format!("`{}`", rootfs.display()))),
        };
        Ok(Self { path, rootfs, spec, text })
    }
}

/// Parses a JSON document; the error says where it is wrong: the field, or line and column.
pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &[u8], file: &Path) -> Result<T> {
    // To keep the path of the field costs as much as the parsing: only where it is needed.
    if let Ok(parsed) = serde_json::from_slice(text) {
        return Ok(parsed);
    }
    let mut parser = serde_json::Deserializer::from_slice(text);
    let parsed = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let field = error.path().to_string();
        // What is missing is named by the message alone.
        let words = error.inner().to_string();
        let missing = words.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let field = match missing {
            Some(name) if field == "." => name.to_owned(),
            Some(name) => format!("{field}.{name}"),
            None => field,
        };
        let what =
            if field == "." { format!("`{}`", file.display()) } else { format!("`{}`: {field}", file.display()) };
        Refusal::new(format!("{what}: {}", error.inner())).code(1)
    })?;
    let end = parser.end().map_err(|error| Refusal::new(format!("`{}`: {error}", file.display())).code(1));
    end.map(|()| parsed).map_err(Into::into)
}

/// What is wrong with a field of the configuration.
pub(super) fn wrong(field: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(format!("config.json: {field}: {why}")).code(1)
}
