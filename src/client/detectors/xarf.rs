//! Reports in XARF, version 4: JSON, one after the other or in lists. Only what is about connections can be stopped by a router.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Deserializer, Value};

use super::shadowserver::{PORT_AGE, Row, unix};
use super::{BadReport, Sighting, protocol};

/// A report, as far as it is needed.
#[derive(Deserialize)]
struct Report {
    xarf_version: String,
    category: String,
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    last_seen: Option<String>,
    source_identifier: String,
    source_port: Option<u16>,
    destination_ip: Option<IpAddr>,
    destination_port: Option<u16>,
    protocol: Option<String>,
}

/// Reads reports: each, or what is wrong with it.
pub fn read_reports(text: &str, now: u64) -> Vec<Result<Row, BadReport>> {
    let mut all = Vec::new();
    for value in Deserializer::from_str(text).into_iter::<Value>() {
        match value {
            Ok(Value::Array(list)) => all.extend(list.into_iter().map(Ok)),
            Ok(one) => all.push(Ok(one)),
            Err(error) => all.push(Err(BadReport::Json(error.to_string()))),
        }
    }
    let rows = all.into_iter().zip(1..);
    rows.map(|(value, number)| value.and_then(|value| row(value, number, now))).collect()
}

fn row(value: Value, number: usize, now: u64) -> Result<Row, BadReport> {
    let wrong = |why: &str| BadReport::Report { number, why: why.to_owned() };
    let report: Report = serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
    if !report.xarf_version.starts_with("4.") {
        return Err(wrong("its version is not 4"));
    }
    if report.category != "connection" {
        return Err(wrong("it is not about connections"));
    }
    let source = report.source_identifier.parse().map_err(|_| wrong("its source is no address"))?;
    let target = report.destination_ip.ok_or_else(|| wrong("it names no destination"))?;
    // Of a time that can't be read nobody knows whether the port means the same flow still.
    let at = unix(report.last_seen.as_deref().unwrap_or(&report.timestamp)).unwrap_or(0);
    let source_port = report.source_port.filter(|_| now.saturating_sub(at) < PORT_AGE);
    let sighting = Sighting {
        source,
        source_ports: source_port.into_iter().collect(),
        target,
        target_ports: report.destination_port.into_iter().collect(),
        protocol: report.protocol.as_deref().and_then(protocol),
    };
    Ok(Row { line: number, at, sighting, what: report.kind })
}
