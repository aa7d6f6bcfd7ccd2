//! Answers for people and for scripts.

use serde_json::{Value, json};

use dots_callhome::client::wishes::{Wish, WishState};
use dots_callhome::client::{MitigationRecord, conflict_text};
use dots_callhome::model::Scope;
use dots_callhome::model::printable;

/// A mitigation as JSON.
pub(crate) fn json(router: &str, mid: u32, known: &MitigationRecord) -> Value {
    let report = &known.report;
    let mut one = json!({
        "router": router,
        "mid": mid,
        "status": report.status,
        "meaning": meaning(report.status, known.ended),
        "ended": known.ended,
        "lifetime": report.lifetime,
        "start": report.start,
        "dropped": report.dropped.map(|d| json!({
            "packets": d.packets, "bytes": d.bytes, "pps": d.pps, "bps": d.bps,
        })),
        "conflict": report.conflict.as_ref().map(|c| json!({
            "status": c.status, "cause": c.cause, "retry": c.retry_timer, "mid": c.mid, "meaning": conflict_text(c),
        })),
    });
    add_scope(&mut one, report.scope.as_ref());
    one
}

/// Adds a field to an object.
pub(crate) fn set(one: &mut Value, field: &str, value: Value) {
    if let Some(fields) = one.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn add_scope(one: &mut Value, scope: Option<&Scope>) {
    fn texts<T: ToString>(list: &[T]) -> Value {
        if list.is_empty() { Value::Null } else { list.iter().map(ToString::to_string).collect() }
    }
    set(one, "sources", scope.map_or(Value::Null, |scope| texts(&scope.source_prefixes)));
    set(one, "source_ports", scope.map_or(Value::Null, |scope| texts(&scope.source_ports)));
    set(one, "targets", scope.map_or(Value::Null, |scope| texts(&scope.target_prefixes)));
    set(one, "target_ports", scope.map_or(Value::Null, |scope| texts(&scope.target_ports)));
}

/// What a router has not told anything of yet.
pub(crate) fn unreported(router: &str, mid: Option<u32>, scope: Option<&Scope>) -> Value {
    let mut one = json!({
        "router": router, "mid": mid, "status": null, "meaning": "waits for the router", "ended": false, "lifetime": null,
        "start": null, "dropped": null, "conflict": null,
    });
    add_scope(&mut one, scope);
    one
}

/// A wish as JSON.
pub(crate) fn wish(wish: &Wish, state: &str, mids: &[u32]) -> Value {
    let mut one = json!({
        "wish": wish.id, "router": wish.router, "key": wish.key, "state": state, "mids": mids, "until": wish.until,
        "by": wish.by, "reason": wish.reason, "why": null, "at": null,
    });
    match &wish.state {
        WishState::Wanted => {}
        WishState::Declined { why, until } => {
            set(&mut one, "why", json!(why));
            set(&mut one, "at", json!(until));
        }
        WishState::Withdrawn { at } | WishState::Stopped { at } | WishState::Over { at } => {
            set(&mut one, "at", json!(at));
        }
    }
    add_scope(&mut one, Some(&wish.scope));
    one
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
    if let Some(why) = value.get("error").and_then(Value::as_str) {
        return format!("not done: {why}");
    }
    if let Some(text) = value.get("metrics").and_then(Value::as_str) {
        return text.trim_end().to_owned();
    }
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
    if let Some(all) = value.get("wishes").and_then(Value::as_array) {
        return or(all.iter().map(a_wish).collect(), "nothing is wanted");
    }
    if value.get("event").is_some() || value.get("ask").is_some() {
        return value.to_string();
    }
    mitigation(value)
}

fn or(lines: Vec<String>, none: &str) -> String {
    if lines.is_empty() { none.to_owned() } else { lines.join("\n") }
}

fn mitigation(one: &Value) -> String {
    let Some(meaning) = one.get("meaning").and_then(Value::as_str) else { return "done".to_owned() };
    let mid = one["mid"].as_u64().map(|mid| format!(" mid {mid}")).unwrap_or_default();
    let mut line = format!("{}{mid}: {meaning}", word(one, "router"));
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

fn a_wish(one: &Value) -> String {
    let list = |key: &str| one[key].as_array().map(|all| all.iter().map(plain).collect::<Vec<_>>().join(" "));
    let mut line = format!("{} wish {}: {}", word(one, "router"), one["wish"], word(one, "state"));
    line += &format!(", {} to {}", list("sources").unwrap_or_default(), list("targets").unwrap_or_default());
    if let Some(mids) = list("mids").filter(|mids| !mids.is_empty()) {
        line += &format!(", mid {mids}");
    }
    for key in ["key", "by", "reason", "why"] {
        if let Some(text) = one[key].as_str() {
            line += &format!(", {key}: {text}");
        }
    }
    line
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}
