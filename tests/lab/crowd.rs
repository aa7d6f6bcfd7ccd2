//! Many senders at once, what the victim sees of each, and a conntrack table as full as that of a busy home.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dots_callhome::model::{Detail, Tuple};
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};

use crate::host::Host;
use crate::messages;

/// Between two packets of a sender.
const PACE: Duration = Duration::from_millis(10);

/// Traffic that goes on until dropped. Its first byte is the sender's number.
pub struct Stream {
    stop: Arc<AtomicBool>,
    ended: Option<std::thread::JoinHandle<()>>,
}

impl Stream {
    /// UDP from a local address.
    pub fn udp(host: &Host, local: SocketAddr, to: SocketAddr, number: usize) -> Self {
        let socket = host.enter(|| UdpSocket::bind(local)).expect("socket");
        socket.set_nonblocking(true).expect("socket");
        let packet = [u8::try_from(number).expect("a small number"); 100];
        Self::new(host, move || drop(socket.send_to(&packet, to)))
    }

    /// A TCP connection.
    pub fn tcp(host: &Host, to: SocketAddr, number: usize) -> Self {
        let mut socket = host.enter(|| TcpStream::connect(to)).expect("connected");
        let packet = [u8::try_from(number).expect("a small number"); 100];
        Self::new(host, move || drop(socket.write(&packet)))
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
        })
    }

    /// Whatever `step` does, again and again.
    pub fn new(host: &Host, mut step: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let ended = host.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                step();
                std::thread::sleep(PACE);
            }
        });
        Self { stop, ended: Some(ended) }
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

/// A program inside a host, until dropped.
pub struct Child(std::process::Child);

impl Child {
    /// Starts it.
    pub fn start(host: &Host, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(host.enter(|| command.spawn()).expect("program starts"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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

fn entry(number: u32) -> Vec<u8> {
    let (from, to) = ((number % 60_000) as u16 + 1024, (number / 60_000) as u16 + 1);
    let tuple = |source: &str, destination: &str, source_port, destination_port| Tuple {
        source: source.parse().expect("address"),
        destination: destination.parse().expect("address"),
        protocol: 17,
        detail: Detail::Ports { source: source_port, destination: destination_port },
        zone: 0,
    };
    let original = tuple("192.168.1.250", "203.0.113.99", from, to);
    let reply = tuple("203.0.113.99", "198.51.100.7", to, from);
    let mut body = vec![messages::family(original.source), 0, 0, 0];
    body.extend(messages::tuple(1, &original));
    body.extend(messages::tuple(2, &reply));
    body.extend(messages::attribute(7, &3600_u32.to_be_bytes()));
    // NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
    messages::message(0x100, 0x405, number, &body)
}
