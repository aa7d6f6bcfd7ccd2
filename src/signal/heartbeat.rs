//! The body of a heartbeat (RFC 9132 section 4.7).

use super::cbor::Value;
use super::fields::{Fields, Invalid};

const HEARTBEAT: u16 = 49;
const PEER_HB_STATUS: u16 = 51;

/// Writes a heartbeat; `peer_hb_status` tells whether the peer's own have come of late.
pub fn encode(peer_hb_status: bool) -> Vec<u8> {
    Value::only(HEARTBEAT, Value::only(PEER_HB_STATUS, Value::Bool(peer_hb_status))).encode()
}

/// Reads a heartbeat's `peer-hb-status`.
///
/// # Errors
/// Answered with 4.00.
pub fn parse(payload: &[u8]) -> Result<bool, Invalid> {
    let body = Value::decode(payload)?;
    let body = Fields::of(&body, "body", &[HEARTBEAT])?;
    let fields = Fields::of(body.required(HEARTBEAT, "heartbeat")?, "heartbeat", &[PEER_HB_STATUS])?;
    fields.boolean(PEER_HB_STATUS, "peer-hb-status")?.ok_or(Invalid::Missing("peer-hb-status"))
}
