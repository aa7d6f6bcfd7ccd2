//! A device that a request may speak of, how sure that is, and why.

use std::net::IpAddr;

use crate::model::{Flow, Mac, Traffic};

/// A device that may be the attacker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its name as configured, or as LuCI knows it.
    pub name: Option<String>,
    /// Its addresses as far as known.
    pub addresses: Vec<IpAddr>,
    /// The router's interface to which it is attached.
    pub interface: Option<String>,
    /// Whether it is a router that others are behind, who are hit by whatever is done to it; the name says so.
    pub behind: bool,
    /// From which addresses it sends what the request names, or failing that the most like it.
    pub senders: Vec<IpAddr>,
    /// The addresses of all who send under its Ethernet address, where these are several devices: a repeater, an extender or
    /// virtual machines are behind it. Else nothing.
    pub sharers: Vec<IpAddr>,
    /// From where somebody under its Ethernet address has sent lately, and nobody answers now: its own addresses of before, or
    /// those of others who are away. Nothing where there are sharers.
    pub former: Vec<IpAddr>,
    /// How sure it is that the request speaks of it.
    pub confidence: Confidence,
    /// Why it is a suspect; strongest first, bounded.
    pub evidence: Vec<Evidence>,
}

impl Suspect {
    /// Whether it stands for several devices, of which one sends.
    pub fn is_shared(&self) -> bool {
        !self.sharers.is_empty()
    }

    /// Whether others may be hit by what is done to it as a whole.
    pub fn may_stand_for_others(&self) -> bool {
        self.behind || self.is_shared() || !self.former.is_empty()
    }

    /// Whether nothing but figures has changed since it was so.
    pub(crate) fn is_as(&self, before: &Self) -> bool {
        let of = |s: &Self| (s.mac, s.behind, s.confidence, s.evidence.len());
        of(self) == of(before)
            && (&self.name, &self.addresses, &self.interface) == (&before.name, &before.addresses, &before.interface)
            && (&self.sharers, &self.former) == (&before.sharers, &before.former)
    }

    /// Takes the figures of a later look at the same flows. One that is not seen any more sends nothing.
    pub(crate) fn update_figures(&mut self, later: &Self) {
        for known in &mut self.evidence {
            let same =
                later.evidence.iter().find(|e| e.flow.id == known.flow.id && e.flow.original == known.flow.original);
            match same {
                Some(later) => *known = later.clone(),
                None => known.rate = Traffic::default(),
            }
        }
    }
}

/// How sure the attribution is. `auto` acts on `Likely` and `Exact` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Some of what the request names fits; the administrator must decide.
    Possible,
    /// All that the request names fits, but it names too little to exclude another device.
    Likely,
    /// A flow of this device bears the very address, port and target that the provider saw.
    Exact,
}

impl Confidence {
    /// Returns the contract's word: `exact`, `likely` or `possible`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Exact => "exact",
        }
    }
}

/// One reason to believe it: a flow of the device that fits the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The flow, both sides of the NAT. What counts as sent is what went to the target, whoever opened it.
    pub flow: Flow,
    /// Its rate over the last seconds, per second.
    pub rate: Traffic,
    /// When it was seen, seconds since 1970.
    pub seen: u64,
}

/// A packet's sender as the router received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// The Ethernet address it came from.
    pub mac: Mac,
    /// The address it bore.
    pub address: IpAddr,
    /// The number of the link it came over.
    pub link: u32,
}

/// How many senders of each family a sender log holds: whoever makes up addresses must not fill the memory. One that is
/// full may lack anybody.
pub const MOST_LOGGED: usize = 128;

/// Most flows kept of one device.
const MOST_FLOWS: usize = 8;

/// How many flows are kept of each of so many devices, where there may be `most` devices: the strongest, and about two for
/// each that there may be.
pub(crate) fn most_flows(most: usize, devices: usize) -> usize {
    (2 * most / devices.max(1)).clamp(1, MOST_FLOWS)
}
