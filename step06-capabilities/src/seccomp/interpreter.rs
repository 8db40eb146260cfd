//! For tests: classic BPF, run as the kernel runs it. Source: Documentation/networking/filter.rst.

use super::assembler::{AND, JUMP, LOAD, RETURN};
use sys::seccomp::Instruction;

/// One system call as a filter sees it: `struct seccomp_data` of linux/seccomp.h.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) architecture: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    fn bytes(&self) -> Vec<u8> {
        let words = [0].into_iter().chain(self.arguments);
        let head = [self.number, self.architecture].into_iter().flat_map(u32::to_ne_bytes);
        head.chain(words.flat_map(u64::to_ne_bytes)).collect()
    }
}

/// What the program returns for the call. Panics on anything that the kernel's checker would not have let in.
pub(super) fn run(program: &[Instruction], call: &Call) -> u32 {
    let data = call.bytes();
    let (mut accumulator, mut next) = (0u32, 0usize);
    loop {
        let Instruction { code, jt, jf, k } = program[next];
        let at = usize::try_from(k).unwrap();
        let holds = match code {
            LOAD => {
                assert!(at % 4 == 0, "the kernel loads aligned words only");
                accumulator = u32::from_ne_bytes(data[at..at + 4].try_into().unwrap());
                None
            }
            AND => {
                accumulator &= k;
                None
            }
            JUMP => {
                next += at;
                None
            }
            RETURN => return k,
            0x15 => Some(accumulator == k),
            0x25 => Some(accumulator > k),
            0x35 => Some(accumulator >= k),
            other => panic!("instruction {next} has the unknown code {other:#x}"),
        };
        next += 1 + holds.map_or(0, |holds| usize::from(if holds { jt } else { jf }));
    }
}
