//! Extended attributes by descriptor: nix has no names for these calls. Source: xattr(7).

use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

/// Sets the attribute `name` of an open file or directory.
///
/// # Errors
/// fsetxattr(2): ENOTSUP where the file system has no such attributes, EPERM for a namespace that needs privileges, EBADF
/// for an `O_PATH` descriptor (then see [`set_path`]).
pub fn set(fd: impl AsFd, name: &CStr, value: &[u8]) -> nix::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: a live descriptor, a C string, and a buffer with its own length; the kernel only reads them.
    let result = unsafe { libc::fsetxattr(fd, name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// Sets the attribute `name` of what `path` names, without following a symbolic link at its end.
///
/// # Errors
/// lsetxattr(2).
pub fn set_path(path: &CStr, name: &CStr, value: &[u8]) -> nix::Result<()> {
    // SAFETY: two C strings and a buffer with its own length; the kernel only reads them.
    let result = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

/// The names of all the attributes of what `path` names, itself when it is a symbolic link.
///
/// # Errors
/// llistxattr(2); ENOTSUP where the file system has none.
pub fn list(path: &CStr) -> nix::Result<Vec<Vec<u8>>> {
    let names = read(|buffer| {
        // SAFETY: a C string, and a buffer that the kernel fills up to the length that is given with it.
        unsafe { libc::llistxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    })?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(<[u8]>::to_vec).collect())
}

/// The value of the attribute `name` of what `path` names, itself when it is a symbolic link.
///
/// # Errors
/// lgetxattr(2); ENODATA when there is none.
pub fn get(path: &CStr, name: &CStr) -> nix::Result<Vec<u8>> {
    read(|buffer| {
        // SAFETY: two C strings, and a buffer that the kernel fills up to the length that is given with it.
        unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    })
}

/// The names of all the attributes of an open file or directory.
///
/// # Errors
/// flistxattr(2); EOPNOTSUPP where the file system has none.
pub fn list_open(fd: impl AsFd) -> nix::Result<Vec<Vec<u8>>> {
    let fd = fd.as_fd().as_raw_fd();
    let names = read(|buffer| {
        // SAFETY: a live descriptor, and a buffer that the kernel fills up to the length that is given with it.
        unsafe { libc::flistxattr(fd, buffer.as_mut_ptr().cast(), buffer.len()) }
    })?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(<[u8]>::to_vec).collect())
}

/// The value of the attribute `name` of an open file or directory.
///
/// # Errors
/// fgetxattr(2); ENODATA when there is none.
pub fn get_open(fd: impl AsFd, name: &CStr) -> nix::Result<Vec<u8>> {
    let fd = fd.as_fd().as_raw_fd();
    read(|buffer| {
        // SAFETY: a live descriptor, a C string, and a buffer that the kernel fills up to the length that is given with it.
        unsafe { libc::fgetxattr(fd, name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    })
}

/// Asks for the length with an empty buffer first; asks again when the attribute grew in between.
fn read(call: impl Fn(&mut [u8]) -> isize) -> nix::Result<Vec<u8>> {
    loop {
        let length = Errno::result(call(&mut []))?.unsigned_abs();
        let mut buffer = vec![0; length];
        if length == 0 {
            return Ok(buffer);
        }
        match Errno::result(call(&mut buffer)) {
            Err(Errno::ERANGE) => {}
            Err(errno) => return Err(errno),
            Ok(length) => {
                buffer.truncate(length.unsigned_abs());
                return Ok(buffer);
            }
        }
    }
}
