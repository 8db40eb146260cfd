//! What fuzzers call (`fuzz/`), and the test that replays what they have found: each function takes any bytes and has to return.

use crate::build::{Dockerfile, Expander, Ignore, Instruction};
use crate::layout::{diff_ids, parse};
use crate::reference::Reference;
use crate::registry::Document;
use crate::unpack::{LayerPath, Limits, Members};
use oci_spec::image::ImageConfiguration;
use std::io::Read;

/// The tar reader: members, extended headers, sparse maps, names. Once as it is, and once with right checksums, which no fuzzer guesses.
pub fn tar(bytes: &[u8]) {
    read_tar(bytes);
    read_tar(&with_checksums(bytes));
}

fn read_tar(bytes: &[u8]) {
    let mut members = Members::new(bytes);
    let mut content = vec![0; 4096];
    while let Ok(Some(member)) = members.next() {
        for name in [&member.name, &member.link] {
            if let Ok(path) = LayerPath::check(name, Limits::default().depth) {
                assert!(path.is_root() || path.split().1 != b"..", "a name that leaves the layer");
            }
        }
        let mut count = 0;
        while let Ok(more @ 1..) = members.read(&mut content) {
            count += more as u64;
        }
        assert!(count <= member.size || member.sparse.is_some(), "more content than was announced");
    }
}

/// Each block that stands where a header has to be gets the checksum of its bytes.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + 512) {
        if block.iter().any(|byte| *byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
        let size = std::str::from_utf8(&block[124..135]).ok().and_then(|text| usize::from_str_radix(text, 8).ok());
        at = at.saturating_add(512).saturating_add(size.unwrap_or(0).next_multiple_of(512));
    }
    bytes
}

/// What a registry says an image is: index or manifest; and configurations.
pub fn manifest(bytes: &[u8]) {
    let reference: Reference = "registry.example/name:tag".parse().expect("it is one");
    if let Ok(document) = Document::of_bytes(bytes) {
        let _chosen = document.entry_for_this_machine(&reference);
        let _manifest = document.image(&reference);
    }
    if let Ok(config) = parse::<ImageConfiguration>(bytes, || "the configuration".to_owned()) {
        let _layers = diff_ids(&config);
    }
}

/// Names of images: what is one is written as it is read.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        let again: Reference = reference.to_string().parse().expect("what was read and written can be read");
        assert_eq!(again, reference);
    }
}

/// Dockerfiles: lines, instructions, words with variables, patterns; and the same text as a `.dockerignore`.
pub fn dockerfile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lookup = |name: &str| name.len().is_multiple_of(2).then(|| format!("{name}$"));
    match Dockerfile::parse("Dockerfile", text) {
        // Errors quote the line and put a caret under it.
        Err(problem) => assert!(!problem.to_string().is_empty()),
        Ok(dockerfile) => {
            let to = Expander { escape: dockerfile.directives.escape, lookup: &lookup };
            for step in dockerfile.stages.iter().flat_map(|stage| &stage.steps) {
                let _word = to.word(&step.text);
                let _words = to.words(&step.text);
                if let Instruction::Copy(copy) = &step.instruction {
                    copy.documents.iter().for_each(|document| drop(to.document(&document.content)));
                }
            }
        }
    }
    if let Ok(ignore) = Ignore::parse(text) {
        for path in text.lines().take(50).chain(["a/b", "Dockerfile"]) {
            let _either = (ignore.leaves_out(path), ignore.may_return_below(path));
        }
    }
}
