//! What has been measured: as text while it is measured, as JSON at the end.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// All figures of a run.
#[derive(Default)]
pub struct Figures(Vec<Value>);

/// A figure that is being told.
pub struct Figure<'a> {
    all: &'a mut Figures,
    name: String,
    value: f64,
    unit: &'static str,
    floor: Option<(&'static str, f64)>,
    budget: Option<f64>,
}

impl Figures {
    /// A figure; it is told when dropped.
    pub fn tell(&mut self, name: impl Into<String>, value: f64, unit: &'static str) -> Figure<'_> {
        Figure { all: self, name: name.into(), value, unit, floor: None, budget: None }
    }

    /// Prints them as JSON, and keeps that beside what cargo builds.
    pub fn finish(&self) {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let text = json!({ "kernel": kernel.trim(), "load": load.trim(), "figures": self.0 }).to_string();
        println!("{text}");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::write(directory.join("bench.json"), text).expect("written");
    }
}

impl Figure<'_> {
    /// What the least that does the same takes, measured in the same run.
    pub fn floor(mut self, what: &'static str, value: f64) -> Self {
        self.floor = Some((what, value));
        self
    }

    /// What it may be at most.
    pub fn budget(mut self, most: f64) -> Self {
        self.budget = Some(most);
        self
    }
}

impl Drop for Figure<'_> {
    fn drop(&mut self) {
        let mut line = format!("{}: {} {}", self.name, short(self.value), self.unit);
        let mut entry = json!({ "name": self.name, "value": self.value, "unit": self.unit });
        if let Some((what, floor)) = self.floor {
            let ratio = self.value / floor;
            line += &format!(", {} times {what} ({})", short(ratio), short(floor));
            entry["floor"] = json!({ "what": what, "value": floor, "ratio": ratio });
        }
        if let Some(budget) = self.budget {
            line += &format!(" (budget {})", short(budget));
            entry["budget"] = budget.into();
        }
        println!("{line}");
        self.all.0.push(entry);
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
