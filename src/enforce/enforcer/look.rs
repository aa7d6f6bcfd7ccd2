//! The enforcer's looks at the kernel: what is asked in which order, and what follows from the answers.

use std::time::{Duration, Instant};

use super::{Enforcer, Event};
use crate::enforce::dialogue::{BATCH, Heard, Question};
use crate::enforce::inspect::{Depth, Inspection, Verdict};
use crate::enforce::render::Held;
use crate::enforce::verify::{Subject, Sweep};
use crate::enforce::watch::{Stage, Watched};
use crate::netlink::nftables::Family;

/// How often the counters are read while they rise, and at least.
pub(super) const PACE: Duration = Duration::from_secs(2);
const PACE_QUIET: Duration = Duration::from_secs(10);
/// How soon it is looked who sends: an attack has sent by then.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(100);

/// How long checks wait for changes that follow each other: a list of all flows holds the kernel for tens of milliseconds,
/// which the requests of a burst still to be answered would have to wait.
pub(super) const BURST: Duration = Duration::from_millis(500);

/// Somebody who removes our tables more often than this is not followed at once.
const STORM: Duration = Duration::from_secs(10);

impl Enforcer {
    pub(super) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Flow(flow) => self.sweep.iter_mut().for_each(|sweep| sweep.hear(&flow)),
            Heard::Flows(outcome) => self.sweep.iter_mut().for_each(|sweep| sweep.listed(outcome)),
            Heard::Cut => {}
            heard => {
                if let Some(inspection) = &mut self.inspection {
                    inspection.hear(heard, &mut self.counters);
                }
            }
        }
    }

    /// An answer does not come: whatever was being looked at is looked at again.
    pub(super) fn start_over(&mut self) {
        self.dialogue.give_up();
        if self.inspection.take().is_some() {
            self.inspect = Some(Depth::Everything);
        }
        // No transaction waits for counters that can't be had.
        self.prepared |= std::mem::take(&mut self.hurry);
        if self.sweep.take().is_some() {
            self.watch_at = self.now;
        }
    }

    /// Asks the kernel what is to be asked next.
    pub(super) fn proceed(&mut self, now: Instant) {
        while self.dialogue.is_idle() {
            let Some(question) = self.next_question(now) else { return };
            self.dialogue.ask(question, now);
        }
    }

    fn next_question(&mut self, now: Instant) -> Option<Question> {
        if !self.cut_now.is_empty() {
            let batch = self.cut_now.len().min(BATCH);
            return Some(Question::Cut(self.cut_now.drain(..batch).map(|tuple| (tuple, None)).collect()));
        }
        let hurried = if self.hurry { self.next_of_inspection(now) } else { None };
        hurried.or_else(|| self.next_of_sweep(now)).or_else(|| self.next_of_inspection(now))
    }

    fn next_of_sweep(&mut self, now: Instant) -> Option<Question> {
        if self.settled_by.is_some_and(|by| now < by) {
            return None;
        }
        loop {
            self.begin_sweep(now);
            let question = self.sweep.as_mut()?.next();
            if question.is_some() {
                return question;
            }
            self.end_sweep(now);
        }
    }

    fn next_of_inspection(&mut self, now: Instant) -> Option<Question> {
        loop {
            self.begin_inspection(now);
            let question = self.inspection.as_mut()?.next();
            if question.is_some() {
                return question;
            }
            self.end_inspection(now);
        }
    }

    /// What has just come into force is checked at once, everything from time to time.
    fn begin_sweep(&mut self, now: Instant) {
        if self.sweep.is_some() {
            return;
        }
        let watch = self.watch_at.is_some_and(|at| at <= now);
        let due = |watched: &Watched| match watched.stage {
            Stage::Waiting => false,
            Stage::Checking => true,
            Stage::InForce | Stage::Leaking => watch,
        };
        let due = self.watched.iter().filter(|(_, watched)| due(watched));
        let subjects: Vec<Subject> = due
            .map(|(key, watched)| Subject { key: *key, change: watched.change, measure: watched.measure.clone() })
            .collect();
        if watch {
            self.watch_at = None;
        }
        if !subjects.is_empty() {
            self.sweep = Some(Sweep::new(subjects, &self.addresses));
        }
    }

    fn end_sweep(&mut self, now: Instant) {
        let Some(sweep) = self.sweep.take() else { return };
        let mut again_soon = false;
        for (subject, finding) in sweep.findings() {
            let watched = self.watched.get_mut(&subject.key).filter(|watched| watched.change == subject.change);
            let Some(watched) = watched else { continue };
            let before = watched.stage;
            watched.judge(subject.key, &finding, &mut self.events);
            again_soon |= watched.stage != before || watched.strikes > 0 && watched.stage == Stage::InForce;
            if watched.stage == Stage::Leaking {
                self.inspect = Some(Depth::Everything);
            }
        }
        if again_soon {
            self.pauses.watch.reset();
        }
        if !self.watched.is_empty() && (again_soon || self.watch_at.is_none()) {
            let next = now + self.pauses.watch.pause();
            self.watch_at = Some(self.watch_at.map_or(next, |at| at.min(next)));
        }
    }

    fn begin_inspection(&mut self, now: Instant) {
        // What is changing right now is looked at afterwards, but an nft that hangs is not waited for.
        let changing = self.running.as_ref().is_some_and(|run| now < run.late_at());
        if self.inspection.is_some() || changing {
            return;
        }
        let depth = self.inspect.take();
        // What an earlier run has left, if that was the same.
        let left = || Held { ruleset: self.wanted.clone(), families: vec![Family::Inet] };
        let held = match &self.applied {
            Some(_) if self.gone => None,
            Some(held) => Some(held),
            None => Some(&left()),
        };
        self.inspection = depth.zip(held).map(|(depth, held)| Inspection::new(held, depth, self.runs));
        // Without anything to look at nobody waits for it either.
        self.hurry &= self.inspection.is_some();
    }

    fn end_inspection(&mut self, now: Instant) {
        let Some(inspection) = self.inspection.take() else { return };
        self.prepared |= std::mem::take(&mut self.hurry);
        // What an earlier run has left goes on counting for us.
        let Some(held) = &self.applied else { return self.events.extend(self.counters.totals(&self.wanted)) };
        if inspection.runs != self.runs {
            self.inspect = self.inspect.max(Some(inspection.depth));
            return;
        }
        let (verdict, empty) = (inspection.verdict(&held.ruleset, now), held.ruleset.is_empty());
        // What nft has just done looks like that, too, and is looked at once more when it has ended. Only an end takes all.
        let run = self.running.as_ref();
        let ours = run.is_some_and(|run| verdict == Verdict::Disturbed || run.held.ruleset.is_empty());
        match verdict {
            Verdict::Disturbed | Verdict::Gone if !ours => return self.lose(now),
            Verdict::Disturbed | Verdict::Gone | Verdict::Unknown => {}
            Verdict::Intact => {
                self.events.extend(self.counters.totals(&held.ruleset));
                let seen = inspection.senders.into_iter().filter(|(_, senders)| !senders.is_empty());
                self.events.extend(seen.map(|(id, senders)| Event::Witnessed { id, senders }));
            }
        }
        if !empty && self.read_at.is_none() {
            self.pace = if inspection.moved { PACE } else { (self.pace * 2).clamp(PACE, PACE_QUIET) };
            self.read_at = Some(now + self.pace);
        }
    }

    /// Somebody else has changed our tables: they are made anew. Once is an accident, again and again is not.
    fn lose(&mut self, now: Instant) {
        self.events.push_back(Event::Vanished);
        self.rebuild = true;
        self.gone = true;
        for watched in self.watched.values_mut() {
            watched.lose(now);
        }
        if let Some(reason) = self.failure.clone() {
            return self.fail_waiting(&reason);
        }
        let again = self.vanished.replace(now).is_some_and(|last| now.saturating_duration_since(last) < STORM);
        if again {
            self.retry_at = Some(now + self.pauses.storm.pause());
            self.fail_waiting("another program keeps changing the table");
        } else {
            self.pauses.storm.reset();
        }
    }
}
