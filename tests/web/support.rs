//! A server with a web interface, on loopback.

use std::{future::Future, net::SocketAddr, time::Duration};

use polyperf::{
    Client, Server, client,
    server::Handle,
    web::{Admin, Config, Site, hash_password},
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::http::{Request, post};

pub(crate) const PASSWORD: &str = "correct horse";
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A server and its site, which end when this is dropped.
pub(crate) struct World {
    pub(crate) port: u16,
    pub(crate) handle: Handle,
    pub(crate) site: SocketAddr,
    close: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    _server: oneshot::Sender<()>,
}

impl World {
    pub(crate) async fn new(set: impl FnOnce(&mut Config)) -> Self {
        Self::with(set, |site| site).await
    }

    pub(crate) async fn with(
        set: impl FnOnce(&mut Config),
        add: impl FnOnce(Site) -> Site,
    ) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::builder().listen(loopback).bind().await.unwrap();
        let (port, handle) = (server.local_addrs()[0].1.port(), server.handle());
        let (keep, dropped) = oneshot::channel::<()>();
        tokio::spawn(server.run(async {
            let _ = dropped.await;
        }));
        let mut config = Config::new(loopback);
        set(&mut config);
        let site = add(Site::bind(config, handle.clone()).unwrap());
        let addr = site.local_addr();
        let (close, closed) = oneshot::channel::<()>();
        let serving = tokio::spawn(async {
            let closed = async {
                let _ = closed.await;
            };
            site.serve(closed).await.unwrap();
        });
        Self { port, handle, site: addr, close: Some(close), serving, _server: keep }
    }

    pub(crate) fn client(&self) -> client::Builder {
        Client::builder("127.0.0.1").port(self.port)
    }

    /// Logs in, and returns the cookie.
    pub(crate) async fn log_in(&self) -> String {
        let answer = self.try_password(PASSWORD).send(self.site).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        let cookie = answer.header("Set-Cookie").unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(crate) fn try_password(&self, password: &str) -> Request {
        post("/api/v1/login", &json!({ "password": password })).own(self.site)
    }

    /// Sends an order with a token.
    pub(crate) async fn order(&self, path: &str, body: &Value) -> crate::http::Answer {
        let bearer = format!("Bearer {TOKEN}");
        post(path, body).with("Authorization", &bearer).send(self.site).await
    }

    /// Closes the site, and waits until it has.
    pub(crate) async fn close(mut self) {
        let _ = self.close.take().map(|close| close.send(()));
        soon(self.serving).await.unwrap();
    }
}

/// Lets in who knows the password, and who has the token.
pub(crate) fn admin() -> Admin {
    let hash = hash_password(PASSWORD).unwrap();
    Admin::new().password(&hash).unwrap().token(TOKEN).unwrap()
}

/// Waits for something that must happen; the bound is a safety net.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), work).await.expect("it hangs")
}

/// Runs the server of another world.
pub(crate) fn peer(name: &str, world: &World) -> polyperf::web::Peer {
    polyperf::web::Peer { name: name.to_owned(), host: "127.0.0.1".to_owned(), port: world.port }
}
