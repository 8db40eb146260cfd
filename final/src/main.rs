//! `tara`: see the library's documentation.

fn main() -> std::process::ExitCode {
    tara::cli::main()
}
