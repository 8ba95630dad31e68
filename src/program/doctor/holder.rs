//! Who has a port, from the kernel's tables of sockets and processes.

use std::{fs, path::Path};

/// Returns the process that listens on a TCP port, if this user may see it.
pub(super) fn of_tcp(port: u16) -> Option<(u32, String)> {
    of(port, &["tcp", "tcp6"], |state| state == LISTEN)
}

/// Returns the process that has a UDP port, if this user may see it.
pub(super) fn of_udp(port: u16) -> Option<(u32, String)> {
    of(port, &["udp", "udp6"], |_| true)
}

fn of(port: u16, tables: &[&str], counts: impl Fn(&str) -> bool) -> Option<(u32, String)> {
    let read = |table: &&str| fs::read_to_string(format!("/proc/net/{table}")).ok();
    let table: String = tables.iter().filter_map(read).collect();
    inodes(&table, port, counts).iter().find_map(|inode| process(inode))
}

/// Returns the inodes of the sockets at a port in the text of such a table.
fn inodes(table: &str, port: u16, counts: impl Fn(&str) -> bool) -> Vec<String> {
    let at_port = format!(":{port:04X}");
    let sockets = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&at_port) && counts(state)).then(|| (*inode).to_owned())
    });
    sockets.collect()
}

/// Returns the process that has a socket open.
fn process(inode: &str) -> Option<(u32, String)> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers {
        let number: u32 = number;
        let folder = Path::new("/proc").join(number.to_string());
        let open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        let has = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        if has.into_iter().any(|target| target.as_os_str() == socket.as_str()) {
            let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
            return Some((number, name.trim().to_owned()));
        }
    }
    None
}

/// The state of a listening socket in the kernel's table.
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 00000000:1451 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n   \
            1: 0100007F:1451 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n   \
            2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n";
        assert_eq!(inodes(table, 5201, |state| state == LISTEN), ["111"]);
        assert_eq!(inodes(table, 5201, |_| true), ["111", "222"]);
        assert_eq!(inodes(table, 80, |_| true), [""; 0]);
    }

    #[test]
    fn the_process_of_a_port_is_this_one_where_it_is_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = of_tcp(listener.local_addr().unwrap().port());
        // Where processes are hidden, nobody is found, and nobody else.
        assert!(found.is_none_or(|(number, _)| number == std::process::id()));
    }
}
