//! polyperf's two ends, which the tools run as processes of their own.

use std::{io::Write as _, net::SocketAddr, time::Duration};

use polyperf::{
    Client, Server,
    outcome::{Ended, Side},
};

use crate::{
    support::{Result, runtime},
    tool::Figures,
};

/// Serves on `at`, and prints the address first.
pub(crate) fn serve(at: SocketAddr) -> Result<()> {
    runtime()?.block_on(async {
        let server = Server::builder().listen(at).bind().await?;
        let (_, addr) = server.local_addrs()[0];
        println!("{addr}");
        std::io::stdout().flush()?;
        server.run(std::future::pending()).await;
        Ok(())
    })
}

/// Runs one test, and prints what was measured; congestion control may stand behind the transport's
/// name and a colon.
pub(crate) fn client(server: SocketAddr, transport: &str, seconds: u64) -> Result<()> {
    let (transport, congestion) = match transport.split_once(':') {
        Some((transport, congestion)) => (transport, Some(congestion)),
        None => (transport, None),
    };
    let client = Client::builder(server.ip().to_string())
        .port(server.port())
        .transport(transport)
        .spec(|spec| spec.tuning.congestion = congestion.map(str::to_owned))
        .time(Duration::from_secs(seconds))
        .build()?;
    let outcome = runtime()?.block_on(client.run())?;
    if outcome.ended != Ended::Complete {
        return Err(format!("{:?}", outcome.ended).into());
    }
    let flow = |side| outcome.side(side).and_then(|side| side.flows.first()).ok_or("no summary");
    let figures = Figures {
        goodput_bps: outcome.goodput(Side::Server).ok_or("nothing was received")?,
        bytes: flow(Side::Server)?.bytes,
        retransmits: flow(Side::Client)?.path.retransmits,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
