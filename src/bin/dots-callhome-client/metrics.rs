//! What there is to be counted, in Prometheus' text format (version 0.0.4).

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use dots_callhome::client::wishes::WishState;

use crate::calls::Calls;
use crate::commands::Commands;
use crate::desired::Desired;
use crate::output;

/// All of it.
pub(crate) fn text(calls: &Calls, desired: &Desired, commands: &Commands, is_draining: bool) -> String {
    let mut text = Text::default();
    let counts = calls.counts();
    text.of("build_info", "gauge", "The version, in a label.").value("version", env!("CARGO_PKG_VERSION"), 1);
    let mut routers: BTreeMap<&str, usize> = [("tls", 0), ("dtls", 0)].into();
    calls.transports().for_each(|transport| *routers.entry(transport).or_default() += 1);
    let mut metric = text.of("routers", "gauge", "Routers that have a session.");
    routers.iter().for_each(|(transport, count)| metric.value("transport", transport, count));
    text.of("calls_proving", "gauge", "Callers that have not proven yet who they are.").only(calls.proving());
    text.of("calls_most", "gauge", "Calls that there is room for.").only(calls.most());
    let mut metric = text.of("calls_total", "counter", "Calls, by what has become of them at first.");
    metric.value("outcome", "admitted", counts.admitted);
    metric.value("outcome", "refused", counts.refused);
    metric.value("outcome", "duplicate", counts.duplicates);
    text.of("sessions_ended_total", "counter", "Sessions that are over.").only(counts.ended);
    let mut mitigations: BTreeMap<String, usize> = (1..=7).map(|status: u8| (status.to_string(), 0)).collect();
    let known =
        calls.mitigations().filter(|(_, _, known)| !known.ended).filter_map(|(_, _, known)| known.report.status);
    known.for_each(|status| *mitigations.entry(status.to_string()).or_default() += 1);
    let mut metric = text.of("mitigations", "gauge", "Mitigations, by the status that the router reports (RFC 9132).");
    mitigations.iter().for_each(|(status, count)| metric.value("status", status, count));
    let mut wishes: BTreeMap<&str, usize> =
        ["wanted", "declined", "withdrawn", "stopped", "over"].map(|state| (state, 0)).into();
    desired.wishes().all().for_each(|wish| *wishes.entry(state(&wish.state)).or_default() += 1);
    let mut metric =
        text.of("wishes", "gauge", "What is or was wanted of routers within a day, by what has become of it.");
    wishes.iter().for_each(|(state, count)| metric.value("state", state, count));
    text.of("store_up", "gauge", "1 while what is wanted can be kept.").only(u8::from(desired.is_kept()));
    text.of("draining", "gauge", "1 while routers are sent elsewhere.").only(u8::from(is_draining));
    text.of("commands", "gauge", "Connections of the control socket.").only(commands.len());
    text.of("log_lines_lost_total", "counter", "Lines of the log that could not be written.").only(output::lost());
    if let Some(until) = calls.own_until() {
        text.of("certificate_expiry_seconds", "gauge", "When our own certificate is over, seconds since 1970.")
            .only(until);
    }
    text.0
}

fn state(state: &WishState) -> &'static str {
    match state {
        WishState::Wanted => "wanted",
        WishState::Declined { .. } => "declined",
        WishState::Withdrawn { .. } => "withdrawn",
        WishState::Stopped { .. } => "stopped",
        WishState::Over { .. } => "over",
    }
}

#[derive(Default)]
struct Text(String);

/// A metric whose values are being written.
struct Metric<'a>(&'a mut String, &'static str);

impl Text {
    fn of(&mut self, name: &'static str, kind: &str, help: &str) -> Metric<'_> {
        let _ = writeln!(self.0, "# HELP dots_callhome_{name} {help}\n# TYPE dots_callhome_{name} {kind}");
        Metric(&mut self.0, name)
    }
}

impl Metric<'_> {
    fn only(&mut self, value: impl Display) {
        let _ = writeln!(self.0, "dots_callhome_{} {value}", self.1);
    }

    fn value(&mut self, label: &str, of: &str, value: impl Display) {
        let _ = writeln!(self.0, "dots_callhome_{}{{{label}=\"{of}\"}} {value}", self.1);
    }
}
