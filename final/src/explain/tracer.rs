//! Follows a process and all it makes, until the container's program runs; then `tara` alone, to its end.

use super::call::{self, Memory};
use super::{By, Call, Reason};
use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc::{PTRACE_EVENT_CLONE, PTRACE_EVENT_EXEC, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, execve};
use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;
use sys::ptrace::{self, Stop};
use sys::{arch, explain};

/// Runs `command` (this program again) and returns all its calls and its exit code.
///
/// # Errors
/// EPERM where nobody may be traced.
pub fn trace(command: &[OsString]) -> Result<(Vec<Call>, u8)> {
    // The keyboard's signals are for the one that is followed.
    let mask = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
    let main = start(command, &mask)?;
    match waitpid(main, None)? {
        WaitStatus::Stopped(..) => ptrace::follow_children(main)?,
        other => bail!("it did not start: {other:?}"),
    }
    let mut tracer = Tracer::new(main);
    ptrace::go_on(main, None)?;
    let code = tracer.follow()?;
    mask.thread_set_mask()?;
    tracer.calls.sort_by(|one, other| one.at.total_cmp(&other.at));
    Ok((tracer.calls, code))
}

fn start(command: &[OsString], mask: &SigSet) -> Result<Pid> {
    let words: Vec<CString> = command.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?;
    let mut environment: Vec<CString> = Vec::new();
    for (name, value) in std::env::vars_os() {
        environment.push(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?);
    }
    environment.push(CString::new(format!("{}=1", explain::VARIABLE))?);
    let become_it = || -> nix::Result<()> {
        mask.thread_set_mask()?;
        ptrace::trace_me()?;
        execve(c"/proc/self/exe", &words, &environment).map(drop)
    };
    sys::clone::fork(|| if become_it().is_ok() { 0 } else { 125 }).context("make a process to follow")
}

/// A thread that is followed.
struct Thread {
    by: By,
    /// The call that it is in.
    call: Option<Call>,
    began: Instant,
    /// What its calls are for from here on.
    phase: Option<Reason>,
    /// Its calls, by their place in the list, that wait for a word.
    without_a_word: Vec<usize>,
    /// The kind of the one that its call makes.
    makes: By,
}

struct Tracer {
    main: Pid,
    zero: Instant,
    threads: HashMap<Pid, Thread>,
    calls: Vec<Call>,
}

impl Tracer {
    fn new(main: Pid) -> Self {
        let threads = HashMap::from([(main, Thread::new(By::Host))]);
        Self { main, zero: Instant::now(), threads, calls: Vec::new() }
    }

    /// Until all that is followed has ended or goes its own way; the exit code of the first.
    fn follow(&mut self) -> Result<u8> {
        let mut code = 0;
        while !self.threads.is_empty() {
            let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Err(Errno::ECHILD) => break,
                Err(Errno::EINTR) => continue,
                status => status?,
            };
            let now = Instant::now();
            if let Some(ended) = sys::process::exit_code(status) {
                let pid = status.pid().unwrap_or(self.main);
                self.threads.remove(&pid);
                if pid == self.main {
                    code = ended;
                }
            } else if let Err(error) = self.stopped(status, now)
                && error != Errno::ESRCH
            {
                // ESRCH: it was killed in the meantime.
                return Err(error.into());
            }
        }
        Ok(code)
    }

    fn stopped(&mut self, status: WaitStatus, now: Instant) -> nix::Result<()> {
        match status {
            WaitStatus::PtraceSyscall(pid) => {
                self.at_call(pid, now)?;
                self.go_on(pid, None)
            }
            WaitStatus::PtraceEvent(pid, _, PTRACE_EVENT_EXEC) if pid != self.main => self.let_go(pid),
            WaitStatus::PtraceEvent(pid, _, PTRACE_EVENT_CLONE | PTRACE_EVENT_FORK | PTRACE_EVENT_VFORK) => {
                let child = ptrace::new_child(pid)?;
                let by = self.threads.get(&pid).map_or(By::Host, |thread| thread.makes);
                self.threads.entry(child).or_insert_with(|| Thread::new(by));
                self.go_on(pid, None)
            }
            WaitStatus::PtraceEvent(pid, ..) => self.go_on(pid, None),
            // The first thing that a new thread does. Before its maker has said so, it is not known.
            WaitStatus::Stopped(pid, Signal::SIGSTOP) if self.threads.get(&pid).is_none_or(Thread::is_new) => {
                self.begins(pid)
            }
            WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal)),
            _ => Ok(()),
        }
    }

    fn begins(&mut self, pid: Pid) -> nix::Result<()> {
        let thread = self.threads.entry(pid).or_insert_with(|| Thread::new(By::Child));
        // A process of tara's own that it does not wait for: that of the trash.
        if thread.by == By::Host {
            self.threads.remove(&pid);
            return ptrace::let_go(pid);
        }
        self.go_on(pid, None)
    }

    /// It becomes the container's program, which is nobody's business.
    fn let_go(&mut self, pid: Pid) -> nix::Result<()> {
        if let Some(thread) = self.threads.remove(&pid)
            && let Some(mut call) = thread.call
        {
            call.took = micros(thread.began.elapsed());
            call.result = "0".to_owned();
            call.why = Some(Reason::new("become the program".to_owned(), "step01-chroot/src/program.rs", 0));
            self.calls.push(call);
        }
        ptrace::let_go(pid)
    }

    fn go_on(&mut self, pid: Pid, signal: Option<Signal>) -> nix::Result<()> {
        if let Some(thread) = self.threads.get_mut(&pid) {
            thread.began = Instant::now();
        }
        ptrace::go_on(pid, signal)
    }

    fn at_call(&mut self, pid: Pid, now: Instant) -> nix::Result<()> {
        let zero = self.zero;
        match ptrace::stop(pid)? {
            Stop::Entry { number, arguments } => {
                let memory = Memory(pid);
                if arguments[0] == explain::OPTION && name_of(number) == "prctl" {
                    self.take_word(pid, memory, arguments[1]);
                    return Ok(());
                }
                let thread = self.threads.entry(pid).or_insert_with(|| Thread::new(By::Child));
                let name = name_of(number);
                thread.makes = kind_of_child(name, &arguments, memory);
                let arguments = call::arguments(name, &arguments, memory);
                let at = micros(now.duration_since(zero));
                let (result, why) = (String::new(), thread.phase.clone());
                thread.call =
                    Some(Call { by: thread.by, at, took: 0.0, name: name.to_owned(), arguments, result, why });
            }
            Stop::Exit(result) => {
                let Some(thread) = self.threads.get_mut(&pid) else { return Ok(()) };
                let Some(mut call) = thread.call.take() else { return Ok(()) };
                call.took = micros(now.duration_since(thread.began));
                call.result = call::result(result);
                thread.without_a_word.push(self.calls.len());
                self.calls.push(call);
            }
            Stop::Other => {}
        }
        Ok(())
    }

    /// The words that the followed process hands over.
    fn take_word(&mut self, pid: Pid, memory: Memory, address: u64) {
        let (Some((is_ahead, reason)), Some(thread)) = (memory.mark(address), self.threads.get_mut(&pid)) else {
            return;
        };
        thread.call = None;
        if is_ahead {
            thread.phase = Some(reason);
        } else {
            for index in thread.without_a_word.iter().copied() {
                if let Some(call) = self.calls.get_mut(index) {
                    call.why = Some(reason.clone());
                }
            }
        }
        thread.without_a_word.clear();
    }
}

impl Thread {
    fn new(by: By) -> Self {
        Self { by, call: None, began: Instant::now(), phase: None, without_a_word: Vec::new(), makes: By::Host }
    }

    fn is_new(&self) -> bool {
        self.call.is_none() && self.without_a_word.is_empty() && self.phase.is_none()
    }
}

fn name_of(number: u64) -> &'static str {
    arch::ABIS.first().and_then(|abi| abi.name(number)).unwrap_or("?")
}

/// A thread, the container's process, or one of tara's own.
fn kind_of_child(name: &str, arguments: &[u64; 6], memory: Memory) -> By {
    let flags = match name {
        "clone3" => memory.word(arguments[0]).unwrap_or_default(),
        "clone" => arguments[0],
        _ => return By::Host,
    };
    let has = |flag: CloneFlags| flags & u64::from(flag.bits().cast_unsigned()) != 0;
    match () {
        () if has(CloneFlags::CLONE_THREAD) => By::Thread,
        () if has(CloneFlags::CLONE_NEWNS) => By::Child,
        () => By::Host,
    }
}

fn micros(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
