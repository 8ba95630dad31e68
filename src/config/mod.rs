//! Settings from elsewhere than the command line: a file in TOML, and the environment.
//!
//! Everything here is pure: what the environment holds, and how a file is read, are values. Which
//! options there are is for `cli` to know, which asks here for what was not typed.

mod file;
mod origin;
mod place;
mod sources;

pub use self::{
    file::{Entry, File, Scalar, Section},
    origin::{Origin, Setting, Settings},
    sources::Sources,
};
pub(crate) use self::{
    origin::at,
    place::{CONFIG_VARIABLE, NO_FILE, candidates},
    sources::Variable,
};
