//! The enforcer at work on a router of the lab: real netlink sockets, the real `nft`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dots_callhome::enforce::desired::{Desired, Owner};
use dots_callhome::enforce::{Enforcer, Event, Socket};
use dots_callhome::model::{Mac, MitigationId, Now, Tuple};
use dots_callhome::source::Inventory;
use netlink_sys::{Socket as Netlink, SocketAddr};

use crate::host::{Host, PATIENCE};

/// NETLINK_NETFILTER and NFNLGRP_NFTABLES.
const NETFILTER: isize = 12;
const NFTABLES: u32 = 7;

/// The enforcer and its kernel.
pub struct Router<'a> {
    host: &'a Host,
    pub enforcer: Enforcer,
    netfilter: Netlink,
    changes: Netlink,
    events: Netlink,
    /// Texts given to nft.
    pub runs: Vec<String>,
    /// What the enforcer has told.
    pub told: Vec<Event>,
}

pub fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    Now { instant: Instant::now(), unix }
}

impl<'a> Router<'a> {
    pub fn new(host: &'a Host) -> Self {
        let open = |groups: &[u32]| {
            let groups = groups.to_vec();
            host.enter(move || {
                let mut socket = Netlink::new(NETFILTER).expect("netlink");
                socket.bind_auto().expect("bind");
                socket.connect(&SocketAddr::new(0, 0)).expect("connect");
                socket.set_non_blocking(true).expect("non-blocking");
                for group in groups {
                    socket.add_membership(group).expect("group");
                }
                socket
            })
        };
        let (netfilter, changes, events) = (open(&[]), open(&[]), open(&[NFTABLES]));
        let (runs, told) = (Vec::new(), Vec::new());
        Self { host, enforcer: Enforcer::new(), netfilter, changes, events, runs, told }
    }

    pub fn desire(&mut self, desired: Desired, cut_first: Vec<Tuple>, inventory: &Inventory) {
        self.enforcer.set_desired(desired, cut_first, inventory, now());
        self.turn();
    }

    /// One turn of the loop; tells whether there was anything to do.
    pub fn turn(&mut self) -> bool {
        let mut busy = false;
        while let Some((socket, request)) = self.enforcer.poll_transmit() {
            let socket = if socket == Socket::Changes { &self.changes } else { &self.netfilter };
            socket.send(&request, 0).expect("sent");
            busy = true;
        }
        let (netfilter, changes) = ((&self.netfilter, Socket::Netfilter), (&self.changes, Socket::Changes));
        for (socket, kind) in [netfilter, changes, (&self.events, Socket::Events)] {
            let mut buffer = Vec::with_capacity(64 * 1024);
            match socket.recv(&mut buffer, 0) {
                Ok(_) => {
                    self.enforcer.handle_datagram(kind, &buffer, now());
                    busy = true;
                }
                Err(error) if error.raw_os_error() == Some(105) => self.enforcer.handle_overrun(kind, now()),
                Err(_) => {}
            }
        }
        if self.enforcer.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            self.enforcer.handle_timeout(now());
            busy = true;
        }
        while let Some(event) = self.enforcer.poll_event() {
            self.told.push(event);
            busy = true;
        }
        if let Some(text) = self.enforcer.poll_ruleset() {
            let outcome = self.nft(&text);
            self.runs.push(text);
            self.enforcer.handle_nft(outcome, now());
            busy = true;
        }
        busy
    }

    /// Works until `done`, and tells how long it took.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "never happened: {what}\n{:#?}", self.told);
            if !self.turn() {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        start.elapsed()
    }

    /// Whether the last text for nft removes the guard that may have stood in for our tables.
    pub fn has_no_guard(&self) -> bool {
        self.runs.last().is_some_and(|text| text.ends_with("_guard\n"))
    }

    /// Whether the mitigation has been told to be in force.
    pub fn in_force(&self, id: u32) -> bool {
        let owner = Owner::Mitigation(MitigationId(id));
        self.told.contains(&Event::Enforced { owner, outcome: Ok(()) })
    }

    /// Whether the administrator's quarantine, if there is any, has been told to be in force.
    pub fn in_quarantine(&self) -> bool {
        self.told.contains(&Event::Enforced { owner: Owner::Administrator, outcome: Ok(()) })
    }

    /// Packets counted for a mitigation as told last.
    pub fn counted(&self, id: u32) -> u64 {
        let last = self.told.iter().rev().find_map(|event| match event {
            Event::Counted { id: of, total } if of.0 == id => Some(total.packets),
            _ => None,
        });
        last.unwrap_or(0)
    }

    fn nft(&self, text: &str) -> Result<(), String> {
        let mut child = self.host.enter(|| {
            let mut nft = Command::new("nft");
            nft.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nft starts")
        });
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("nft reads");
        let output = child.wait_with_output().expect("nft ends");
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or_default();
        if output.status.success() { Ok(()) } else { Err(format!("nft: {said}")) }
    }
}

/// The MAC of the lab's device of that number.
pub fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, 10 + number])
}
