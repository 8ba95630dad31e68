//! A test that is watched while it runs: what a dashboard would do.

#![allow(clippy::print_stdout, reason = "showing figures is what it is for")]

use std::time::Duration;

use polyperf::{Client, Server, event::Event, measure::Role, outcome::Side};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().listen("127.0.0.1:0".parse()?).bind().await?;
    let (_, addr) = server.local_addrs()[0];
    tokio::spawn(server.run(std::future::pending()));

    let client = Client::builder(addr.ip().to_string())
        .port(addr.port())
        .reverse()
        .time(Duration::from_secs(1))
        .interval(Some(Duration::from_millis(250)))
        .build()?;
    let mut events = client.events();
    let (result, ()) = tokio::join!(client.run(), async {
        while let Ok(event) = events.recv().await {
            if show(&event) {
                break;
            }
        }
    });
    result?;
    Ok(())
}

/// Shows an event, and returns whether it is the last one.
fn show(event: &Event) -> bool {
    match event {
        Event::Connected(info) => {
            println!("connected to {} with {}", info.peer, info.spec.transport)
        }
        Event::Interval(event) => {
            for flow in &event.info.flows {
                let Some((seen, _)) = event.interval.seen_by(Role::Receiver, flow.flow) else {
                    continue;
                };
                println!("stream {}: {} bytes received", flow.flow.0, seen.bytes);
            }
        }
        Event::Finished(outcome) => {
            let goodput = outcome.goodput(Side::Client).unwrap_or_default();
            println!("finished: {:.2} Gbit/s, {:?}", goodput / 1e9, outcome.ended);
        }
        Event::Failed(failed) => println!("failed: {}", failed.failure),
        _ => {}
    }
    matches!(event, Event::Finished(_) | Event::Failed(_))
}
