//! Virtual machines: a kernel of their own, and the same program as its init.

use crate::stage::Stage;
use crate::startup::Field;
use anyhow::Result;

/// Those that boot here.
///
/// # Errors
/// When the stage has no room for them.
pub(crate) fn add(_field: &mut Field, _stage: &Stage) -> Result<()> {
    Ok(())
}
