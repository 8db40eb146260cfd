//! `lab`, which `cargo lab` starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    labs::cli::main()
}
