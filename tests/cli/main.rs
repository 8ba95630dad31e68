//! The program as its users have it.

mod endings;
mod output;
mod program;
mod readme;
