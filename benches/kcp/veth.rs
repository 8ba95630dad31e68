//! Two network namespaces, and a pair of devices between them that make each datagram.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::support::Result;

/// The namespaces, which are gone with the value.
pub(crate) struct Veth {
    client: String,
    server: String,
}

impl Veth {
    pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 213, 77, 2);
    const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 213, 77, 1);

    /// Makes them.
    ///
    /// # Errors
    ///
    /// What a command says that fails, for want of root for instance.
    pub(crate) fn new() -> Result<Self> {
        let id = std::process::id();
        let veth = Self { client: format!("kcp-c-{id}"), server: format!("kcp-s-{id}") };
        let (client, server) = (&*veth.client, &*veth.server);
        let devices = [format!("kc{id}"), format!("ks{id}")];
        let [near, far] = [&*devices[0], &*devices[1]];
        run(&["ip", "netns", "add", client])?;
        run(&["ip", "netns", "add", server])?;
        run(&[
            "ip", "link", "add", near, "netns", client, "type", "veth", "peer", "name", far,
            "netns", server,
        ])?;
        for (space, device, addr) in [(client, near, Self::CLIENT), (server, far, Self::SERVER)] {
            run(&["ip", "-n", space, "addr", "add", &format!("{addr}/24"), "dev", device])?;
            run(&["ip", "-n", space, "link", "set", device, "up"])?;
            run(&["ip", "-n", space, "link", "set", "lo", "up"])?;
            let ethtool = ["ip", "netns", "exec", space, "ethtool", "-K", device];
            run(&[&ethtool[..], &["tx-udp-segmentation", "off", "gso", "off"]].concat())?;
        }
        Ok(veth)
    }

    /// Returns a command that runs `program` at the server's end.
    pub(crate) fn server(&self, program: PathBuf) -> Command {
        within(&self.server, program)
    }

    /// Returns a command that runs `program` at the client's end.
    pub(crate) fn client(&self, program: PathBuf) -> Command {
        within(&self.client, program)
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        for space in [&self.client, &self.server] {
            // It may not have come to be.
            let _ = run(&["ip", "netns", "del", space]);
        }
    }
}

fn within(space: &str, program: PathBuf) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", space]).arg(program);
    command
}

fn run(words: &[&str]) -> Result<()> {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", words.join(" ")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{}: {said}", words.join(" ")).into())
}
