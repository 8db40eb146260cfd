//! Descriptors: closing what must not leak, opening below a root without leaving it.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::Mode;
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Marks every descriptor from `first` on as close-on-exec, so that the program starts with 0, 1 and 2 only.
///
/// Marking instead of closing keeps the child's own report socket alive until execve. Source: close_range(2).
///
/// # Errors
/// ENOSYS before Linux 5.9, EINVAL before 5.11: then the caller has to look elsewhere (/proc/self/fd).
pub fn cloexec_from(first: u32) -> nix::Result<()> {
    close_range(first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from `first` on and goes on in `then`, which never comes back: what owned a descriptor in the
/// frames above is never dropped, so nothing is closed twice.
///
/// # Errors
/// ENOSYS before Linux 5.9; then nothing was closed and `then` was not called.
#[allow(unreachable_code, reason = "`match` on what never comes")]
pub fn close_from_and<T: Copy>(first: u32, state: T, then: fn(T) -> Infallible) -> nix::Result<Infallible> {
    close_range(first, libc::c_uint::MAX, 0)?;
    let _no_way_back = crate::process::ExitOnDrop;
    match then(state) {}
}

/// Closes every descriptor from `first` on but `kept`, in a child that never goes back to the frames that own them.
///
/// # Errors
/// ENOSYS before Linux 5.9.
pub fn close_from_but(first: u32, kept: impl AsFd) -> nix::Result<()> {
    use std::os::fd::AsRawFd;
    let kept = kept.as_fd().as_raw_fd().cast_unsigned();
    if first < kept {
        close_range(first, kept - 1, 0)?;
    }
    close_range(first.max(kept + 1), libc::c_uint::MAX, 0)
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: takes integers only; what closing means for owners is the contract of the callers.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    Errno::result(result).map(drop)
}

/// Opens the file or directory that `path` names in the caller's own table of mounts, only to name it in other calls.
///
/// # Errors
/// open(2).
pub fn open_path(path: &CStr) -> nix::Result<OwnedFd> {
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens `path` as if `root` were `/`: absolute links and `..` stay inside, /proc's magic links are refused.
///
/// `path` may begin with a slash or not. Source: openat2(2), RESOLVE_IN_ROOT.
///
/// # Errors
/// openat2(2); ELOOP for a magic link.
pub fn open_in_root(root: BorrowedFd<'_>, path: &CStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    openat2(root, path, flags, mode, ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}

/// Opens `path` below `dir`; a `..` or a link that leads out of it, and any magic link, is refused.
///
/// # Errors
/// openat2(2); EXDEV for a path that leaves `dir`.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &CStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    openat2(dir, path, flags, mode, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}

/// Opens `path` below `dir` without following any symbolic link, neither on the way nor at the end.
///
/// # Errors
/// openat2(2); ELOOP for a symbolic link, EXDEV for a path that leaves `dir`.
pub fn open_no_symlinks(dir: BorrowedFd<'_>, path: &CStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    openat2(dir, path, flags, mode, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS)
}

fn openat2(dir: BorrowedFd<'_>, path: &CStr, flags: OFlag, mode: Mode, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
    let how = || OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(mode).resolve(resolve);
    loop {
        // EAGAIN: a rename elsewhere raced with the kernel's check of `..` (openat2(2)); asking again is the answer.
        match nix::fcntl::openat2(dir, path, how()) {
            Err(Errno::EAGAIN) => {}
            result => return result,
        }
    }
}

/// The next connection on a listening socket, close-on-exec.
///
/// # Errors
/// accept4(2); EAGAIN when there is none and the socket does not block.
pub fn accept(listener: impl AsFd) -> nix::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let flags = nix::sys::socket::SockFlag::SOCK_CLOEXEC;
    let fd = nix::sys::socket::accept4(listener.as_fd().as_raw_fd(), flags)?;
    // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Standard input as a descriptor of its own, for what it is where it is no stream: the socket that a process was started with.
///
/// # Errors
/// dup(2).
pub fn take_standard_input() -> nix::Result<OwnedFd> {
    let fd = nix::fcntl::fcntl(standard_input(), nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Standard input, without the lock and the buffer that std puts around it.
#[must_use]
pub fn standard_input() -> BorrowedFd<'static> {
    // SAFETY: 0 is never closed by this project: it is what every program is started with.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// Closes a descriptor in a child whose parent goes on owning it; the child never drops the owner (it ends in execve).
///
/// # Errors
/// close(2).
pub fn close_copy(fd: impl AsFd) -> nix::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: an integer. The owner in this copy of the memory is a frame of the parent that the child never returns to.
    let result = unsafe { libc::close(fd.as_fd().as_raw_fd()) };
    Errno::result(result).map(drop)
}

/// Makes `fd` the process's descriptor number `number` (0, 1 or 2), open across execve.
///
/// # Errors
/// dup2(2).
pub fn dup_onto(fd: impl AsFd, number: RawFd) -> nix::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: dup2 takes integers; the standard descriptors that it replaces have no `OwnedFd` of their own in Rust.
    let result = unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) };
    Errno::result(result).map(drop)
}

/// Makes `user` the owner of what the standard descriptor `number` is; `/dev/null` stays everybody's.
///
/// # Errors
/// EBADF when it is closed; EPERM; EINVAL for one without owners, or a user that is not in this namespace. Source: fchown(2).
pub fn give_to(number: RawFd, user: nix::unistd::Uid) -> nix::Result<()> {
    const NULL: (u64, u64) = (1, 3);
    let kept: nix::unistd::Gid = nix::unistd::Gid::from_raw(libc::gid_t::MAX);
    // SAFETY: borrowed for the three calls below only; that it is open is what the first of them finds out.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let found = nix::sys::stat::fstat(fd)?;
    let device = (nix::sys::stat::major(found.st_rdev), nix::sys::stat::minor(found.st_rdev));
    if found.st_uid == user.as_raw() || device == NULL {
        return Ok(());
    }
    nix::unistd::fchown(fd, Some(user), Some(kept))
}

/// Receives one message of a Unix socket: its text in `buffer` (the length is returned) and up to `N` descriptors, close-on-exec.
///
/// # Errors
/// Those of recvmsg(2).
pub fn receive<const N: usize>(socket: impl AsFd, buffer: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
    use std::os::fd::AsRawFd;
    let mut space = nix::cmsg_space!([RawFd; N]);
    let mut parts = [std::io::IoSliceMut::new(buffer)];
    let socket = socket.as_fd().as_raw_fd();
    let message = recvmsg::<UnixAddr>(socket, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows them.
            received.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok((message.bytes, received))
}
