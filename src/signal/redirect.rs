//! The body that sends a router to another Call Home DOTS client (RFC 9066 section 5.2.2).

use std::net::IpAddr;

use super::cbor::Value;
use super::fields::{Fields, Invalid, text};

const REDIRECTED_SIGNAL: u16 = 46;
const ALT_CH_CLIENT: u16 = 32773;
const ALT_CH_CLIENT_RECORD: u16 = 32774;
const TTL: u16 = 32775;
const MOST_RECORDS: usize = 16;

/// Where to call from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The alternate's name, which it has to prove.
    pub name: String,
    /// Its addresses; none: the name is resolved.
    pub addresses: Vec<IpAddr>,
    /// Seconds until the return; absent, or all bits set: until the alternate is lost or redirects again.
    pub ttl: Option<u32>,
}

impl Redirect {
    /// Reads the body.
    ///
    /// # Errors
    /// Answered with 4.00.
    pub fn parse(payload: &[u8]) -> Result<Self, Invalid> {
        let body = Value::decode(payload)?;
        let body = Fields::of(&body, "body", &[REDIRECTED_SIGNAL])?;
        let signal = body.required(REDIRECTED_SIGNAL, "redirected-signal")?;
        let fields = Fields::of(signal, "redirected-signal", &[ALT_CH_CLIENT, ALT_CH_CLIENT_RECORD, TTL])?;
        let name = text(fields.required(ALT_CH_CLIENT, "alt-ch-client")?, "alt-ch-client")?;
        if !is_host_name(name) {
            return Err(Invalid::Value("alt-ch-client", "not a host name".into()));
        }
        let record = |value| {
            let text = text(value, "alt-ch-client-record")?;
            let callable = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
            let address = text.parse().ok().filter(callable);
            address.ok_or_else(|| Invalid::Value("alt-ch-client-record", "no address one could call".into()))
        };
        Ok(Self {
            name: name.to_owned(),
            addresses: fields.list(ALT_CH_CLIENT_RECORD, "alt-ch-client-record", MOST_RECORDS, record)?,
            ttl: fields.number(TTL, "ttl")?,
        })
    }

    /// Writes the body.
    pub fn encode(&self) -> Vec<u8> {
        let records = Value::list(&self.addresses, |address| Value::Text(address.to_string()));
        let fields = Value::map([
            (ALT_CH_CLIENT, Some(Value::Text(self.name.clone()))),
            (ALT_CH_CLIENT_RECORD, records),
            (TTL, self.ttl.map(|seconds| Value::Unsigned(seconds.into()))),
        ]);
        Value::only(REDIRECTED_SIGNAL, fields).encode()
    }
}

/// Letters, digits and hyphens in labels of 1 to 63, 253 in all.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.strip_suffix('.').unwrap_or(name).split('.').all(label)
}
