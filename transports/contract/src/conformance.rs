//! The rules that every transport keeps, as tests.
//!
//! A transport's whole test file is one line per way to build it. It needs this crate with the
//! feature `conformance` among its `dev-dependencies`, and nothing else:
//!
//! ```ignore
//! // transports/tcp/tests/conformance.rs
//! use std::sync::Arc;
//!
//! use polyperf_tcp::Tcp;
//! use polyperf_transport::HostSockets;
//!
//! polyperf_transport::conformance!(tcp, Arc::new(Tcp::new(Arc::new(HostSockets::new()))));
//! ```
//!
//! The expression is evaluated anew for each test, inside a tokio runtime, and must coerce to
//! `Arc<dyn Transport>`. It makes one test per rule, twice over: `tcp::bare::…` as it is, and
//! `tcp::decorated::…` behind a [`Decorated`], which shows that nothing depends on a concrete type.
//! A third argument is where to listen; it is `"127.0.0.1:0"` unless given, and its port is 0.
//!
//! Each rule also is a plain function that panics where the rule is broken, to be called from
//! tests that set the scene themselves (behind an emulated link, from a runtime of their own).
//! A rule that does not apply to the transport's [`Delivery`](crate::Delivery) passes at once.
//!
//! The client always sends first, and the suite accepts meanwhile, so a transport may tell its
//! listener of a stream at any moment that the contract allows.
//!
//! Nothing here sleeps. What should end has a generous limit that turns a hang into a failure; the
//! one thing that should not, a sender whom nobody reads from, is held when it has made no progress
//! for a while.

mod apart;
mod decorated;
mod ending;
mod moving;
mod opening;
mod scene;
mod telling;

use std::{future::Future, net::SocketAddr, sync::Arc};

pub use self::{
    apart::{
        a_half_may_block_its_thread, halves_work_at_once_from_tasks,
        halves_work_at_once_from_threads, many_connections_are_independent,
        many_streams_of_a_connection_are_independent,
    },
    decorated::Decorated,
    ending::{
        a_dropped_listener_leaves_open_streams, a_dropped_listener_refuses_peers,
        a_dropped_peer_ends_the_stream, finish_ends_the_stream_for_the_peer,
        finishing_leaves_the_other_direction_open, finishing_twice_is_ready,
    },
    moving::{
        a_first_message_of_37_bytes_arrives_whole, a_message_longer_than_the_buffer_is_cut,
        a_message_too_long_is_refused, a_receiver_that_does_not_read_holds_the_sender,
        bytes_arrive_in_order, messages_keep_their_boundaries, small_buffers_lose_nothing,
        the_server_can_send_first_after_the_hello,
    },
    opening::{
        a_silent_peer_delays_nobody, a_taken_address_is_refused, accept_may_be_cancelled,
        connecting_to_nobody_fails, port_zero_picks_a_port, streams_know_their_addresses,
        the_name_is_well_formed,
    },
    telling::{stats_may_be_read_from_anywhere, tune_answers_every_question},
};
use crate::Transport;

/// Makes one test per rule for a transport; see the [module](mod@crate::conformance).
#[macro_export]
macro_rules! conformance {
    ($name:ident, $transport:expr $(,)?) => {
        $crate::conformance!($name, $transport, "127.0.0.1:0");
    };
    ($name:ident, $transport:expr, $at:expr $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "the expressions may be free of imports")]
            use super::*;

            mod bare {
                #[allow(unused_imports, reason = "the expressions may be free of imports")]
                use super::*;
                $crate::conformance!(@tests $transport, $at, |transport| transport);
            }

            mod decorated {
                #[allow(unused_imports, reason = "the expressions may be free of imports")]
                use super::*;
                $crate::conformance!(@tests $transport, $at, |transport| {
                    ::std::sync::Arc::new($crate::conformance::Decorated::new(transport))
                });
            }
        }
    };
    (@tests $transport:expr, $at:expr, $wrap:expr) => {
        $crate::conformance!(@each $transport, $at, $wrap;
            the_name_is_well_formed
            port_zero_picks_a_port
            a_taken_address_is_refused
            connecting_to_nobody_fails
            streams_know_their_addresses
            accept_may_be_cancelled
            a_silent_peer_delays_nobody
            a_first_message_of_37_bytes_arrives_whole
            the_server_can_send_first_after_the_hello
            bytes_arrive_in_order
            small_buffers_lose_nothing
            a_receiver_that_does_not_read_holds_the_sender
            messages_keep_their_boundaries
            a_message_longer_than_the_buffer_is_cut
            a_message_too_long_is_refused
            finish_ends_the_stream_for_the_peer
            finishing_twice_is_ready
            finishing_leaves_the_other_direction_open
            a_dropped_peer_ends_the_stream
            a_dropped_listener_refuses_peers
            a_dropped_listener_leaves_open_streams
            halves_work_at_once_from_tasks
            halves_work_at_once_from_threads
            a_half_may_block_its_thread
            many_streams_of_a_connection_are_independent
            many_connections_are_independent
            stats_may_be_read_from_anywhere
            tune_answers_every_question
        );
    };
    (@each $transport:expr, $at:expr, $wrap:expr; $($rule:ident)*) => {
        $(
            #[test]
            fn $rule() {
                $crate::conformance::run(
                    $crate::conformance::$rule,
                    || {
                        let transport: ::std::sync::Arc<dyn $crate::Transport> = $transport;
                        let wrap: fn(
                            ::std::sync::Arc<dyn $crate::Transport>,
                        ) -> ::std::sync::Arc<dyn $crate::Transport> = $wrap;
                        wrap(transport)
                    },
                    $at,
                );
            }
        )*
    };
}

/// Runs one rule over a new transport, listening `at`, on a tokio runtime of its own.
///
/// # Panics
///
/// Panics if the rule is broken, or `at` is no address.
pub fn run<R, F>(rule: R, transport: impl FnOnce() -> Arc<dyn Transport>, at: &str)
where
    R: FnOnce(Arc<dyn Transport>, SocketAddr) -> F,
    F: Future<Output = ()>,
{
    let at = at.parse().expect("the address to listen on is `ip:port`");
    scene::runtime().block_on(async {
        // Built in here, because a transport may need a runtime from the start.
        let transport = transport();
        scene::within("the rule", rule(transport, at)).await;
    });
}
