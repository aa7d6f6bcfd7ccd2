//! How long the router forwards nothing on the processor the daemon runs on: with nothing to do, with requests that make it
//! look through conntrack in every way, and for comparison with the list of one family, which it never asks for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use dots_callhome::netlink::conntrack;
use rustix::thread::{CpuSet, Pid, sched_setaffinity};

use super::figures::Figures;
use super::{FLOOD, ask, netlink, question, read_list};
use crate::home::VICTIM;
use crate::host::Host;
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

/// The processor that forwards, on which the daemon runs as well.
const PROCESSOR: usize = 1;
const PORT: u16 = 999;
const PAUSE: Duration = Duration::from_micros(200);
const SECONDS: u64 = 8;
const LISTS: u32 = 30;

/// Measures it.
pub fn run(stage: &Stage, figures: &mut Figures) {
    steer(&stage.home.router);
    let daemon = Pid::from_raw(i32::try_from(stage.daemon_pid()).expect("a process")).expect("a process");
    sched_setaffinity(Some(daemon), &only(PROCESSOR)).expect("pinned");
    let sink = Sink::udp(&stage.home.victim, PORT);
    let ended = Arc::new(AtomicBool::new(false));
    let sender = send(stage, Arc::clone(&ended));
    stage.until("it arrives", |_| sink.last(FLOOD).is_some());
    let without = longest_stop(stage, || {});
    let with = longest_stop(stage, || requests(stage));
    let by_family = longest_stop(stage, || list_by_family(stage));
    let name = "longest stop of forwarding on the daemon's processor";
    figures.tell(format!("{name}, idle"), without, "ms");
    figures.tell(format!("{name}, 6 requests"), with, "ms").floor("that of an idle daemon", without).budget(1.0);
    figures.tell(format!("{name}, lists of one family instead"), by_family, "ms");
    sched_setaffinity(Some(daemon), &all()).expect("free again");
    ended.store(true, Relaxed);
    sender.join().expect("ends");
}

/// Numbered packets from another processor, which the daemon can't keep from sending.
fn send(stage: &Stage, ended: Arc<AtomicBool>) -> JoinHandle<()> {
    stage.home.device(1).spawn(move || {
        sched_setaffinity(None, &only(0)).expect("pinned");
        let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
        let mut packet = [FLOOD; 64];
        for number in 0_u64.. {
            if ended.load(Relaxed) {
                return;
            }
            packet[1..9].copy_from_slice(&number.to_be_bytes());
            let _ = socket.send_to(&packet, (VICTIM, PORT));
            std::thread::sleep(PAUSE);
        }
    })
}

/// Exact ones, some without a port, some whose flows no filter selects.
fn requests(stage: &Stage) {
    for round in 0..6 {
        let port = 1950 + 2 * round;
        let sink = Sink::udp(&stage.home.victim, port);
        let _flood = Sender::udp(stage.home.device(1), SocketAddr::from((VICTIM, port)), FLOOD, 100);
        stage.until("it arrives", |_| sink.last(FLOOD).is_some());
        let seen = sink.last(FLOOD).expect("arrived").1.port();
        ask(stage, &question((round % 2 == 0).then_some(seen), [port, port + round / 3]));
        std::thread::sleep(Duration::from_millis(800));
    }
}

fn list_by_family(stage: &Stage) {
    let socket = netlink(stage);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sched_setaffinity(None, &only(PROCESSOR)).expect("pinned");
            for round in 0..LISTS {
                let mut request = conntrack::list(round);
                // The family's number, of which there are no entries.
                request[16] = 10;
                read_list(&socket, &request);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    });
}

/// The longest time a packet took through the router while something was done, in milliseconds.
fn longest_stop(stage: &Stage, act: impl FnOnce()) -> f64 {
    let mut ends =
        [(stage.home.device(1), "eth0"), (&stage.home.provider, "edge")].map(|(host, name)| stamps(host, name));
    act();
    let [sent, arrived] = ends.each_mut().map(read);
    let took = sent.iter().filter_map(|(number, sent)| Some(arrived.get(number)?.saturating_sub(*sent)));
    took.max().expect("packets") as f64 / 1e6
}

fn stamps(host: &Host, interface: &str) -> Child {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/bench/stamps.py");
    let arguments = [program, interface, &PORT.to_string(), &SECONDS.to_string()];
    let mut child =
        host.enter(|| Command::new("python3").args(arguments).stdout(Stdio::piped()).spawn().expect("python3 starts"));
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("ready");
    child
}

fn read(child: &mut Child) -> BTreeMap<u64, u64> {
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let numbers = |line: String| {
        let (number, at) = line.split_once(' ')?;
        Some((number.parse().ok()?, at.parse().ok()?))
    };
    let stamps = lines.filter_map(|line| numbers(line.expect("text"))).collect();
    child.wait().expect("ends");
    stamps
}

/// What comes from the device is forwarded by one processor, whichever sends it.
fn steer(router: &Host) {
    let mask = format!("{:x}", 1 << PROCESSOR);
    let script = format!("mount -t sysfs sysfs /sys && echo {mask} > /sys/class/net/lan1/queues/rx-0/rps_cpus");
    router.run("unshare", &["--mount", "sh", "-c", &script]);
}

fn only(processor: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(processor);
    set
}

fn all() -> CpuSet {
    let mut set = CpuSet::new();
    (0..std::thread::available_parallelism().map_or(1, usize::from)).for_each(|number| set.set(number));
    set
}
