//! One query at a time to the kernel, and its answer.

use std::time::{Duration, Instant};

use super::chain_name::Map;
use super::set::Set;
use crate::model::{Flow, Tuple};
use crate::netlink::Exchange;
use crate::netlink::conntrack::{self, Filter};
use crate::netlink::nftables::{self, Element, Family};

/// The kernel answers at once. If nothing has come by then, the query or its answer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes asked for at once: their acknowledgements fit the smallest receive buffer.
pub(super) const BATCH: usize = 32;

/// What was to be told had no room.
pub(super) const ENOBUFS: i32 = 105;

/// What the kernel is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// To forget flows; at most [`BATCH`].
    Cut(Vec<(Tuple, Option<u32>)>),
    /// To forget all flows that the filter lets through, and to tell which these were.
    Erase(Filter),
    /// Which flows there are.
    Flows,
    /// What a set holds.
    Elements(Family, Set),
    /// What rules the family's table has.
    Rules(Family),
    /// What a map holds.
    Verdicts(Map),
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To [`Query::Flows`] and [`Query::Erase`]: one of them.
    Flow(Flow),
    /// To [`Query::Erase`]: that was all, or the errno the query failed with.
    Erased(Result<(), i32>),
    /// That was all, or the errno the query failed with.
    Flows(Result<(), i32>),
    /// To [`Query::Elements`]: some of them.
    Elements(Family, Set, Vec<Element>),
    /// To [`Query::Rules`]: one of them.
    Rule,
    /// To [`Query::Verdicts`]: so many more of them.
    Verdicts(usize),
    /// That was all, or the errno the query failed with.
    Table(Result<(), i32>),
    /// To [`Query::Cut`]: what was there is gone.
    Cut,
}

/// Asks the kernel one thing after another.
#[derive(Debug)]
pub(super) struct KernelQueries {
    table: &'static str,
    exchange: Exchange<Query>,
}

impl KernelQueries {
    /// About the tables of this name; nothing is asked yet.
    pub(super) fn new(table: &'static str) -> Self {
        Self { table, exchange: Exchange::default() }
    }

    /// Whether nothing is outstanding: only then may something be asked.
    pub(super) fn is_idle(&self) -> bool {
        self.exchange.request().is_none()
    }

    /// Asks; the requests are taken with [`KernelQueries::poll_transmit`].
    pub(super) fn ask(&mut self, query: Query, now: Instant) {
        let table = self.table;
        self.exchange.start(query, |query, first| query.datagrams(table, first));
        self.exchange.set_deadline(now + PATIENCE);
    }

    /// Takes a datagram as a part of the answer to what was asked last. With the answer to its last request it is complete.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8]) -> Vec<Answer> {
        let Some(query) = self.exchange.request() else { return Vec::new() };
        let answers: Vec<Answer> = match query {
            Query::Cut(_) | Query::Erase(_) | Query::Flows => {
                // What has been erased is told as an event, with the number of none.
                let ours = |sequence, message: &conntrack::Message| {
                    self.exchange.is_last(sequence) || matches!(message, conntrack::Message::Destroyed(_))
                };
                let messages = conntrack::messages(datagram).filter(|(sequence, message)| ours(*sequence, message));
                messages.filter_map(|(_, message)| query.conntrack(message)).collect()
            }
            Query::Elements(..) | Query::Rules(_) | Query::Verdicts(_) => {
                let messages = nftables::messages(datagram).filter(|(sequence, _)| self.exchange.is_last(*sequence));
                messages.filter_map(|(_, message)| query.nftables(message)).collect()
            }
        };
        let ends =
            |answer: &Answer| matches!(answer, Answer::Flows(_) | Answer::Erased(_) | Answer::Table(_) | Answer::Cut);
        if answers.iter().any(ends) {
            self.exchange.end();
        }
        answers
    }

    /// The socket's buffer has overflowed. Lists wait until there is room, acknowledgements are lost. Returns what stands for
    /// an answer where that matters.
    pub(super) fn handle_overrun(&mut self) -> Option<Answer> {
        match self.exchange.request() {
            Some(Query::Cut(_)) => {
                self.give_up();
                None
            }
            Some(Query::Erase(_)) => {
                self.give_up();
                Some(Answer::Erased(Err(ENOBUFS)))
            }
            _ => None,
        }
    }

    /// Nothing more is expected.
    pub(super) fn give_up(&mut self) {
        self.exchange.end();
    }

    /// Returns the next request to send.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.exchange.poll_transmit()
    }

    /// Returns when the answer counts as lost.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.poll_timeout()
    }
}

impl Query {
    fn datagrams(&self, table: &str, first: u32) -> Vec<Vec<u8>> {
        match self {
            Self::Cut(flows) => flows
                .iter()
                .zip(first..)
                .map(|((tuple, id), sequence)| conntrack::delete(tuple, *id, sequence))
                .collect(),
            Self::Erase(filter) => vec![conntrack::erase(filter, first)],
            Self::Flows => vec![conntrack::list(first)],
            Self::Elements(family, set) => vec![nftables::elements(*family, table, &set.to_string(), first)],
            Self::Rules(family) => vec![nftables::rules(*family, table, first)],
            Self::Verdicts(map) => vec![nftables::elements(Family::Inet, table, &map.to_string(), first)],
        }
    }

    fn conntrack(&self, message: conntrack::Message) -> Option<Answer> {
        match (self, message) {
            // Gone before it was deleted is gone as well.
            (Self::Cut(_), conntrack::Message::Error(_)) => Some(Answer::Cut),
            (Self::Erase(_), conntrack::Message::Destroyed(flow)) => Some(Answer::Flow(flow)),
            (Self::Erase(_), conntrack::Message::Error(errno)) => Some(Answer::Erased(outcome(errno))),
            (_, conntrack::Message::Flow(flow)) => Some(Answer::Flow(flow)),
            (_, conntrack::Message::Done) => Some(Answer::Flows(Ok(()))),
            (_, conntrack::Message::Error(errno)) => Some(Answer::Flows(outcome(errno))),
            _ => None,
        }
    }

    fn nftables(&self, message: nftables::Message) -> Option<Answer> {
        match (self, message) {
            (Self::Elements(family, set), nftables::Message::Elements(elements)) => {
                Some(Answer::Elements(*family, *set, elements))
            }
            (Self::Rules(_), nftables::Message::Rule) => Some(Answer::Rule),
            (Self::Verdicts(_), nftables::Message::Verdicts(more)) => Some(Answer::Verdicts(more)),
            (_, nftables::Message::Done) => Some(Answer::Table(Ok(()))),
            (_, nftables::Message::Error(errno)) => Some(Answer::Table(outcome(errno))),
            _ => None,
        }
    }
}

fn outcome(errno: i32) -> Result<(), i32> {
    if errno == 0 { Ok(()) } else { Err(errno) }
}
