//! Which controllers a container needs, and in which trees they are.

use crate::Error;
use crate::hierarchy::{Controller, Tree};
use crate::limits::Limits;
use crate::parent::{Parent, Wish};
use crate::words::needed;

/// What statistics read. In v1 that is a directory each, about 35 to 85 µs; so nothing else is made that no limit needs.
const MEASURED: [Controller; 3] = [Controller::Memory, Controller::Cpuacct, Controller::Pids];

/// What the limits need, and what statistics do.
pub(crate) fn wishes(limits: &Limits) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = needed(limits).into_iter().map(|(controller, flag)| (controller, Some(flag))).collect();
    for controller in MEASURED {
        if wishes.iter().all(|(known, _)| *known != controller) {
            wishes.push((controller, None));
        }
    }
    wishes
}

/// The wishes by the trees that can fulfil them.
pub(crate) fn trees<'p>(parent: &'p Parent, wishes: &[Wish]) -> Result<Vec<(&'p Tree, Vec<Wish>)>, Error> {
    let mut trees: Vec<(&Tree, Vec<Wish>)> = Vec::new();
    for (controller, flag) in wishes.iter().copied() {
        let Some(tree) = parent.hierarchy().tree_of(controller) else {
            let controller = controller.v1_name();
            flag.map_or(Ok(()), |flag| Err(Error::NoController { flag, controller }))?;
            continue;
        };
        match trees.iter_mut().find(|(known, _)| known.mount_point == tree.mount_point) {
            Some((_, wishes)) => wishes.push((controller, flag)),
            None => trees.push((tree, vec![(controller, flag)])),
        }
    }
    Ok(trees)
}
