//! All configured peers: those that can be called, and those that can't with the reason.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mio::Token;

use super::files;
use super::proof::{Proof, prove};
use super::provider::{LoopContext, Provider};
use crate::config::{Config, Disabled, DisabledReason, Peer, Problem};
use crate::io::clock;
use crate::mitigation::{self, Ledger};
use crate::model::Now;
use crate::transport::crypto::Clock;
use crate::ubus::{PeerState, PeerStatus};

/// The peers of the configuration in force.
pub(super) struct Peers {
    clock: Arc<Clock>,
    providers: Vec<Provider>,
    disabled: Vec<Disabled>,
}

impl Peers {
    /// Nobody yet; `clock` is what certificates are judged by.
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Self { clock, providers: Vec::new(), disabled: Vec::new() }
    }

    /// Takes up a configuration. A peer whose settings and credentials are the same keeps its session.
    pub(super) fn configure(&mut self, config: Config, s: &mut LoopContext<'_>) {
        self.clock.set(s.now.unix);
        let mut former = std::mem::take(&mut self.providers);
        self.disabled = config.disabled;
        for peer in config.peers {
            let section = peer.section.clone();
            let outcome = if config.enabled {
                self.provider(peer, &mut former, s.now)
            } else {
                Err("disabled by option enabled of globals".to_owned())
            };
            match outcome {
                Ok(mut provider) => {
                    provider.set_internal_sources(config.internal_sources);
                    self.providers.push(provider);
                }
                Err(reason) => {
                    log::error!("peer {section} is disabled: {reason}");
                    self.disabled.push(Disabled { section, reason: DisabledReason::Unusable(reason) });
                }
            }
        }
        for mut gone in former {
            gone.stop(s);
        }
    }

    fn provider(&self, peer: Peer, former: &mut Vec<Provider>, now: Now) -> Result<Provider, String> {
        let secrets = files::secrets(&peer.auth).map_err(|unusable| unusable.to_string())?;
        if let Some(same) = former.iter().position(|other| other.is_made_of(&peer, &secrets)) {
            return Ok(former.swap_remove(same));
        }
        let Proof { channels, doubts, .. } = prove(&peer, &secrets, &self.clock, now)?;
        for doubt in doubts {
            log::warn!("peer {}: {doubt}", peer.section);
        }
        Ok(Provider::new(peer, secrets, channels, now))
    }

    /// Certificates are judged by this time, seconds since 1970.
    pub(super) fn set_clock(&self, unix: u64) {
        self.clock.set(unix);
    }

    /// A socket can be read or written.
    pub(super) fn ready(&mut self, token: Token, writable: bool, s: &mut LoopContext<'_>) {
        for provider in &mut self.providers {
            if provider.ready(token, writable, s) {
                return;
            }
        }
    }

    /// Reads on where the last turn left something.
    pub(super) fn read_on(&mut self, s: &mut LoopContext<'_>) {
        self.providers.iter_mut().for_each(|provider| provider.read_on(s));
    }

    /// Whether something is left to read.
    pub(super) fn is_unread(&self) -> bool {
        self.providers.iter().any(Provider::is_unread)
    }

    /// The resolver's answer.
    pub(super) fn resolved(&mut self, name: &str, answer: &Result<Vec<IpAddr>, String>, now: Now) {
        self.providers.iter_mut().for_each(|provider| provider.resolved(name, answer, now));
    }

    /// The ledger has news.
    pub(super) fn handle_mitigation(&mut self, event: &mitigation::Event, ledger: &Ledger) {
        self.providers.iter_mut().for_each(|provider| provider.handle_mitigation(event, ledger));
    }

    /// All news of the ledger have been told.
    pub(super) fn handle_turn_end(&mut self, ledger: &mut Ledger, now: Now) {
        self.providers.iter_mut().for_each(|provider| provider.handle_turn_end(ledger, now));
    }

    /// The home's networks have changed.
    pub(super) fn handle_networks(&mut self, s: &mut LoopContext<'_>) {
        self.providers.iter_mut().for_each(|provider| provider.handle_networks(s));
    }

    /// The network or the clock is not what it was.
    pub(super) fn handle_network_changed(&mut self, now: Now) {
        self.providers.iter_mut().for_each(|provider| provider.handle_network_changed(now));
    }

    /// Does what is due, sends what is to be sent.
    pub(super) fn proceed(&mut self, s: &mut LoopContext<'_>) {
        self.providers.iter_mut().for_each(|provider| provider.proceed(s));
    }

    /// Ends all sessions in good order.
    pub(super) fn stop(&mut self, s: &mut LoopContext<'_>) {
        self.providers.iter_mut().for_each(|provider| provider.stop(s));
    }

    /// When [`Peers::proceed`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.providers.iter().filter_map(Provider::poll_timeout).min()
    }

    /// A peer that has become connected, or is so no more.
    pub(super) fn poll_status(&mut self, now: Now) -> Option<PeerStatus> {
        self.providers.iter_mut().find_map(|provider| provider.poll_status(now))
    }

    /// How it stands with each.
    pub(super) fn statuses(&self, now: Now) -> Vec<PeerStatus> {
        let disabled = self.disabled.iter().map(|disabled| PeerStatus {
            name: disabled.section.clone(),
            state: PeerState::Disabled,
            transport: None,
            address: None,
            since: None,
            retry_in: None,
            last_error: Some(disabled.reason.to_string()),
            rtt: None,
        });
        self.providers.iter().map(|provider| provider.status(now)).chain(disabled).collect()
    }
}

/// What there is to say of a configuration and the files it names.
pub struct Findings {
    /// What does not work, a line each.
    pub faults: Vec<String>,
    /// What works, as far as the clock can be relied on, but perhaps not for long, a line each.
    pub warnings: Vec<String>,
    /// What it amounts to: whether the router is on, and whom it calls.
    pub summary: String,
    /// Whether nobody is called.
    pub is_idle: bool,
}

/// Looks at a configuration and the files it names.
pub fn check(path: &Path) -> Findings {
    let (config, problems) = files::configuration(path);
    let (harmless, faults): (Vec<_>, Vec<_>) = problems.iter().partition(|problem| problem.is_harmless());
    let said = |problems: Vec<&Problem>| problems.into_iter().map(ToString::to_string).collect::<Vec<_>>();
    let (mut faults, mut warnings) = (said(faults), said(harmless));
    let config = config.unwrap_or_default();
    let mut called = Vec::new();
    for peer in &config.peers {
        let outcome = files::secrets(&peer.auth)
            .map_err(|unusable| unusable.to_string())
            .and_then(|secrets| prove(peer, &secrets, &Arc::default(), clock::now()));
        match outcome {
            Ok(Proof { doubts, days, .. }) => {
                warnings.extend(doubts.iter().map(|why| format!("peer {}: {why}", peer.section)));
                let days = days.map(|days| format!("its certificate for {days} more days"));
                let about: Vec<String> =
                    Some(peer.name.clone()).filter(|n| !n.is_empty()).into_iter().chain(days).collect();
                called.push(format!("{} ({})", peer.section, about.join(", ")).replace(" ()", ""));
            }
            Err(why) => faults.push(format!("peer {}: {why}", peer.section)),
        }
    }
    let is_idle = !config.enabled || called.is_empty();
    let summary = match (config.enabled, called.as_slice()) {
        (false, _) => "switched off".to_owned(),
        (true, []) => "switched on, but no provider".to_owned(),
        (true, [only]) => format!("switched on, 1 provider: {only}"),
        (true, several) => format!("switched on, {} providers: {}", several.len(), several.join(", ")),
    };
    Findings { faults, warnings, summary, is_idle }
}
