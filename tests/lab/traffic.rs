//! Real packets: senders with a tag in each packet, and a victim that counts them by tag.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::host::Host;

/// A stream of tagged UDP packets, until dropped.
pub struct Sender {
    stop: Arc<AtomicBool>,
}

impl Sender {
    /// Sends about `pps` packets a second from `host` to `to`, each beginning with `tag`.
    pub fn udp(host: &Host, to: SocketAddr, tag: u8, pps: u32) -> Self {
        let socket = host.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).expect("socket");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        host.spawn(move || {
            let (start, mut sent) = (Instant::now(), 0_u128);
            let packet = [tag; 64];
            while !stopped.load(Ordering::Relaxed) {
                let due = start.elapsed().as_micros() * u128::from(pps) / 1_000_000;
                while sent < due {
                    let _ = socket.send_to(&packet, to);
                    sent += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { stop }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What arrived of one tag.
struct Seen {
    packets: AtomicUsize,
    last: Mutex<Option<(Instant, SocketAddr)>>,
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
        let seen: Arc<Vec<Seen>> =
            Arc::new((0..16).map(|_| Seen { packets: AtomicUsize::new(0), last: Mutex::new(None) }).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let (counted, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        host.spawn(move || {
            let mut packet = [0; 64];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                let Some(entry) = packet.first().filter(|_| length > 0).and_then(|tag| counted.get(usize::from(*tag)))
                else {
                    continue;
                };
                entry.packets.fetch_add(1, Ordering::Relaxed);
                *entry.last.lock().expect("not poisoned") = Some((Instant::now(), from));
            }
        });
        Self { seen, stop }
    }

    /// Packets of that tag so far.
    pub fn packets(&self, tag: u8) -> usize {
        self.seen[usize::from(tag)].packets.load(Ordering::Relaxed)
    }

    /// When the last packet of that tag came, and from which address and port after NAT.
    pub fn last(&self, tag: u8) -> Option<(Instant, SocketAddr)> {
        *self.seen[usize::from(tag)].last.lock().expect("not poisoned")
    }

    /// Packets a second of that tag, measured over the time given.
    pub fn rate(&self, tag: u8, over: Duration) -> f64 {
        let (start, before) = (Instant::now(), self.packets(tag));
        std::thread::sleep(over);
        (self.packets(tag) - before) as f64 / start.elapsed().as_secs_f64()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
