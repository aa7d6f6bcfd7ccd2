//! What detectors and feeds tell of attacks, as requests. Readers of texts only: nothing here asks anybody.

mod fastnetmon;
mod shadowserver;
mod xarf;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{PortRange, Scope};

pub use fastnetmon::{Notice, NoticeAction, read_notice};
pub use shadowserver::{Row, read_feed};
pub use xarf::read_reports;

/// More ports than that say nothing of a flow: they change with each packet.
const MOST_PORTS: usize = 8;

/// Traffic that somebody has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Who sends, as seen outside the home.
    pub source: IpAddr,
    /// From which ports; none where that is not known.
    pub source_ports: BTreeSet<u16>,
    /// To whom.
    pub target: IpAddr,
    /// At which ports; none where that is not known.
    pub target_ports: BTreeSet<u16>,
    /// IANA protocol number, where it is known.
    pub protocol: Option<u8>,
}

impl Sighting {
    /// What a router is to be asked for.
    pub fn scope(&self) -> Scope {
        let ports = |ports: &BTreeSet<u16>| {
            let few = ports.iter().filter(|_| ports.len() <= MOST_PORTS);
            few.filter_map(|&port| PortRange::new(port, port)).collect()
        };
        Scope {
            target_prefixes: vec![IpNet::from(self.target)],
            target_ports: ports(&self.target_ports),
            target_protocols: self.protocol.into_iter().collect(),
            source_prefixes: vec![IpNet::from(self.source)],
            source_ports: ports(&self.source_ports),
            ..Scope::default()
        }
    }

    /// A name for it: the same traffic has the same.
    pub fn key(&self, detector: &str) -> String {
        let scope = self.scope();
        let ports: Vec<String> = scope.target_ports.iter().map(ToString::to_string).collect();
        let protocol = self.protocol.map_or_else(|| "any".to_owned(), |protocol| protocol.to_string());
        format!("{detector}/{}/{}/{protocol}/{}", self.source, self.target, ports.join(","))
    }
}

/// Why a text of a detector can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadReport {
    /// The first argument is no address.
    Address(String),
    /// No such thing is ever reported.
    Action(String),
    /// The JSON is none, or not of this kind.
    Json(String),
    /// A report of several is of no use.
    Report {
        /// Its number, from 1.
        number: usize,
        /// Why, in words.
        why: String,
    },
    /// A column is missing.
    Column(&'static str),
    /// What stands in a line's column is not what belongs there.
    Value {
        /// The line, from 1.
        line: usize,
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
}

impl fmt::Display for BadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => write!(f, "{text} is no address"),
            Self::Action(text) => write!(f, "{text} is none of ban, attack_details and unban"),
            Self::Json(why) => f.write_str(why),
            Self::Report { number, why } => write!(f, "report {number}: {why}"),
            Self::Column(name) => write!(f, "there is no column {name}"),
            Self::Value { line, column, value } => write!(f, "line {line}: {value:?} is no {column}"),
        }
    }
}

impl std::error::Error for BadReport {}

/// IANA's number of a protocol's name, or of a number as text.
fn protocol(name: &str) -> Option<u8> {
    match name.to_ascii_lowercase().as_str() {
        "icmp" => Some(1),
        "tcp" => Some(6),
        "udp" => Some(17),
        "gre" => Some(47),
        "icmp6" | "icmpv6" | "ipv6-icmp" => Some(58),
        number => number.parse().ok(),
    }
}
