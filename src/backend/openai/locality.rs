//! Whether a server runs on this machine, and which processes it is.
//!
//! Meters read this machine: a server elsewhere must not be credited with its energy, so the answer comes with
//! its reason. Processes are found through `/proc`, as far as permissions go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use super::endpoint::is_loopback;

/// Programs that forward a local port to another machine.
const FORWARDERS: [&str; 6] = ["autossh", "cloudflared", "kubectl", "ngrok", "oc", "ssh"];

/// Where a server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locality {
    /// On this machine.
    pub(super) local: bool,
    /// Why that is believed.
    pub(super) reason: String,
    /// Its processes, children included; empty when not permitted or not here.
    pub(super) pids: Vec<u32>,
}

/// Finds out where the server behind `addresses` runs. `host` is the name that led to them.
pub(super) fn find(host: &str, addresses: &[SocketAddr], proc_root: &Path) -> Locality {
    let local =
        !addresses.is_empty() && addresses.iter().all(|address| is_of_this_machine(address.ip()));
    if !local {
        let first = addresses.first().map_or_else(|| host.to_owned(), |a| a.ip().to_string());
        let reason = format!("{host} ({first}) is not an address of this machine");
        return Locality { local, reason, pids: Vec::new() };
    }
    let loopback = addresses.iter().all(|address| is_loopback(address.ip()));
    let what = if loopback { "a loopback address" } else { "an address of this machine" };
    let port = addresses[0].port();
    let listeners = listeners(proc_root, port);
    let names: Vec<_> = listeners.iter().map(|pid| name_of(proc_root, *pid)).collect();
    let tunnel = names.iter().flatten().find(|name| FORWARDERS.contains(&name.as_str()));
    if let Some(program) = tunnel {
        let reason = format!("port {port} is held by {program}, which forwards it elsewhere");
        return Locality { local: false, reason, pids: Vec::new() };
    }
    let reason = match names.iter().flatten().next() {
        Some(name) => format!("{host} is {what}, and {name} listens on port {port}"),
        None => format!("{host} is {what}"),
    };
    Locality { local, reason, pids: with_descendants(proc_root, &listeners) }
}

/// Whether an address is one of this machine's own: a packet to it would leave from it.
///
/// The kernel chooses the source address when a UDP socket is connected; nothing is sent.
fn is_of_this_machine(address: IpAddr) -> bool {
    if is_loopback(address) || address.is_unspecified() {
        return true;
    }
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| {
            socket.connect((address, 9))?;
            socket.local_addr()
        })
        .is_ok_and(|source| source.ip() == address)
}

/// Processes with a socket that listens on a TCP port.
fn listeners(proc_root: &Path, port: u16) -> BTreeSet<u32> {
    let sockets: BTreeSet<String> = ["net/tcp", "net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(proc_root.join(table)).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return BTreeSet::new();
    }
    pids(proc_root).filter(|pid| holds_any(proc_root, *pid, &sockets)).collect()
}

/// Inodes of the sockets that listen on a port, from the text of `/proc/net/tcp`.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, hex) = fields.get(1)?.rsplit_once(':')?;
            let here = u16::from_str_radix(hex, 16).ok()? == port && *fields.get(3)? == LISTEN;
            if here { fields.get(9)?.parse().ok() } else { None }
        })
        .collect()
}

fn pids(proc_root: &Path) -> impl Iterator<Item = u32> {
    fs::read_dir(proc_root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn holds_any(proc_root: &Path, pid: u32, sockets: &BTreeSet<String>) -> bool {
    fs::read_dir(proc_root.join(format!("{pid}/fd")))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.contains(target)))
}

fn name_of(proc_root: &Path, pid: u32) -> Option<String> {
    let name = fs::read_to_string(proc_root.join(format!("{pid}/comm"))).ok()?;
    Some(name.trim().to_owned())
}

/// The processes and everything they started: vLLM answers in one process and computes in its children.
fn with_descendants(proc_root: &Path, roots: &BTreeSet<u32>) -> Vec<u32> {
    if roots.is_empty() {
        return Vec::new();
    }
    let parents: BTreeMap<u32, u32> =
        pids(proc_root).filter_map(|pid| Some((pid, parent_of(proc_root, pid)?))).collect();
    let mut found = roots.clone();
    loop {
        let children: Vec<u32> = parents
            .iter()
            .filter(|(child, parent)| found.contains(parent) && !found.contains(child))
            .map(|(child, _)| *child)
            .collect();
        if children.is_empty() {
            return found.into_iter().collect();
        }
        found.extend(children);
    }
}

/// The fourth field of `/proc/PID/stat`; the second, the name, may hold spaces and parentheses.
fn parent_of(proc_root: &Path, pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(proc_root.join(format!("{pid}/stat"))).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0
   1: 0100007F:1F41 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 5151 1 0 20 4
   2: 0100007F:1F42 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 6161 1 0 100 0
";

    /// A `/proc` in which process 10 listens on port 8001 and started 11, which started 12; 13 is another.
    fn proc_tree(name: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("net")).unwrap();
        fs::write(root.path().join("net/tcp"), TABLE).unwrap();
        for (pid, parent, inode) in [(10, 1, 4242), (11, 10, 1), (12, 11, 2), (13, 1, 5151)] {
            let folder = root.path().join(pid.to_string());
            fs::create_dir_all(folder.join("fd")).unwrap();
            fs::write(folder.join("comm"), format!("{name}\n")).unwrap();
            fs::write(folder.join("stat"), format!("{pid} (a) b) S {parent} 0")).unwrap();
            symlink(format!("socket:[{inode}]"), folder.join("fd/3")).unwrap();
        }
        root
    }

    #[test]
    fn the_listener_and_its_descendants_are_the_servers_processes() {
        let root = proc_tree("vllm");
        let found = find("127.0.0.1", &["127.0.0.1:8001".parse().unwrap()], root.path());
        assert_eq!(found.pids, [10, 11, 12]);
        assert!(found.local && found.reason.contains("vllm listens on port 8001"), "{found:?}");
        let found = find("localhost", &["[::1]:9".parse().unwrap()], root.path());
        assert!(found.local && found.pids.is_empty());
    }

    #[test]
    fn a_tunnel_on_loopback_is_not_local() {
        let root = proc_tree("ssh");
        let found = find("localhost", &["127.0.0.1:8001".parse().unwrap()], root.path());
        assert!(!found.local && found.reason.contains("ssh"), "{found:?}");
    }

    #[test]
    fn a_foreign_address_is_not_local() {
        let nowhere = Path::new("/nonexistent");
        let found = find("example.org", &["192.0.2.1:80".parse().unwrap()], nowhere);
        assert!(!found.local && found.reason.contains("192.0.2.1"), "{found:?}");
        assert!(!find("h", &[], nowhere).local);
    }
}
