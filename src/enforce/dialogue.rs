//! One question at a time to the kernel, and its answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::render::TABLE;
use super::ruleset::Set;
use crate::model::{Flow, Tuple};
use crate::netlink::conntrack::{self, Filter};
use crate::netlink::nftables::{self, Element, Family};

/// The kernel answers at once. If nothing has come by then, the question or its answer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes asked for at once: their acknowledgements fit the smallest receive buffer.
pub(super) const BATCH: usize = 32;

/// What the kernel is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// To forget flows; at most [`BATCH`].
    Cut(Vec<(Tuple, Option<u32>)>),
    /// Which flows there are.
    Flows(Filter),
    /// What a set holds.
    Elements(Family, Set),
    /// What rules the family's table has.
    Rules(Family),
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// To [`Question::Flows`]: one of them.
    Flow(Flow),
    /// That was all, or the errno the question failed with.
    Flows(Result<(), i32>),
    /// To [`Question::Elements`]: some of them.
    Elements(Family, Set, Vec<Element>),
    /// To [`Question::Rules`]: one of them.
    Rule,
    /// That was all, or the errno the question failed with.
    Table(Result<(), i32>),
    /// To [`Question::Cut`]: what was there is gone.
    Cut,
}

#[derive(Debug, Default)]
pub(super) struct Dialogue {
    sequence: u32,
    asked: Option<Asked>,
    requests: VecDeque<Vec<u8>>,
}

#[derive(Debug)]
struct Asked {
    question: Question,
    /// The sequence number of its last request: with the answer to that one the answer is complete.
    last: u32,
    due: Instant,
}

impl Dialogue {
    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_none()
    }

    pub(super) fn ask(&mut self, question: Question, now: Instant) {
        match &question {
            Question::Cut(flows) => {
                for (tuple, id) in flows {
                    self.sequence = self.sequence.wrapping_add(1);
                    self.requests.push_back(conntrack::delete(tuple, *id, self.sequence));
                }
            }
            other => {
                self.sequence = self.sequence.wrapping_add(1);
                self.requests.extend(dump(other, self.sequence));
            }
        }
        self.asked = Some(Asked { question, last: self.sequence, due: now + PATIENCE });
    }

    /// Takes a datagram as an answer to what was asked last.
    pub(super) fn hear(&mut self, datagram: &[u8]) -> Vec<Heard> {
        let Some(asked) = &self.asked else { return Vec::new() };
        let heard: Vec<Heard> = match &asked.question {
            Question::Cut(_) | Question::Flows(_) => {
                let messages = conntrack::messages(datagram).filter(|(sequence, _)| *sequence == asked.last);
                messages.filter_map(|(_, message)| asked.conntrack(message)).collect()
            }
            Question::Elements(..) | Question::Rules(_) => {
                let messages = nftables::messages(datagram).filter(|(sequence, _)| *sequence == asked.last);
                messages.filter_map(|(_, message)| asked.nftables(message)).collect()
            }
        };
        if heard.iter().any(|heard| matches!(heard, Heard::Flows(_) | Heard::Table(_) | Heard::Cut)) {
            self.asked = None;
        }
        heard
    }

    /// The socket's buffer has overflowed. Lists wait until there is room, acknowledgements are lost.
    pub(super) fn handle_overrun(&mut self) {
        if self.asked.as_ref().is_some_and(|asked| matches!(asked.question, Question::Cut(_))) {
            self.give_up();
        }
    }

    /// Nothing more is expected.
    pub(super) fn give_up(&mut self) {
        self.asked = None;
        self.requests.clear();
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.requests.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.due)
    }
}

impl Asked {
    fn conntrack(&self, message: conntrack::Message) -> Option<Heard> {
        match (&self.question, message) {
            // Gone before it was deleted is gone as well.
            (Question::Cut(_), conntrack::Message::Error(_)) => Some(Heard::Cut),
            (_, conntrack::Message::Flow(flow)) => Some(Heard::Flow(flow)),
            (_, conntrack::Message::Done) => Some(Heard::Flows(Ok(()))),
            (_, conntrack::Message::Error(errno)) => Some(Heard::Flows(verdict(errno))),
            _ => None,
        }
    }

    fn nftables(&self, message: nftables::Message) -> Option<Heard> {
        match (&self.question, message) {
            (Question::Elements(family, set), nftables::Message::Elements(elements)) => {
                Some(Heard::Elements(*family, *set, elements))
            }
            (Question::Rules(_), nftables::Message::Rule) => Some(Heard::Rule),
            (_, nftables::Message::Done) => Some(Heard::Table(Ok(()))),
            (_, nftables::Message::Error(errno)) => Some(Heard::Table(verdict(errno))),
            _ => None,
        }
    }
}

fn dump(question: &Question, sequence: u32) -> Option<Vec<u8>> {
    match question {
        Question::Cut(_) => None,
        Question::Flows(filter) => Some(conntrack::dump(filter, sequence)),
        Question::Elements(family, set) => Some(nftables::elements(*family, TABLE, &set.to_string(), sequence)),
        Question::Rules(family) => Some(nftables::rules(*family, TABLE, sequence)),
    }
}

fn verdict(errno: i32) -> Result<(), i32> {
    if errno == 0 { Ok(()) } else { Err(errno) }
}
