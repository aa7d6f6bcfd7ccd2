//! What is told of what happens: a line of the log, and variables for the administrator's own scripts.

use ipnet::IpNet;

use crate::mitigation::{Entry, Happened, Ledger};
use crate::source::Inventory;

/// Targets named in a line of the log.
const MOST_IN_LINE: usize = 3;
/// Targets told to scripts.
const MOST_FOR_SCRIPTS: usize = 16;

/// Something that has happened, with what the log and the scripts are told of it.
pub(super) struct News<'a> {
    entry: &'a Entry,
    name: String,
    /// How sure it is that the device is meant, and how many bytes a second it sends or would send.
    suspicion: Option<(&'static str, u64)>,
    /// As many as scripts are told.
    targets: Vec<IpNet>,
    all_targets: usize,
}

impl<'a> News<'a> {
    /// Looks up what belongs to it.
    pub(super) fn new(entry: &'a Entry, ledger: &Ledger, inventory: &Inventory) -> Self {
        let device = entry.mac().and_then(|mac| inventory.device(mac));
        let name = device.and_then(|device| device.name.clone()).unwrap_or_default();
        let mitigation = entry.id().and_then(|id| ledger.get(id));
        let suspect = mitigation.and_then(|m| m.suspects().iter().find(|suspect| Some(suspect.mac) == entry.mac()));
        let suspicion = suspect.zip(mitigation).map(|(suspect, m)| {
            let sent: u64 = suspect.evidence.iter().map(|evidence| evidence.rate.bytes).sum();
            (suspect.confidence.as_str(), sent.max(m.rate().bytes))
        });
        let targets = mitigation.map(|m| m.scope().target_prefixes.as_slice());
        let targets = targets.unwrap_or_default();
        let first = targets.iter().take(MOST_FOR_SCRIPTS).copied().collect();
        Self { entry, name, suspicion, targets: first, all_targets: targets.len() }
    }

    /// The environment of scripts in `/etc/hotplug.d/dots-callhome/`.
    pub(super) fn variables(&self) -> [(&'static str, String); 10] {
        [
            ("ACTION", self.entry.event.as_str().to_owned()),
            ("ID", self.entry.id().map(|id| id.0.to_string()).unwrap_or_default()),
            ("MAC", self.entry.mac().map(|mac| mac.to_string()).unwrap_or_default()),
            ("NAME", self.name.clone()),
            ("TARGET", joined(&self.targets)),
            ("PEER", self.entry.peer().unwrap_or_default().to_owned()),
            ("CONFIDENCE", self.suspicion.map(|(confidence, _)| confidence).unwrap_or_default().to_owned()),
            ("RATE", self.suspicion.map(|(_, rate)| rate.to_string()).unwrap_or_default()),
            ("BY", self.entry.by.clone().unwrap_or_default()),
            ("COMMENT", self.entry.comment.clone().unwrap_or_default()),
        ]
    }

    /// Says it in the log, and how many lines about the same provider were left out before it.
    pub(super) fn log(&self, suppressed: u32) {
        let mut line = match (self.entry.id(), self.entry.peer()) {
            (Some(id), Some(peer)) => format!("request {} of {peer}: {}", id.0, self.entry.event.as_str()),
            _ => self.entry.event.as_str().to_owned(),
        };
        let device = self.entry.mac().map(|mac| match self.name.as_str() {
            "" => mac.to_string(),
            name => format!("{mac} ({name})"),
        });
        let target = (!self.targets.is_empty()).then(|| self.brief_targets());
        for (what, value) in [("device", device), ("target", target), ("by", self.entry.by.clone())] {
            if let Some(value) = value {
                line.push_str(&format!(", {what} {value}"));
            }
        }
        if let Some(comment) = &self.entry.comment {
            line.push_str(&format!(": {comment}"));
        }
        if suppressed > 0 {
            line = format!("({suppressed} lines left out) {line}");
        }
        match self.entry.event {
            Happened::Failed => log::warn!("{line}"),
            _ => log::info!("{line}"),
        }
    }

    fn brief_targets(&self) -> String {
        let first = self.targets.get(..MOST_IN_LINE).unwrap_or(&self.targets);
        match self.all_targets - first.len() {
            0 => joined(first),
            more => format!("{} and {more} more", joined(first)),
        }
    }
}

fn joined(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::mitigation::About;
    use crate::model::MitigationId;

    /// Scripts see whether a person, the policy or a timeout has acted, and what they did.
    #[test]
    fn scripts_are_told_who_did_it() {
        let (ledger, inventory) = (Ledger::new(Config::default().policy), Inventory::new());
        let entry = |event, by: Option<&str>| Entry {
            time: 0,
            event,
            about: About::Mitigation { id: MitigationId(1), peer: "isp".to_owned(), mac: None },
            by: by.map(str::to_owned),
            comment: None,
        };
        for (event, by, told) in [
            (Happened::Approved, Some("policy"), ("approved", "policy")),
            (Happened::Rejected, Some("timeout"), ("rejected", "timeout")),
            (Happened::Reminder, None, ("reminder", "")),
        ] {
            let entry = entry(event, by);
            let variables = News::new(&entry, &ledger, &inventory).variables();
            let value = |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
            assert_eq!((value("ACTION"), value("BY")), (Some(told.0), Some(told.1)));
            assert_eq!((value("ID"), value("PEER")), (Some("1"), Some("isp")));
        }
    }
}
