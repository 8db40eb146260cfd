//! What the limits become, in the numbers of the kernel: one function for each file of the table in [`crate::words`].

use crate::bytes::{Bytes, Maximum};
use crate::limits::{DeviceRate, Limits};

fn one(value: Option<impl ToString>) -> Vec<String> {
    value.iter().map(ToString::to_string).collect()
}

pub(crate) fn memory(limits: &Limits) -> Vec<String> {
    one(limits.memory.map(|memory| memory.0))
}

/// docker's default: as much swap as memory.
fn total(limits: &Limits) -> Option<Maximum<Bytes>> {
    limits.memory_swap.or_else(|| limits.memory.map(|memory| Maximum::Of(Bytes(memory.0.saturating_mul(2)))))
}

pub(crate) fn memory_and_swap(limits: &Limits) -> Vec<String> {
    one(total(limits).map(|total| in_bytes(total).or("-1")))
}

/// v2 counts swap alone.
// ANCHOR: swap
pub(crate) fn swap_alone(limits: &Limits) -> Vec<String> {
    let memory = limits.memory.unwrap_or_default();
    let alone = total(limits).map(|total| match total {
        Maximum::Unlimited => Maximum::Unlimited,
        Maximum::Of(total) => Maximum::Of(Bytes(total.0.saturating_sub(memory.0))),
    });
    one(alone.map(|swap| in_bytes(swap).or("max")))
}
// ANCHOR_END: swap

fn in_bytes(amount: Maximum<Bytes>) -> Maximum<u64> {
    match amount {
        Maximum::Unlimited => Maximum::Unlimited,
        Maximum::Of(bytes) => Maximum::Of(bytes.0),
    }
}

pub(crate) fn reservation(limits: &Limits) -> Vec<String> {
    one(limits.memory_reservation.map(|reserved| reserved.0))
}

pub(crate) fn period(limits: &Limits) -> Vec<String> {
    one(limits.cpus.map(|cpus| cpus.period_us))
}

pub(crate) fn quota(limits: &Limits) -> Vec<String> {
    one(limits.cpus.map(|cpus| cpus.quota_us))
}

pub(crate) fn quota_and_period(limits: &Limits) -> Vec<String> {
    one(limits.cpus.map(|cpus| format!("{} {}", cpus.quota_us, cpus.period_us)))
}

pub(crate) fn shares(limits: &Limits) -> Vec<String> {
    one(limits.cpu_shares)
}

/// v1's shares, 2 to 262144, become v2's weight, 1 to 10000. Source: crun's and runc's conversion, which Kubernetes wrote down
/// as KEP-2254. It maps 1024, the usual share, to 39 and not to 100, the usual weight: kept, so that numbers compare.
// ANCHOR: weight
pub(crate) fn weight(limits: &Limits) -> Vec<String> {
    let weight = |shares: u64| 1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
    one(limits.cpu_shares.map(weight))
}
// ANCHOR_END: weight

pub(crate) fn cpuset_cpus(limits: &Limits) -> Vec<String> {
    one(limits.cpuset_cpus.as_ref().map(|set| set.as_str()))
}

pub(crate) fn cpuset_mems(limits: &Limits) -> Vec<String> {
    one(limits.cpuset_mems.as_ref().map(|set| set.as_str()))
}

pub(crate) fn pids(limits: &Limits) -> Vec<String> {
    one(limits.pids.map(|pids| pids.or("max")))
}

pub(crate) fn rates(rates: &[DeviceRate], key: &str) -> Vec<String> {
    rates.iter().map(|DeviceRate { device: (major, minor), rate }| format!("{major}:{minor} {key}{rate}")).collect()
}
