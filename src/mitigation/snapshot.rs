//! What survives a restart: the form in which the ledger is kept in a file.
//!
//! CBOR: an array of the version and the [`Snapshot`]. Keys are only ever added; a change of meaning raises the version.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use minicbor::decode::{Decoder, Error};
use minicbor::{Decode, Encode};

use super::consent::Action;
use super::incident::Incident;
use super::state::{Cause, Client, Decision, State};
use super::term::Until;
use crate::model::{IcmpTypeRange, Mac, PortRange, Scope, Traffic};
use crate::source::{Confidence, Suspect};

/// The form written by this release, and the only one read.
const VERSION: u32 = 1;

/// The most bytes of a file, written or read: a small flash has room for it, twice while it is replaced.
pub const MOST: usize = 256 * 1024;

/// The decisions of a ledger at one moment. Durations are seconds, as no clock can be relied on after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Snapshot {
    /// When it was taken, seconds since 1970 by the clock of that moment.
    #[n(0)]
    pub saved: u64,
    /// The number the next mitigation gets.
    #[n(1)]
    pub next: u32,
    /// The mitigations somebody has decided about.
    #[n(2)]
    pub mitigations: Vec<SavedMitigation>,
    /// The administrator's own quarantines.
    #[n(3)]
    pub quarantines: Vec<SavedQuarantine>,
    /// What the policy must not act upon by itself.
    #[n(4)]
    pub vetoes: Option<Vec<SavedVeto>>,
    /// What is over, newest first.
    #[n(5)]
    pub incidents: Option<Vec<Incident>>,
}

/// A mitigation as kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SavedMitigation {
    /// Its number.
    #[n(0)]
    pub id: u32,
    /// Who asked.
    #[n(1)]
    pub client: Client,
    /// The client's identifier.
    #[n(2)]
    pub mid: u32,
    /// Where it stood.
    #[n(3)]
    pub state: State,
    /// What was asked.
    #[n(4)]
    pub scope: SavedScope,
    /// When, seconds since 1970.
    #[n(5)]
    pub requested: u64,
    /// Lifetime granted.
    #[n(6)]
    pub granted: u64,
    /// What was left of it.
    #[n(7)]
    pub remaining: u64,
    /// What was left of the administrator's bound.
    #[n(8)]
    pub limit: Option<u64>,
    /// The terminating period to come.
    #[n(9)]
    pub period: u64,
    /// What is done.
    #[n(10)]
    pub action: Action,
    /// What is known of those the decision is about.
    #[n(11)]
    pub suspects: Vec<SavedSuspect>,
    /// Whom the decision is about.
    #[n(12)]
    #[cbor(with = "words")]
    pub chosen: Vec<Mac>,
    /// Whom the administrator let go.
    #[n(13)]
    #[cbor(with = "words")]
    pub released: Vec<Mac>,
    /// Who decided.
    #[n(14)]
    pub decision: Option<Decision>,
    /// When it was first in force, seconds since 1970.
    #[n(15)]
    pub started: Option<u64>,
    /// Packets and bytes dropped.
    #[n(16)]
    pub dropped: (u64, u64),
    /// What the counters said when that many had been dropped.
    #[n(17)]
    pub reading: Option<(u64, u64)>,
    /// Those of the devices chosen that a person has approved; nothing: all, if a person decided.
    #[n(18)]
    pub confirmed: Option<SavedDevices>,
    /// Until when it goes on; nothing: as long as its provider asks.
    #[n(19)]
    pub until: Option<Until>,
    /// Whether its provider asks for it; nothing: it does.
    #[n(20)]
    pub asked: Option<bool>,
    /// From which addresses only a block drops, of those of its devices where that is so.
    #[n(21)]
    pub narrowed: Option<Vec<SavedNarrowing>>,
}

/// The addresses meant of a device as kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SavedNarrowing {
    /// The device.
    #[n(0)]
    #[cbor(with = "word")]
    pub mac: Mac,
    /// Its addresses.
    #[n(1)]
    #[cbor(with = "words")]
    pub addresses: Vec<IpAddr>,
}

/// Devices as kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct SavedDevices(
    #[n(0)]
    #[cbor(with = "words")]
    pub Vec<Mac>,
);

/// A veto as kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SavedVeto {
    /// The number of the mitigation it follows from.
    #[n(0)]
    pub id: u32,
    /// Who had asked.
    #[n(1)]
    pub peer: String,
    /// Whom it is about.
    #[n(2)]
    #[cbor(with = "words")]
    pub devices: Vec<Mac>,
    /// The targets it is about.
    #[n(3)]
    #[cbor(with = "words")]
    pub targets: Vec<IpNet>,
    /// Why.
    #[n(4)]
    pub cause: Cause,
    /// Who said so.
    #[n(5)]
    pub decision: Decision,
    /// What was left of it.
    #[n(6)]
    pub remaining: u64,
}

/// A scope as kept: what is enforced, without the provider's texts. Keys 3 and 4 were names and URIs once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SavedScope {
    #[n(0)]
    #[cbor(with = "words")]
    target_prefixes: Vec<IpNet>,
    #[n(1)]
    target_ports: Vec<(u16, u16)>,
    #[n(2)]
    target_protocols: Vec<u8>,
    #[n(5)]
    #[cbor(with = "words")]
    source_prefixes: Vec<IpNet>,
    #[n(6)]
    source_ports: Vec<(u16, u16)>,
    #[n(7)]
    source_icmp_types: Vec<(u8, u8)>,
}

/// A suspect as kept; the evidence is not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SavedSuspect {
    #[n(0)]
    #[cbor(with = "word")]
    mac: Mac,
    #[n(1)]
    name: Option<String>,
    #[n(2)]
    interface: Option<String>,
    #[n(3)]
    confidence: u8,
    #[n(4)]
    behind: Option<bool>,
}

/// A quarantine of the administrator's own as kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SavedQuarantine {
    /// Who.
    #[n(0)]
    #[cbor(with = "word")]
    pub mac: Mac,
    /// What was left of it; nothing: until released.
    #[n(1)]
    pub remaining: Option<u64>,
    /// Who ordered it.
    #[n(2)]
    pub decision: Decision,
}

/// Why a file can't be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is of another version.
    Version(u32),
    /// It is damaged, or no such file.
    Malformed(String),
}

impl Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version} instead of {VERSION}"),
            Self::Malformed(reason) => write!(f, "malformed: {reason}"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl From<Error> for Unreadable {
    fn from(error: Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The file's content, at most [`MOST`] bytes: of more than that [`Snapshot::fitted`].
pub fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let content = bytes((VERSION, snapshot));
    if content.len() <= MOST { content } else { bytes((VERSION, &snapshot.clone().fitted().0)) }
}

fn bytes(value: impl Encode<()>) -> Vec<u8> {
    // Writing to memory can't fail, and no field refuses to be written.
    minicbor::to_vec(value).unwrap_or_default()
}

impl Snapshot {
    /// As much of it as a file holds, and how many decisions are left out. What is over goes before all. What is not in force goes first, then what
    /// nobody but the policy has decided, then what a person has; the administrator's own quarantines last. Of equal
    /// ones the newest go first, so that nobody pushes out what stood before. Vetoes stay: they are bounded, and each one
    /// lost would let the policy act against a no.
    pub fn fitted(mut self) -> (Self, usize) {
        let mut over = bytes((VERSION, &self)).len().saturating_sub(MOST);
        if over > 0 {
            self.incidents = None;
            over = bytes((VERSION, &self)).len().saturating_sub(MOST);
        }
        let mut left_out = 0;
        for weight in 0..=SavedMitigation::HEAVIEST {
            left_out += leave_out(&mut self.mitigations, &mut over, |m| m.weight() == weight);
        }
        left_out += leave_out(&mut self.quarantines, &mut over, |_| true);
        (self, left_out)
    }
}

/// Leaves out the last of those that may be, until nothing is over. Returns how many.
fn leave_out<T: Encode<()>>(all: &mut Vec<T>, over: &mut usize, may: impl Fn(&T) -> bool) -> usize {
    let before = all.len();
    let mut last = before;
    while let Some(at) = all.iter().take(last).rposition(&may).filter(|_| *over > 0) {
        *over = over.saturating_sub(bytes(all.remove(at)).len());
        last = at;
    }
    before - all.len()
}

/// Reads a file's content back.
///
/// # Errors
/// See [`Unreadable`].
pub fn decode(content: &[u8]) -> Result<Snapshot, Unreadable> {
    let mut decoder = Decoder::new(content);
    if decoder.array()? != Some(2) {
        return Err(Unreadable::Malformed("not an array of two".to_owned()));
    }
    match decoder.u32()? {
        VERSION => {}
        other => return Err(Unreadable::Version(other)),
    }
    let snapshot = decoder.decode()?;
    if decoder.position() == content.len() {
        Ok(snapshot)
    } else {
        Err(Unreadable::Malformed("more after the end".to_owned()))
    }
}

impl From<&Scope> for SavedScope {
    fn from(scope: &Scope) -> Self {
        let ports = |ranges: &[PortRange]| ranges.iter().map(|r| (r.lower(), r.upper())).collect();
        Self {
            target_prefixes: scope.target_prefixes.clone(),
            target_ports: ports(&scope.target_ports),
            target_protocols: scope.target_protocols.clone(),
            source_prefixes: scope.source_prefixes.clone(),
            source_ports: ports(&scope.source_ports),
            source_icmp_types: scope.source_icmp_types.iter().map(|r| (r.lower(), r.upper())).collect(),
        }
    }
}

impl SavedScope {
    /// The scope, unless it is none: prefixes missing or ranges upside down.
    pub fn scope(&self) -> Option<Scope> {
        let ports = |pairs: &[(u16, u16)]| pairs.iter().map(|(l, u)| PortRange::new(*l, *u)).collect::<Option<_>>();
        let types = self.source_icmp_types.iter().map(|(l, u)| IcmpTypeRange::new(*l, *u)).collect::<Option<_>>();
        let whole = !self.target_prefixes.is_empty() && !self.source_prefixes.is_empty();
        whole.then_some(Scope {
            target_prefixes: self.target_prefixes.iter().map(IpNet::trunc).collect(),
            target_ports: ports(&self.target_ports)?,
            target_protocols: self.target_protocols.clone(),
            target_fqdns: Vec::new(),
            target_uris: Vec::new(),
            source_prefixes: self.source_prefixes.iter().map(IpNet::trunc).collect(),
            source_ports: ports(&self.source_ports)?,
            source_icmp_types: types?,
        })
    }
}

impl From<&Suspect> for SavedSuspect {
    fn from(suspect: &Suspect) -> Self {
        let confidence = match suspect.confidence {
            Confidence::Possible => 0,
            Confidence::Likely => 1,
            Confidence::Exact => 2,
        };
        let Suspect { mac, name, interface, behind, .. } = suspect;
        Self { mac: *mac, name: name.clone(), interface: interface.clone(), confidence, behind: behind.then_some(true) }
    }
}

impl From<&SavedSuspect> for Suspect {
    fn from(saved: &SavedSuspect) -> Self {
        Self {
            mac: saved.mac,
            name: saved.name.clone(),
            addresses: Vec::new(),
            interface: saved.interface.clone(),
            behind: saved.behind.unwrap_or_default(),
            senders: Vec::new(),
            sharers: Vec::new(),
            former: Vec::new(),
            confidence: match saved.confidence {
                2 => Confidence::Exact,
                1 => Confidence::Likely,
                _ => Confidence::Possible,
            },
            evidence: Vec::new(),
        }
    }
}

impl SavedMitigation {
    const HEAVIEST: u8 = 2;

    /// How bad it would be to lose it.
    fn weight(&self) -> u8 {
        let by_person = self.decision.as_ref().is_some_and(Decision::is_by_person);
        if self.state.in_force() { 1 + u8::from(by_person) } else { 0 }
    }

    /// What had been dropped.
    pub fn dropped(&self) -> Traffic {
        let (packets, bytes) = self.dropped;
        Traffic { packets, bytes }
    }

    /// What the counters had said.
    pub fn reading(&self) -> Traffic {
        let (packets, bytes) = self.reading.unwrap_or_default();
        Traffic { packets, bytes }
    }
}

/// A value kept as its text.
mod word {
    use super::{Decoder, Display, Error, FromStr};
    use minicbor::encode::{self, Encoder, Write};

    pub(super) fn encode<C, W: Write, T: Display>(
        value: &T,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.str(&value.to_string())?.ok()
    }

    pub(super) fn decode<'b, C, T: FromStr>(decoder: &mut Decoder<'b>, _: &mut C) -> Result<T, Error> {
        decoder.str()?.parse().map_err(|_| Error::message("not what the field is for"))
    }
}

/// Values kept as a list of texts.
mod words {
    use super::{Decoder, Display, Error, FromStr};
    use minicbor::encode::{self, Encoder, Write};

    pub(super) fn encode<C, W: Write, T: Display>(
        values: &[T],
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.encode(values.iter().map(T::to_string).collect::<Vec<_>>())?.ok()
    }

    pub(super) fn decode<'b, C, T: FromStr>(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Vec<T>, Error> {
        let texts = decoder.array_iter::<&str>()?;
        let parse = |text: &str| text.parse().map_err(|_| Error::message("not what the field is for"));
        texts.map(|text| text.and_then(parse)).collect()
    }
}
