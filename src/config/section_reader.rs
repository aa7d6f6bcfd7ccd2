//! The options of one section: read by name, every fault noted, and at last those nobody asked for.

use std::ops::RangeInclusive;

use super::fault::{ConfigFault, Problem, ValueKind};
use crate::uci::{Section, Setting, SettingValue};

/// A section being read.
pub(super) struct SectionReader<'a> {
    section: &'a Section,
    label: String,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> SectionReader<'a> {
    /// `label` is how problems name the section.
    pub(super) fn new(section: &'a Section, label: String) -> Self {
        Self { section, label, known: Vec::new(), problems: Vec::new() }
    }

    /// Notes the lines that can't be read. One that is not used any more may be the only one of its kind: a domain, an exemption.
    pub(super) fn note_errors(&mut self) {
        let section = self.label.clone();
        self.problems.extend(self.section.errors().iter().map(|error| Problem {
            section: section.clone(),
            option: None,
            reason: ConfigFault::Syntax(error.reason()),
            line: Some(error.line()),
        }));
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn name(&self) -> Option<&'a str> {
        self.section.name()
    }

    /// The option's value, if it is set and good.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ConfigFault>,
    ) -> Option<T> {
        let setting = self.find(name)?;
        let parsed = match setting.value() {
            SettingValue::Scalar(text) => parse(text),
            SettingValue::List(_) => Err(ConfigFault::List),
        };
        parsed.map_err(|reason| self.fault(Some(name), reason)).ok()
    }

    /// As [`get`](Self::get), but noted where it is not set; `why` it is needed.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        why: &'static str,
        parse: impl FnOnce(&str) -> Result<T, ConfigFault>,
    ) -> Option<T> {
        if !self.is_set(name) {
            self.fault(Some(name), ConfigFault::Missing(why));
        }
        self.get(name, parse)
    }

    /// Puts the option's value in place of the default, if it is set and good.
    pub(super) fn set<T>(
        &mut self,
        name: &'static str,
        value: &mut T,
        parse: impl FnOnce(&str) -> Result<T, ConfigFault>,
    ) {
        if let Some(new) = self.get(name, parse) {
            *value = new;
        }
    }

    /// The list's good items, each once. An option will do, items separated by white space, as everywhere in OpenWrt.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ConfigFault>,
    ) -> Vec<T> {
        let texts: Vec<&str> = match self.find(name).map(Setting::value) {
            Some(SettingValue::Scalar(text)) => text.split_whitespace().collect(),
            Some(SettingValue::List(items)) => items.iter().map(String::as_str).collect(),
            None => Vec::new(),
        };
        let mut items = Vec::new();
        for text in texts {
            match parse(text) {
                Ok(item) if items.contains(&item) => {}
                Ok(item) => items.push(item),
                Err(reason) => self.fault(Some(name), reason),
            }
        }
        items
    }

    /// These exist, though they may not matter now.
    pub(super) fn know(&mut self, names: &[&'static str]) {
        self.known.extend(names);
    }

    /// Notes what is wrong.
    pub(super) fn fault(&mut self, option: Option<&'static str>, reason: ConfigFault) {
        let setting = option.and_then(|name| self.section.settings().iter().find(|s| s.name() == name));
        let line = setting.map_or(self.section.line(), Setting::line);
        let option = option.map(str::to_owned);
        self.problems.push(Problem { section: self.label.clone(), option, reason, line: Some(line) });
    }

    /// What is missing does not matter: the section is not in use yet.
    pub(super) fn forgive_missing(&mut self) {
        let settings = self.section.settings();
        let is_there = |option: &String| settings.iter().any(|setting| setting.name() == option);
        self.problems.retain(|problem| problem.option.as_ref().is_none_or(is_there));
    }

    /// The first that was noted.
    pub(super) fn first_fault(&self) -> Option<&Problem> {
        self.problems.first()
    }

    /// All that was noted, and the options nobody knows.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let Self { section, label, known, mut problems } = self;
        // What is missing may stand in a line that can't be read.
        problems.retain(|problem| section.errors().is_empty() || !matches!(problem.reason, ConfigFault::Missing(_)));
        let unknown = section.settings().iter().filter(|setting| !known.contains(&setting.name()));
        problems.extend(unknown.map(|setting| Problem {
            section: label.clone(),
            option: Some(setting.name().to_owned()),
            reason: ConfigFault::UnknownOption,
            line: Some(setting.line()),
        }));
        problems
    }

    /// All that was noted.
    pub(super) fn into_faults(self) -> Vec<Problem> {
        self.problems
    }

    /// Whether it has a value, good or bad.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.section.settings().iter().any(|setting| setting.name() == name)
    }

    fn find(&mut self, name: &'static str) -> Option<&'a Setting> {
        self.known.push(name);
        self.section.settings().iter().find(|setting| setting.name() == name)
    }
}

/// A switch, in any of the words OpenWrt's scripts take.
pub(super) fn flag(text: &str) -> Result<bool, ConfigFault> {
    match text {
        "1" | "on" | "true" | "yes" | "enabled" => Ok(true),
        "0" | "off" | "false" | "no" | "disabled" => Ok(false),
        other => Err(ValueKind::Switch.but(other)),
    }
}

/// A decimal number.
pub(super) fn number(text: &str, range: RangeInclusive<u32>) -> Result<u32, ConfigFault> {
    let number = text.parse().ok().filter(|number| text.bytes().all(|b| b.is_ascii_digit()) && range.contains(number));
    number.ok_or_else(|| ValueKind::Number(*range.start(), *range.end()).but(text))
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, ConfigFault> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| ValueKind::OneOf(words.iter().map(|(word, _)| *word).collect()).but(text))
}
