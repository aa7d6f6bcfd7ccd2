//! Real packets: senders with a tag in each packet, and a victim that counts them by tag. Verdicts compare what arrives with
//! what was sent, never with a time: how fast this machine is shall not matter.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::host::{Host, comes_true};

/// Most packets a sender sends at once: what it could not send in time it leaves out.
const BURST: u128 = 100;
/// Bytes that wait for a counter that is slow to be run.
const BUFFER: usize = 8 << 20;

/// A stream of tagged UDP packets, until dropped.
pub struct Sender {
    sent: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    /// Sends at most `pps` packets a second from `host` to `to`, each with `tag` and its number.
    pub fn udp(host: &Host, to: SocketAddr, tag: u8, pps: u32) -> Self {
        let socket = host.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).expect("socket");
        let (sent, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        host.spawn(move || {
            let (start, mut done) = (Instant::now(), 0);
            let mut packet = [tag; 64];
            while !stopped.load(Relaxed) {
                let due = start.elapsed().as_micros() * u128::from(pps) / 1_000_000;
                for _ in done.max(due.saturating_sub(BURST))..due {
                    packet[1..9].copy_from_slice(&(count.load(Relaxed) as u64 + 1).to_be_bytes());
                    count.fetch_add(usize::from(socket.send_to(&packet, to).is_ok()), Relaxed);
                }
                done = due;
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { sent, stop }
    }

    /// Packets sent so far, whether they arrive or not.
    pub fn sent(&self) -> usize {
        self.sent.load(Relaxed)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// What arrived of one tag.
struct Seen {
    packets: AtomicUsize,
    last: Mutex<Option<(Instant, SocketAddr)>>,
    /// The number of the last packet.
    number: AtomicUsize,
}

/// The victim's counter on one UDP port.
pub struct Sink {
    seen: Arc<Vec<Seen>>,
    stop: Arc<AtomicBool>,
}

impl Sink {
    /// Counts from now on; tags up to 15.
    pub fn udp(host: &Host, port: u16) -> Self {
        let socket = host.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).expect("socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        // Only the machine's own root may do that.
        let _ = set_socket_recv_buffer_size_force(&socket, BUFFER);
        let nothing = || Seen { packets: AtomicUsize::new(0), last: Mutex::new(None), number: AtomicUsize::new(0) };
        let seen: Arc<Vec<Seen>> = Arc::new((0..16).map(|_| nothing()).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let (counted, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        host.spawn(move || {
            let mut packet = [0; 64];
            while !stopped.load(Relaxed) {
                let Ok((64, from)) = socket.recv_from(&mut packet) else { continue };
                let Some(entry) = counted.get(usize::from(packet[0])) else { continue };
                entry.packets.fetch_add(1, Relaxed);
                *entry.last.lock().expect("not poisoned") = Some((Instant::now(), from));
                let number = u64::from_be_bytes(packet[1..9].try_into().expect("eight bytes"));
                entry.number.store(number as usize, Relaxed);
            }
        });
        Self { seen, stop }
    }

    /// Packets of that tag so far.
    pub fn packets(&self, tag: u8) -> usize {
        self.seen[usize::from(tag)].packets.load(Relaxed)
    }

    /// When the last packet of that tag came, and from which address and port after NAT.
    pub fn last(&self, tag: u8) -> Option<(Instant, SocketAddr)> {
        *self.seen[usize::from(tag)].last.lock().expect("not poisoned")
    }

    /// Waits until a packet has come that this sender sends after now. What passed the routers before it has come then, too.
    pub fn settle(&self, sender: &Sender, tag: u8) {
        // The next one may be on its way already.
        let next = sender.sent() + 1;
        let settled = comes_true(|| self.seen[usize::from(tag)].number.load(Relaxed) > next);
        assert!(settled, "nothing arrives with the tag {tag}, {} sent", sender.sent());
    }

    /// Packets a second of that tag, measured over the time given: a figure, no verdict.
    pub fn rate(&self, tag: u8, over: Duration) -> f64 {
        let (start, before) = (Instant::now(), self.packets(tag));
        std::thread::sleep(over);
        (self.packets(tag) - before) as f64 / start.elapsed().as_secs_f64()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}
