//! Images that a build begins with or copies from: those of the store; what is missing is pulled.

use super::Build;
use super::progress::Vertex;
use crate::engine::is_demo;
use anyhow::{Result, anyhow};
use step07_images::registry::Registries;
use step07_images::{Error, Image, Reference};

impl Build<'_> {
    /// The image `name`; `vertex` is told when it comes from its registry.
    pub(super) fn image(&self, name: &str, vertex: Option<&Vertex<'_>>) -> Result<Image> {
        if self.request.pull && !is_demo(name) {
            self.pull(name, vertex)?;
        }
        let image = self.engine.image(name);
        let missing = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(Error::NoSuchImage { .. }));
        match image {
            Err(error) if missing(&error) && !self.request.pull => {
                self.pull(name, vertex).map_err(|why| why.context(error.to_string()))?;
                self.engine.image(name)
            }
            image => image,
        }
    }

    fn pull(&self, name: &str, vertex: Option<&Vertex<'_>>) -> Result<()> {
        let reference: Reference = name.parse()?;
        let platform = self.request.platform.as_deref().map(str::parse).transpose();
        let platform = platform.map_err(|why| anyhow!("`--platform`: {why}"))?;
        let note = |text: &str| vertex.into_iter().for_each(|vertex| vertex.note(text));
        note(&format!("pulling {reference}"));
        let pulled = self.engine.store().pull(&Registries::read()?, &reference, platform.as_ref(), &())?;
        note(&format!("{reference}@{} done", pulled.digest));
        Ok(())
    }
}
