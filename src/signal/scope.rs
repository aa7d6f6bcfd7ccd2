//! The mitigation scope in a body: validation of targets and sources (RFC 9132 section 4.4.1, RFC 9066 section 5.3.1).

use ipnet::IpNet;

use super::cbor::Value;
use super::fields::{Fields, Invalid, number, text};
use crate::model::address::unroutable;
use crate::model::{IcmpTypeRange, PortRange, Scope, is_printable};

const TARGET_PREFIX: u16 = 6;
const TARGET_PORT_RANGE: u16 = 7;
const LOWER_PORT: u16 = 8;
const UPPER_PORT: u16 = 9;
const TARGET_PROTOCOL: u16 = 10;
const TARGET_FQDN: u16 = 11;
const TARGET_URI: u16 = 12;
const SOURCE_PREFIX: u16 = 32768;
const SOURCE_PORT_RANGE: u16 = 32769;
const SOURCE_ICMP_TYPE_RANGE: u16 = 32770;
const LOWER_TYPE: u16 = 32771;
const UPPER_TYPE: u16 = 32772;

/// The keys of a scope's own attributes.
pub(super) const KEYS: [u16; 8] = [
    TARGET_PREFIX,
    TARGET_PORT_RANGE,
    TARGET_PROTOCOL,
    TARGET_FQDN,
    TARGET_URI,
    SOURCE_PREFIX,
    SOURCE_PORT_RANGE,
    SOURCE_ICMP_TYPE_RANGE,
];
/// Items of one list. A provider that has more to name uses several requests.
const MOST: usize = 256;

/// Reads and checks all attributes of a request's scope.
pub(super) fn parse(fields: &Fields<'_>) -> Result<Scope, Invalid> {
    fields.required(SOURCE_PREFIX, "source-prefix")?;
    fields.required(TARGET_PREFIX, "target-prefix")?;
    let scope = parse_report(fields)?;
    for (name, prefixes) in [("target-prefix", &scope.target_prefixes), ("source-prefix", &scope.source_prefixes)] {
        for prefix in prefixes {
            if let Some(kind) = unroutable(prefix) {
                return Err(Invalid::Value(name, format!("{prefix} has {kind} addresses")));
            }
        }
    }
    Ok(scope)
}

/// Reads the attributes as a report repeats them, where each may be absent.
pub(super) fn parse_report(fields: &Fields<'_>) -> Result<Scope, Invalid> {
    let texts = |key, name| fields.list(key, name, MOST, |value| shown(value, name));
    Ok(Scope {
        target_prefixes: fields.list(TARGET_PREFIX, "target-prefix", MOST, |v| prefix(v, "target-prefix"))?,
        target_ports: ports(fields, TARGET_PORT_RANGE, "target-port-range")?,
        target_protocols: fields.list(TARGET_PROTOCOL, "target-protocol", MOST, |v| number(v, "target-protocol"))?,
        target_fqdns: texts(TARGET_FQDN, "target-fqdn")?,
        target_uris: texts(TARGET_URI, "target-uri")?,
        source_prefixes: fields.list(SOURCE_PREFIX, "source-prefix", MOST, |v| prefix(v, "source-prefix"))?,
        source_ports: ports(fields, SOURCE_PORT_RANGE, "source-port-range")?,
        source_icmp_types: icmp_types(fields)?,
    })
}

/// A text that people are shown, and so must not do anything else: neither names nor URIs hold such characters.
fn shown(value: &Value, name: &'static str) -> Result<String, Invalid> {
    let text = text(value, name)?;
    if text.chars().all(is_printable) {
        Ok(text.to_owned())
    } else {
        Err(Invalid::Value(name, "it has characters that do not show".into()))
    }
}

/// A prefix in CIDR form; host bits are cleared.
fn prefix(value: &Value, name: &'static str) -> Result<IpNet, Invalid> {
    let text = text(value, name)?;
    let parsed = text.parse::<IpNet>().map_err(|_| Invalid::Value(name, "not a prefix in CIDR form".into()))?;
    Ok(parsed.trunc())
}

fn ports(fields: &Fields<'_>, key: u16, name: &'static str) -> Result<Vec<PortRange>, Invalid> {
    let ranges = fields.list(key, name, MOST, |value| {
        let fields = Fields::of(value, name, &[LOWER_PORT, UPPER_PORT])?;
        let lower = number(fields.required(LOWER_PORT, "lower-port")?, "lower-port")?;
        let upper = fields.number(UPPER_PORT, "upper-port")?.unwrap_or(lower);
        PortRange::new(lower, upper).ok_or_else(|| Invalid::Value(name, format!("{upper} is below {lower}")))
    })?;
    unique(ranges, name, |range| range.lower())
}

fn icmp_types(fields: &Fields<'_>) -> Result<Vec<IcmpTypeRange>, Invalid> {
    let name = "source-icmp-type-range";
    let ranges = fields.list(SOURCE_ICMP_TYPE_RANGE, name, MOST, |value| {
        let fields = Fields::of(value, name, &[LOWER_TYPE, UPPER_TYPE])?;
        let lower = number(fields.required(LOWER_TYPE, "lower-type")?, "lower-type")?;
        let upper = fields.number(UPPER_TYPE, "upper-type")?.unwrap_or(lower);
        IcmpTypeRange::new(lower, upper).ok_or_else(|| Invalid::Value(name, format!("{upper} is below {lower}")))
    })?;
    unique(ranges, name, |range| range.lower())
}

/// The lower bound is the key of these lists (RFC 9066 section 6.3).
fn unique<T, K: Ord>(items: Vec<T>, name: &'static str, key: impl Fn(&T) -> K) -> Result<Vec<T>, Invalid> {
    let keys: vecset::VecSet<K> = items.iter().map(key).collect();
    if keys.len() == items.len() { Ok(items) } else { Err(Invalid::Value(name, "the same lower bound twice".into())) }
}

/// Writes the attributes into a scope map.
pub(super) fn entries(scope: &Scope) -> [(u16, Option<Value>); 8] {
    let text = |text: &String| Value::Text(text.clone());
    let prefix = |prefix: &IpNet| Value::Text(prefix.to_string());
    let upper = |lower: u64, upper: u64| (lower != upper).then_some(Value::Unsigned(upper));
    let port = |range: &PortRange| {
        let (low, high) = (range.lower().into(), range.upper().into());
        Value::map([(LOWER_PORT, Some(Value::Unsigned(low))), (UPPER_PORT, upper(low, high))])
    };
    let icmp = |range: &IcmpTypeRange| {
        let (low, high) = (range.lower().into(), range.upper().into());
        Value::map([(LOWER_TYPE, Some(Value::Unsigned(low))), (UPPER_TYPE, upper(low, high))])
    };
    [
        (TARGET_PREFIX, Value::list(&scope.target_prefixes, prefix)),
        (TARGET_PORT_RANGE, Value::list(&scope.target_ports, port)),
        (TARGET_PROTOCOL, Value::list(&scope.target_protocols, |&number| Value::Unsigned(number.into()))),
        (TARGET_FQDN, Value::list(&scope.target_fqdns, text)),
        (TARGET_URI, Value::list(&scope.target_uris, text)),
        (SOURCE_PREFIX, Value::list(&scope.source_prefixes, prefix)),
        (SOURCE_PORT_RANGE, Value::list(&scope.source_ports, port)),
        (SOURCE_ICMP_TYPE_RANGE, Value::list(&scope.source_icmp_types, icmp)),
    ]
}

/// Targets of a conflict scope (RFC 9132 section 4.4.1.3).
pub(super) fn target_entry(prefixes: &[IpNet]) -> (u16, Option<Value>) {
    (TARGET_PREFIX, Value::list(prefixes, |prefix| Value::Text(prefix.to_string())))
}

/// Reads the targets of a conflict scope.
pub(super) fn targets(fields: &Fields<'_>) -> Result<Vec<IpNet>, Invalid> {
    fields.list(TARGET_PREFIX, "target-prefix", MOST, |value| prefix(value, "target-prefix"))
}
