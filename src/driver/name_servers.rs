//! The name servers that the system's resolver does not see: a jail shows `/etc/resolv.conf` as it was when the service started,
//! and netifd puts another file in its place when an upstream comes up. The directory it does that in is shown, too.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::calling::dns::{self, RecordType};
use crate::io::random;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where netifd writes what its upstreams tell.
const OF_NETIFD: &str = "/tmp/resolv.conf.d/resolv.conf.auto";
/// How the kernel marks what has lost its name (seq_dentry).
const DELETED: &str = "//deleted";
/// As many as the C library asks (resolv.conf(5)), and as often and long.
const SERVERS: usize = 3;
const ROUNDS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(3);
const PORT: u16 = 53;

/// The addresses of `name` by the name servers of today; nothing where the system's resolver sees them too, or none knows.
pub(super) fn resolve(name: &str) -> Option<Vec<IpAddr>> {
    let servers = servers(&fs::read_to_string(current()?).ok()?);
    (0..ROUNDS).flat_map(|_| &servers).find_map(|server| ask(*server, name).ok()).filter(|found| !found.is_empty())
}

/// The file that the system's resolver would read if it saw it.
fn current() -> Option<PathBuf> {
    if !Path::new(RESOLV_CONF).exists() {
        return Some(OF_NETIFD.into());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let gone = gone(&mounts)?;
    Some(successor(&mounts, &gone).filter(|path| path.exists()).unwrap_or_else(|| OF_NETIFD.into()))
}

/// A line of proc_pid_mountinfo(5): file system, what of it is shown, and where.
struct Mount {
    device: String,
    root: String,
    place: String,
}

impl Mount {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(2);
        let mut word = || words.next().map(|word| word.replace("\\040", " "));
        Some(Self { device: word()?, root: word()?, place: word()? })
    }
}

/// What the resolver's file was, where another one has its name now.
fn gone(mounts: &str) -> Option<Mount> {
    let mut shown = mounts.lines().filter_map(Mount::read).filter(|mount| mount.place == RESOLV_CONF);
    let mut last = shown.next_back()?;
    last.root = last.root.strip_suffix(DELETED)?.to_owned();
    Some(last)
}

/// Where the file of that name is seen by its directory.
fn successor(mounts: &str, gone: &Mount) -> Option<PathBuf> {
    let seen = mounts.lines().filter_map(Mount::read).filter(|mount| mount.device == gone.device);
    let within = seen.filter_map(|mount| {
        let rest = Path::new(&gone.root).strip_prefix(&mount.root).ok().filter(|rest| rest.file_name().is_some())?;
        Some((mount.root.len(), Path::new(&mount.place).join(rest)))
    });
    within.max_by_key(|(length, _)| *length).map(|(_, path)| path)
}

fn servers(resolv_conf: &str) -> Vec<IpAddr> {
    let named = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    named.filter_map(|rest| rest.trim().parse().ok()).take(SERVERS).collect()
}

/// Asks one of them for addresses of both families.
fn ask(server: IpAddr, name: &str) -> io::Result<Vec<IpAddr>> {
    let any = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(SocketAddr::new(server, PORT))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut found = Vec::new();
    for kind in [RecordType::Aaaa, RecordType::A] {
        let mut id = [0; 2];
        random::system().fill(&mut id).map_err(|_| io::Error::other("there is no randomness"))?;
        let question = dns::question(u16::from_be_bytes(id), name, kind).ok_or(io::ErrorKind::InvalidInput)?;
        socket.send(&question)?;
        found.extend(answer(&socket, &question)?);
    }
    Ok(found)
}

/// The first datagram that answers, of a few: others come late, or from somebody who guesses.
fn answer(socket: &UdpSocket, question: &[u8]) -> io::Result<Vec<IpAddr>> {
    let mut datagram = [0; 1500];
    for _ in 0..16 {
        let length = socket.recv(&mut datagram)?;
        if let Some(found) = datagram.get(..length).and_then(|datagram| dns::answer(question, datagram)) {
            return Ok(found);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a jail, in the order of ujail's mounts.
    const JAIL: &str = "\
        310 300 0:31 /ujail-x / ro - tmpfs tmpfs rw\n\
        311 310 0:20 /resolv.conf.d/resolv.conf.auto//deleted /etc/resolv.conf ro - tmpfs tmpfs rw\n\
        312 310 0:20 /resolv.conf.d /tmp/resolv.conf.d ro - tmpfs tmpfs rw\n\
        313 310 0:20 /run/ubus /var/run/ubus rw - tmpfs tmpfs rw\n";

    #[test]
    fn what_took_the_place_is_seen_by_its_directory() {
        let found = |mounts: &str| gone(mounts).map(|gone| successor(mounts, &gone));
        let auto = Some(Some(PathBuf::from(OF_NETIFD)));
        assert_eq!(found(JAIL), auto);
        assert_eq!(found(&JAIL.replace("//deleted", "")), None, "the resolver sees it");
        assert_eq!(found(&JAIL.replace("/resolv.conf.d /tmp", "/other.d /tmp")), Some(None), "nobody shows it");
        assert_eq!(found(&JAIL.replace("/resolv.conf.d /tmp/resolv.conf.d", "/ /tmp")), auto);
        assert_eq!(found("1 2 0:3 / / rw - ext4 x rw\n"), None, "without a jail");
        assert_eq!(found("garbage\n\n1 2\n"), None);
    }

    #[test]
    fn name_servers_are_read_as_the_resolver_does() {
        let text = "# Interface wan\nnameserver 198.51.100.53\n nameserver\t2001:db8::53\nsearch lan\nnameserver fe80::1%wan\n\
            nameserver 192.0.2.1\nnameserver 192.0.2.2\n";
        let found: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["198.51.100.53", "2001:db8::53", "192.0.2.1"]);
    }
}
