//! The daemon's configuration: `/etc/config/dots-callhome`, parsed to types.
//!
//! Reading never fails. What is wrong is said, all at once, and left out: a faulty peer is disabled without harm to the
//! others, and a faulty rule becomes the careful one. While a line can't be read at all, nothing is done without asking. So a
//! half-wrong file never opens or blocks more than it says.

mod fault;
mod peer;
mod section_reader;

use std::time::Duration;

use log::LevelFilter;
use vecset::VecMap;
use vecset::map::Entry;

use self::section_reader::{SectionReader, flag, number, one_of};
use crate::mitigation::{Action, Consent, DevicePolicy, Policy, TimeoutAction};
use crate::model::Mac;
use crate::uci::{self, Section};

pub use self::fault::{ConfigFault, Disabled, DisabledReason, Problem, ValueKind};
pub use self::peer::{Auth, Peer, TransportChoice};

/// Longest name of a device, in characters.
const MAX_NAME: usize = 64;
/// Most mitigations of one peer that may be asked for.
const MAX_MITIGATIONS: u32 = 1024;

/// All that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether to run at all.
    pub enabled: bool,
    /// What is worth a line in the log.
    pub log_level: LevelFilter,
    /// Whether requests may name sources that are not visible outside the home.
    pub internal_sources: bool,
    /// The administrator's rules.
    pub policy: Policy,
    /// The providers that can be called.
    pub peers: Vec<Peer>,
    /// Those that can't.
    pub disabled: Vec<Disabled>,
    /// The administrator's names for devices.
    pub names: VecMap<Mac, String>,
}

impl Default for Config {
    /// What holds where nothing is said: do nothing, ask first.
    fn default() -> Self {
        let policy = Policy {
            consent: Consent::Ask,
            action: Action::Block,
            consent_timeout: None,
            timeout_action: TimeoutAction::Ignore,
            max_lifetime: Duration::from_secs(86_400),
            max_mitigations: 128,
            devices: VecMap::new(),
        };
        Self {
            enabled: false,
            log_level: LevelFilter::Info,
            internal_sources: false,
            policy,
            peers: Vec::new(),
            disabled: Vec::new(),
            names: VecMap::new(),
        }
    }
}

impl Config {
    /// Reads the file's text: what is valid, and all that is wrong. Of a file that is too long nothing is taken.
    pub fn read(text: &str) -> (Self, Vec<Problem>) {
        let mut config = Self::default();
        let problem = |error: uci::SyntaxError| Problem {
            section: String::new(),
            option: None,
            reason: ConfigFault::Syntax(error.reason()),
            line: Some(error.line()),
        };
        let (sections, errors) = match uci::read(text) {
            Ok(read) => read,
            Err(error) => return (config, vec![problem(error)]),
        };
        let mut counts = VecMap::new();
        let is_whole = errors.is_empty() && sections.iter().all(|section| section.errors().is_empty());
        let mut problems: Vec<Problem> = errors.into_iter().map(problem).collect();
        for section in &sections {
            let index = counts.entry(section.kind()).or_insert(0_usize);
            let label = section.name().map_or_else(|| format!("@{}[{index}]", section.kind()), str::to_owned);
            *index += 1;
            problems.extend(config.take(section, label));
        }
        problems.sort_by_key(|problem| problem.line);
        if !is_whole {
            ask_first(&mut config.policy);
        }
        (config, problems)
    }

    fn take(&mut self, section: &Section, label: String) -> Vec<Problem> {
        let mut options = SectionReader::new(section, label);
        options.note_errors();
        match section.kind() {
            "globals" if section.name() == Some("globals") => self.take_globals(&mut options),
            "globals" => return only(options, ConfigFault::OtherGlobals),
            "peer" => self.take_peer(&mut options),
            "device" => self.take_device(&mut options),
            other => return only(options, ConfigFault::UnknownKind(other.to_owned())),
        }
        options.into_problems()
    }

    fn take_globals(&mut self, options: &mut SectionReader<'_>) {
        let consents = [("ask", Consent::Ask), ("auto", Consent::Auto), ("observe", Consent::Observe)];
        let actions = [("block", Action::Block), ("quarantine", Action::Quarantine)];
        let timeout_actions =
            [("ignore", TimeoutAction::Ignore), ("approve", TimeoutAction::Approve), ("reject", TimeoutAction::Reject)];
        let levels = [
            ("error", LevelFilter::Error),
            ("warn", LevelFilter::Warn),
            ("info", LevelFilter::Info),
            ("debug", LevelFilter::Debug),
        ];
        let policy = &mut self.policy;
        options.set("enabled", &mut self.enabled, flag);
        options.set("consent", &mut policy.consent, |text| one_of(text, &consents));
        options.set("action", &mut policy.action, |text| one_of(text, &actions));
        options.set("consent_timeout", &mut policy.consent_timeout, |text| {
            number(text, 0..=u32::MAX).map(|seconds| (seconds > 0).then(|| Duration::from_secs(seconds.into())))
        });
        options.set("timeout_action", &mut policy.timeout_action, |text| one_of(text, &timeout_actions));
        options.set("max_lifetime", &mut policy.max_lifetime, |text| {
            number(text, 1..=u32::MAX).map(|seconds| Duration::from_secs(seconds.into()))
        });
        options.set("max_mitigations", &mut policy.max_mitigations, |text| {
            number(text, 1..=MAX_MITIGATIONS).map(|most| usize::try_from(most).unwrap_or(usize::MAX))
        });
        options.set("internal_sources", &mut self.internal_sources, flag);
        options.set("log_level", &mut self.log_level, |text| one_of(text, &levels));
    }

    fn take_peer(&mut self, options: &mut SectionReader<'_>) {
        match peer::read(options) {
            Ok(peer) => self.peers.push(peer),
            Err(reason) => self.disabled.push(Disabled { section: options.label().to_owned(), reason }),
        }
    }

    fn take_device(&mut self, options: &mut SectionReader<'_>) {
        let policies = [
            ("ask", Some(DevicePolicy::Ask)),
            ("auto", Some(DevicePolicy::Auto)),
            ("exempt", Some(DevicePolicy::Exempt)),
            ("default", None),
        ];
        let mac = options.required("mac", "it says which device is meant", |text| {
            text.parse::<Mac>().map_err(|_| ValueKind::Mac.but(text))
        });
        let policy = options.get("policy", |text| one_of(text, &policies)).unwrap_or(Some(DevicePolicy::Ask));
        let name = options.get("name", device_name);
        let Some(mac) = mac else { return };
        if let Some(name) = name {
            self.names.entry(mac).or_insert(name);
        }
        // A name needs no rule.
        let Some(policy) = policy else { return };
        match self.policy.devices.entry(mac) {
            Entry::Vacant(entry) => {
                entry.insert(policy);
            }
            Entry::Occupied(mut entry) => {
                let careful = *[policy, *entry.get()].iter().max_by_key(|policy| care(**policy)).unwrap_or(&policy);
                entry.insert(careful);
                options.fault(Some("mac"), ConfigFault::SameDevice);
            }
        }
    }
}

fn only(mut options: SectionReader<'_>, reason: ConfigFault) -> Vec<Problem> {
    options.fault(None, reason);
    options.into_faults()
}

/// Does nothing without asking: a line that can't be read may be one that forbids it.
fn ask_first(policy: &mut Policy) {
    if policy.consent == Consent::Auto {
        policy.consent = Consent::Ask;
    }
    if policy.timeout_action == TimeoutAction::Approve {
        policy.timeout_action = TimeoutAction::Ignore;
    }
    for device in policy.devices.values_mut().filter(|device| **device == DevicePolicy::Auto) {
        *device = DevicePolicy::Ask;
    }
}

/// How little is done to the device without asking.
fn care(policy: DevicePolicy) -> u8 {
    match policy {
        DevicePolicy::Auto => 0,
        DevicePolicy::Ask => 1,
        DevicePolicy::Exempt => 2,
    }
}

fn device_name(text: &str) -> Result<String, ConfigFault> {
    let fits = text.chars().nth(MAX_NAME).is_none() && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(ValueKind::DeviceName(MAX_NAME).but(text)) }
}
