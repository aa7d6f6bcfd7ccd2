//! How it stands with one provider, as the bus and the log are told.

use super::provider::Provider;
use crate::calling::CallerPhase;
use crate::model::Now;
use crate::ubus::{PeerState, PeerStatus};

impl Provider {
    /// How it stands with this provider.
    pub(super) fn status(&self, now: Now) -> PeerStatus {
        let caller = self.caller.state(now.instant);
        let call = self.call.as_ref();
        PeerStatus {
            name: self.settings.section.clone(),
            state: match caller.phase {
                CallerPhase::Connected => PeerState::Connected,
                CallerPhase::Connecting => PeerState::Connecting,
                CallerPhase::Waiting => PeerState::Waiting,
            },
            transport: call.map(|call| call.connection.transport().as_str()),
            address: call.map(|call| call.address),
            since: call.map(|call| call.since).or(caller.down_since).map(|since| {
                let lasts = now.instant.saturating_duration_since(since).as_secs();
                now.unix.saturating_sub(lasts)
            }),
            retry_in: caller.retry_in,
            last_error: match (caller.last_error, self.is_nowhere) {
                (Some(why), true) => Some(format!("{why}; {}", self.nowhere())),
                (None, true) => Some(self.nowhere()),
                (why, false) => why,
            },
            rtt: call.and_then(|call| call.session.rtt()),
        }
    }

    /// The status, if it has become another kind of status since last asked; then the log has a line for it too.
    pub(super) fn poll_status(&mut self, now: Now) -> Option<PeerStatus> {
        let status = self.status(now);
        if self.told == Some(status.state) {
            return None;
        }
        self.told = Some(status.state);
        self.log(&status, now);
        Some(status)
    }

    /// A provider that stays out of reach for the same reason is not mentioned again and again.
    fn log(&mut self, status: &PeerStatus, now: Now) {
        let peer = &status.name;
        match (status.state, &status.address, &status.last_error) {
            (PeerState::Connected, Some(address), _) => {
                log::info!("peer {peer}: connected to {address} over {}", status.transport.unwrap_or_default());
                self.complaint = None;
            }
            (PeerState::Waiting, _, Some(why)) if self.complaint.as_ref() != Some(why) => {
                let retry = status.retry_in.unwrap_or_default().as_secs();
                let alarm =
                    if self.caller.state(now.instant).is_alarming { ", it can't be reached for long" } else { "" };
                log::warn!("peer {peer}: {why}{alarm}; calling again in {retry} s");
                self.complaint = Some(why.clone());
            }
            _ => log::debug!("peer {peer}: {}", status.state.as_str()),
        }
    }
}
