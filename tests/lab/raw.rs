//! Packets that no socket of the standard library sends, and every packet that reaches a host.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustix::net::{
    AddressFamily, Protocol, RawProtocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use crate::crowd::Stream;
use crate::host::{Host, comes_true};

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ESP: u8 = 50;
pub const ICMPV6: u8 = 58;
pub const SCTP: u8 = 132;

/// Every protocol (`ETH_P_ALL`).
const ALL: u16 = 3;

fn socket(host: &Host, family: AddressFamily, kind: SocketType, protocol: u32) -> rustix::fd::OwnedFd {
    let protocol = RawProtocol::new(protocol).map(Protocol::from_raw);
    host.enter(|| socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, protocol)).expect("socket")
}

/// Sends packets of a protocol, each with the same payload, until dropped. Echo requests get what makes them so; the first
/// byte of any payload is the sender's number.
pub fn stream(host: &Host, protocol: u8, to: IpAddr, number: usize) -> Stream {
    let tag = u8::try_from(number).expect("a small number");
    send(
        host,
        protocol,
        to,
        match protocol {
            ICMP => echo(8, tag),
            ICMPV6 => echo(128, tag),
            _ => vec![tag; 100],
        },
    )
}

/// Sends an SCTP packet that opens an association, again and again.
pub fn sctp(host: &Host, from: u16, to: SocketAddr, number: usize) -> Stream {
    let tag = u8::try_from(number).expect("a small number");
    let mut packet = [from.to_be_bytes(), to.port().to_be_bytes()].concat();
    packet.extend([0; 8]);
    // INIT (RFC 9260 section 3.3.2): its initiate tag is ours to choose.
    packet.extend([1, 0, 0, 20, tag, tag, tag, tag, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let checksum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&checksum);
    send(host, SCTP, to.ip(), packet)
}

fn send(host: &Host, protocol: u8, to: IpAddr, packet: Vec<u8>) -> Stream {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(host, family, SocketType::RAW, protocol.into());
    let to = SocketAddr::new(to, 0);
    Stream::new(host, move || sendto(&socket, &packet, SendFlags::empty(), &to).is_ok())
}

/// An echo request with the sender's number as its identifier. Over IPv6 the kernel makes the checksum.
fn echo(kind: u8, tag: u8) -> Vec<u8> {
    let mut packet = vec![kind, 0, 0, 0, 0, tag, 0, 1];
    packet.extend([tag; 56]);
    let words = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum = words.fold(0, |sum, word| (sum + word) % 0xffff);
    let checksum = u16::try_from(0xffff - sum).expect("16 bits");
    packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// What has arrived of one sender.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    pub packets: usize,
    /// From where, after NAT; port 0 where there is none.
    pub from: SocketAddr,
}

/// By sender, protocol and receiver.
type Key = (usize, u8, IpAddr);

/// Looks at every packet that reaches a host and bears a payload.
pub struct Sniffer {
    arrived: Arc<Mutex<BTreeMap<Key, Arrived>>>,
    stream: Stream,
}

impl Sniffer {
    /// From now on.
    pub fn new(host: &Host) -> Self {
        let socket = socket(host, AddressFamily::PACKET, SocketType::DGRAM, ALL.to_be().into());
        let arrived: Arc<Mutex<BTreeMap<Key, Arrived>>> = Arc::default();
        let seen = Arc::clone(&arrived);
        let stream = Stream::new(host, move || {
            let mut buffer = [0; 2048];
            while let Ok((length, _)) = recv(&socket, &mut buffer, RecvFlags::empty()) {
                if let Some((key, from)) = buffer.get(..length).and_then(parse) {
                    let mut arrived = seen.lock().expect("not poisoned");
                    let packets = arrived.get(&key).map_or(0, |before| before.packets) + 1;
                    arrived.insert(key, Arrived { packets, from });
                }
            }
            true
        });
        Self { arrived, stream }
    }

    /// Waits until everything has been looked at that has reached the host by now.
    pub fn settle(&self) {
        let before = self.stream.sent();
        assert!(comes_true(|| self.stream.sent() > before + 1), "nobody looks");
    }

    /// What has arrived of one sender, by protocol, at an address of this host.
    pub fn arrived(&self, number: usize, protocol: u8, at: IpAddr) -> Option<Arrived> {
        self.arrived.lock().expect("not poisoned").get(&(number, protocol, at)).copied()
    }

    /// How many packets that makes.
    pub fn packets(&self, number: usize, protocol: u8, at: IpAddr) -> usize {
        self.arrived(number, protocol, at).map_or(0, |arrived| arrived.packets)
    }

    /// Waits for the next packet of a sender; nothing: none has come in time.
    pub fn next(&self, number: usize, protocol: u8, at: IpAddr) -> Option<Arrived> {
        let before = self.packets(number, protocol, at);
        comes_true(|| self.packets(number, protocol, at) > before).then(|| self.arrived(number, protocol, at))?
    }
}

fn parse(packet: &[u8]) -> Option<(Key, SocketAddr)> {
    let (protocol, source, receiver, header) = match packet.first()? >> 4 {
        4 => {
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
            (*packet.get(9)?, IpAddr::from(address(12)?), IpAddr::from(address(16)?), 4 * usize::from(packet[0] & 15))
        }
        6 => {
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
            (*packet.get(6)?, IpAddr::from(address(8)?), IpAddr::from(address(24)?), 40)
        }
        _ => return None,
    };
    let inner = packet.get(header..)?;
    let payload = match protocol {
        TCP => 4 * usize::from(inner.get(12)? >> 4),
        UDP | ICMP | ICMPV6 => 8,
        SCTP => 16,
        _ => 0,
    };
    let has_ports = matches!(protocol, TCP | UDP | SCTP);
    let port = if has_ports { u16::from_be_bytes([*inner.first()?, *inner.get(1)?]) } else { 0 };
    Some(((usize::from(*inner.get(payload)?), protocol, receiver), SocketAddr::new(source, port)))
}
