//! What a profile means here and now: for each way into the kernel, which number gets which answer.

use super::profile::{Action, Argument, Entry, Filter, Operator, Profile, kernel_version};
use crate::{Capabilities, Capability, Error};
use sys::Errno;
use sys::arch::{ABIS, Abi, OCI_ARCHITECTURE};
use sys::seccomp::answer;

/// The rules of one way into the kernel.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) abi: Abi,
    /// Number and behaviour, sorted; what is not named gets `default`.
    pub(super) calls: Vec<(u32, Behaviour)>,
    pub(super) default: Behaviour,
    /// What numbers above all named ones get.
    pub(super) newer: Behaviour,
}

/// What happens to a call: conditions one after the other, the first that holds decides; else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behaviour {
    pub(super) rules: Vec<Rule>,
    pub(super) otherwise: u32,
}

impl Behaviour {
    pub(super) const fn always(answer: u32) -> Self {
        Self { rules: Vec::new(), otherwise: answer }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// All have to hold.
    pub(super) conditions: Vec<Condition>,
    /// What the filter returns then.
    pub(super) answer: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) test: Test,
}

/// What an argument is compared with. The other operators of seccomp are these, with yes and no exchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    OneOf(Vec<u64>),
    Not(u64),
    Above(u64),
    NotAbove(u64),
    AtLeast(u64),
    Below(u64),
    Masked { mask: u64, value: u64 },
}

/// The tables of `profile` for a process that may have `capabilities`: the native one first.
pub(super) fn tables(profile: &Profile, capabilities: Capabilities) -> Result<Vec<Table>, Error> {
    let native = ABIS.first().ok_or(Error::NoTable)?;
    let kernel = running_kernel()?;
    let entries = profile.syscalls.iter().flatten().filter(|entry| counts(entry, capabilities, kernel));
    let entries: Vec<(&Entry, Vec<Rule>)> = entries.map(|entry| (entry, rules_of(entry))).collect();
    let wanted = |abi: &&Abi| abi.name == native.name || listed(profile, native.name).any(|name| name == abi.name);
    Ok(ABIS.iter().filter(wanted).map(|abi| Table::new(abi, profile, &entries)).collect())
}

/// The ways into the kernel that the profile leaves open on this processor, the native one first.
pub(super) fn entries_into(profile: &Profile) -> Result<Vec<String>, Error> {
    let native = ABIS.first().ok_or(Error::NoTable)?.name;
    let others = listed(profile, native).filter(|name| *name != native);
    Ok([native].into_iter().chain(others).map(str::to_owned).collect())
}

/// The ways into the kernel that the profile names for this processor.
fn listed<'p>(profile: &'p Profile, native: &'p str) -> impl Iterator<Item = &'p str> {
    let of_map = profile.arch_map.iter().flatten().filter(move |map| map.architecture == native);
    let of_map = of_map.flat_map(|map| map.sub_architectures.iter().flatten());
    of_map.chain(profile.architectures.iter().flatten()).map(String::as_str)
}

pub(super) fn running_kernel() -> Result<(u32, u32), Error> {
    let system = |errno| Error::System { doing: "ask for the kernel's version", errno };
    let name = nix::sys::utsname::uname().map_err(system)?;
    name.release().to_str().and_then(kernel_version).ok_or_else(|| system(Errno::EINVAL))
}

/// Whether an entry is for this process, processor and kernel. Source: moby, profiles/seccomp: `includes` and `excludes`.
pub(super) fn counts(entry: &Entry, capabilities: Capabilities, kernel: (u32, u32)) -> bool {
    let has = |name: &String| Capability::by_name(name).is_ok_and(|named| capabilities.contains(named));
    let old_enough = |version: &String| kernel_version(version).is_some_and(|version| kernel >= version);
    let here = |name: &String| name == OCI_ARCHITECTURE;
    let Filter { caps, arches, min_kernel } = &entry.includes;
    let included = caps.iter().flatten().all(has)
        && arches.as_ref().is_none_or(|arches| arches.is_empty() || arches.iter().any(here))
        && min_kernel.as_ref().is_none_or(old_enough);
    let Filter { caps, arches, min_kernel } = &entry.excludes;
    let excluded = caps.iter().flatten().any(has)
        || arches.iter().flatten().any(here)
        || min_kernel.as_ref().is_some_and(old_enough);
    included && !excluded
}

impl Table {
    fn new(abi: &Abi, profile: &Profile, entries: &[(&Entry, Vec<Rule>)]) -> Self {
        let default = returned(profile.default_action, profile.default_errno_ret);
        let mut table = Self {
            abi: *abi,
            calls: Vec::new(),
            default: Behaviour::always(default),
            newer: Behaviour::always(default),
        };
        let numbers = entries.iter().enumerate().flat_map(|(index, (entry, _))| {
            entry.names().filter_map(|name| abi.number(name)).map(move |number| (number, index))
        });
        let mut named: Vec<(u32, usize)> = numbers.collect();
        // By number, and for each number in the profile's order.
        named.sort_unstable();
        table.calls.reserve(named.len());
        for same in named.chunk_by(|(one, _), (other, _)| one == other) {
            let rules = same.iter().filter_map(|(_, index)| entries.get(*index)).flat_map(|(_, rules)| rules);
            table.calls.extend(same.first().map(|(number, _)| (*number, Behaviour::of(rules, default))));
        }
        // A call that came after the profile was written: a program takes EPERM for the answer to this one call, and ENOSYS
        // for "use the older one". Docker's runtime, runc, does the same.
        if !named.is_empty() && !matches!(profile.default_action, Action::Allow | Action::Log) {
            table.newer = Behaviour::always(answer::ERRNO | Errno::ENOSYS as u32);
        }
        table
    }
}

impl Behaviour {
    /// As in libseccomp, a rule without conditions is more than all that have some, wherever it stands, and the first of two
    /// such rules counts.
    fn of<'r>(rules: impl Iterator<Item = &'r Rule> + Clone, default: u32) -> Self {
        if let Some(always) = rules.clone().find(|rule| rule.conditions.is_empty()) {
            return Self::always(always.answer);
        }
        let mut rules: Vec<Rule> = rules.cloned().collect();
        rules.dedup_by(|next, rule| rule.absorb(next));
        // The default at the end of a list says nothing new.
        while rules.pop_if(|last| last.answer == default).is_some() {}
        Self { rules, otherwise: default }
    }
}

impl Rule {
    /// Takes the values of `next` in, when both test nothing but whether the same argument is one of some values.
    fn absorb(&mut self, next: &Self) -> bool {
        match (self.conditions.as_mut_slice(), next.conditions.as_slice()) {
            (
                [Condition { argument, test: Test::OneOf(values) }],
                [Condition { argument: other, test: Test::OneOf(more) }],
            ) if argument == other && self.answer == next.answer => {
                values.extend(more);
                true
            }
            _ => false,
        }
    }
}

/// The rules of one entry. Two conditions on the same argument cannot be told to libseccomp in one rule; runc makes a rule of
/// each then, so they are alternatives, and profiles are written for that.
fn rules_of(entry: &Entry) -> Vec<Rule> {
    let answer = returned(entry.action, entry.errno_ret);
    let arguments = entry.args.as_deref().unwrap_or_default();
    let twice = (0..6).any(|index| arguments.iter().filter(|argument| argument.index == index).count() > 1);
    let conditions: Vec<Condition> = arguments.iter().map(Condition::new).collect();
    if twice {
        return conditions.into_iter().map(|condition| Rule { conditions: vec![condition], answer }).collect();
    }
    vec![Rule { conditions, answer }]
}

impl Condition {
    fn new(argument: &Argument) -> Self {
        let Argument { index, value, value_two, op } = *argument;
        let test = match op {
            Operator::Equal => Test::OneOf(vec![value]),
            Operator::NotEqual => Test::Not(value),
            Operator::Greater => Test::Above(value),
            Operator::LessOrEqual => Test::NotAbove(value),
            Operator::GreaterOrEqual => Test::AtLeast(value),
            Operator::Less => Test::Below(value),
            Operator::MaskedEqual => Test::Masked { mask: value, value: value_two },
        };
        Self { argument: index, test }
    }
}

/// What the filter returns for an action. Without an errno of its own it is EPERM, as in runc.
fn returned(action: Action, errno: Option<u16>) -> u32 {
    let errno = u32::from(errno.unwrap_or(Errno::EPERM as u16));
    match action {
        Action::KillThread => answer::KILL_THREAD,
        Action::KillProcess => answer::KILL_PROCESS,
        Action::Trap => answer::TRAP,
        Action::Errno => answer::ERRNO | errno,
        Action::Trace => answer::TRACE | errno,
        Action::Allow => answer::ALLOW,
        Action::Log => answer::LOG,
        Action::Notify => answer::NOTIFY,
    }
}
