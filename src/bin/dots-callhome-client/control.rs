//! The control socket: one question as a line of JSON, answered by one line, or by one for each change.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use dots_callhome::model::{IcmpTypeRange, PortRange, Scope};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arguments::{prefix, range};

/// A question to the serving program.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub enum Ask {
    /// Which routers have called?
    Routers,
    /// Send a mitigation request.
    Request { router: String, scope: ScopeAsked, lifetime: i64 },
    /// What do the routers report?
    Status { router: Option<String>, mid: Option<u32>, watch: bool },
    /// Withdraw a request.
    Withdraw { router: String, mid: u32 },
    /// Send a router elsewhere.
    Redirect { router: String, to: String, addresses: Vec<IpAddr>, ttl: Option<u32> },
}

/// A mitigation scope as typed in.
#[derive(Debug, Default, Clone, Serialize, Deserialize, clap::Args)]
pub struct ScopeAsked {
    /// Attacking prefix as seen outside the home; may be repeated.
    #[arg(long = "source", required = true, value_name = "PREFIX", value_parser = prefix)]
    source: Vec<IpNet>,
    /// Source port or range as seen outside the home; may be repeated.
    #[arg(long = "source-port", value_name = "A-B", value_parser = range::<u16>)]
    source_port: Vec<(u16, u16)>,
    /// ICMP type or range; may be repeated.
    #[arg(long = "source-icmp-type", value_name = "A-B", value_parser = range::<u8>)]
    source_icmp_type: Vec<(u8, u8)>,
    /// Attacked prefix; may be repeated.
    #[arg(long = "target", required = true, value_name = "PREFIX", value_parser = prefix)]
    target: Vec<IpNet>,
    /// Attacked port or range; may be repeated.
    #[arg(long = "target-port", value_name = "A-B", value_parser = range::<u16>)]
    target_port: Vec<(u16, u16)>,
    /// IANA protocol number; may be repeated.
    #[arg(long = "protocol", value_name = "N")]
    protocol: Vec<u8>,
}

impl From<ScopeAsked> for Scope {
    fn from(asked: ScopeAsked) -> Self {
        let ports = |ranges: Vec<(u16, u16)>| ranges.into_iter().filter_map(|(a, b)| PortRange::new(a, b)).collect();
        Self {
            target_prefixes: asked.target.iter().map(IpNet::trunc).collect(),
            target_ports: ports(asked.target_port),
            target_protocols: asked.protocol,
            source_prefixes: asked.source.iter().map(IpNet::trunc).collect(),
            source_ports: ports(asked.source_port),
            source_icmp_types: asked
                .source_icmp_type
                .into_iter()
                .filter_map(|(a, b)| IcmpTypeRange::new(a, b))
                .collect(),
            ..Self::default()
        }
    }
}

/// Asks the serving program and hands each line of the answer to `show`.
///
/// # Errors
/// In words: nobody serves there, or the question was refused.
pub fn ask(socket: &Path, question: &Ask, mut show: impl FnMut(&Value)) -> Result<(), String> {
    let mut stream = UnixStream::connect(socket)
        .map_err(|error| format!("{}: {error} (is \"dots-callhome-client serve\" running?)", socket.display()))?;
    let mut line = serde_json::to_string(question).map_err(|error| error.to_string())?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(|error| error.to_string())?;
    let mut answered = false;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if let Some(why) = value.get("error").and_then(Value::as_str) {
            return Err(why.into());
        }
        answered = true;
        show(&value);
    }
    if answered { Ok(()) } else { Err("the serving program ended without an answer".into()) }
}
