//! What the home's own flows cost while nobody is searched for, beside a program that only reads which of them end.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dots_callhome::netlink::conntrack::GROUP_DESTROY;

use super::figures::Figures;
use super::{netlink, processor_time, thread_time, wakings};
use crate::home::VICTIM;
use crate::stage::Stage;

const RATES: [u32; 2] = [100, 1000];
/// Flows end after this, so that as many end as begin.
const TIMEOUT: Duration = Duration::from_secs(2);
const WHILE: Duration = Duration::from_secs(10);

/// Measures it.
pub fn run(stage: &Stage, figures: &mut Figures) {
    stage.home.router.sysctl("netfilter/nf_conntrack_udp_timeout", "2");
    for rate in RATES {
        let ended = AtomicBool::new(false);
        let floor = std::thread::scope(|scope| {
            scope.spawn(|| open(stage, rate, &ended));
            std::thread::sleep(3 * TIMEOUT);
            let reader = scope.spawn(|| only_read(stage));
            let (time, wakes, start) = (processor_time(stage), wakings(stage), Instant::now());
            std::thread::sleep(WHILE);
            let seconds = start.elapsed().as_secs_f64();
            let share = |nanos: u64| nanos as f64 / 1e7 / seconds;
            let tax = share(processor_time(stage) - time);
            let woken = (wakings(stage) - wakes) as f64 / seconds;
            ended.store(true, Relaxed);
            (share(reader.join().expect("read")), tax, woken)
        });
        let (floor, tax, woken) = floor;
        let name = format!("{rate} new flows a second, no open request");
        let tax = figures.tell(format!("{name}: of a core"), tax, "%");
        drop(tax.floor("a program that reads which end, each 100 ms", floor).budget(0.1));
        figures.tell(format!("{name}: wake-ups a second"), woken, "").budget(20.0);
    }
    stage.home.router.sysctl("netfilter/nf_conntrack_udp_timeout", "900");
}

/// Opens so many flows a second, each with one packet.
fn open(stage: &Stage, rate: u32, ended: &AtomicBool) {
    stage.home.device(2).enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
        let (start, mut done) = (Instant::now(), 0);
        while !ended.load(Relaxed) {
            let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u32;
            for number in done..due {
                let port = 1024 + u16::try_from(number % 60_000).expect("a port");
                let _ = socket.send_to(b"x", (VICTIM, port));
            }
            done = due;
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

/// Processor time of the least that hears of all flows that end.
fn only_read(stage: &Stage) -> u64 {
    let socket = netlink(stage);
    socket.add_membership(GROUP_DESTROY).expect("joined");
    socket.set_rx_buf_sz(512 * 1024).expect("buffer");
    socket.set_non_blocking(true).expect("socket");
    let (start, before) = (Instant::now(), thread_time());
    let mut event = Vec::with_capacity(8 * 1024);
    while start.elapsed() < WHILE {
        std::thread::sleep(Duration::from_millis(100));
        event.clear();
        while socket.recv(&mut event, 0).is_ok() {
            event.clear();
        }
    }
    thread_time() - before
}
