//! Dockerfiles: the language, what of the context an instruction means, the cache. No containers: who runs `RUN` is the engine.
//!
//! | module | what it holds |
//! |---|---|
//! | `lines` | directives, comments, continued lines, here-documents |
//! | `words` | words, quotes, flags, lists in JSON |
//! | `instruction` | what each instruction says |
//! | `dockerfile` | stages |
//! | `expand` | variables |
//! | `pattern`, `ignore` | Go's file name patterns, `.dockerignore` |
//! | `source`, `inputs`, `target` | trees that are copied from, their digests, the root that is copied to |
//! | `document` | an image's configuration with all that docker has in it |
//! | `session`, `cache` | layers from upper directories, the steps that are known, the image at the end |
//! | `problem` | errors with a line and a caret |

mod cache;
mod dockerfile;
mod document;
mod expand;
mod ignore;
mod inputs;
mod instruction;
mod lines;
mod pattern;
mod problem;
mod session;
mod source;
mod target;
mod words;

pub use cache::{BuiltLayer, Outcome};
pub use dockerfile::{Dockerfile, Stage};
pub use document::{Config, Document, Empty, Healthcheck, History, RootFs, Set};
pub use expand::Expander;
pub use ignore::{Ignore, clean};
pub use inputs::{Known, digest, kept_at};
pub use instruction::{CommandForm, Copy, Health, Instruction, Run, Step};
pub use lines::{Directives, HereDocument, Statement, statements};
pub use pattern::Pattern;
pub use problem::{Place, Problem};
pub use session::{Parts, Session};
pub use source::{Found, Missing, Source};
pub use target::{How, Target};
