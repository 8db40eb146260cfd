//! What a cgroup costs on this machine: make it, step into it, remove it, for some sets of limits. Medians in microseconds.
//!
//! `cargo run --release -p step05-cgroups --example cost`, as root.

use std::error::Error;
use std::io::{PipeWriter, Write};
use std::io::{Read, pipe};
use std::time::Instant;
use step05_cgroups::{Bytes, Cgroup, Hierarchy, Limits, Maximum, Parent, default_devices};

const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let sets = [
        ("statistics only", Limits::default()),
        ("-m", Limits { memory: Some(Bytes(64 << 20)), ..Limits::default() }),
        ("-m --pids-limit", memory_and_pids()),
        ("-m --pids-limit --cpus", Limits { cpus: Some(".5".parse()?), ..memory_and_pids() }),
        (
            "-m --pids-limit --cpus, devices",
            Limits { cpus: Some(".5".parse()?), devices: Some(default_devices()), ..memory_and_pids() },
        ),
    ];
    println!("{:32} {:>8} {:>8} {:>8} {:>8}", "µs", "find", "create", "join", "remove");
    for (name, limits) in sets {
        let times = (0..ROUNDS).map(|_| round(&limits)).collect::<Result<Vec<_>, _>>()?;
        let median = |column: usize| {
            let mut column: Vec<u128> = times.iter().map(|row| row[column]).collect();
            column.sort_unstable();
            column[ROUNDS / 2]
        };
        println!("{name:32} {:>8} {:>8} {:>8} {:>8}", median(0), median(1), median(2), median(3));
    }
    Ok(())
}

fn memory_and_pids() -> Limits {
    Limits { memory: Some(Bytes(64 << 20)), pids: Some(Maximum::Of(20)), ..Limits::default() }
}

fn round(limits: &Limits) -> Result<[u128; 4], Box<dyn Error>> {
    let (parent, find) = timed(|| Parent::new(Hierarchy::find()?, Some("/tara-cost")));
    let parent = parent?;
    let (cgroup, create) = timed(|| Cgroup::create(&parent, "c1", limits));
    let cgroup = cgroup?;
    let join = join(&cgroup)?;
    let (removed, remove) = timed(|| cgroup.remove());
    removed?;
    Ok([find, create, join, remove])
}

/// The child half, timed by the child itself. In v2 there is none.
fn join(cgroup: &Cgroup) -> Result<u128, Box<dyn Error>> {
    let (mut told, tell) = pipe()?;
    let child = sys::clone::fork(|| measure(cgroup, &tell))?;
    drop(tell);
    let mut time = String::new();
    told.read_to_string(&mut time)?;
    nix::sys::wait::waitpid(child, None)?;
    Ok(time.parse()?)
}

fn measure(cgroup: &Cgroup, mut tell: &PipeWriter) -> u8 {
    let (result, time) = timed(|| cgroup.enter().is_ok());
    u8::from(!result || write!(tell, "{time}").is_err())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, u128) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed().as_micros())
}
