//! Many senders at once, what the victim sees of each, and a conntrack table as full as that of a busy home.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr as NetlinkAddress};

use crate::host::Host;

/// Between two packets of a sender.
const PACE: Duration = Duration::from_millis(10);

/// Traffic that goes on until dropped. Its first byte is the sender's number.
pub struct Stream {
    sent: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    ended: Option<std::thread::JoinHandle<()>>,
}

impl Stream {
    /// UDP from a local address.
    pub fn udp(host: &Host, local: SocketAddr, to: SocketAddr, number: usize) -> Self {
        let socket = host.enter(|| UdpSocket::bind(local)).expect("socket");
        socket.set_nonblocking(true).expect("socket");
        let packet = [u8::try_from(number).expect("a small number"); 100];
        Self::new(host, move || socket.send_to(&packet, to).is_ok())
    }

    /// A TCP connection.
    pub fn tcp(host: &Host, to: SocketAddr, number: usize) -> Self {
        let mut socket = host.enter(|| TcpStream::connect(to)).expect("connected");
        let packet = [u8::try_from(number).expect("a small number"); 100];
        Self::new(host, move || socket.write(&packet).is_ok())
    }

    /// A UDP server that answers everything ten times.
    pub fn reflector(host: &Host, port: u16) -> Self {
        let socket = host.enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))).expect("socket");
        socket.set_nonblocking(true).expect("socket");
        Self::new(host, move || {
            let mut packet = [0; 100];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                for _ in 0..10 {
                    let _ = socket.send_to(&packet[..length], from);
                }
            }
            true
        })
    }

    /// Whatever `step` does, again and again; it tells whether it could.
    pub fn new(host: &Host, mut step: impl FnMut() -> bool + Send + 'static) -> Self {
        let (sent, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let ended = host.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                count.fetch_add(usize::from(step()), Ordering::Relaxed);
                std::thread::sleep(PACE);
            }
        });
        Self { sent, stop, ended: Some(ended) }
    }

    /// How often that was done so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // What is sent after this would belong to the next case.
        if let Some(ended) = self.ended.take() {
            let _ = ended.join();
        }
    }
}

type Seen = Arc<Mutex<BTreeMap<usize, SocketAddr>>>;

/// The attacked host: from where it sees each sender.
pub struct Victim {
    seen: Seen,
    listeners: BTreeMap<u16, Stream>,
}

impl Victim {
    /// Sees nothing yet.
    pub fn new() -> Self {
        Self { seen: Seen::default(), listeners: BTreeMap::new() }
    }

    /// Receives UDP on a port, over both families.
    pub fn listen(&mut self, host: &Host, port: u16) {
        let seen = Arc::clone(&self.seen);
        self.listeners.entry(port).or_insert_with(|| {
            let socket = host.enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))).expect("socket");
            socket.set_nonblocking(true).expect("socket");
            Stream::new(host, move || {
                let mut packet = [0; 100];
                while let Ok((_, from)) = socket.recv_from(&mut packet) {
                    note(&seen, packet[0], from);
                }
                true
            })
        });
    }

    /// Accepts TCP connections on a port.
    pub fn accept(&mut self, host: &Host, port: u16) {
        let seen = Arc::clone(&self.seen);
        self.listeners.entry(port).or_insert_with(|| {
            let listener = host.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))).expect("socket");
            listener.set_nonblocking(true).expect("socket");
            let mut connections: Vec<(TcpStream, SocketAddr)> = Vec::new();
            Stream::new(host, move || {
                if let Ok((connection, from)) = listener.accept() {
                    connection.set_nonblocking(true).expect("socket");
                    connections.push((connection, from));
                }
                let mut packet = [0; 4096];
                for (connection, from) in &mut connections {
                    if connection.read(&mut packet).is_ok_and(|length| length > 0) {
                        note(&seen, packet[0], *from);
                    }
                }
                true
            })
        });
    }

    /// From where a sender has been seen.
    pub fn seen(&self, number: usize) -> Option<SocketAddr> {
        self.seen.lock().expect("not poisoned").get(&number).copied()
    }

    /// Stops listening, forgets what was seen.
    pub fn clear(&mut self) {
        self.listeners.clear();
        self.seen.lock().expect("not poisoned").clear();
    }
}

fn note(seen: &Seen, number: u8, from: SocketAddr) {
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    seen.lock().expect("not poisoned").insert(number.into(), from);
}

/// Adds as many flows of some other device to a router's table, to a host nobody asks about.
pub fn fill(router: &Host, count: u32) {
    router.enter(|| {
        let mut socket = Socket::new(12).expect("netlink");
        socket.bind_auto().expect("netlink");
        socket.connect(&NetlinkAddress::new(0, 0)).expect("netlink");
        for number in 0..count {
            socket.send(&entry(number), 0).expect("sent");
            let (answer, _) = socket.recv_from_full().expect("answered");
            assert_eq!(answer.get(16..20), Some(&[0; 4][..]), "the kernel takes entry {number}");
        }
    });
}

/// A message that makes a flow: UDP from 192.168.1.250, translated by the router. See `linux/netfilter/nfnetlink_conntrack.h`.
fn entry(number: u32) -> Vec<u8> {
    let (from, to) = ((number % 60_000) as u16 + 1024, (number / 60_000) as u16 + 1);
    let (device, router, nobody) = ([192, 168, 1, 250], [198, 51, 100, 7], [203, 0, 113, 99]);
    let tuple = |kind, from: [u8; 4], to: [u8; 4], ports: [u16; 2]| {
        let addresses = [attribute(1, &from), attribute(2, &to)].concat();
        let [source, destination] = ports.map(u16::to_be_bytes);
        let protocol = [attribute(1, &[17]), attribute(2, &source), attribute(3, &destination)].concat();
        attribute(NESTED | kind, &[attribute(NESTED | 1, &addresses), attribute(NESTED | 2, &protocol)].concat())
    };
    let (original, reply) = (tuple(1, device, nobody, [from, to]), tuple(2, nobody, router, [to, from]));
    let body = [vec![AF_INET, 0, 0, 0], original, reply, attribute(7, &3600_u32.to_be_bytes())].concat();
    let mut message = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    // IPCTNL_MSG_CT_NEW, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
    message.extend([0x100_u16.to_ne_bytes(), 0x405_u16.to_ne_bytes()].concat());
    message.extend([number.to_ne_bytes(), [0; 4]].concat());
    message.extend(body);
    message
}

const AF_INET: u8 = 2;
const NESTED: u16 = 0x8000;

/// An attribute of a netlink message, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
