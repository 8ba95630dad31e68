//! What a flow does: how much it sends, and when. Pure: time is an argument.

mod budget;
mod pacer;
mod source;
mod turns;

pub use self::{
    budget::Budget,
    pacer::Pacer,
    source::{Source, Step},
    turns::{Turn, Turns},
};
