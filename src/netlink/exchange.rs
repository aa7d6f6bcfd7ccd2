//! One outstanding request to the kernel: its sequence numbers, its deadline, and what of it is still to be sent.

use std::collections::VecDeque;
use std::time::Instant;

/// Most datagrams of one request: the numbers left are never fewer.
const MOST_PARTS: u32 = 1 << 16;

/// A request to the kernel and the wait for its answers. One at a time: the next takes the place of the one before.
#[derive(Debug)]
pub(crate) struct Exchange<R> {
    outstanding: Option<Outstanding<R>>,
    datagrams: VecDeque<Vec<u8>>,
    deadline: Option<Instant>,
    /// The last sequence number used.
    sequence: u32,
}

#[derive(Debug)]
struct Outstanding<R> {
    request: R,
    first: u32,
    last: u32,
}

impl<R> Default for Exchange<R> {
    fn default() -> Self {
        Self { outstanding: None, datagrams: VecDeque::new(), deadline: None, sequence: 0 }
    }
}

impl<R> Exchange<R> {
    /// One whose numbers begin after this one: beside another on the same socket.
    pub(crate) fn numbered_after(sequence: u32) -> Self {
        Self { sequence, ..Self::default() }
    }

    /// Starts a request. `encode` makes its datagrams, at most [`MOST_PARTS`], with sequence numbers that follow each other
    /// from the given one on. There is no deadline until [`Self::set_deadline`].
    pub(crate) fn start(&mut self, request: R, encode: impl FnOnce(&R, u32) -> Vec<Vec<u8>>) {
        // 0 is for what the kernel tells by itself.
        let first = if self.sequence > u32::MAX - MOST_PARTS { 1 } else { self.sequence + 1 };
        self.datagrams = encode(&request, first).into();
        let parts = u32::try_from(self.datagrams.len()).unwrap_or(MOST_PARTS);
        self.sequence = first.saturating_add(parts.saturating_sub(1));
        self.outstanding = Some(Outstanding { request, first, last: self.sequence });
        self.deadline = None;
    }

    /// Ends the request: nothing more is sent or expected of it.
    pub(crate) fn end(&mut self) -> Option<R> {
        self.datagrams.clear();
        self.deadline = None;
        self.outstanding.take().map(|outstanding| outstanding.request)
    }

    /// The outstanding request.
    pub(crate) fn request(&self) -> Option<&R> {
        self.outstanding.as_ref().map(|outstanding| &outstanding.request)
    }

    /// The outstanding request, to note what has come of it.
    pub(crate) fn request_mut(&mut self) -> Option<&mut R> {
        self.outstanding.as_mut().map(|outstanding| &mut outstanding.request)
    }

    /// Which part of the outstanding request a message answers; nothing where it answers none.
    pub(crate) fn part(&self, sequence: u32) -> Option<usize> {
        let Outstanding { first, last, .. } = self.outstanding.as_ref()?;
        let part = sequence.checked_sub(*first).filter(|_| sequence <= *last)?;
        part.try_into().ok()
    }

    /// Whether a message answers the last part of the outstanding request.
    pub(crate) fn is_last(&self, sequence: u32) -> bool {
        self.outstanding.as_ref().is_some_and(|outstanding| outstanding.last == sequence)
    }

    /// Sets when to give up, or, after a failure, when to try again.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Whether the deadline has been reached.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.datagrams.pop_front()
    }

    /// The deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}
