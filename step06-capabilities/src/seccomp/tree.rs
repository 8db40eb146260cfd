//! From tables to a program: ranges of numbers, and a binary search over them.
//!
//! A list of comparisons, one a call, is what libseccomp makes by default: 974 instructions for docker's profile. When a filter is
//! loaded, the kernel runs it for every number, to know which calls it never has to ask about again (`seccomp_cache_prepare`,
//! Linux 5.11): 714 µs for that list, a twentieth of it for a tree.

use super::assembler::{Assembler, Jump, Label};
use super::rules::{Behaviour, Condition, Rule, Table, Test};
use sys::Errno;
use sys::seccomp::{Instruction, answer};

/// Offsets in `struct seccomp_data`. Source: linux/seccomp.h.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// Where the second half of the numbers of an ABI with a flag in it begins (`__X32_SYSCALL_BIT`).
const FLAG: u32 = 0x4000_0000;

/// From this number on, up to the next range's, all calls behave alike.
#[derive(Debug, Clone, Copy)]
struct Range<'t> {
    from: u32,
    behaviour: &'t Behaviour,
}

/// Compiles the tables; the first is the native one, and is asked first.
// ANCHOR: compile
pub(super) fn compile(tables: &[Table]) -> Vec<Instruction> {
    let mut compiler = Compiler::default();
    // A way into the kernel that the profile does not name is closed. Killed, and not an errno: nothing that was built for it
    // could go on without its calls. libseccomp does the same.
    let mut entry = compiler.assembler.answer(answer::KILL_PROCESS);
    let mut entries = Vec::new();
    for architecture in architectures(tables).into_iter().rev() {
        let ranges = ranges(tables.iter().filter(|table| table.abi.audit == architecture));
        let search = compiler.search(&ranges);
        entries.push((architecture, compiler.assembler.load(NUMBER, search)));
    }
    for (architecture, tree) in entries {
        entry = compiler.assembler.branch(Jump::Equal, architecture, tree, entry);
    }
    compiler.assembler.load(ARCHITECTURE, entry);
    compiler.assembler.finish()
}
// ANCHOR_END: compile

/// The values of `seccomp_data.arch`, each once, in order.
fn architectures(tables: &[Table]) -> Vec<u32> {
    let mut once = Vec::new();
    for table in tables {
        if !once.contains(&table.abi.audit) {
            once.push(table.abi.audit);
        }
    }
    once
}

/// All 2³² numbers as ranges. Where bit 30 tells a second ABI apart and no table is for it, its numbers do not exist: ENOSYS is
/// what a kernel without it says, whatever the profile's default.
// ANCHOR: ranges
fn ranges<'t>(tables: impl Iterator<Item = &'t Table>) -> Vec<Range<'t>> {
    const CLOSED: &Behaviour = &Behaviour::always(answer::ERRNO | Errno::ENOSYS as u32);
    let mut ranges = vec![Range { from: 0, behaviour: CLOSED }, Range { from: FLAG, behaviour: CLOSED }];
    for table in tables {
        let mut next = table.abi.first;
        ranges.retain(|range| range.from != next);
        for (number, behaviour) in &table.calls {
            if next < *number {
                ranges.push(Range { from: next, behaviour: &table.default });
            }
            ranges.push(Range { from: *number, behaviour });
            next = number + 1;
        }
        ranges.push(Range { from: next, behaviour: &table.newer });
    }
    ranges.sort_by_key(|range| range.from);
    ranges.dedup_by(|next, range| next.behaviour == range.behaviour);
    ranges
}
// ANCHOR_END: ranges

#[derive(Default)]
struct Compiler<'t> {
    assembler: Assembler,
    /// Checks that several calls share, or two ways into the kernel, are written once.
    checks: Vec<(&'t Behaviour, Label)>,
}

impl<'t> Compiler<'t> {
    /// Halves the ranges until one is left.
    // ANCHOR: search
    fn search(&mut self, ranges: &[Range<'t>]) -> Label {
        match ranges {
            [] => self.assembler.answer(answer::KILL_PROCESS),
            [range] => self.behaviour(range.behaviour),
            _ => {
                let (lower, upper) = ranges.split_at(ranges.len() / 2);
                let from = upper.first().map_or(0, |range| range.from);
                let upper = self.search(upper);
                let lower = self.search(lower);
                self.assembler.branch(Jump::AtLeast, from, upper, lower)
            }
        }
    }
    // ANCHOR_END: search

    fn behaviour(&mut self, behaviour: &'t Behaviour) -> Label {
        if behaviour.rules.is_empty() {
            return self.assembler.answer(behaviour.otherwise);
        }
        if let Some((_, label)) = self.checks.iter().find(|(written, _)| *written == behaviour) {
            return *label;
        }
        let mut otherwise = self.assembler.answer(behaviour.otherwise);
        for rule in behaviour.rules.iter().rev() {
            otherwise = self.rule(rule, otherwise);
        }
        self.checks.push((behaviour, otherwise));
        otherwise
    }

    /// All conditions hold, or on to `otherwise`.
    fn rule(&mut self, rule: &Rule, otherwise: Label) -> Label {
        let mut then = self.assembler.answer(rule.answer);
        for condition in rule.conditions.iter().rev() {
            then = self.condition(condition, then, otherwise);
        }
        then
    }

    fn condition(&mut self, condition: &Condition, yes: Label, no: Label) -> Label {
        let argument = condition.argument;
        match &condition.test {
            Test::OneOf(values) => self.one_of(argument, values, yes, no),
            Test::Not(value) => self.one_of(argument, &[*value], no, yes),
            Test::Above(value) => self.ordered(argument, Jump::Greater, *value, yes, no),
            Test::NotAbove(value) => self.ordered(argument, Jump::Greater, *value, no, yes),
            Test::AtLeast(value) => self.ordered(argument, Jump::AtLeast, *value, yes, no),
            Test::Below(value) => self.ordered(argument, Jump::AtLeast, *value, no, yes),
            Test::Masked { mask, value } => self.masked(argument, *mask, *value, yes, no),
        }
    }

    /// The accumulator has 32 bits, an argument 64: first the upper half, then the lower.
    fn one_of(&mut self, argument: u8, values: &[u64], yes: Label, no: Label) -> Label {
        let mut uppers: Vec<u32> = values.iter().map(|value| upper(*value)).collect();
        uppers.sort_unstable();
        uppers.dedup();
        let mut otherwise = no;
        for half in uppers {
            let mut lower_half = no;
            for value in values.iter().filter(|value| upper(**value) == half).rev() {
                lower_half = self.assembler.branch(Jump::Equal, lower(*value), yes, lower_half);
            }
            let lower_half = self.assembler.load(lower_offset(argument), lower_half);
            otherwise = self.assembler.branch(Jump::Equal, half, lower_half, otherwise);
        }
        self.assembler.load(upper_offset(argument), otherwise)
    }

    fn ordered(&mut self, argument: u8, jump: Jump, value: u64, yes: Label, no: Label) -> Label {
        let lower_half = self.assembler.branch(jump, lower(value), yes, no);
        let lower_half = self.assembler.load(lower_offset(argument), lower_half);
        let equal = self.assembler.branch(Jump::Equal, upper(value), lower_half, no);
        let greater = self.assembler.branch(Jump::Greater, upper(value), yes, equal);
        self.assembler.load(upper_offset(argument), greater)
    }

    fn masked(&mut self, argument: u8, mask: u64, value: u64, yes: Label, no: Label) -> Label {
        let mut then = yes;
        for (offset, mask, value) in
            [(lower_offset(argument), lower(mask), lower(value)), (upper_offset(argument), upper(mask), upper(value))]
        {
            if (mask, value) != (0, 0) {
                then = self.assembler.branch(Jump::Equal, value, then, no);
                then = self.assembler.and(mask, then);
                then = self.assembler.load(offset, then);
            }
        }
        then
    }
}

fn upper(value: u64) -> u32 {
    u32::try_from(value >> 32).expect("32 bits")
}

fn lower(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("32 bits")
}

const fn lower_offset(argument: u8) -> u32 {
    ARGUMENTS + 8 * argument as u32 + if cfg!(target_endian = "big") { 4 } else { 0 }
}

const fn upper_offset(argument: u8) -> u32 {
    ARGUMENTS + 8 * argument as u32 + if cfg!(target_endian = "big") { 0 } else { 4 }
}
