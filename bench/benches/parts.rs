//! The parts of a start that are computed, one by one: `cargo bench -p bench`.
//!
//! What the kernel does is for `bench startup` and `tara run --explain`; here is what happens before and between its calls.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench fails by panicking; `criterion_group!` makes functions")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use oci_spec::image::{Config, ImageConfiguration};
use std::fs;
use std::hint::black_box;
use std::path::Path;
use step06_capabilities::{Capabilities, Filter, Profile, User};
use step07_images::{Source, Store};
use tara::spec::{self, Arguments};

/// An image's configuration and arguments become a specification; and that becomes the record's text.
fn specification(c: &mut Criterion) {
    let image: ImageConfiguration = serde_json::from_str(
        r#"{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/program"]},"rootfs":{"type":"layers","diff_ids":[]}}"#,
    )
    .unwrap();
    let arguments = Arguments { hostname: "bench".to_owned(), own_network: true, ..Arguments::default() };
    let user = User { uid: 0.into(), gid: 0.into(), groups: Vec::new(), home: "/root".to_owned() };
    let build = || spec::build(&image, &arguments, &user, "0123456789ab", false).unwrap();
    c.bench_function("specification: build", |b| b.iter(|| black_box(build())));
    let built = build();
    c.bench_function("specification: to JSON", |b| b.iter(|| serde_json::to_string(black_box(&built)).unwrap()));
    let text = serde_json::to_string(&built).unwrap();
    c.bench_function("specification: from JSON", |b| {
        b.iter(|| serde_json::from_str::<oci_spec::runtime::Spec>(black_box(&text)).unwrap());
    });
}

/// The filter that is in the program, and one that has to be compiled.
fn filter(c: &mut Criterion) {
    c.bench_function("filter: the one in the program", |b| {
        b.iter(|| Filter::standard(Capabilities::docker()).unwrap())
    });
    c.bench_function("filter: read docker's profile", |b| b.iter(|| Profile::standard().unwrap()));
    let profile = Profile::standard().unwrap();
    c.bench_function("filter: compile it", |b| {
        b.iter(|| Filter::compile(black_box(&profile), Capabilities::docker()).unwrap());
    });
}

/// A tarball of 1000 small files: read and unpacked, or known already.
fn tar_reading(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let tarball = folder.path().join("root.tar");
    let mut archive = tar::Builder::new(fs::File::create(&tarball).unwrap());
    for number in 0..1000 {
        let mut header = tar::Header::new_ustar();
        header.set_size(100);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        archive.append_data(&mut header, format!("file{number}"), &[7_u8; 100][..]).unwrap();
    }
    archive.finish().unwrap();
    let mut group = c.benchmark_group("tar");
    group.sample_size(10);
    group.bench_function("1000 small files, imported", |b| {
        b.iter_batched(|| tempfile::tempdir().unwrap(), |root| import(root.path(), &tarball), BatchSize::PerIteration);
    });
}

fn import(root: &Path, tarball: &Path) {
    let store = Store::open(root).unwrap();
    store.import(Source::Path(tarball), None, Config::default()).unwrap();
}

/// A record as it is written at each start: to a temporary file, and renamed.
fn state(c: &mut Criterion) {
    for (name, place) in [("tmpfs", "/dev/shm"), ("the temporary folder", "/tmp")] {
        let folder = tempfile::tempdir_in(place).unwrap();
        let (temporary, path) = (folder.path().join("state.tmp"), folder.path().join("state.json"));
        let text = vec![b'x'; 4096];
        c.bench_function(&format!("state: write and rename on {name}"), |b| {
            b.iter(|| {
                fs::write(&temporary, &text).unwrap();
                fs::rename(&temporary, &path).unwrap();
            });
        });
    }
}

criterion_group!(parts, specification, filter, tar_reading, state);
criterion_main!(parts);
