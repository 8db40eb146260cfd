//! Step 7, something to run: OCI images, the store, layers.
//!
//! An image is a list of tar archives and a JSON document, each named by the digest of its bytes. This crate keeps them in a
//! [`Store`], an OCI image layout that other tools read too, and unpacks each layer once into a directory that overlayfs
//! takes as it is.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@reference`] | names of images, by docker's grammar |
//! | [`digest`] | content addresses |
//! | [`store`] | [`Store`]: find, list, name; `layout`: what lies where on the disk |
//! | [`load`] | images from docker archives and OCI layouts |
//! | [`import`] | an image from a directory or a tarball |
//! | [`commit`] | an image and one more layer; [`pack`]: a directory as a tar, by descriptors
//! | [`demo`] | an image from this machine's own programs: no network needed |
//! | [`save`] | images into archives; their history and sizes |
//! | [`serve`] | the store as a registry for others |
//! | [`unpack`] | a layer's tar into a directory, with an enemy as its author |
//! | [`registry`] | images from registries and to them: [`Registries`] |
//! | [`remove`] | removing images and names |
//! | [`build`] | Dockerfiles: the language, the context, the cache |
//! | [`check`] | what killed processes left behind |
//!
//! What a real engine would do and this does not: fetch only parts of a layer, share files between layers, verify signatures.

mod behind;
pub mod build;
pub mod check;
pub mod commit;
mod compression;
pub mod demo;
pub mod digest;
pub mod error;
mod folder;
#[doc(hidden)]
pub mod fuzz;
mod image;
pub mod import;
mod intake;
mod layout;
pub mod load;
pub mod pack;
mod reach;
pub mod reference;
pub mod registry;
pub mod remove;
pub mod save;
mod scratch;
pub mod serve;
pub mod store;
pub mod unpack;
mod work;

pub use check::Leftover;
pub use digest::Digest;
pub use error::Error;
pub use image::Image;
pub use load::{Loaded, Source};
pub use reference::Reference;
pub use registry::Registries;
pub use remove::Removed;
pub use scratch::Scratch;
pub use store::Store;
pub use sys::arch::OCI_ARCHITECTURE as ARCHITECTURE;
pub use tar::EntryType;
pub use unpack::{Flavour, Limits, Refusal, Skipped};
