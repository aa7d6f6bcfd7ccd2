//! Where questions, what is wanted, and the calls of routers meet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use dots_callhome::client::guard::Guard;
use dots_callhome::client::wishes::{Action, Answer, Subject, Want, Wish, WishId};
use dots_callhome::client::{Outcome, RequestFailure, Requester, Session};
use dots_callhome::io::clock;
use dots_callhome::signal::body::{Lifetime, Report};
use dots_callhome::signal::redirect::Redirect;
use serde_json::{Value, json};

use crate::call_event::CallEvent;
use crate::calls::Calls;
use crate::commands::{Asker, Commands, Selection, Watch};
use crate::control::{Ask, Attack, Page, Wanted};
use crate::desired::{Desired, Doable};
use crate::drain::Drain;
use crate::exit::Exit;
use crate::metrics;
use crate::output;
use crate::show;

/// What a session's answer is about: requests and withdrawals bear the number of the mitigation, all else that of its asker.
const REQUEST: Requester = 0;
const WITHDRAWAL: Requester = 1 << 32;
const OTHER: Requester = 1 << 33;
const DRAIN: Requester = 1 << 34;

/// All that is decided upon.
pub(crate) struct Desk {
    pub calls: Calls,
    pub commands: Commands,
    pub desired: Desired,
    pub guard: Guard,
    /// Names that may not call any more.
    revoked: PathBuf,
    /// Who has asked for all files to be read once more.
    reloads: Vec<Reload>,
    /// Whither routers are sent.
    pub drain: Option<Drain>,
    /// Who waits for what routers answer to how an attack stands.
    told: BTreeMap<Asker, Telling>,
}

/// How far that is.
struct Telling {
    requests: usize,
    left: usize,
    failure: Option<String>,
}

/// Somebody who has asked for all files to be read once more.
pub(crate) struct Reload {
    asker: Asker,
    /// The router whose certificates have to be revoked then, and those.
    revoked: Option<(String, Vec<String>)>,
}

impl Desk {
    /// Nothing is asked yet.
    pub(crate) fn new(calls: Calls, commands: Commands, desired: Desired, revoked: PathBuf) -> Self {
        Self {
            calls,
            commands,
            desired,
            guard: Guard::default(),
            revoked,
            reloads: Vec::new(),
            drain: None,
            told: BTreeMap::new(),
        }
    }

    /// Who has asked for all files to be read once more.
    pub(crate) fn take_reloads(&mut self) -> Vec<Reload> {
        std::mem::take(&mut self.reloads)
    }

    /// Hands questions to what is wanted, that to the calls, and what these tell back, until nothing is left. What is to be kept is
    /// kept for all of them together.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some((asker, ask)) = self.commands.poll_command() {
                self.handle_ask(asker, ask);
            }
            while let Some(event) = self.calls.poll_event() {
                self.handle_event(event);
            }
            self.drain_some();
            let actions = self.desired.poll_actions();
            if actions.is_empty() {
                return;
            }
            actions.into_iter().for_each(|action| self.act(action));
        }
    }

    /// What there is to be counted.
    pub(crate) fn metrics(&self) -> String {
        metrics::text(&self.calls, &self.desired, &self.commands, self.drain.is_some())
    }

    /// Tells some routers to call elsewhere.
    fn drain_some(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        let redirect = drain.redirect.clone();
        for router in drain.poll_routers(Instant::now()) {
            self.calls.with_session(&router, |session, now| session.redirect(DRAIN, &redirect, now));
        }
    }

    fn handle_ask(&mut self, asker: Asker, ask: Ask) {
        match ask {
            Ask::Routers { page } => {
                let routers = cut(self.calls.routers(), &page, "name");
                self.commands.reply_last(asker, json!({ "routers": routers }));
            }
            Ask::Status { router, mid, watch, page } => self.status(asker, Selection { router, mid }, watch, &page),
            Ask::Wishes { router, key, page } => self.wishes(asker, router.as_deref(), key.as_deref(), &page),
            Ask::Request(wanted) => self.request(asker, *wanted),
            Ask::Withdraw { router, key: Some(key), spare_working: true, .. } => {
                self.withdraw_idle(asker, router.as_deref(), &key);
            }
            Ask::Withdraw { router, mid, key, .. } => self.withdraw(asker, router.as_deref(), mid, key.as_deref()),
            Ask::Efficacy { router, mid, key, attack } => {
                self.tell_efficacy(asker, router.as_deref(), mid, key.as_deref(), attack);
            }
            Ask::Redirect { router, to, addresses, ttl } => {
                let redirect = Redirect { name: to, addresses, ttl };
                let ask = |session: &mut Session, now| session.redirect(OTHER | asker, &redirect, now);
                if !self.calls.with_session(&router, ask) {
                    self.commands.refuse(asker, Exit::Unknown, &format!("{router} has not called"));
                }
            }
            Ask::Metrics => {
                let text = self.metrics();
                self.commands.reply_last(asker, json!({ "metrics": text }));
            }
            Ask::Drain { to: None, .. } => {
                self.drain = None;
                self.commands.reply_last(asker, json!({ "draining": false }));
            }
            Ask::Drain { to: Some(name), addresses, ttl, per_second } => {
                output::log(format_args!("all routers are sent to {name}"));
                let redirect = Redirect { name, addresses, ttl };
                self.drain = Some(Drain::new(redirect, self.calls.names(), per_second));
                self.commands.reply_last(asker, json!({ "draining": true }));
            }
            Ask::Events => self.commands.watch(asker, Watch::Events),
            Ask::Revoke { router, certificates } if certificates.is_empty() => self.revoke(asker, &router),
            Ask::Revoke { router, certificates } => {
                self.reloads.push(Reload { asker, revoked: Some((router, certificates)) });
            }
            Ask::Reload => self.reloads.push(Reload { asker, revoked: None }),
        }
    }

    fn revoke(&mut self, asker: Asker, router: &str) {
        match self.calls.revoke(router, &self.revoked) {
            Ok(()) => {
                output::log(format_args!("{router} is revoked"));
                self.commands.reply_last(asker, json!({ "router": router, "revoked": true }));
            }
            Err(error) => self.commands.refuse(asker, Exit::Away, &error),
        }
    }

    /// All files have been read once more, or why not.
    pub(crate) fn handle_reloaded(&mut self, reload: Reload, outcome: Result<(), String>) {
        let asker = reload.asker;
        match (outcome, reload.revoked) {
            (Err(why), _) => self.commands.refuse(asker, Exit::Usage, &why),
            (Ok(()), None) => self.commands.reply_last(asker, json!({ "reloaded": true })),
            (Ok(()), Some((router, certificates))) if self.calls.are_revoked(&certificates) => {
                self.commands.reply_last(asker, json!({ "router": router, "revoked": true }));
            }
            (Ok(()), Some(_)) => {
                let why = "the serving program reads no list that names it: set crl, and reload";
                self.commands.refuse(asker, Exit::Other, &why);
            }
        }
    }

    fn status(&mut self, asker: Asker, selection: Selection, watch: bool, page: &Page) {
        let all = cut(self.mitigations(&selection), page, "router");
        if !watch {
            return self.commands.reply_last(asker, json!({ "mitigations": all }));
        }
        self.commands.watch(asker, Watch::Mitigations(selection));
        all.into_iter().for_each(|one| self.commands.reply(asker, one));
    }

    fn wishes(&mut self, asker: Asker, router: Option<&str>, key: Option<&str>, page: &Page) {
        let wishes = self.desired.wishes();
        let of_router = |name: &str| router.is_none_or(|router| router == name);
        let meant =
            wishes.all().filter(|wish| of_router(&wish.router) && (key.is_none() || wish.key.as_deref() == key));
        let all = meant.map(|wish| show::wish(wish, wishes.state(wish), &wishes.mids(wish))).collect();
        self.commands.reply_last(asker, json!({ "wishes": cut(all, page, "router") }));
    }

    fn request(&mut self, asker: Asker, wanted: Wanted) {
        let Wanted { router, scope, lifetime, key, by, reason } = wanted;
        let scope = dots_callhome::model::Scope::from(scope);
        if scope.source_prefixes.is_empty() || scope.target_prefixes.is_empty() {
            return self.commands.refuse(asker, Exit::Usage, &"source and target are needed");
        }
        if lifetime == 0 || lifetime < -1 {
            return self.commands.refuse(asker, Exit::Usage, &"a lifetime is at least 1, or -1");
        }
        let router = match router.map_or_else(|| self.router_of(&scope.source_prefixes), Ok) {
            Ok(router) => router,
            Err(why) => return self.commands.refuse(asker, Exit::Unknown, &why),
        };
        if !self.calls.admits(&router) {
            let why = format!("{router} has not called, and is not among the routers that may");
            return self.commands.refuse(asker, Exit::Unknown, &why);
        }
        if let Some(foreign) = self.calls.foreign(&router, &scope.source_prefixes) {
            return self.commands.refuse(asker, Exit::Refused, &format!("{foreign} does not belong to {router}"));
        }
        if key.as_deref().is_some_and(|key| key.ends_with('*')) {
            return self.commands.refuse(asker, Exit::Usage, &"a key does not end with *");
        }
        if let Err(objection) = self.guard.admit(&router, &scope, clock::now().unix) {
            return self.commands.refuse(asker, Exit::Refused, &objection);
        }
        let seconds = u64::try_from(lifetime).ok().map(|seconds| seconds.min(u32::MAX.into()));
        self.desired.change(|wishes, now| {
            let until = seconds.map(|seconds| now + seconds);
            wishes.want(asker, Want { router, key, scope, until, by, reason }, now);
        });
    }

    fn router_of(&self, sources: &[ipnet::IpNet]) -> Result<String, String> {
        let mut routers = self.calls.routers_of(sources).into_iter();
        match (routers.next(), routers.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err("no router is known to have these sources: name it".to_owned()),
            (Some(one), Some(other)) => Err(format!("{one} and {other} both have these sources: name one")),
        }
    }

    fn withdraw(&mut self, asker: Asker, router: Option<&str>, mid: Option<u32>, key: Option<&str>) {
        let mut found = Vec::new();
        let mut is_known = false;
        self.desired.change(|wishes, now| match (router, mid, key) {
            (router, _, Some(key)) => found = wishes.withdraw_key(router, key, now),
            (Some(router), Some(mid), None) => is_known = wishes.withdraw_mid(asker, router, mid, now),
            _ => {}
        });
        if !found.is_empty() {
            // It is kept with the next turn's changes, before any answer leaves.
            self.desired.confirm(asker, found);
        } else if !is_known {
            self.commands.refuse(asker, Exit::Unknown, &"there is no such request");
        }
    }

    /// Withdraws what no router mitigates, as far as is known: a detector sees nothing of an attack that is blocked.
    fn withdraw_idle(&mut self, asker: Asker, router: Option<&str>, key: &str) {
        let wishes = self.desired.wishes();
        let is_meant =
            |wish: &&Wish| wish.is_wanted() && wish.has_key(key) && router.is_none_or(|name| name == wish.router);
        let idle = wishes.all().filter(|wish| is_meant(wish) && !self.may_work(wish));
        let idle: Vec<(String, WishId)> = idle.map(|wish| (wish.router.clone(), wish.id)).collect();
        self.desired.change(|wishes, now| wishes.withdraw(&idle, now));
        self.desired.confirm(asker, idle);
    }

    /// Whether a router mitigates what is wanted, or may do so where nothing is heard of it.
    fn may_work(&self, wish: &Wish) -> bool {
        const MITIGATED: u8 = 2;
        let mids = self.desired.wishes().mids(wish);
        let Some(session) = self.calls.session(&wish.router) else { return !mids.is_empty() };
        let mut serving = session.mitigations().filter(|(mid, _)| mids.contains(mid));
        serving.any(|(_, known)| !known.ended && known.report.status.is_none_or(|status| status == MITIGATED))
    }

    fn tell_efficacy(
        &mut self,
        asker: Asker,
        router: Option<&str>,
        mid: Option<u32>,
        key: Option<&str>,
        attack: Attack,
    ) {
        let meant = match (router, mid, key) {
            (_, None, Some(key)) => Err(key),
            (Some(_), Some(mid), None) => Ok(mid),
            _ => return self.commands.refuse(asker, Exit::Usage, &"a router and mid, or a key, is needed"),
        };
        let mut left = 0;
        self.desired.change(|wishes, now| left = wishes.tell_efficacy(asker, router, meant, attack.into(), now));
        if left == 0 {
            return self.commands.refuse(asker, Exit::Unknown, &"no router that has called does that");
        }
        self.told.insert(asker, Telling { left, requests: left, failure: None });
    }

    /// A router has answered how an attack stands; with the last answer whoever asked has its own.
    fn efficacy_answered(&mut self, asker: Asker, why: Option<String>) {
        let Some(mut telling) = self.told.remove(&asker) else { return };
        telling.left -= 1;
        telling.failure = telling.failure.or(why);
        match telling {
            Telling { left: 1.., .. } => drop(self.told.insert(asker, telling)),
            Telling { failure: Some(why), .. } => self.commands.refuse(asker, Exit::Refused, &why),
            Telling { requests, .. } => self.commands.reply_last(asker, json!({ "told": requests })),
        }
    }

    fn handle_event(&mut self, event: CallEvent) {
        match event {
            CallEvent::Answered { requester, router, outcome } => self.answered(requester, &router, outcome),
            CallEvent::Came { router } => {
                self.desired.change(|wishes, now| wishes.handle_came(&router, now));
                self.commands.tell(&json!({ "event": "router-up", "router": router }));
            }
            CallEvent::Duplicate { router, from } => {
                self.commands.tell(&json!({ "event": "duplicate", "router": router, "address": from.to_string() }));
            }
            CallEvent::Known { router } => self.known(&router),
            CallEvent::Gone { router, why } => {
                self.desired.change(|wishes, now| wishes.handle_gone(&router, now));
                self.commands.tell(&json!({ "event": "router-down", "router": router, "why": why }));
            }
            CallEvent::Reported { router, mid } => self.reported(&router, mid),
        }
    }

    fn known(&mut self, router: &str) {
        if let Some(drain) = &mut self.drain {
            drain.handle_known(router);
        }
        let Some(session) = self.calls.session(router) else { return };
        let known = session.mitigations().filter(|(_, known)| !known.ended);
        let known: Vec<(u32, Report)> = known.map(|(mid, known)| (mid, known.report.clone())).collect();
        let limit = session.max_payload();
        self.desired.change(|wishes, now| wishes.handle_known(router, &known, limit, now));
    }

    /// Hands a router's answer to whoever waits for it.
    fn answered(&mut self, requester: Requester, router: &str, outcome: Result<Outcome, RequestFailure>) {
        let mid = u32::try_from(requester & u64::from(u32::MAX)).unwrap_or_default();
        if requester == DRAIN {
            if let Err(why) = outcome {
                output::log(format_args!("{router} is not sent elsewhere: {why}"));
            }
            return;
        }
        if requester & OTHER == OTHER {
            return self.answer_other(requester & !OTHER, router, outcome);
        }
        let granted = || {
            let known = self.calls.session(router)?.mitigations().find(|(known, _)| *known == mid)?.1;
            known.report.lifetime
        };
        let lifetime = granted();
        self.desired.change(|wishes, now| match outcome {
            Ok(_) if requester & WITHDRAWAL == WITHDRAWAL => wishes.handle_withdrawn(router, mid, now),
            // A withdrawal that nobody has answered is repeated when the router calls again.
            Err(_) if requester & WITHDRAWAL == WITHDRAWAL => {}
            Ok(_) => wishes.handle_granted(router, mid, lifetime, now),
            Err(why) => wishes.handle_refused(router, mid, &why, now),
        });
    }

    fn answer_other(&mut self, asker: Asker, router: &str, outcome: Result<Outcome, RequestFailure>) {
        if self.told.contains_key(&asker) {
            return self.efficacy_answered(asker, outcome.err().map(|why| format!("{router}: {why}")));
        }
        match outcome {
            Ok(_) => self.commands.reply_last(asker, json!({ "router": router })),
            Err(why) => self.commands.refuse(asker, Exit::Refused, &why),
        }
    }

    /// Takes what a router has told, and tells all who watch.
    fn reported(&mut self, router: &str, mid: u32) {
        let found =
            self.calls.session(router).and_then(|session| session.mitigations().find(|(known, _)| *known == mid));
        let Some((_, known)) = found else { return };
        let one = show::json(router, mid, known);
        let (report, ended) = (known.report.clone(), known.ended);
        self.desired.change(|wishes, now| {
            wishes.handle_report(router, mid, &report, now);
            if ended {
                wishes.handle_ended(router, mid, now);
            }
        });
        for asker in self.commands.watchers(router, mid) {
            self.commands.reply(asker, one.clone());
        }
        self.commands.tell(&json!({ "event": "status", "router": router, "mitigation": one }));
    }

    fn act(&mut self, doable: Doable) {
        match doable {
            Doable::Action(Action::Send { router, mid, scope, lifetime }) => {
                let lifetime = lifetime.map_or(Lifetime::Indefinite, Lifetime::Seconds);
                let requester = REQUEST | Requester::from(mid);
                let send = |session: &mut Session, now: Instant| session.request(requester, mid, scope, lifetime, now);
                self.calls.with_session(&router, send);
            }
            Doable::Action(Action::Withdraw { router, mid }) => {
                let requester = WITHDRAWAL | Requester::from(mid);
                self.calls.with_session(&router, |session, now| session.withdraw(requester, mid, now));
            }
            Doable::Action(Action::Efficacy { asker, router, mid, scope, lifetime, status }) => {
                let lifetime = lifetime.map_or(Lifetime::Indefinite, Lifetime::Seconds);
                let tell = |session: &mut Session, now: Instant| {
                    session.tell_efficacy(OTHER | asker, mid, scope, lifetime, status, now);
                };
                if !self.calls.with_session(&router, tell) {
                    self.efficacy_answered(asker, Some(format!("{router} has not called")));
                }
            }
            Doable::Action(Action::Answer { asker, router, about, answer }) => {
                self.answer(asker, &router, about, &answer)
            }
            Doable::Action(Action::Keep(_)) => {}
            Doable::Confirmed(asker, found) => self.confirm(asker, &found),
            Doable::Away(Action::Answer { asker, .. }, why) => {
                let why = format!(
                    "the store is away: {why}; what is asked for waits, and is lost if the program ends before"
                );
                self.commands.refuse(asker, Exit::Away, &why);
            }
            Doable::Away(..) => {}
        }
    }

    fn confirm(&mut self, asker: Asker, found: &[(String, WishId)]) {
        let wishes = self.desired.wishes();
        let found = found.iter().filter_map(|(router, id)| wishes.wish(router, *id));
        let all: Vec<Value> = found.map(|wish| show::wish(wish, wishes.state(wish), &wishes.mids(wish))).collect();
        self.commands.reply_last(asker, json!({ "answer": "withdrawn", "wishes": all }));
    }

    fn answer(&mut self, asker: Asker, router: &str, about: Subject, answer: &Answer) {
        if let Answer::Declined(why) = answer {
            let conflict = why.contains("overlaps") || why.contains("conflict");
            let exit = if conflict { Exit::Conflict } else { Exit::Refused };
            let value = json!({ "error": why, "exit": exit.code(), "answer": answer.as_str(), "router": router });
            return self.commands.reply_last(asker, value);
        }
        let mut value = self.answer_about(router, about);
        show::set(&mut value, "answer", json!(answer.as_str()));
        show::set(&mut value, "why", json!(answer.why()));
        show::set(&mut value, "exit", json!(if answer.why().is_some() { Exit::Waiting.code() } else { 0 }));
        self.commands.reply_last(asker, value);
    }

    /// The mitigation that serves a wish, as far as it is known.
    fn answer_about(&self, router: &str, about: Subject) -> Value {
        let wishes = self.desired.wishes();
        let (wish, mids) = match about {
            Subject::Nothing => (None, Vec::new()),
            Subject::Request(mid) => (None, vec![mid]),
            Subject::Wish(id) => {
                let wish = wishes.wish(router, id);
                (wish, wish.map(|wish| wishes.mids(wish)).unwrap_or_default())
            }
        };
        let mid = mids.first().copied();
        let selection = Selection { router: Some(router.to_owned()), mid };
        let known = mid.and_then(|_| self.mitigations(&selection).pop());
        let mut value = known.unwrap_or_else(|| show::unreported(router, mid, wish.map(|wish| &wish.scope)));
        show::set(&mut value, "wish", json!(wish.map(|wish| wish.id)));
        show::set(&mut value, "key", json!(wish.and_then(|wish| wish.key.as_deref())));
        show::set(&mut value, "mids", json!(mids));
        value
    }

    fn mitigations(&self, selection: &Selection) -> Vec<Value> {
        let wanted = self.calls.mitigations().filter(|(router, mid, _)| selection.covers(router, *mid));
        wanted.map(|(router, mid, known)| show::json(router, mid, known)).collect()
    }
}

/// The part of a list that is wanted; it is in the order of routers' names.
fn cut(all: Vec<Value>, page: &Page, name: &str) -> Vec<Value> {
    let after =
        |one: &Value| page.after.as_deref().is_none_or(|after| one[name].as_str().is_some_and(|name| name > after));
    all.into_iter().filter(after).take(page.limit.unwrap_or(usize::MAX)).collect()
}
