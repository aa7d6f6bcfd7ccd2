//! One turn: what has happened is handed on until nothing is left to do for now, in the order of the router's loop.

use dots_callhome::enforce::desired::Owner;
use dots_callhome::enforce::{self, Socket};
use dots_callhome::model::MitigationId;
use dots_callhome::{mitigation, source};

use super::{TestRouter, Wired};
use crate::support::kernel::batch;
use crate::support::kernel::noted::Noted;

impl TestRouter {
    /// Everything that follows at once: searches, decisions, enforcement, notifications, and what the kernel is asked.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            while self.round() {}
            if !self.transmit() {
                return;
            }
        }
        panic!("never settles");
    }

    /// Whether anything happened that others have to hear of.
    fn round(&mut self) -> bool {
        if self.wired == Wired::All {
            self.handle_timeouts();
        }
        let heard = [self.hear_ledger(), self.hear_finder(), self.hear_enforcer()];
        self.hear_bus();
        if self.run_nft() || heard.contains(&true) {
            return true;
        }
        let heard = [self.hear_sessions(), self.hear_ledger()];
        heard.contains(&true)
    }

    fn hear_ledger(&mut self) -> bool {
        if self.wired == Wired::Nothing {
            return false;
        }
        let mut heard = false;
        while let Some(event) = self.ledger.poll_event() {
            heard = true;
            match self.wired {
                Wired::All => self.carry_out(&event),
                _ => self.play(&event),
            }
            for provider in &mut self.providers {
                provider.session.handle_mitigation(&event, &self.ledger);
            }
            self.bus.handle_mitigation(&event, self.now);
        }
        if heard {
            for provider in &mut self.providers {
                provider.session.handle_turn_end(&mut self.ledger, self.now);
            }
        }
        heard
    }

    fn carry_out(&mut self, event: &mitigation::Event) {
        match event {
            mitigation::Event::Search(id) => {
                if let Some(m) = self.ledger.get(*id) {
                    self.finder.start_search(*id, m.scope(), self.now);
                    self.finder.set_most_suspects(*id, m.most_suspects());
                }
            }
            mitigation::Event::Gone(last) => self.finder.end_search(last.id()),
            mitigation::Event::Enforce => self.enforce(),
            mitigation::Event::Changed(_) => {}
        }
    }

    /// Finder and enforcer as the test wants them.
    fn play(&mut self, event: &mitigation::Event) {
        match event {
            mitigation::Event::Search(id) => {
                if let Some(suspects) = self.suspects.clone() {
                    self.ledger.handle_attribution(*id, suspects, self.now);
                }
            }
            mitigation::Event::Enforce if self.enforces => {
                let decided: Vec<MitigationId> =
                    self.ledger.all().filter(|m| m.state().in_force()).map(|m| m.id()).collect();
                for id in decided {
                    self.ledger.handle_enforced(id, Ok(()), self.now);
                }
            }
            _ => {}
        }
    }

    /// What the ledger wants is to be in force.
    pub(super) fn enforce(&mut self) {
        let desired = self.ledger.desired(self.now);
        self.enforcer.set_desired(desired, self.ledger.known_flows(), self.finder.inventory(), self.now);
    }

    fn hear_finder(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.finder.poll_event() {
            heard = true;
            let all = self.wired == Wired::All;
            match event {
                source::Event::Found { id, suspects } => {
                    self.found.push((id, suspects.clone()));
                    if all {
                        self.ledger.handle_attribution(id, suspects, self.now);
                    }
                }
                source::Event::Strangers { id, strangers } => {
                    self.strangers.push((id, strangers.clone()));
                    if all {
                        self.ledger.handle_strangers(id, strangers);
                    }
                }
                source::Event::Spoofed { id, mac, sends } => {
                    self.framed.push((id, mac, sends));
                    if all {
                        self.ledger.handle_spoofed(id, mac, sends, self.now);
                    }
                }
                source::Event::RouterAddresses(addresses) => {
                    self.own_macs = addresses.clone();
                    if all {
                        self.ledger.set_router(addresses, self.now);
                    }
                }
                source::Event::OpenersNoted => self.openers_noted += 1,
                source::Event::DomainChanged => {
                    self.domain_changes += 1;
                    if all {
                        self.set_domains();
                    }
                }
                source::Event::InventoryChanged => {
                    self.inventory_changes += 1;
                    if all {
                        self.enforce();
                    }
                }
            }
        }
        heard
    }

    fn hear_enforcer(&mut self) -> bool {
        let mut heard = false;
        while let Some(event) = self.enforcer.poll_event() {
            heard = true;
            if self.wired == Wired::All {
                match &event {
                    enforce::Event::Enforced { owner: Owner::Mitigation(id), outcome } => {
                        self.ledger.handle_enforced(*id, outcome.clone(), self.now);
                    }
                    enforce::Event::Senders { id, senders } => self.finder.handle_senders(*id, senders, self.now),
                    enforce::Event::Counted { id, total } => self.ledger.handle_counted(*id, *total, self.now),
                    _ => {}
                }
            }
            self.told.push(event);
        }
        heard
    }

    /// Lets nft run, if the ruleset has to change; whether it has.
    fn run_nft(&mut self) -> bool {
        let Some(text) = self.enforcer.poll_ruleset() else { return self.run_nft_for_finder() };
        assert_eq!(self.enforcer.poll_ruleset(), None, "one nft at a time");
        self.runs.push(text);
        // A batch that was not answered is not waited for any more.
        self.batch = None;
        if !self.slow_nft {
            self.end_nft();
        }
        true
    }

    /// Lets the kernel take a batch.
    fn change(&mut self, batch: &[u8]) {
        let (text, sequence) = batch::text(batch);
        self.batch = Some(sequence);
        if self.kernel.no_batches {
            return self.refuse();
        }
        self.runs.push(text);
        if !self.slow_nft {
            self.end_nft();
        }
    }

    fn run_nft_for_finder(&mut self) -> bool {
        let Some(text) = self.finder.poll_ruleset() else { return false };
        let done = !self.kernel.nft_fails && Noted::apply(&mut self.kernel.noted, &text).is_ok();
        self.nft_runs.push(text);
        self.finder.handle_nft(done, self.now);
        true
    }

    /// Asks the kernel what there is to ask, and serves the bus; whether there was anything.
    fn transmit(&mut self) -> bool {
        let mut any = false;
        while let Some((socket, request)) = self.finder.poll_transmit() {
            any = true;
            let expected = match request[5] {
                1 => source::Socket::Conntrack,
                10 => source::Socket::Senders,
                _ => source::Socket::Route,
            };
            assert_eq!(socket, expected);
            for datagram in self.kernel.answer(&request) {
                self.finder.handle_datagram(socket, &datagram, self.now);
            }
        }
        while let Some((socket, request)) = self.enforcer.poll_transmit() {
            any = true;
            if socket == Socket::Changes {
                self.change(&request);
                continue;
            }
            assert_eq!(socket, Socket::Netfilter);
            for datagram in self.kernel.answer(&request) {
                self.enforcer.handle_datagram(socket, &datagram, self.now);
            }
        }
        let served = self.wired == Wired::All && self.serve_bus();
        any || served
    }
}
