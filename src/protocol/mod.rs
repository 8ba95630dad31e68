//! The control protocol. Pure: messages and time go in, actions come out.

pub mod auth;
pub mod iperf3;
pub mod native;
