//! A server inside another program: it serves one test and shows what came of it.

#![allow(clippy::print_stdout, reason = "showing figures is what it is for")]

use polyperf::{Client, Server, event::Event, outcome::Side};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().listen("127.0.0.1:0".parse()?).one_off(true).bind().await?;
    let (_, addr) = server.local_addrs()[0];
    let mut events = server.handle().events();
    let serving = tokio::spawn(server.run(std::future::pending()));

    let client =
        Client::builder(addr.ip().to_string()).port(addr.port()).bytes(64 << 20).build()?;
    client.run().await?;

    while let Ok(event) = events.recv().await {
        if let Event::Finished(outcome) = event {
            let goodput = outcome.goodput(Side::Server).ok_or("nothing was received")?;
            println!("{} sent us {:.2} Gbit/s", outcome.info.peer, goodput / 1e9);
            break;
        }
    }
    println!("the server ended: {:?}", serving.await?);
    Ok(())
}
