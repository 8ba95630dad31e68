use std::{ffi::OsString, net::IpAddr};

use super::{Refused, crosses, open};
use crate::{
    cli::{self, Command, Family, LabLink},
    lab::Lab,
    program::{
        client::{self, Over},
        leave, on_threads, sources,
    },
    registry::Registry,
    server::Server,
};

/// Runs a client over a link, against a server of its own on the far side.
pub(super) fn client(link: &LabLink, line: Vec<String>) -> Result<u8, Refused> {
    let names = Registry::standard().names();
    // A host is one of the client's words; which it is turns out below.
    let words = ["polyperf", "client", PLACEHOLDER].map(str::to_owned).into_iter();
    let line = words.chain(line.into_iter().skip(1)).map(OsString::from);
    let (mut args, settings) = match cli::parse(line, &names, &sources::of_process()) {
        Ok(invocation) => match invocation.command {
            Command::Client(args) => (args, invocation.settings),
            _ => unreachable!("the line begins with client"),
        },
        Err(exit) => return Ok(leave(&exit)),
    };
    let (lab, passage) = open(link)?;
    crosses(&lab, &args.spec.transport)?;
    let far = match args.local.family {
        Some(Family::V6) => IpAddr::V6(lab.far().v6()),
        _ => IpAddr::V4(lab.far().v4()),
    };
    let over = Over { sockets: lab.near().sockets(), passage };
    Ok(on_threads(async move {
        let server = match serve(&lab, far).await {
            Ok(server) => server,
            Err(refused) => return super::refuse(&refused),
        };
        args.target.host = far.to_string();
        args.target.port = server.local_addrs().first().map_or(0, |(_, addr)| addr.port());
        let handle = server.handle();
        let serving = tokio::spawn(server.run(std::future::pending()));
        let code = client::run(args, &settings.warnings, Some(over)).await;
        handle.stop();
        // One that broke down has said so in the log.
        let _ = serving.await;
        code
    }))
}

/// Starts a server at the far end.
async fn serve(lab: &Lab, far: IpAddr) -> Result<Server, Refused> {
    let server = Server::builder()
        .listen((far, 0).into())
        .transports(Registry::over(&lab.far().sockets()))
        .bind()
        .await;
    server.map_err(|error| {
        Refused::local(format!("cannot serve on the far side of the link, at {far}: {error}"))
    })
}

/// An address for documentation, RFC 5737.
const PLACEHOLDER: &str = "192.0.2.1";
