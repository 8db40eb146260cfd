//! `tara commit`.

use super::load::report_skipped;
use super::print;
use crate::commit::CommitRequest;
use crate::engine::Engine;
use anyhow::Result;
use clap::{ArgAction, Args};
use step07_images::Reference;

/// Make an image of a container: its image and what it has written.
#[derive(Debug, Args)]
pub(crate) struct Commit {
    /// By whom it was made.
    #[arg(short, long)]
    author: Option<String>,
    /// Change the configuration by an instruction of a Dockerfile, such as `CMD ["sh"]`.
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// What was changed.
    #[arg(short, long)]
    message: Option<String>,
    /// Stop its processes meanwhile.
    #[arg(short, long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pause: bool,
    /// The container's name, id or beginning of its id.
    container: String,
    /// The image's name.
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<Reference>,
}

impl Commit {
    pub(crate) fn run(&self, engine: &Engine) -> Result<u8> {
        let loaded = engine.commit(&CommitRequest {
            container: self.container.clone(),
            name: self.name.clone(),
            author: self.author.clone(),
            message: self.message.clone(),
            pause: self.pause,
            changes: self.change.clone(),
        })?;
        loaded.images.iter().for_each(|image| print(&format!("{}\n", image.id)));
        report_skipped(&loaded);
        Ok(0)
    }
}
