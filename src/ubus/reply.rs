//! What our object replies, in blobmsg.

use std::net::IpAddr;

use ipnet::IpNet;
use ubus::BlobMsgTable;
use vecset::VecMap;

use super::blob::Writer;
use super::context::{CallContext, PeerStatus};
use super::device::{self, DeviceView};
use crate::mitigation::{Decision, Entry, Incident, Mitigation, State, Until, Veto};
use crate::model::{Mac, MitigationId, Now, Scope, Traffic, whole_seconds};
use crate::source::Inventory;
use crate::source::{Stranger, Suspect};

/// A reply grows no larger: the bus takes 1 MiB, and silently drops what a slow reader lets pile up beyond that.
const LARGEST: usize = 256 * 1024;

/// How much is told of a mitigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyDetail {
    Full,
    /// Without evidence, and only the first of each list.
    Brief,
}

impl ReplyDetail {
    /// Items of one list.
    fn most(self) -> usize {
        match self {
            Self::Full => usize::MAX,
            Self::Brief => 8,
        }
    }
}

/// The reply to `status`.
pub(super) fn status(version: &str, context: &CallContext<'_>, now: Now) -> BlobMsgTable {
    let count = |wanted: fn(State) -> bool| context.ledger.all().filter(|m| wanted(m.state())).count() as u64;
    Writer::table_of(|w| {
        w.text("version", version);
        w.number("uptime", now.instant.saturating_duration_since(context.started).as_secs());
        w.text("consent", context.ledger.policy().consent.as_str());
        w.list("peers", context.peers, |w, peer| w.table(None, |w| write_peer(w, peer)));
        w.number("pending", count(|state| state == State::Pending));
        w.number("active", count(State::in_force));
        w.number("devices", device::all(context).len() as u64);
        let leaks = |m: &&Mitigation| m.state().in_force() && !m.verified() && m.detail().is_some();
        let leaking = context.ledger.all().filter(leaks).count() as u64;
        for (name, number) in [("ended", context.ledger.ended().count() as u64), ("leaking", leaking)] {
            if number > 0 {
                w.number(name, number);
            }
        }
        w.optional("not_kept", context.not_kept);
        w.optional("not_read", context.not_read);
        if !context.config_faults.is_empty() {
            w.texts("config_faults", context.config_faults);
        }
    })
}

/// One provider, as in `status` and in its events.
pub(super) fn peer(peer: &PeerStatus) -> BlobMsgTable {
    Writer::table_of(|w| write_peer(w, peer))
}

fn write_peer(w: &mut Writer, peer: &PeerStatus) {
    w.text("name", &peer.name);
    w.text("state", peer.state.as_str());
    w.optional("transport", peer.transport);
    w.optional("address", peer.address.map(|address| address.to_string()).as_deref());
    if let Some(since) = peer.since {
        w.number("since", since);
    }
    if let Some(retry_in) = peer.retry_in {
        w.number("retry_in", whole_seconds(retry_in));
    }
    w.optional("last_error", peer.last_error.as_deref());
    if let Some(rtt) = peer.rtt {
        w.number("rtt_ms", u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX));
    }
}

/// The reply to `list`: in full if that is not too large, else briefly; what does not fit either is counted.
pub(super) fn list(state: Option<State>, context: &CallContext<'_>, now: Now) -> BlobMsgTable {
    let wanted: Vec<&Mitigation> =
        context.ledger.all().filter(|m| state.is_none_or(|state| m.state() == state)).collect();
    let written = |detail| move |m: &&Mitigation| mitigation(m, m.state(), context.inventory, detail, now);
    let mut tables = fitting(wanted.iter().map(written(ReplyDetail::Full)));
    if tables.len() < wanted.len() {
        let turns = in_turn(&wanted);
        let brief = fitting(turns.iter().map(written(ReplyDetail::Brief)));
        let mut told: Vec<(MitigationId, BlobMsgTable)> = turns.iter().map(|m| m.id()).zip(brief).collect();
        told.sort_by_key(|(id, _)| *id);
        tables = told.into_iter().map(|(_, table)| table).collect();
    }
    Writer::table_of(|w| {
        w.list("mitigations", &tables, |w, table| w.put(None, table));
        if tables.len() < wanted.len() {
            w.number("omitted", (wanted.len() - tables.len()) as u64);
        }
    })
}

/// The reply to `ended`: briefly, they are no more.
pub(super) fn ended(context: &CallContext<'_>, now: Now) -> BlobMsgTable {
    let brief = |m: &Mitigation| mitigation(m, m.state(), context.inventory, ReplyDetail::Brief, now);
    let tables = fitting(context.ledger.ended().map(brief));
    Writer::table_of(|w| w.list("mitigations", &tables, |w, table| w.put(None, table)))
}

/// The reply to `incidents`: all, or those about one device.
pub(super) fn incidents(context: &CallContext<'_>, mac: Option<Mac>) -> BlobMsgTable {
    let wanted = context.ledger.incidents().filter(|incident| mac.is_none_or(|mac| incident.is_about(mac)));
    let tables = fitting(wanted.map(|incident| Writer::table_of(|w| write_incident(w, incident))));
    Writer::table_of(|w| w.list("incidents", &tables, |w, table| w.put(None, table)))
}

fn write_incident(w: &mut Writer, incident: &Incident) {
    w.number("id", incident.id);
    w.text("peer", &incident.peer);
    w.number("requested", incident.requested);
    w.number("ended", incident.ended);
    w.list("devices", &incident.devices, |w, (mac, name)| {
        w.table(None, |w| {
            w.text("mac", mac);
            w.optional("name", name.as_deref());
        });
    });
    w.table(Some("target"), |w| {
        w.texts("prefixes", &incident.targets);
        w.texts("ports", &incident.ports);
        w.list("protocols", &incident.protocols, |w, protocol| w.number_element(*protocol));
    });
    w.text("action", incident.action.as_str());
    if let Some(decision) = &incident.decision {
        w.table(Some("decision"), |w| write_decision(w, decision));
    }
    let (packets, bytes) = incident.dropped;
    w.table(Some("dropped"), |w| write_traffic(w, Traffic { packets, bytes }));
    w.text("outcome", &incident.outcome);
}

fn write_decision(w: &mut Writer, decision: &Decision) {
    w.text("by", &decision.by);
    w.number("at", decision.at);
    w.optional("comment", decision.comment.as_deref());
}

/// One of each provider in turn, each provider's oldest first: so that no provider's requests push out those of others.
fn in_turn<'a>(all: &[&'a Mitigation]) -> Vec<&'a Mitigation> {
    let mut count: VecMap<&str, usize> = VecMap::new();
    let turn = |m: &&'a Mitigation| {
        let turn = count.entry(m.client().peer.as_str()).or_default();
        *turn += 1;
        (*turn, *m)
    };
    let mut turns: Vec<(usize, &Mitigation)> = all.iter().map(turn).collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, m)| m).collect()
}

/// As many of the tables as a reply holds.
fn fitting(tables: impl Iterator<Item = BlobMsgTable>) -> Vec<BlobMsgTable> {
    let mut size = 0_usize;
    let within = |table: &BlobMsgTable| {
        size = size.saturating_add(table.as_slice().len());
        size <= LARGEST
    };
    tables.take_while(within).collect()
}

/// One mitigation, in full if that is not too large.
pub(super) fn whole_mitigation(m: &Mitigation, inventory: &Inventory, now: Now) -> BlobMsgTable {
    last_state(m, m.state(), inventory, now)
}

/// The same, in a state it has come to since.
pub(super) fn last_state(m: &Mitigation, state: State, inventory: &Inventory, now: Now) -> BlobMsgTable {
    let full = mitigation(m, state, inventory, ReplyDetail::Full, now);
    if full.as_slice().len() <= LARGEST { full } else { mitigation(m, state, inventory, ReplyDetail::Brief, now) }
}

fn mitigation(m: &Mitigation, state: State, inventory: &Inventory, detail: ReplyDetail, now: Now) -> BlobMsgTable {
    Writer::table_of(|w| {
        w.number("id", m.id().0);
        w.text("peer", &m.client().peer);
        w.text("cuid", &m.client().cuid);
        w.number("mid", m.mid());
        w.text("state", state.as_str());
        w.number("requested", m.requested());
        w.number("lifetime", m.granted().as_secs());
        w.number("remaining", whole_seconds(m.remaining(now)));
        if !m.asked() {
            w.boolean("asked", false);
        }
        if m.until() != Until::Request {
            w.text("until", m.until().as_str());
        }
        if let Some(left) = m.left(now) {
            w.number("left", whole_seconds(left));
        }
        w.text("action", m.action().as_str());
        w.table(Some("target"), |w| write_target(w, m.scope(), detail));
        w.table(Some("source"), |w| write_source(w, m.scope(), detail));
        w.list("devices", m.suspects().iter().take(detail.most()), |w, suspect| {
            w.table(None, |w| write_suspect(w, m, suspect, inventory, detail))
        });
        if !m.strangers().is_empty() {
            w.list("strangers", m.strangers(), |w, stranger| w.table(None, |w| write_stranger(w, stranger)));
        }
        if let Some(decision) = m.decision() {
            w.table(Some("decision"), |w| write_decision(w, decision));
        }
        w.table(Some("dropped"), |w| {
            write_traffic(w, m.dropped());
            write_rate(w, m.rate());
            if let Some(ago) = m.dropped_ago(now) {
                w.number("last", now.unix.saturating_sub(ago.as_secs()));
            }
        });
        w.boolean("verified", m.verified() && state == m.state());
        w.optional("detail", m.detail());
    })
}

fn write_target(w: &mut Writer, scope: &Scope, detail: ReplyDetail) {
    let mut prefixes: Vec<&IpNet> = scope.target_prefixes.iter().collect();
    prefixes.sort_by_key(|prefix| narrowness(prefix));
    w.texts("prefixes", prefixes.into_iter().take(detail.most()));
    w.texts("ports", scope.target_ports.iter().take(detail.most()));
    w.list("protocols", &scope.target_protocols, |w, protocol| w.number_element(*protocol));
    w.texts("fqdns", scope.target_fqdns.iter().take(detail.most()));
    w.texts("uris", scope.target_uris.iter().take(detail.most()));
    let claims = [("fqdns", &scope.target_fqdns), ("uris", &scope.target_uris)];
    w.texts("unverified", claims.into_iter().filter(|(_, texts)| !texts.is_empty()).map(|(name, _)| name));
    let breadth = scope.breadth();
    w.boolean("wide", scope.is_wide());
    w.number("v4_addresses", breadth.v4_addresses);
    w.number("v6_networks", breadth.v6_networks);
}

/// The wider comes first: of a long list a person sees the beginning. A /24 of IPv4 is as wide as a /48 of IPv6.
fn narrowness(prefix: &IpNet) -> u8 {
    if prefix.addr().is_ipv4() { prefix.prefix_len() * 2 } else { prefix.prefix_len() }
}

fn write_source(w: &mut Writer, scope: &Scope, detail: ReplyDetail) {
    w.texts("prefixes", scope.source_prefixes.iter().take(detail.most()));
    w.texts("ports", scope.source_ports.iter().take(detail.most()));
    w.texts("icmp_types", scope.source_icmp_types.iter().take(detail.most()));
}

/// A suspect under the name and addresses known now, or else at the time of the search; for one behind another router
/// only the search knows them.
fn write_suspect(w: &mut Writer, m: &Mitigation, suspect: &Suspect, inventory: &Inventory, detail: ReplyDetail) {
    let known = inventory.device(suspect.mac);
    let name = inventory.name_of(suspect.mac).filter(|_| !suspect.may_stand_for_others()).or(suspect.name.as_deref());
    let addresses = known.filter(|_| !suspect.behind).map(|device| &device.addresses);
    let addresses = addresses.filter(|addresses| !addresses.is_empty());
    // A machine may have a leg in several networks: what counts is where its traffic came from.
    let interface = suspect.interface.as_deref().or(known.and_then(|device| device.interface.as_deref()));
    write_identity(w, suspect.mac, name, addresses.unwrap_or(&suspect.addresses), interface);
    if suspect.is_shared() {
        w.texts("sharers", suspect.sharers.iter().take(detail.most()));
    }
    if !suspect.former.is_empty() {
        w.texts("former", suspect.former.iter().take(detail.most()));
    }
    if let Some(only) = m.narrowed(suspect.mac) {
        w.texts("only", only.iter().take(detail.most()));
    }
    w.boolean("chosen", m.chosen().contains(&suspect.mac));
    w.text("confidence", suspect.confidence.as_str());
    let shown = if detail == ReplyDetail::Full { suspect.evidence.as_slice() } else { &[] };
    w.list("evidence", shown, |w, evidence| {
        w.table(None, |w| {
            w.text("flow", &evidence.flow.to_string());
            if let Some(sent) = evidence.flow.sent {
                write_traffic(w, sent);
            }
            write_rate(w, evidence.rate);
            w.number("seen", evidence.seen);
        });
    });
}

fn write_stranger(w: &mut Writer, stranger: &Stranger) {
    w.text("address", &stranger.address.to_string());
    w.optional("interface", stranger.interface.as_deref());
    w.texts("asked_by", &stranger.asked_by);
    w.text("why", &stranger.to_string());
}

fn write_identity(w: &mut Writer, mac: Mac, name: Option<&str>, addresses: &[IpAddr], interface: Option<&str>) {
    w.text("mac", &mac.to_string());
    w.optional("name", name);
    w.texts("addresses", addresses);
    w.optional("interface", interface);
}

fn write_traffic(w: &mut Writer, traffic: Traffic) {
    w.number("packets", traffic.packets);
    w.number("bytes", traffic.bytes);
}

fn write_rate(w: &mut Writer, rate: Traffic) {
    w.number("pps", rate.packets);
    w.number("bps", rate.bytes);
}

/// The reply to `history`.
pub(super) fn history(context: &CallContext<'_>, limit: Option<usize>) -> BlobMsgTable {
    Writer::table_of(|w| {
        let entries = context.ledger.history().take(limit.unwrap_or(usize::MAX));
        w.list("events", entries, |w, entry| w.table(None, |w| write_entry(w, entry, context.inventory)));
    })
}

fn write_entry(w: &mut Writer, entry: &Entry, inventory: &Inventory) {
    w.number("time", entry.time);
    w.text("event", entry.event.as_str());
    if let Some(id) = entry.id() {
        w.number("id", id.0);
    }
    w.optional("peer", entry.peer());
    w.optional("mac", entry.mac().map(|mac| mac.to_string()).as_deref());
    w.optional("name", entry.mac().and_then(|mac| inventory.name_of(mac)));
    w.optional("by", entry.by.as_deref());
    w.optional("comment", entry.comment.as_deref());
}

/// The reply to `vetoes`.
pub(super) fn vetoes(context: &CallContext<'_>, now: Now) -> BlobMsgTable {
    let veto = |veto| Writer::table_of(|w| write_veto(w, veto, context.inventory, now));
    let tables = fitting(context.ledger.vetoes().map(veto));
    let omitted = context.ledger.vetoes().count() - tables.len();
    Writer::table_of(|w| {
        w.list("vetoes", &tables, |w, table| w.put(None, table));
        if omitted > 0 {
            w.number("omitted", omitted as u64);
        }
    })
}

fn write_veto(w: &mut Writer, veto: &Veto, inventory: &Inventory, now: Now) {
    w.number("id", veto.id.0);
    w.text("peer", &veto.peer);
    w.list("devices", &veto.devices, |w, mac| {
        w.table(None, |w| {
            w.text("mac", &mac.to_string());
            w.optional("name", inventory.name_of(*mac));
        });
    });
    w.texts("targets", &veto.targets);
    w.text("cause", veto.cause.as_str());
    w.text("by", &veto.decision.by);
    w.number("at", veto.decision.at);
    w.optional("comment", veto.decision.comment.as_deref());
    w.number("remaining", whole_seconds(veto.ends.saturating_duration_since(now.instant)));
}

/// One line of `devices`.
pub(super) fn device(device: &DeviceView<'_>) -> BlobMsgTable {
    Writer::table_of(|w| {
        write_identity(w, device.mac, device.name, device.addresses, device.interface);
        w.text("state", device.state.as_str());
        w.list("mitigations", &device.mitigations, |w, id| w.number_element(id.0));
        w.table(Some("dropped"), |w| {
            write_traffic(w, device.dropped);
            write_rate(w, device.rate);
        });
    })
}

/// The reply to `devices`.
pub(super) fn devices(context: &CallContext<'_>) -> BlobMsgTable {
    let all = device::all(context);
    let tables = fitting(all.values().map(device));
    Writer::table_of(|w| {
        w.list("devices", &tables, |w, table| w.put(None, table));
        if tables.len() < all.len() {
            w.number("omitted", (all.len() - tables.len()) as u64);
        }
    })
}
