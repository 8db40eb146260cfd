//! How a process is scheduled: on processors and on disks.

use nix::errno::Errno;
use nix::libc;
use std::mem::{size_of, zeroed};
use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, JoinHandle};

/// What [`set_schedule`] sets. Source: sched_setattr(2), `struct sched_attr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// `SCHED_OTHER` and the rest, by number.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`: -20 to 19.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`: 1 to 99.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub runtime_ns: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub deadline_ns: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub period_ns: u64,
}

/// The kernel's structure, in its first version.
#[repr(C)]
struct Raw {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the scheduler of the calling thread.
///
/// # Errors
/// EINVAL for numbers that do not go together, EPERM without CAP_SYS_NICE. Source: sched_setattr(2).
pub fn set_schedule(attributes: &Attributes) -> nix::Result<()> {
    const SIZE: u32 = 48;
    let raw = Raw {
        size: SIZE,
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: attributes.runtime_ns,
        deadline: attributes.deadline_ns,
        period: attributes.period_ns,
    };
    // SAFETY: `raw` lives over the call, and is as long as it says.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(&raw), 0) };
    Errno::result(result).map(drop)
}

/// Starts a thread for work that is to be done beside ours, on another processor. Left to itself the kernel of a virtual machine likes to
/// start it on ours, where one of the two waits: measured on two processors with nothing else to do, for 1 ms, instead of 0.1 for the
/// move. Where there is no other processor, or none may be chosen, it stays: it is a matter of time only.
///
/// # Errors
/// As [`Builder::spawn`].
///
/// Sources: pthread_setaffinity_np(3), sched_getaffinity(2).
pub fn beside<T: Send + 'static>(
    thread: Builder,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    let Some((all, others)) = processors() else { return thread.spawn(work) };
    let (moved, wait) = sync_channel::<()>(1);
    let thread = thread.spawn(move || {
        // Asleep it is moved at no cost. A thread that had ended already would be nobody to the C library, and that is us.
        let _sent_below = wait.recv();
        // SAFETY: `all` lives over the call, and is as long as it says.
        unsafe { libc::sched_setaffinity(0, SIZE, &raw const all) };
        work()
    })?;
    // SAFETY: the thread waits for us, so that the handle names it; `others` lives over the call, and is as long as it says.
    let _refused_where_none_is_left =
        unsafe { libc::pthread_setaffinity_np(thread.as_pthread_t(), SIZE, &raw const others) };
    let _it_waits = moved.send(());
    Ok(thread)
}

const SIZE: usize = size_of::<libc::cpu_set_t>();

/// Which processors the calling thread may use, and the same without the one that it is on.
fn processors() -> Option<(libc::cpu_set_t, libc::cpu_set_t)> {
    // SAFETY: a set of processors is an array of bits, and no bit is a set, too.
    let mut all: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `all` lives over the call, and is as long as it says.
    if unsafe { libc::sched_getaffinity(0, SIZE, &raw mut all) } != 0 {
        return None;
    }
    let mut others = all;
    let here = nix::sched::sched_getcpu().ok().filter(|here| *here < libc::CPU_SETSIZE as usize)?;
    // SAFETY: the number is one of the set's bits.
    unsafe { libc::CPU_CLR(here, &mut others) };
    Some((all, others))
}

/// A class and a level of I/O priority. Source: ioprio_set(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoPriority {
    /// 1 real time, 2 best effort, 3 idle.
    pub class: u8,
    /// 0, the most urgent, to 7.
    pub level: i64,
}

/// Sets the I/O priority of the calling thread.
///
/// # Errors
/// EINVAL for a level out of its bounds, EPERM for real time without CAP_SYS_NICE.
pub fn set_io_priority(priority: IoPriority) -> nix::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: u8 = 13;
    let level =
        libc::c_int::try_from(priority.level).ok().filter(|level| (0..8).contains(level)).ok_or(Errno::EINVAL)?;
    let value = libc::c_int::from(priority.class) << CLASS_SHIFT | level;
    // SAFETY: integers only.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::{CpuSet, sched_getaffinity};
    use nix::unistd::Pid;

    fn allowed() -> CpuSet {
        sched_getaffinity(Pid::from_raw(0)).unwrap()
    }

    #[test]
    fn work_beside_moves_nobody_for_good() {
        let before = allowed();
        for _ in 0..200 {
            let thread = beside(Builder::new(), allowed).unwrap();
            assert_eq!(thread.join().unwrap(), before);
            assert_eq!(allowed(), before);
        }
    }
}
