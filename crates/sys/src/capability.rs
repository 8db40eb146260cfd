//! The capabilities of this process, as masks: bit `n` is capability number `n`. Source: capabilities(7).

use nix::errno::Errno;

/// Three of the five sets. The kernel keeps `effective` within `permitted`, and new bits within what was permitted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What the kernel checks.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What a program with inheritable file capabilities would get.
    pub inheritable: u64,
}

const VERSION_3: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`; PID 0 is the caller. Source: capget(2).
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`, of which version 3 has two: the low and the high 32 bits.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The sets of the calling thread. Source: capget(2).
///
/// # Errors
/// None on a kernel that this project runs on.
pub fn get() -> nix::Result<Sets> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 writes two halves, which `halves` has, and may write the header's version.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
    let [low, high] = halves;
    let join = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    Ok(Sets {
        effective: join(low.effective, high.effective),
        permitted: join(low.permitted, high.permitted),
        inheritable: join(low.inheritable, high.inheritable),
    })
}

/// Replaces the sets of the calling thread. Source: capset(2).
///
/// # Errors
/// EPERM when a set grows beyond what is permitted now.
pub fn set(sets: &Sets) -> nix::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    #[allow(clippy::cast_possible_truncation, reason = "the two halves of 64 bits")]
    let half = |shift: u32| Half {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let halves = [half(0), half(32)];
    // SAFETY: version 3 reads two halves, which `halves` has.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) }).map(drop)
}

/// Takes the capability `number` out of the bounding set, for good. Source: PR_CAPBSET_DROP(2const).
///
/// # Errors
/// EPERM without CAP_SETPCAP, EINVAL for a number that this kernel does not have.
pub fn drop_bounding(number: u8) -> nix::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, number.into(), 0)
}

/// Empties the ambient set. Source: PR_CAP_AMBIENT(2const).
///
/// # Errors
/// EINVAL before Linux 4.3.
pub fn clear_ambient() -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)
}

/// Adds the capability `number` to the ambient set: a program without file capabilities keeps it. Source: PR_CAP_AMBIENT(2const).
///
/// # Errors
/// EPERM when it is not both permitted and inheritable.
pub fn raise_ambient(number: u8) -> nix::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number.into())
}

/// Whether the permitted set outlives the change from user 0 to another; execve switches it off again. Source: PR_SET_KEEPCAPS(2const).
///
/// # Errors
/// EPERM when the securebit `KEEP_CAPS_LOCKED` is set.
pub fn keep_across_setuid(keep: bool) -> nix::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, keep.into(), 0)
}

fn prctl(option: libc::c_int, second: libc::c_int, third: libc::c_int) -> nix::Result<()> {
    let [second, third] = [second, third].map(|argument| libc::c_ulong::from(argument.cast_unsigned()));
    let zero: libc::c_ulong = 0;
    // SAFETY: the options above take integers only; the kernel wants the unused arguments to be 0.
    Errno::result(unsafe { libc::prctl(option, second, third, zero, zero) }).map(drop)
}
