//! One query at a time to the kernel, and its answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ruleset::TABLE;
use super::set::Set;
use crate::model::{Flow, Tuple};
use crate::netlink::conntrack::{self, Filter};
use crate::netlink::nftables::{self, Element, Family};

/// The kernel answers at once. If nothing has come by then, the query or its answer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes asked for at once: their acknowledgements fit the smallest receive buffer.
pub(super) const BATCH: usize = 32;

/// What the kernel is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
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
pub(super) enum Answer {
    /// To [`Query::Flows`]: one of them.
    Flow(Flow),
    /// That was all, or the errno the query failed with.
    Flows(Result<(), i32>),
    /// To [`Query::Elements`]: some of them.
    Elements(Family, Set, Vec<Element>),
    /// To [`Query::Rules`]: one of them.
    Rule,
    /// That was all, or the errno the query failed with.
    Table(Result<(), i32>),
    /// To [`Query::Cut`]: what was there is gone.
    Cut,
}

/// Asks the kernel one thing after another.
#[derive(Debug, Default)]
pub(super) struct KernelQueries {
    sequence: u32,
    outstanding: Option<Outstanding>,
    requests: VecDeque<Vec<u8>>,
}

#[derive(Debug)]
struct Outstanding {
    query: Query,
    /// The sequence number of its last request: with the answer to that one the answer is complete.
    last: u32,
    due: Instant,
}

impl KernelQueries {
    /// Whether nothing is outstanding: only then may something be asked.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding.is_none()
    }

    /// Asks; the requests are taken with [`KernelQueries::poll_transmit`].
    pub(super) fn ask(&mut self, query: Query, now: Instant) {
        match &query {
            Query::Cut(flows) => {
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
        self.outstanding = Some(Outstanding { query, last: self.sequence, due: now + PATIENCE });
    }

    /// Takes a datagram as a part of the answer to what was asked last.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8]) -> Vec<Answer> {
        let Some(outstanding) = &self.outstanding else { return Vec::new() };
        let answers: Vec<Answer> = match &outstanding.query {
            Query::Cut(_) | Query::Flows(_) => {
                let messages = conntrack::messages(datagram).filter(|(sequence, _)| *sequence == outstanding.last);
                messages.filter_map(|(_, message)| outstanding.conntrack(message)).collect()
            }
            Query::Elements(..) | Query::Rules(_) => {
                let messages = nftables::messages(datagram).filter(|(sequence, _)| *sequence == outstanding.last);
                messages.filter_map(|(_, message)| outstanding.nftables(message)).collect()
            }
        };
        if answers.iter().any(|answer| matches!(answer, Answer::Flows(_) | Answer::Table(_) | Answer::Cut)) {
            self.outstanding = None;
        }
        answers
    }

    /// The socket's buffer has overflowed. Lists wait until there is room, acknowledgements are lost.
    pub(super) fn handle_overrun(&mut self) {
        if self.outstanding.as_ref().is_some_and(|outstanding| matches!(outstanding.query, Query::Cut(_))) {
            self.give_up();
        }
    }

    /// Nothing more is expected.
    pub(super) fn give_up(&mut self) {
        self.outstanding = None;
        self.requests.clear();
    }

    /// Returns the next request to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.requests.pop_front()
    }

    /// Returns when the answer counts as lost.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.outstanding.as_ref().map(|outstanding| outstanding.due)
    }
}

impl Outstanding {
    fn conntrack(&self, message: conntrack::Message) -> Option<Answer> {
        match (&self.query, message) {
            // Gone before it was deleted is gone as well.
            (Query::Cut(_), conntrack::Message::Error(_)) => Some(Answer::Cut),
            (_, conntrack::Message::Flow(flow)) => Some(Answer::Flow(flow)),
            (_, conntrack::Message::Done) => Some(Answer::Flows(Ok(()))),
            (_, conntrack::Message::Error(errno)) => Some(Answer::Flows(outcome(errno))),
            _ => None,
        }
    }

    fn nftables(&self, message: nftables::Message) -> Option<Answer> {
        match (&self.query, message) {
            (Query::Elements(family, set), nftables::Message::Elements(elements)) => {
                Some(Answer::Elements(*family, *set, elements))
            }
            (Query::Rules(_), nftables::Message::Rule) => Some(Answer::Rule),
            (_, nftables::Message::Done) => Some(Answer::Table(Ok(()))),
            (_, nftables::Message::Error(errno)) => Some(Answer::Table(outcome(errno))),
            _ => None,
        }
    }
}

fn dump(query: &Query, sequence: u32) -> Option<Vec<u8>> {
    match query {
        Query::Cut(_) => None,
        Query::Flows(filter) => Some(conntrack::dump(filter, sequence)),
        Query::Elements(family, set) => Some(nftables::elements(*family, TABLE, &set.to_string(), sequence)),
        Query::Rules(family) => Some(nftables::rules(*family, TABLE, sequence)),
    }
}

fn outcome(errno: i32) -> Result<(), i32> {
    if errno == 0 { Ok(()) } else { Err(errno) }
}
