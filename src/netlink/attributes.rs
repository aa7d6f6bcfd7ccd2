//! Attributes of netlink messages, as nf_tables wants them: numbers in network order.

use std::ops::Range;
use std::time::Duration;

const NESTED: u16 = 0x8000;

pub(super) fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

pub(super) fn number(out: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(out, kind, &value.to_be_bytes());
}

pub(super) fn milliseconds(out: &mut Vec<u8>, kind: u16, time: Duration) {
    attribute(out, kind, &u64::try_from(time.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
}

pub(super) fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    write(out, kind, |out| out.extend(value));
}

pub(super) fn nested(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    write(out, kind | NESTED, fill);
}

/// An attribute, filled up to whole words. What is longer than its length can say is refused by the kernel.
fn write(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    out.extend(kind.to_ne_bytes());
    fill(out);
    let length = u16::try_from(out.len() - start).unwrap_or_default();
    if let Some(place) = out.get_mut(Range { start, end: start + 2 }) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
    out.resize(out.len().next_multiple_of(4), 0);
}
