//! Classic BPF, written from its end to its beginning.
//!
//! Its jumps only go forward, so whoever writes backwards knows every target already. And what was written once (the same
//! answer, the same checks) is not written again. Source: linux/filter.h, linux/bpf_common.h; Documentation/networking/filter.rst.

use sys::seccomp::Instruction;

/// An instruction that is written already, counted from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Comparisons of the accumulator with a constant, unsigned.
#[derive(Debug, Clone, Copy)]
#[repr(u16)]
pub(super) enum Jump {
    Equal = 0x15,
    Greater = 0x25,
    AtLeast = 0x35,
}

/// Codes of linux/filter.h: `BPF_LD|BPF_W|BPF_ABS`, `BPF_ALU|BPF_AND|BPF_K`, `BPF_JMP|BPF_JA`, `BPF_RET|BPF_K`.
pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const RETURN: u16 = 0x06;

/// The longest conditional jump, less the two trampolines that may come between.
const REACH: usize = 255 - 2;

#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The last instruction first.
    written: Vec<Instruction>,
    /// The latest copy of each answer: there are few.
    answers: Vec<(u32, Label)>,
}

impl Assembler {
    /// `return answer`
    pub(super) fn answer(&mut self, answer: u32) -> Label {
        let found = self.answers.iter().find(|(known, _)| *known == answer).map(|(_, label)| *label);
        if let Some(label) = found.filter(|label| self.distance(*label) < REACH) {
            return label;
        }
        let label = self.write(RETURN, answer, 0, 0);
        self.answers.retain(|(known, _)| *known != answer);
        self.answers.push((answer, label));
        label
    }

    /// `A = data[offset..offset + 4]`, then `next`, which must be what was written last.
    pub(super) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.fall_through(next);
        self.write(LOAD, offset, 0, 0)
    }

    /// `A &= mask`, then `next`.
    pub(super) fn and(&mut self, mask: u32, next: Label) -> Label {
        self.fall_through(next);
        self.write(AND, mask, 0, 0)
    }

    /// `if A <jump> constant { yes } else { no }`
    pub(super) fn branch(&mut self, jump: Jump, constant: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let (yes, no) = (self.near(yes), self.near(no));
        let offset = |label| u8::try_from(self.distance(label)).expect("`near` saw to it");
        let (jt, jf) = (offset(yes), offset(no));
        self.write(jump as u16, constant, jt, jf)
    }

    /// The program, first instruction first. It begins with what was written last.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.written.reverse();
        self.written
    }

    /// How many instructions are between the next one to be written and `label`.
    fn distance(&self, label: Label) -> usize {
        self.written.len() - 1 - label.0
    }

    /// Makes sure that the next instruction, when it just goes on, gets to `next`.
    fn fall_through(&mut self, next: Label) {
        if self.distance(next) != 0 {
            self.trampoline(next);
        }
    }

    /// `label`, or a copy or trampoline of it within a conditional jump's reach.
    fn near(&mut self, label: Label) -> Label {
        if self.distance(label) <= REACH { label } else { self.trampoline(label) }
    }

    /// An unconditional jump reaches far. A return is as short as the jump to it.
    fn trampoline(&mut self, label: Label) -> Label {
        match self.written.get(label.0) {
            Some(target) if target.code == RETURN => self.write(RETURN, target.k, 0, 0),
            _ => {
                let offset = u32::try_from(self.distance(label)).expect("a program is shorter than 2^32");
                self.write(JUMP, offset, 0, 0)
            }
        }
    }

    fn write(&mut self, code: u16, k: u32, jt: u8, jf: u8) -> Label {
        self.written.push(Instruction { code, jt, jf, k });
        Label(self.written.len() - 1)
    }
}
