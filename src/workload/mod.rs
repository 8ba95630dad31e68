//! What a flow does: how much it sends, and when. Pure: time is an argument.

mod budget;
mod exchange;
mod pacer;
mod source;
mod timetable;
mod turns;

pub use self::{
    budget::Budget,
    exchange::{Asker, REPLY_WITHIN, Turn},
    pacer::Pacer,
    source::{Source, Step},
    timetable::Timetable,
    turns::{Appointment, Turns},
};
