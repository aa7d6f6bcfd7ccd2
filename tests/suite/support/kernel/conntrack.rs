//! conntrack: lists, lookups and deletions.

use dots_callhome::model::{Flow, Tuple};

use super::asked::{Partial, decode};
use super::{ENOENT, Kernel, messages};

impl Kernel {
    /// How many lists have been asked for.
    pub fn lists(&self) -> usize {
        self.asked.iter().filter(|asked| **asked == "list").count()
    }

    /// How many single entries have been asked for.
    pub fn lookups(&self) -> usize {
        self.asked.iter().filter(|asked| **asked == "look up").count()
    }

    /// The flow as it is told: without accounting nothing is known of its packets.
    pub fn told(&self, flow: &Flow) -> Flow {
        if self.accounting { *flow } else { Flow { sent: None, answered: None, ..*flow } }
    }

    pub(super) fn look_up(&mut self, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        self.asked.push("look up");
        let (tuples, _) = decode(body);
        let wanted = tuples.into_iter().flatten().next().unwrap();
        // A lookup finds an entry by either direction.
        let same = |tuple: &Tuple| wanted.matches(tuple, u32::MAX);
        match self.flows.iter().find(|flow| same(&flow.original) || same(&flow.reply)) {
            Some(flow) => {
                vec![messages::flow(0x100, 2, sequence, &self.told(flow)), messages::error(0, sequence)]
            }
            None => vec![messages::error(ENOENT, sequence)],
        }
    }

    pub(super) fn list_flows(&mut self, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        self.asked.push("list");
        if let Some(errno) = self.list_error.or(self.filter_error.filter(|_| body.len() > 4)) {
            return vec![messages::error(errno, sequence)];
        }
        let ([original, reply], [original_flags, reply_flags]) = decode(body);
        let v4 = body[0] == 2;
        let passes = |flow: &&Flow| {
            let side = |wanted: &Option<Partial>, flags: Option<u32>, tuple: &Tuple| {
                flags.is_none_or(|flags| wanted.as_ref().unwrap().matches(tuple, flags))
            };
            flow.original.source.is_ipv4() == v4
                && side(&original, original_flags, &flow.original)
                && side(&reply, reply_flags, &flow.reply)
        };
        let mut answers: Vec<Vec<u8>> =
            self.flows.iter().filter(passes).map(|flow| messages::flow(0x100, 2, sequence, &self.told(flow))).collect();
        answers.push(messages::done(sequence));
        answers.chunks(40).map(<[Vec<u8>]>::concat).collect()
    }

    /// The errno; what fills up the last attribute may be left out.
    pub(super) fn delete(&mut self, attributes: &[u8]) -> i32 {
        self.asked.push("delete");
        let mut attributes = attributes.to_vec();
        attributes.resize(attributes.len().next_multiple_of(4), 0);
        let meant = |flow: &Flow| {
            let by_tuple = messages::tuple_in_zone(&flow.original);
            attributes == by_tuple || attributes == [by_tuple, messages::attribute(12, &flow.id.to_be_bytes())].concat()
        };
        match self.flows.iter().position(meant) {
            Some(_) if self.sticky => 0,
            Some(number) if self.reopened => {
                self.flows[number].id += 1000;
                0
            }
            Some(number) => {
                self.flows.remove(number);
                0
            }
            None => ENOENT,
        }
    }
}
