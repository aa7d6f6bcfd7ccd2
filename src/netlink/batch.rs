//! Changes of nf_tables over netlink: one batch is one transaction, all of it or nothing.
//!
//! Tables, sets, chains, rules and elements in the form `nft` sends them: `nft list` shows what text would have made.

use std::time::Duration;

use super::attributes::{attribute, milliseconds, nested, number, text};
use super::expressions::{Expressions, Range2, ValueKind, Verdict, write_verdict};
use super::nftables::{Family, HEADER_OF_TABLES, Hook, kind};
use super::{ACK, HEADER, REQUEST};
use crate::model::Traffic;

/// Longest batch: the kernel takes no message longer than a socket's send buffer, 160 KiB where nobody has changed it.
pub const LONGEST: usize = 128 * 1024;

/// NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END; of no subsystem.
pub(crate) const BEGIN: u16 = 0x10;
pub(crate) const END: u16 = 0x11;

const NEW_TABLE: u8 = 0;
const DELETE_TABLE: u8 = 2;
const NEW_CHAIN: u8 = 3;
const DELETE_CHAIN: u8 = 5;
const NEW_RULE: u8 = 6;
const DELETE_RULE: u8 = 8;
const NEW_SET: u8 = 9;
const DELETE_SET: u8 = 11;
const NEW_ELEMENTS: u8 = 12;
const DELETE_ELEMENTS: u8 = 14;

const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// Bytes of elements in one message: an attribute's length has 16 bits.
const MOST_ELEMENTS: usize = 32 * 1024;

/// What a set is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUse {
    /// Elements that end by themselves, with or without counters.
    Timeouts {
        /// Whether each element counts what it matches.
        counts: bool,
    },
    /// What is in it stays, as long as rules look into it. Numbers in this machine's order of bytes.
    Constant,
    /// Rules fill it: so many elements, each for so long.
    Log {
        /// Most elements.
        size: u32,
        /// How long one stays.
        timeout: Duration,
    },
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewElement<'a> {
    /// Its value.
    pub key: Vec<u8>,
    /// When it ends by itself.
    pub timeout: Option<Duration>,
    /// What its counter starts from.
    pub counted: Option<Traffic>,
    /// Of a map: what is done.
    pub verdict: Option<Verdict<'a>>,
    /// Whether it stands for the first value after a range.
    pub ends_range: bool,
}

impl NewElement<'_> {
    /// Just a value.
    pub fn of(key: Vec<u8>) -> Self {
        Self { key, timeout: None, counted: None, verdict: None, ends_range: false }
    }
}

/// A table of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: &'static str,
}

/// A transaction being written.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where the last message begins.
    last: usize,
    /// Sets without a name so far.
    unnamed: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Begins one.
    pub fn new() -> Self {
        let mut batch = Self { bytes: Vec::new(), last: 0, unnamed: 0 };
        batch.bound(BEGIN);
        batch
    }

    /// The datagram; its messages bear this number, and so does the answer, which comes when all of it stands or nothing.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let answered = self.last;
        self.bound(END);
        let mut start = 0;
        while let Some((header, _)) =
            self.bytes.get_mut(start..).and_then(|rest| rest.split_first_chunk_mut::<HEADER>())
        {
            let [l0, l1, l2, l3, _, _, f0, f1, s0, s1, s2, s3, ..] = header;
            [*s0, *s1, *s2, *s3] = sequence.to_ne_bytes();
            if start == answered {
                [*f0, *f1] = (u16::from_ne_bytes([*f0, *f1]) | ACK).to_ne_bytes();
            }
            start += usize::try_from(u32::from_ne_bytes([*l0, *l1, *l2, *l3])).unwrap_or(usize::MAX);
        }
        self.bytes
    }

    /// Makes a table, unless it is there.
    pub fn add_table(&mut self, table: Table) {
        self.message(table, NEW_TABLE, CREATE, |_| {});
    }

    /// Deletes a table with all there is in it.
    pub fn delete_table(&mut self, table: Table) {
        self.message(table, DELETE_TABLE, 0, |_| {});
    }

    /// Makes a map from ranges of values to verdicts, unless it is there.
    pub fn add_map(&mut self, table: Table, name: &str, kind: ValueKind) {
        const INTERVAL: u32 = 4;
        const MAP: u32 = 8;
        const VERDICT: u32 = 0xffff_ff00;
        self.message(table, NEW_SET, CREATE, |out| {
            attribute(out, 2, &text(name));
            number(out, 3, INTERVAL | MAP);
            number(out, 4, kind.number);
            number(out, 5, kind.length);
            number(out, 6, VERDICT);
            number(out, 7, 0);
            number(out, 10, u32::MAX);
        });
    }

    /// Makes a set, unless it is there.
    pub fn add_set(&mut self, table: Table, name: &str, kind: ValueKind, used: SetUse) {
        const CONSTANT: u32 = 2;
        const TIMEOUT: u32 = 0x10;
        const EVAL: u32 = 0x20;
        self.message(table, NEW_SET, CREATE, |out| {
            attribute(out, 2, &text(name));
            let flags = match used {
                SetUse::Constant => CONSTANT,
                SetUse::Timeouts { .. } => TIMEOUT,
                SetUse::Log { .. } => TIMEOUT | EVAL,
            };
            number(out, 3, flags);
            number(out, 4, kind.number);
            number(out, 5, kind.length);
            // An identifier is required; what is named is looked up by its name.
            number(out, 10, u32::MAX);
            match used {
                // NFTNL_UDATA_SET_KEYBYTEORDER, for whoever lists it.
                SetUse::Constant => attribute(out, 13, &[&[0, 4][..], &1_u32.to_ne_bytes()].concat()),
                SetUse::Timeouts { counts: false } => {}
                SetUse::Timeouts { counts: true } => nested(out, 17, |out| {
                    attribute(out, 1, &text("counter"));
                    nested(out, 2, |_| {});
                }),
                SetUse::Log { size, timeout } => {
                    nested(out, 9, |out| number(out, 1, size));
                    milliseconds(out, 11, timeout);
                }
            }
        });
    }

    /// Deletes a set that nothing refers to any more.
    pub fn delete_set(&mut self, table: Table, name: &str) {
        self.message(table, DELETE_SET, 0, |out| attribute(out, 2, &text(name)));
    }

    /// Makes a chain, unless it is there: one that the kernel calls, or one that others lead to.
    pub fn add_chain(&mut self, table: Table, name: &str, hook: Option<Hook>) {
        self.message(table, NEW_CHAIN, CREATE, |out| {
            attribute(out, 3, &text(name));
            if let Some(hook) = hook {
                let (place, priority) = hook.numbers();
                attribute(out, 7, &text("filter"));
                // Accepts what no rule decides.
                number(out, 5, 1);
                nested(out, 4, |out| {
                    number(out, 1, place);
                    attribute(out, 2, &priority.to_be_bytes());
                });
            }
        });
    }

    /// Takes all rules out of a chain.
    pub fn flush_chain(&mut self, table: Table, name: &str) {
        self.message(table, DELETE_RULE, 0, |out| attribute(out, 2, &text(name)));
    }

    /// Deletes an empty chain that nothing refers to any more.
    pub fn delete_chain(&mut self, table: Table, name: &str) {
        self.message(table, DELETE_CHAIN, 0, |out| attribute(out, 3, &text(name)));
    }

    /// Adds a rule at the end of a chain.
    pub fn add_rule(&mut self, table: Table, chain: &str, write: impl FnOnce(&mut Expressions)) {
        let mut expressions = Expressions { list: Vec::new(), unnamed: Vec::new(), first: self.unnamed };
        write(&mut expressions);
        let Expressions { list, unnamed, first } = expressions;
        for ((kind, values), id) in unnamed.into_iter().zip(first..) {
            self.add_unnamed(table, id, kind, &values);
        }
        self.message(table, NEW_RULE, CREATE | APPEND, |out| {
            attribute(out, 2, &text(chain));
            nested(out, 4, |out| out.extend(&list));
        });
    }

    /// Adds elements; those that are there already stay as they are.
    pub fn add_elements(&mut self, table: Table, set: &str, elements: &[NewElement<'_>]) {
        self.elements(table, NEW_ELEMENTS, CREATE, elements, |out| attribute(out, 2, &text(set)));
    }

    /// Deletes elements, all of which must be there.
    pub fn delete_elements(&mut self, table: Table, set: &str, elements: &[NewElement<'_>]) {
        self.elements(table, DELETE_ELEMENTS, 0, elements, |out| attribute(out, 2, &text(set)));
    }

    /// How long it has become.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it changes nothing so far.
    pub fn is_empty(&self) -> bool {
        self.last == 0
    }

    /// A set that belongs to one rule.
    fn add_unnamed(&mut self, table: Table, id: u32, kind: ValueKind, ranges: &[Range2]) {
        const ANONYMOUS: u32 = 1;
        const CONSTANT: u32 = 2;
        const INTERVAL: u32 = 4;
        self.unnamed = id + 1;
        let has_ranges = ranges.iter().any(|(low, high)| low != high);
        self.message(table, NEW_SET, CREATE, |out| {
            attribute(out, 2, &text("__set%d"));
            number(out, 3, ANONYMOUS | CONSTANT | if has_ranges { INTERVAL } else { 0 });
            number(out, 4, kind.number);
            number(out, 5, kind.length);
            number(out, 10, id);
        });
        let mut elements = Vec::new();
        for (low, high) in ranges {
            elements.push(NewElement::of(low.clone()));
            if has_ranges {
                elements.extend(after(high).map(|key| NewElement { ends_range: true, ..NewElement::of(key) }));
            }
        }
        self.elements(table, NEW_ELEMENTS, CREATE, &elements, |out| {
            attribute(out, 2, &text("__set%d"));
            number(out, 4, id);
        });
    }

    fn elements(
        &mut self,
        table: Table,
        message: u8,
        flags: u16,
        elements: &[NewElement<'_>],
        set: impl Fn(&mut Vec<u8>),
    ) {
        let mut rest = elements.iter().peekable();
        while rest.peek().is_some() {
            self.message(table, message, flags, |out| {
                set(out);
                nested(out, 3, |out| {
                    let full = out.len() + MOST_ELEMENTS;
                    while out.len() < full
                        && let Some(element) = rest.next()
                    {
                        nested(out, 1, |out| write_element(out, element));
                    }
                });
            });
        }
    }

    /// A message about a table.
    fn message(&mut self, table: Table, message: u8, flags: u16, write: impl FnOnce(&mut Vec<u8>)) {
        let header = [table.family.number(), 0, 0, 0];
        self.open(kind(message), flags, header);
        attribute(&mut self.bytes, 1, &text(table.name));
        write(&mut self.bytes);
        self.close();
    }

    /// The first message or the last.
    fn bound(&mut self, kind: u16) {
        self.open(kind, 0, HEADER_OF_TABLES);
        self.close();
    }

    fn open(&mut self, kind: u16, flags: u16, header: [u8; 4]) {
        self.last = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        // The number comes last.
        self.bytes.extend([0; 8]);
        self.bytes.extend(header);
    }

    fn close(&mut self) {
        debug_assert!(self.bytes.len() >= self.last + HEADER);
        let length = u32::try_from(self.bytes.len() - self.last).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(self.last..self.last + 4) {
            place.copy_from_slice(&length.to_ne_bytes());
        }
    }
}

/// The value after this one, where there is one.
pub fn after(value: &[u8]) -> Option<Vec<u8>> {
    let mut next = value.to_vec();
    for byte in next.iter_mut().rev() {
        let (sum, carries) = byte.overflowing_add(1);
        *byte = sum;
        if !carries {
            return Some(next);
        }
    }
    None
}

fn write_element(out: &mut Vec<u8>, element: &NewElement<'_>) {
    if element.ends_range {
        number(out, 3, 1);
    }
    nested(out, 1, |out| attribute(out, 1, &element.key));
    if let Some(verdict) = element.verdict {
        nested(out, 2, |out| write_verdict(out, verdict));
    }
    if let Some(timeout) = element.timeout {
        milliseconds(out, 4, timeout);
    }
    if let Some(counted) = element.counted {
        nested(out, 7, |out| {
            attribute(out, 1, &text("counter"));
            nested(out, 2, |out| {
                attribute(out, 1, &counted.bytes.to_be_bytes());
                attribute(out, 2, &counted.packets.to_be_bytes());
            });
        });
    }
}
