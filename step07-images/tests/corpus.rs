//! What the fuzzers began with and what they have found, replayed: `fuzz/corpus/TARGET/*` and `fuzz/found/TARGET.tar.gz`.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use flate2::read::GzDecoder;
use std::io::Read;
use std::path::PathBuf;
use step07_images::fuzz;

fn replay(target: &str, read: fn(&[u8])) {
    let fuzz = format!("{}/../fuzz", env!("CARGO_MANIFEST_DIR"));
    let paths = std::fs::read_dir(format!("{fuzz}/corpus/{target}")).unwrap().map(|file| file.unwrap().path());
    let mut inputs: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    assert!(inputs.len() > 5, "{target} has a corpus");
    inputs.extend(found(&format!("{fuzz}/found/{target}.tar.gz")));
    for (path, bytes) in &inputs {
        println!("{}", path.display());
        read(bytes);
    }
    let files: Vec<_> = inputs.into_iter().map(|(_, bytes)| bytes).collect();
    // A little beside each: always the same, so that what fails once fails again.
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..rounds() {
        let mut bytes = files[dice.below(files.len())].clone();
        (0..=dice.below(4)).for_each(|_| change(&mut bytes, &files[dice.below(files.len())], &mut dice));
        // Shown when it fails.
        print!("{} ", step07_images::Digest::of(&bytes).short());
        read(&bytes);
    }
}

/// What libFuzzer has kept: an input for each way through the code that it knows.
fn found(archive: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(archive).unwrap()));
    let input = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().into_owned(), bytes)
    };
    archive.entries().unwrap().map(input).collect()
}

/// `FUZZ_ROUNDS` for more, where there is no nightly compiler.
fn rounds() -> u64 {
    std::env::var("FUZZ_ROUNDS").map_or(500, |text| text.parse().unwrap())
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(5) {
        0 => bytes.truncate(at),
        1 => bytes.splice(at.., other[dice.below(other.len() + 1)..].iter().copied()).for_each(drop),
        2 => bytes.insert(at, b"\0\\\"'$<~{}/:@-\n\xff"[dice.below(15)]),
        3 => drop(bytes.drain(at..(at + dice.below(20)).min(bytes.len()))),
        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
    }
}

/// Numbers that look like chance. Source: G. Marsaglia, "Xorshift RNGs".
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}

#[test]
fn tars_of_the_corpus_are_read_or_refused() {
    replay("tar", fuzz::tar);
}

#[test]
fn manifests_of_the_corpus_are_read_or_refused() {
    replay("manifest", fuzz::manifest);
}

#[test]
fn references_of_the_corpus_are_read_or_refused() {
    replay("reference", fuzz::reference);
}

#[test]
fn dockerfiles_of_the_corpus_are_read_or_refused() {
    replay("dockerfile", fuzz::dockerfile);
}
