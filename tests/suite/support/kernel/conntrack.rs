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

    /// All entries of all zones: a list that leaves any out holds up the packets meanwhile.
    pub(super) fn list_flows(&mut self, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        self.asked.push("list");
        assert_eq!(body, [0; 4], "no filter");
        if let Some(errno) = self.list_error {
            return vec![messages::error(errno, sequence)];
        }
        let mut answers: Vec<Vec<u8>> =
            self.flows.iter().map(|flow| messages::flow(0x100, 2, sequence, &self.told(flow))).collect();
        answers.push(messages::done(sequence));
        answers.chunks(40).map(<[Vec<u8>]>::concat).collect()
    }

    /// Deletes what the filter lets through, and tells of each. Kernels that heed no filter look for the one entry with this
    /// tuple, of which something is missing.
    pub(super) fn erase(&mut self, body: &[u8], sequence: u32) -> Vec<Vec<u8>> {
        const EINVAL: i32 = 22;
        self.asked.push("erase");
        let ([original, reply], [original_flags, reply_flags]) = decode(body);
        assert!(original.as_ref().is_some_and(Partial::is_incomplete), "never the one entry with this tuple");
        assert_eq!(body[0], 2, "the kernel compares no IPv6 addresses");
        if !self.erases {
            return vec![messages::error(EINVAL, sequence)];
        }
        let side = |wanted: &Option<Partial>, flags: Option<u32>, tuple: &Tuple| {
            flags.is_none_or(|flags| wanted.as_ref().unwrap().matches(tuple, flags))
        };
        let passes = |flow: &Flow| {
            flow.original.source.is_ipv4()
                && side(&original, original_flags, &flow.original)
                && side(&reply, reply_flags, &flow.reply)
        };
        let erased: Vec<Flow> = self.flows.iter().filter(|flow| passes(flow)).copied().collect();
        let mut answers: Vec<Vec<u8>> = Vec::new();
        for flow in erased {
            if !self.untold.contains(&flow.id) {
                answers.push(messages::flow(0x102, 0, 0, &self.told(&flow)));
            }
            self.take(self.flows.iter().position(|other| other.id == flow.id).unwrap());
        }
        answers.push(messages::error(0, sequence));
        answers
    }

    /// A flow is deleted, whatever follows.
    fn take(&mut self, number: usize) {
        if self.reopened {
            self.flows[number].id += 1000;
        } else if !self.sticky {
            self.flows.remove(number);
        }
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
            Some(number) => {
                self.take(number);
                0
            }
            None => ENOENT,
        }
    }
}
