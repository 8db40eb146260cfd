//! `cargo lab`: the steps of the workshop as exercises.
//!
//! | module | what it holds |
//! |---|---|
//! | `catalogue` | the labs' descriptions, `labs/stepNN.toml` |
//! | `holes` | what is cut out of the reference, and put back |
//! | `starter` | a student's crate: cut from the reference |
//! | `kit` | from sources to programs |
//! | `check` | programs to outcomes: the step's own tests, each in a sandbox |
//! | `report` | outcomes on a terminal and as JSON |
//! | `attack` | cards: what a step stops and what it does not |
//! | `grade` | many submissions, each in a cell |
//! | `progress` | what a student has done, in one file |
//! | `doctor` | what works here, and what to do about the rest |
//! | `watch`, `tidy` | look again on each save; remove what killed runs have left |
//! | `meta_check` | walks the student's way for every lab |
//! | `cli` | the commands |

pub mod attack;
pub mod catalogue;
pub mod check;
pub mod cli;
pub mod doctor;
pub mod grade;
pub mod holes;
pub mod kit;
pub mod meta_check;
pub mod progress;
pub mod report;
pub mod starter;
pub mod tidy;
pub mod watch;
pub mod workspace;
