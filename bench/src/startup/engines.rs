//! Other engines: an image, an overlay, a network.

use super::Field;
use crate::stage::Stage;
use anyhow::Result;

/// A daemon that was started for the measurement.
#[derive(Debug)]
pub(crate) struct Daemon;

pub(super) fn add(_field: &mut Field, _stage: &Stage) -> Result<Option<Daemon>> {
    Ok(None)
}
