//! polyperf's client.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    case::{Case, Figures},
    support::{Result, runtime},
    via::Via,
};
use polyperf::{
    Client, Registry,
    outcome::{Ended, Outcome, Side},
};

/// Runs one test, and prints what it came to. Whatever `case` does not say is left as it is by
/// default.
pub(crate) fn client(server: SocketAddr, case: &Case) -> Result<()> {
    let mut builder = Client::builder(server.ip().to_string())
        .port(server.port())
        .transport(&case.transport)
        .time(Duration::from_secs(case.time))
        .spec(|spec| {
            spec.omit = Duration::from_secs(case.omit);
            spec.tuning.no_gso = case.no_gso;
            spec.tuning.window = case.window;
        });
    if case.reverse {
        builder = builder.reverse();
    }
    if let Some(via) = case.via {
        let transports = Registry::standard();
        let inner = transports.get(&case.transport).ok_or("there is no such transport")?;
        builder = builder.over(Arc::new(Via { inner: Arc::clone(inner), via }));
    }
    let outcome = runtime()?.block_on(builder.build()?.run())?;
    if outcome.ended != Ended::Complete {
        return Err(format!("{:?}", outcome.ended).into());
    }
    println!("{}", serde_json::to_string(&figures(&outcome, case)?)?);
    Ok(())
}

fn figures(outcome: &Outcome, case: &Case) -> Result<Figures> {
    let (sender, receiver) =
        if case.reverse { (Side::Server, Side::Client) } else { (Side::Client, Side::Server) };
    let flow = |side| outcome.side(side).and_then(|side| side.flows.first()).ok_or("no summary");
    let (sent, received) = (flow(sender)?, flow(receiver)?);
    let path = &sent.path;
    let known = |figure: Option<u64>| figure.ok_or("the sender does not know its path");
    Ok(Figures {
        goodput_bps: outcome.goodput(receiver).ok_or("nothing was received")?,
        bytes: received.bytes + received.omitted_bytes,
        packets_sent: known(path.packets_sent)?,
        packets_lost: known(path.packets_lost)?,
        send_calls: known(path.send_calls)?,
        congestion_events: known(path.congestion_events)?,
        mtu: path.mtu.ok_or("the path has no MTU")?,
        gso_segments: path.gso_segments,
        loss: received.datagrams.as_ref().and_then(|datagrams| datagrams.loss()).unwrap_or(0.0),
    })
}
