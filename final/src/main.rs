//! `tara`.
fn main() {}
