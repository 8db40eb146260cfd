//! v2 has no file for devices: a program in the kernel decides, for each mknod and each open. It is written here by hand.
//!
//! Sources: Documentation/admin-guide/cgroup-v2.rst, "Device controller"; Documentation/bpf/standardization/instruction-set.rst;
//! include/uapi/linux/bpf.h, `struct bpf_cgroup_dev_ctx`.

use crate::Error;
use crate::device_rule::{Access, DeviceKind, DeviceRule};
use std::os::fd::BorrowedFd;
use std::path::Path;
use sys::bpf;

/// Loads the program for `rules` and attaches it to the cgroup.
pub(crate) fn attach(rules: &[DeviceRule], cgroup: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    let refused = |errno| Error::DeviceProgram { path: path.to_owned(), errno };
    let program = bpf::load(bpf::PROG_TYPE_CGROUP_DEVICE, &compile(rules)).map_err(refused)?;
    bpf::attach(program, cgroup, bpf::ATTACH_CGROUP_DEVICE).map_err(refused)
}

/// One instruction, as the kernel reads it: code, registers, jump offset, number.
type Instruction = [u8; 8];

/// The registers: the kernel's context comes in 1, the answer goes out in 0.
#[derive(Clone, Copy)]
struct Register(u8);

const ANSWER: Register = Register(0);
const CONTEXT: Register = Register(1);
const KIND: Register = Register(2);
const ACCESS: Register = Register(3);
const MAJOR: Register = Register(4);
const MINOR: Register = Register(5);

// struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }: access in the upper half, kind in the lower.
const KIND_BLOCK: i32 = 1;
const KIND_CHARACTER: i32 = 2;
const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

/// The rules as a program: the last one that matches decides, so they are asked from the last to the first; none is "no".
// ANCHOR: compile
pub(crate) fn compile(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        load(KIND, 0),
        and(KIND, 0xFFFF),
        load(ACCESS, 0),
        shift_right(ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    // What comes after a rule about everything is never reached, and the kernel takes no program with such a part.
    let last = rules.iter().rposition(DeviceRule::is_about_everything);
    let counting = rules.get(last.unwrap_or(0)..).unwrap_or_default();
    program.extend(counting.iter().rev().flat_map(rule));
    if last.is_none() {
        program.extend(answer(false));
    }
    program
}

/// One rule: a chain of tests, each of which jumps over the answer at the end when the rule does not match.
fn rule(rule: &DeviceRule) -> Vec<Instruction> {
    let kind = match rule.kind {
        DeviceKind::Any => None,
        DeviceKind::Character => Some(KIND_CHARACTER),
        DeviceKind::Block => Some(KIND_BLOCK),
    };
    let mut code: Vec<Part> = Vec::new();
    code.extend(kind.map(|kind| Part::UnlessEqual(KIND, kind)));
    code.extend(access(rule));
    code.extend(rule.major.map(|major| Part::UnlessEqual(MAJOR, major.cast_signed())));
    code.extend(rule.minor.map(|minor| Part::UnlessEqual(MINOR, minor.cast_signed())));
    let end = code.len() + answer(rule.allow).len();
    let place = |(index, part): (usize, &Part)| part.encode(end - index - 1);
    code.iter().enumerate().map(place).chain(answer(rule.allow)).collect()
}

/// An allowing rule has to allow all that is wanted; a denying one matches when it denies any of it.
fn access(rule: &DeviceRule) -> Vec<Part> {
    if rule.access == Access::ALL {
        return Vec::new();
    }
    let bits = [(rule.access.mknod, ACCESS_MKNOD), (rule.access.read, ACCESS_READ), (rule.access.write, ACCESS_WRITE)];
    let bits = bits.into_iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum();
    // The context is read: its register is free.
    let masked = [Part::Plain(copy(CONTEXT, ACCESS)), Part::Plain(and(CONTEXT, bits))];
    let test = if rule.allow { Part::UnlessSame(CONTEXT, ACCESS) } else { Part::IfEqual(CONTEXT, 0) };
    masked.into_iter().chain([test]).collect()
}
// ANCHOR_END: compile

/// A piece of a rule's code; the tests jump to the end of the rule.
enum Part {
    Plain(Instruction),
    UnlessEqual(Register, i32),
    IfEqual(Register, i32),
    UnlessSame(Register, Register),
}

impl Part {
    /// `over` is how many instructions follow in this rule.
    fn encode(&self, over: usize) -> Instruction {
        let over = i16::try_from(over).expect("a rule has a dozen instructions");
        match *self {
            Self::Plain(instruction) => instruction,
            Self::UnlessEqual(register, number) => encode(0x55, register, Register(0), over, number), // JNE | K
            Self::IfEqual(register, number) => encode(0x15, register, Register(0), over, number),     // JEQ | K
            Self::UnlessSame(one, other) => encode(0x5D, one, other, over, 0),                        // JNE | X
        }
    }
}

fn load(into: Register, offset: i16) -> Instruction {
    encode(0x61, into, CONTEXT, offset, 0) // LDX | MEM | W
}

fn and(register: Register, mask: i32) -> Instruction {
    encode(0x54, register, Register(0), 0, mask) // ALU (32 bits) | AND | K
}

fn shift_right(register: Register, bits: i32) -> Instruction {
    encode(0x74, register, Register(0), 0, bits) // ALU | RSH | K
}

fn copy(into: Register, from: Register) -> Instruction {
    encode(0xBC, into, from, 0, 0) // ALU | MOV | X
}

fn answer(allow: bool) -> [Instruction; 2] {
    let set = encode(0xB4, ANSWER, Register(0), 0, i32::from(allow)); // ALU | MOV | K
    [set, encode(0x95, Register(0), Register(0), 0, 0)] // EXIT
}

/// `struct bpf_insn`: the registers share a byte, the target in the half that the machine's byte order puts first.
// ANCHOR: encode
fn encode(code: u8, target: Register, source: Register, offset: i16, number: i32) -> Instruction {
    let registers = if cfg!(target_endian = "little") { source.0 << 4 | target.0 } else { target.0 << 4 | source.0 };
    let ([o0, o1], [n0, n1, n2, n3]) = (offset.to_ne_bytes(), number.to_ne_bytes());
    [code, registers, o0, o1, n0, n1, n2, n3]
}
// ANCHOR_END: encode

#[cfg(test)]
mod tests {
    use super::*;
    use crate::default_devices;

    /// A machine for the few instructions that the compiler uses: 0 or 1, as the kernel would see it.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u32 {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u32; 11];
        let mut at = 0;
        loop {
            let [code, packed, o0, o1, number @ ..] = program[at];
            let (target, source) = (usize::from(packed & 15), usize::from(packed >> 4));
            let (offset, number) = (i16::from_ne_bytes([o0, o1]), i32::from_ne_bytes(number).cast_unsigned());
            let jump = match code {
                0x61 => {
                    registers[target] = context[usize::try_from(offset).unwrap() / 4];
                    false
                }
                0x54 => {
                    registers[target] &= number;
                    false
                }
                0x74 => {
                    registers[target] >>= number;
                    false
                }
                0xBC => {
                    registers[target] = registers[source];
                    false
                }
                0xB4 => {
                    registers[target] = number;
                    false
                }
                0x55 => registers[target] != number,
                0x15 => registers[target] == number,
                0x5D => registers[target] != registers[source],
                0x95 => return registers[0],
                other => panic!("instruction {other:#x}"),
            };
            at += 1 + if jump { usize::try_from(offset).unwrap() } else { 0 };
        }
    }

    const READ_WRITE: u32 = 6;

    #[test]
    fn dockers_list_allows_null_and_denies_the_disk() {
        let program = compile(&default_devices());
        assert_eq!(run(&program, 2, READ_WRITE, 1, 3), 1, "/dev/null");
        assert_eq!(run(&program, 2, READ_WRITE, 136, 7), 1, "/dev/pts/7");
        assert_eq!(run(&program, 1, READ_WRITE, 8, 0), 0, "/dev/sda");
        assert_eq!(run(&program, 1, 1, 8, 0), 1, "mknod of /dev/sda");
        assert_eq!(run(&program, 2, READ_WRITE, 1, 1), 0, "/dev/mem");
        assert_eq!(run(&program, 1, READ_WRITE, 1, 3), 0, "a block device with the numbers of null");
    }

    /// The kernel's checker says EINVAL to a part that is never reached.
    #[test]
    fn nothing_comes_after_a_rule_about_everything() {
        let rules = |text: &str| -> Vec<DeviceRule> {
            [("a", false), (text, true)].map(|(text, allow)| DeviceRule { allow, ..text.parse().unwrap() }).to_vec()
        };
        assert_eq!(compile(&rules("a")).len(), 6 + 2);
        assert_eq!(run(&compile(&rules("c 1:3 rwm")), 2, READ_WRITE, 1, 3), 1);
        assert_eq!(run(&compile(&rules("c 1:3 rwm")), 2, READ_WRITE, 1, 5), 0);
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        let rules = |texts: &[(bool, &str)]| -> Vec<DeviceRule> {
            texts.iter().map(|(allow, text)| DeviceRule { allow: *allow, ..text.parse().unwrap() }).collect()
        };
        let program = compile(&rules(&[(true, "a"), (false, "b *:* w")]));
        assert_eq!(
            (run(&program, 1, 2, 8, 0), run(&program, 1, READ_WRITE, 8, 0), run(&program, 2, 4, 1, 3)),
            (1, 0, 1)
        );
        assert_eq!(run(&compile(&[]), 2, 2, 1, 3), 0, "an empty list denies");
    }
}
