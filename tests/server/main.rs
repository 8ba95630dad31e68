//! Server and client end to end, through the library's public interface.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod aborted;
mod accepting;
mod admission;
mod auth;
mod breaking;
mod churn;
mod datagrams;
mod ending;
mod exchanges;
mod figures;
mod governance;
mod hostile_churn;
mod hostile_clients;
mod hostile_iperf3;
mod hostile_servers;
mod iperf3_breaking;
mod iperf3_servers;
mod kcp;
mod keys;
mod metered;
mod over_tcp;
mod psk;
mod quic;
mod raw;
mod rudp;
mod spoofed;
mod stock;
mod support;
mod tls;
mod watched;
