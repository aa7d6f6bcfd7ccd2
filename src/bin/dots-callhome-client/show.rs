//! Answers for people and for scripts.

use serde_json::{Value, json};

use dots_callhome::client::{MitigationRecord, conflict_text};
use dots_callhome::model::printable;

/// A mitigation as JSON.
pub(crate) fn json(router: &str, mid: u32, known: &MitigationRecord) -> Value {
    let report = &known.report;
    let scope = report.scope.as_ref();
    let texts = |list: Vec<String>| if list.is_empty() { Value::Null } else { json!(list) };
    let strings = |of: Option<Vec<String>>| of.map_or(Value::Null, texts);
    json!({
        "router": router,
        "mid": mid,
        "status": report.status,
        "meaning": meaning(report.status, known.ended),
        "ended": known.ended,
        "lifetime": report.lifetime,
        "start": report.start,
        "sources": strings(scope.map(|s| s.source_prefixes.iter().map(ToString::to_string).collect())),
        "source_ports": strings(scope.map(|s| s.source_ports.iter().map(ToString::to_string).collect())),
        "targets": strings(scope.map(|s| s.target_prefixes.iter().map(ToString::to_string).collect())),
        "target_ports": strings(scope.map(|s| s.target_ports.iter().map(ToString::to_string).collect())),
        "dropped": report.dropped.map(|d| json!({
            "packets": d.packets, "bytes": d.bytes, "pps": d.pps, "bps": d.bps,
        })),
        "conflict": report.conflict.as_ref().map(|c| json!({
            "status": c.status, "cause": c.cause, "retry": c.retry_timer, "mid": c.mid, "meaning": conflict_text(c),
        })),
    })
}

/// What a status means (RFC 9132 section 4.4.2).
fn meaning(status: Option<u8>, ended: bool) -> &'static str {
    match status {
        Some(1) => "being set up, or waiting for the administrator",
        Some(2) => "mitigated",
        Some(3) => "the attack has stopped",
        Some(4) => "beyond the router's capability",
        Some(5) => "withdrawn, about to end",
        Some(6) => "ended",
        Some(7) => "withdrawn by the router",
        _ if ended => "ended",
        _ => "accepted",
    }
}

/// An answer as one line of JSON. It says the same as the serving program's own, but no character of it steers a terminal.
pub(crate) fn json_text(value: &Value) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        if printable(c.encode_utf8(&mut [0; 4])) == " " && c != ' ' {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| line += &format!("\\u{unit:04x}"));
        } else {
            line.push(c);
        }
    }
    line
}

/// An answer as text for people.
pub(crate) fn text(value: &Value) -> String {
    let lines = plain_text(value);
    lines.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

fn plain_text(value: &Value) -> String {
    if let Some(routers) = value.get("routers").and_then(Value::as_array) {
        let lines = routers.iter().map(|router| {
            format!(
                "{} from {}, {} s, {} mitigations",
                word(router, "name"),
                word(router, "address"),
                router["seconds"],
                router["mitigations"]
            )
        });
        return or(lines.collect(), "no router has called");
    }
    if let Some(all) = value.get("mitigations").and_then(Value::as_array) {
        return or(all.iter().map(mitigation).collect(), "no mitigations");
    }
    mitigation(value)
}

fn or(lines: Vec<String>, none: &str) -> String {
    if lines.is_empty() { none.to_owned() } else { lines.join("\n") }
}

fn mitigation(one: &Value) -> String {
    let Some(meaning) = one.get("meaning").and_then(Value::as_str) else { return "done".to_owned() };
    let mut line = format!("{} mid {}: {meaning}", word(one, "router"), one["mid"]);
    if let Some(status) = one["status"].as_u64() {
        line += &format!(" (status {status})");
    }
    if let Some(lifetime) = one["lifetime"].as_i64() {
        line += &format!(", {lifetime} s left");
    }
    let at = |path: &str| one.pointer(path).and_then(Value::as_u64);
    if let (Some(packets), Some(bytes)) = (at("/dropped/packets"), at("/dropped/bytes")) {
        line += &format!(", {packets} packets and {bytes} bytes dropped");
    }
    if let Some(why) = one.pointer("/conflict/meaning").and_then(Value::as_str) {
        line += &format!(", {why}");
    }
    line
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}
