//! What is dropped never grows without a question, and a no binds: over random sequences of requests, decisions, findings, restarts and time,
//! whatever is dropped was consented to. What a scope drops and who consents to what is worked out here a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::support::ledger::*;
use dots_callhome::enforce::DropFilter;
use dots_callhome::enforce::desired::{Desired, Owner};
use dots_callhome::mitigation::{
    Action, Client, Consent, DevicePolicy, Ledger, Mitigation, Policy, State, Term, TimeoutAction, Until, Veto,
    snapshot,
};
use dots_callhome::model::{IcmpTypeRange, Mac, MitigationId, Now, PortRange, Scope};
use dots_callhome::source::{Confidence, Suspect};
use ipnet::IpNet;
use proptest::prelude::*;
use proptest::test_runner::Config;

const DEVICES: [Mac; 3] = [CAMERA, TV, LAPTOP];
/// The last one is nobody's target: only a quarantine cuts it off.
static ADDRESSES: LazyLock<[IpAddr; 6]> = LazyLock::new(|| {
    ["203.0.113.0", "203.0.113.1", "203.0.113.2", "2001:db8:c000::1", "2001:db8:c000::2", "192.0.2.1"]
        .map(|address| address.parse().unwrap())
});
/// Protocol, and port or ICMP type.
const KINDS: [(u8, u16); 7] = [(6, 80), (6, 443), (17, 53), (1, 8), (1, 3), (58, 8), (47, 0)];
const PER_DEVICE: usize = 6 * KINDS.len();

/// A set of packets, a bit for each device, address and kind.
type Packets = u128;

fn device_bits(device: usize) -> Packets {
    ((1 << PER_DEVICE) - 1) << (device * PER_DEVICE)
}

fn index_of(mac: Mac) -> usize {
    DEVICES.iter().position(|device| *device == mac).unwrap()
}

/// What the reference says a block of `scope` drops of a device.
fn drops(scope: &Scope, address: IpAddr, protocol: u8, number: u16) -> bool {
    let icmp = if address.is_ipv4() { 1 } else { 58 };
    let has_ports = [6, 17].contains(&protocol);
    let named = scope.target_protocols.contains(&protocol);
    let (ports, types) = (!scope.target_ports.is_empty(), !scope.source_icmp_types.is_empty());
    let meant = match scope.target_protocols.is_empty() {
        false => named,
        true if !ports && !types => true,
        true if has_ports => ports || !scope.source_ports.is_empty(),
        true => types && protocol == icmp,
    };
    let port = !has_ports || !ports || scope.target_ports.iter().any(|range| range.contains(number));
    let kind = protocol != icmp
        || !types
        || scope.source_icmp_types.iter().any(|range| u8::try_from(number).is_ok_and(|number| range.contains(number)));
    scope.target_prefixes.iter().any(|prefix| prefix.contains(&address)) && meant && port && kind
}

fn packets_of(scope: &Scope) -> Packets {
    let mut packets = 0;
    for (at, address) in ADDRESSES.iter().enumerate() {
        for (kind, (protocol, number)) in KINDS.iter().enumerate() {
            if drops(scope, *address, *protocol, *number) {
                packets |= 1 << (at * KINDS.len() + kind);
            }
        }
    }
    packets
}

/// What an action against a device because of `scope` drops.
fn effect(device: usize, action: Action, scope: &Scope) -> Packets {
    match action {
        Action::Quarantine => device_bits(device),
        Action::Block => packets_of(scope) << (device * PER_DEVICE),
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A request with the client's next number, whose search ends at once.
    Ask {
        client: usize,
        scope: usize,
        suspects: Vec<(usize, Confidence)>,
    },
    Put {
        client: usize,
        mid: u32,
        scope: usize,
        lifetime: u64,
    },
    Delete {
        client: usize,
        mid: u32,
    },
    Found {
        which: usize,
        suspects: Vec<(usize, Confidence)>,
    },
    Spoofed {
        which: usize,
        device: usize,
        sends: bool,
    },
    Approve {
        which: usize,
        action: Option<Action>,
        devices: Vec<usize>,
        lifetime: Option<u64>,
        until: Option<Until>,
    },
    Reject {
        which: usize,
    },
    Withdraw {
        which: usize,
    },
    Release {
        device: usize,
    },
    Lift {
        which: usize,
    },
    Quarantine {
        device: usize,
        lifetime: Option<u64>,
    },
    Rules {
        consent: Consent,
        action: Action,
        devices: Vec<(usize, DevicePolicy)>,
        timeout_action: TimeoutAction,
    },
    Enforced {
        which: usize,
    },
    /// Something was dropped.
    Counted {
        which: usize,
    },
    Pass(u64),
    Restart,
}

fn clients() -> [Client; 3] {
    let client = |peer: &str, cuid: &str| Client { peer: peer.into(), cuid: cuid.into() };
    [client("isp", "K"), client("isp", "L"), client("other", "M")]
}

/// Scopes that differ in one thing each, so that each thing is compared.
static SCOPES: LazyLock<Vec<Scope>> = LazyLock::new(|| {
    let sources = &["198.51.100.7/32"];
    let base = scope(&["203.0.113.0/32"], sources);
    let ports = |low, high| vec![PortRange::new(low, high).unwrap()];
    let types = |low, high| vec![IcmpTypeRange::new(low, high).unwrap()];
    vec![
        base.clone(),
        scope(&["203.0.113.0/31"], sources),
        scope(&["203.0.113.0/32", "203.0.113.1/32"], sources),
        scope(&["203.0.113.0/24"], sources),
        scope(&["203.0.113.0/32", "2001:db8:c000::1/128"], sources),
        scope(&["2001:db8:c000::/64"], sources),
        Scope { target_ports: ports(80, 80), ..base.clone() },
        Scope { target_ports: ports(80, 443), ..base.clone() },
        Scope { target_protocols: vec![6], ..base.clone() },
        Scope { target_protocols: vec![6, 17], ..base.clone() },
        Scope { target_protocols: vec![6], target_ports: ports(80, 80), ..base.clone() },
        Scope { target_protocols: vec![1, 58], ..base.clone() },
        Scope { source_icmp_types: types(8, 8), ..base.clone() },
        Scope { source_icmp_types: types(3, 8), ..base.clone() },
        Scope { source_icmp_types: types(8, 8), source_ports: ports(4021, 4021), ..base.clone() },
        Scope { source_ports: ports(4021, 4021), ..base },
        scope(&["203.0.112.0/23"], sources),
    ]
});

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = prop_oneof![4 => Just(0_usize), 1 => 1..4_usize];
    let device = 0..DEVICES.len();
    let action = prop_oneof![3 => Just(Action::Block), 1 => Just(Action::Quarantine)];
    let confidence = prop_oneof![
        1 => Just(Confidence::Possible),
        1 => Just(Confidence::Likely),
        2 => Just(Confidence::Exact)
    ];
    let lifetime = prop_oneof![Just(60_u64), Just(3600), Just(200_000)];
    let client = prop_oneof![4 => Just(0_usize), 1 => Just(1), 1 => Just(2)];
    let consent = prop_oneof![4 => Just(Consent::Ask), 4 => Just(Consent::Auto), 1 => Just(Consent::Observe)];
    let rule = prop_oneof![Just(DevicePolicy::Ask), Just(DevicePolicy::Auto), Just(DevicePolicy::Exempt)];
    let timeout_action =
        prop_oneof![Just(TimeoutAction::Ignore), Just(TimeoutAction::Approve), Just(TimeoutAction::Reject)];
    let until = prop_oneof![Just(Until::Request), Just(Until::Time), Just(Until::Ended)];
    let suspects = |most| prop::collection::vec((device.clone(), confidence.clone()), most);
    let step = prop_oneof![
        14 => (client.clone(), 0..SCOPES.len(), suspects(1..3_usize))
            .prop_map(|(client, scope, suspects)| Step::Ask { client, scope, suspects }),
        5 => (client.clone(), 1..5_u32, 0..SCOPES.len(), lifetime.clone())
            .prop_map(|(client, mid, scope, lifetime)| Step::Put { client, mid, scope, lifetime }),
        2 => (client, 1..5_u32).prop_map(|(client, mid)| Step::Delete { client, mid }),
        5 => (which.clone(), suspects(1..3_usize)).prop_map(|(which, suspects)| Step::Found { which, suspects }),
        1 => (which.clone(), device.clone(), any::<bool>())
            .prop_map(|(which, device, sends)| Step::Spoofed { which, device, sends }),
        6 => (
            which.clone(),
            prop::option::weighted(0.3, action.clone()),
            prop::collection::vec(device.clone(), 0..2),
            prop::option::weighted(0.1, lifetime.clone()),
            prop::option::weighted(0.3, until)
        )
            .prop_map(|(which, action, devices, lifetime, until)| Step::Approve { which, action, devices, lifetime, until }),
        1 => which.clone().prop_map(|which| Step::Reject { which }),
        1 => which.clone().prop_map(|which| Step::Withdraw { which }),
        1 => device.clone().prop_map(|device| Step::Release { device }),
        1 => (0..2_usize).prop_map(|which| Step::Lift { which }),
        1 => (device.clone(), prop::option::of(lifetime.clone()))
            .prop_map(|(device, lifetime)| Step::Quarantine { device, lifetime }),
        2 => (consent, action, prop::collection::vec((device, rule), 0..2), timeout_action).prop_map(
            |(consent, action, devices, timeout_action)| Step::Rules { consent, action, devices, timeout_action }
        ),
        2 => which.clone().prop_map(|which| Step::Enforced { which }),
        2 => which.prop_map(|which| Step::Counted { which }),
        2 => prop_oneof![Just(10_u64), Just(50), Just(130), Just(400), Just(4000), Just(90_000)].prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Clone, Copy)]
enum Lasts {
    UntilEnded,
    Until(Instant),
}

/// What was consented to for one request.
#[derive(Clone, Copy, Default)]
struct Allowed {
    by_person: Packets,
    by_rules: Packets,
    /// What a person has refused elsewhere since: no successor takes it over.
    contested: Packets,
    /// Until when what a person has said holds, whatever becomes of the request.
    lasts: Option<Lasts>,
}

impl Allowed {
    fn all(self) -> Packets {
        self.by_person | self.by_rules
    }

    /// What holds without the request.
    fn own(self, now: Now) -> Packets {
        match self.lasts {
            Some(Lasts::UntilEnded) => self.by_person,
            Some(Lasts::Until(time)) if time > now.instant => self.by_person,
            _ => 0,
        }
    }

    fn forget(&mut self, packets: Packets) {
        self.by_person &= !packets;
        self.by_rules &= !packets;
    }
}

/// Somebody has said no.
struct No {
    /// Nothing: whoever sends.
    device: Option<usize>,
    targets: Vec<IpNet>,
    until: Instant,
}

impl No {
    /// What it is about, whatever ports or protocols were named.
    fn packets(&self) -> Packets {
        let about = packets_of(&any_traffic(&self.targets));
        let devices = (0..DEVICES.len()).filter(|device| self.device.is_none_or(|meant| meant == *device));
        devices.fold(0, |all, device| all | (about << (device * PER_DEVICE)))
    }

    fn within(&self, targets: &[IpNet]) -> bool {
        let targets = IpNet::aggregate(&targets.to_vec());
        self.targets.iter().all(|own| targets.iter().any(|target| target.contains(own)))
    }
}

fn any_traffic(targets: &[IpNet]) -> Scope {
    Scope { target_prefixes: targets.to_vec(), ..Scope::default() }
}

/// The consents, as whoever reads the reference would keep them.
#[derive(Default)]
struct Consents {
    /// What may be dropped for each request.
    of_request: BTreeMap<MitigationId, Allowed>,
    /// How sure the search was of each device, for each request.
    found: BTreeMap<(MitigationId, usize), Confidence>,
    /// What the administrator has quarantined himself.
    own: Packets,
    nos: Vec<No>,
    /// In whose name another one was seen to send, for each request: that is told once.
    spoofed: BTreeSet<(MitigationId, usize)>,
}

impl Consents {
    /// Whoever the rules name is acted upon without a question, if the search is sure of it and nobody has said no.
    fn add_by_rules(&mut self, ledger: &Ledger, timed_out: bool) {
        let policy = ledger.policy();
        let refused = self.nos.iter().fold(0, |all, no| all | no.packets());
        let too_wide =
            |m: &&Mitigation| m.scope().target_prefixes.iter().any(|p| p.addr().is_ipv4() && p.prefix_len() < 24);
        for m in ledger.all().filter(|m| m.asked() && m.state().is_open() && !too_wide(m)) {
            for (device, mac) in DEVICES.iter().enumerate() {
                let sure = self.found.get(&(m.id(), device)).is_some_and(|found| *found >= Confidence::Likely);
                let alone = match (policy.consent, policy.devices.get(mac)) {
                    (Consent::Observe, _) | (_, Some(DevicePolicy::Exempt)) => false,
                    _ if timed_out && policy.timeout_action == TimeoutAction::Approve => true,
                    (_, Some(DevicePolicy::Auto)) | (Consent::Auto, None) => true,
                    (Consent::Ask, None) | (_, Some(DevicePolicy::Ask)) => false,
                };
                for action in [Action::Block, policy.action] {
                    let at_all = effect(device, action, &any_traffic(&m.scope().target_prefixes));
                    if sure && alone && at_all & refused == 0 {
                        self.of_request.entry(m.id()).or_default().by_rules |= effect(device, action, m.scope());
                    }
                }
            }
        }
    }

    /// Whatever the rules forbid ends what was consented to.
    fn obey_rules(&mut self, policy: &Policy) {
        let exempt = |mac: &Mac| policy.devices.get(mac) == Some(&DevicePolicy::Exempt);
        for (device, _) in DEVICES.iter().enumerate().filter(|(_, mac)| exempt(mac)) {
            self.forget_device(device);
            self.own &= !device_bits(device);
        }
        if policy.consent == Consent::Observe {
            self.of_request.clear();
        }
    }

    fn forget_device(&mut self, device: usize) {
        self.of_request.values_mut().for_each(|allowed| allowed.forget(device_bits(device)));
    }

    /// What was said no to because of a request is nothing that the rules may do for any other, either.
    fn refuse(&mut self, about: &About, devices: &[usize], now: Now) {
        let until = now.instant + about.granted.max(seconds(86_400));
        let named = devices.iter().map(|device| Some(*device));
        let meant: Vec<Option<usize>> = if devices.is_empty() { vec![None] } else { named.collect() };
        for device in meant {
            let no = No { device, targets: about.scope.target_prefixes.clone(), until };
            for allowed in self.of_request.values_mut() {
                allowed.by_rules &= !no.packets();
                allowed.contested |= no.packets();
            }
            self.nos.push(no);
        }
    }

    /// A request took the place of others: of their consents, what it is about as well.
    fn succeed(&mut self, new: MitigationId, scope: &Scope, before: &BTreeMap<MitigationId, Scope>, ledger: &Ledger) {
        let about = (0..DEVICES.len()).fold(0, |all, device| all | effect(device, Action::Block, scope));
        let asked = |id: MitigationId| ledger.get(id).is_some_and(Mitigation::asked);
        for (old, old_scope) in before.iter().filter(|(old, _)| !asked(**old)) {
            let all_of_it = packets_of(scope) & !packets_of(old_scope) == 0;
            let Some(old) = self.of_request.get(old).copied() else { continue };
            let taken = if all_of_it { Packets::MAX } else { about } & !old.contested;
            let new = self.of_request.entry(new).or_default();
            new.by_person |= old.by_person & taken;
            new.by_rules |= old.by_rules & taken;
        }
    }
}

/// What of a request a decision about it is about.
struct About {
    id: MitigationId,
    scope: Scope,
    granted: Duration,
    /// Suspected or acted upon.
    devices: Vec<usize>,
    acted_upon: bool,
    pending: bool,
}

impl About {
    fn of(m: &Mitigation) -> Self {
        let macs = m.suspects().iter().map(|suspect| suspect.mac).chain(m.chosen().iter().copied());
        let mut devices: Vec<usize> = macs.map(index_of).collect();
        devices.sort_unstable();
        devices.dedup();
        let (acted_upon, pending) = (m.state().in_force(), m.state() == State::Pending);
        Self { id: m.id(), scope: m.scope().clone(), granted: m.granted(), devices, acted_upon, pending }
    }
}

struct World {
    house: TestRouter,
    consents: Consents,
}

impl World {
    /// The newest comes first.
    fn id(&self, which: usize) -> Option<MitigationId> {
        let mut ids: Vec<MitigationId> = self.house.ledger.all().map(|m| m.id()).collect();
        ids.reverse();
        ids.get(which).copied()
    }

    fn take(&mut self, step: &Step) {
        let now = self.house.now;
        let before: Vec<About> = self.house.ledger.all().map(About::of).collect();
        // A request, too, first ends what is over.
        let timed_out = matches!(step, Step::Pass(_) | Step::Put { .. } | Step::Ask { .. });
        match step {
            Step::Ask { client, scope, suspects } => {
                let last = self.house.ledger.of_client(&clients()[*client]).map(|m| m.mid()).max().unwrap_or_default();
                self.put(*client, last + 1, &SCOPES[*scope], 3600);
                self.found(0, suspects);
            }
            Step::Put { client, mid, scope, lifetime } => self.put(*client, *mid, &SCOPES[*scope], *lifetime),
            Step::Delete { client, mid } => self.house.ledger.delete(&clients()[*client], *mid, now),
            Step::Found { which, suspects } => self.found(*which, suspects),
            Step::Spoofed { which, device, sends } => self.spoofed(*which, *device, *sends),
            Step::Approve { which, action, devices, lifetime, until } => {
                self.approve(*which, *action, devices, lifetime.map(seconds), *until);
            }
            Step::Reject { which } | Step::Withdraw { which } => {
                let Some(about) = self.about(*which) else { return };
                let done = match step {
                    Step::Reject { .. } => self.house.ledger.reject(about.id, None, "root", now),
                    _ => self.house.ledger.withdraw(about.id, None, "root", now),
                };
                if done.is_ok() {
                    self.consents.of_request.remove(&about.id);
                    self.consents.refuse(&about, &about.devices, now);
                }
            }
            Step::Release { device } => self.release(*device),
            Step::Lift { which } => self.lift(*which),
            Step::Quarantine { device, lifetime } => {
                let lifetime = lifetime.map(seconds);
                if self.house.ledger.quarantine(DEVICES[*device], lifetime, None, "root", now).is_ok() {
                    self.consents.own |= device_bits(*device);
                }
            }
            Step::Rules { consent, action, devices, timeout_action } => {
                let devices = devices.iter().map(|(device, rule)| (DEVICES[*device], *rule)).collect();
                let before = self.house.ledger.policy().clone();
                let (consent, action, timeout_action) = (*consent, *action, *timeout_action);
                let policy = Policy { consent, action, devices, timeout_action, ..before };
                self.consents.obey_rules(&policy);
                self.house.ledger.set_policy(policy, now);
            }
            Step::Enforced { which } => {
                if let Some(id) = self.id(*which) {
                    self.house.ledger.handle_enforced(id, Ok(()), now);
                }
            }
            Step::Counted { which } => {
                if let Some((id, dropped)) = self.id(*which).map(|id| (id, self.house.m(id).dropped())) {
                    self.house.ledger.handle_counted(id, packets(dropped.packets + 7), self.house.now);
                }
            }
            Step::Pass(time) => self.house.pass(seconds(*time)),
            Step::Restart => self.restart(),
        }
        for about in before.iter().filter(|about| about.pending) {
            let by_silence = |m: &Mitigation| m.decision().is_some_and(|decision| decision.by == "timeout");
            let m = self.house.ledger.get(about.id);
            if m.is_some_and(|m| m.state() == State::Rejected && by_silence(m)) {
                self.consents.refuse(about, &about.devices, now);
            }
        }
        self.forget_what_is_over();
        self.consents.nos.retain(|no| no.until > self.house.now.instant);
        self.consents.add_by_rules(&self.house.ledger, timed_out);
        self.consents.of_request.retain(|id, _| self.house.ledger.get(*id).is_some());
    }

    /// Without its request only what a person has said for longer is consented to.
    fn forget_what_is_over(&mut self) {
        let now = self.house.now;
        for (id, allowed) in &mut self.consents.of_request {
            if self.house.ledger.get(*id).is_some_and(|m| !m.asked()) {
                (allowed.by_rules, allowed.by_person) = (0, allowed.own(now));
            }
        }
    }

    fn about(&self, which: usize) -> Option<About> {
        self.id(which).and_then(|id| self.house.ledger.get(id)).map(About::of)
    }

    fn release(&mut self, device: usize) {
        let now = self.house.now;
        let acts = |m: &&Mitigation| m.state().in_force() && m.chosen().contains(&DEVICES[device]);
        let concerned: Vec<About> = self.house.ledger.all().filter(acts).map(About::of).collect();
        if self.house.ledger.release(DEVICES[device], "root", now).is_ok() {
            self.consents.forget_device(device);
            self.consents.own &= !device_bits(device);
            concerned.iter().for_each(|about| self.consents.refuse(about, &[device], now));
        }
    }

    /// What is taken back is all that follows from the mitigation of what was shown.
    fn lift(&mut self, which: usize) {
        let Some(id) = self.house.ledger.vetoes().nth(which).map(|veto| veto.id) else { return };
        let shown: Vec<Veto> = self.house.ledger.vetoes().filter(|veto| veto.id == id).cloned().collect();
        self.house.ledger.lift(id, "root", self.house.now).unwrap();
        shown.into_iter().for_each(|veto| self.take_back(veto));
    }

    fn take_back(&mut self, veto: Veto) {
        let devices: Vec<usize> = veto.devices.into_iter().map(index_of).collect();
        let named = |no: &No| devices.is_empty() || no.device.is_some_and(|device| devices.contains(&device));
        let (lifted, nos) =
            std::mem::take(&mut self.consents.nos).into_iter().partition(|no| named(no) && no.within(&veto.targets));
        self.consents.nos = nos;
        let lifted: Vec<No> = lifted;
        for allowed in self.consents.of_request.values_mut() {
            lifted.iter().for_each(|no| allowed.contested &= !no.packets());
        }
    }

    fn put(&mut self, client: usize, mid: u32, scope: &Scope, lifetime: u64) {
        let now = self.house.now;
        let client = &clients()[client];
        let before = self.house.ledger.of_client(client).map(|m| (m.id(), m.scope().clone())).collect();
        if let Ok(grant) = self.house.ledger.put(client, mid, scope, Some(seconds(lifetime)), false, now)
            && grant.created
        {
            self.consents.succeed(grant.id, scope, &before, &self.house.ledger);
        }
    }

    fn found(&mut self, which: usize, suspects: &[(usize, Confidence)]) {
        let Some(id) = self.id(which) else { return };
        for (device, confidence) in suspects {
            let known = self.consents.found.entry((id, *device)).or_insert(*confidence);
            *known = (*known).max(*confidence);
        }
        let suspects: Vec<Suspect> =
            suspects.iter().map(|(device, confidence)| suspect(DEVICES[*device], *confidence)).collect();
        self.house.ledger.handle_attribution(id, suspects, self.house.now);
    }

    fn spoofed(&mut self, which: usize, device: usize, sends: bool) {
        let Some(about) = self.about(which) else { return };
        let Some(m) = self.house.ledger.get(about.id) else { return };
        let suspected = m.suspects().iter().any(|suspect| suspect.mac == DEVICES[device]);
        let acts_on_sender = about.acted_upon && m.chosen().contains(&DEVICES[device]) && sends;
        self.house.ledger.handle_spoofed(about.id, DEVICES[device], sends, self.house.now);
        if suspected && !acts_on_sender && self.consents.spoofed.insert((about.id, device)) {
            self.consents.found.insert((about.id, device), Confidence::Possible);
            self.consents.of_request.entry(about.id).or_default().forget(device_bits(device));
            self.consents.refuse(&about, &[device], self.house.now);
        }
    }

    /// The page shows a request, its suspects and its action; a yes is to that.
    fn approve(
        &mut self,
        which: usize,
        action: Option<Action>,
        devices: &[usize],
        lifetime: Option<Duration>,
        until: Option<Until>,
    ) {
        let Some(m) = self.id(which).and_then(|id| self.house.ledger.get(id)) else { return };
        let (id, shown, action_shown) = (m.id(), m.scope().clone(), action.unwrap_or(m.action()));
        let policy = self.house.ledger.policy();
        let exempt = |mac: &Mac| policy.devices.get(mac) == Some(&DevicePolicy::Exempt);
        let suspects: Vec<usize> = m.suspects().iter().filter(|s| !exempt(&s.mac)).map(|s| index_of(s.mac)).collect();
        let meant = if devices.is_empty() { suspects } else { devices.to_vec() };
        let macs: Vec<Mac> = devices.iter().map(|device| DEVICES[*device]).collect();
        let (now, asked, goes_on) = (self.house.now, m.asked(), m.state().in_force());
        let Some(term) = Term::new(until, lifetime) else { return };
        if self.house.ledger.approve(id, action, &macs, term, "root", now).is_ok() {
            let allowed = self.consents.of_request.entry(id).or_default();
            let own = action_shown == Action::Quarantine || !asked || (goes_on && allowed.lasts.is_some());
            match (until, lifetime) {
                (None, None) if goes_on && allowed.lasts.is_some() => {}
                (Some(Until::Request), _) => allowed.lasts = None,
                (_, Some(time)) if own || until.is_some() => allowed.lasts = Some(Lasts::Until(now.instant + time)),
                (_, None) if own || until.is_some() => allowed.lasts = Some(Lasts::UntilEnded),
                _ => allowed.lasts = None,
            }
            for device in &meant {
                allowed.by_person |= effect(*device, action_shown, &shown);
                allowed.contested &= !device_bits(*device);
            }
            let said_otherwise = |no: &No| no.device.is_none_or(|device| meant.contains(&device));
            self.consents.nos.retain(|no| !(said_otherwise(no) && no.within(&shown.target_prefixes)));
        }
    }

    fn restart(&mut self) {
        let content = snapshot::encode(&self.house.ledger.snapshot(self.house.now));
        let mut ledger = Ledger::new(self.house.ledger.policy().clone());
        ledger.restore(&snapshot::decode(&content).unwrap(), self.house.now);
        self.house.ledger = ledger;
    }

    /// Whatever is dropped is covered.
    fn check(&self, step: &Step) {
        let desired = self.house.ledger.desired(self.house.now);
        for (owner, dropped) in dropped(&desired) {
            let allowed = match owner {
                Owner::Administrator => self.consents.own,
                Owner::Mitigation(id) => self.consents.of_request.get(&id).copied().unwrap_or_default().all(),
            };
            assert_eq!(dropped & !allowed, 0, "{owner:?} drops more than was consented to, after {step:?}");
        }
    }
}

/// What is dropped, by whom it is dropped for.
fn dropped(desired: &Desired) -> Vec<(Owner, Packets)> {
    let mut all = Vec::new();
    for block in &desired.blocks {
        for mac in &block.devices {
            all.push((Owner::Mitigation(block.id), effect(index_of(*mac), Action::Block, &block.scope)));
        }
    }
    for quarantined in &desired.quarantined {
        all.push((quarantined.owner, device_bits(index_of(quarantined.mac))));
    }
    all
}

fn world() -> World {
    let rules = Policy { consent_timeout: Some(seconds(300)), max_lifetime: seconds(200_000), ..policy(Consent::Ask) };
    World { house: TestRouter::by_hand(rules), consents: Consents::default() }
}

fn run(steps: &[Step]) -> World {
    let mut world = world();
    for step in steps {
        world.take(step);
        world.check(step);
    }
    world
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, ..Config::default() })]

    /// Proves CH-5.3.1-24, CH-5.3.1-25.
    #[test]
    fn what_is_dropped_is_covered_by_consents(steps in steps()) {
        run(&steps);
    }
}

/// What a filter says of two scopes, packets say too.
#[test]
fn scopes_are_compared_by_what_they_drop() {
    for (one, other) in SCOPES.iter().flat_map(|one| SCOPES.iter().map(move |other| (one, other))) {
        let within = DropFilter::new(one).is_within(&DropFilter::new(other));
        let covered = packets_of(one) & !packets_of(other) == 0;
        assert!(covered || !within, "{one:?} drops more than {other:?}");
    }
}

fn ask(scope: usize, suspects: &[(usize, Confidence)]) -> Step {
    Step::Ask { client: 0, scope, suspects: suspects.to_vec() }
}

fn yes(action: Option<Action>, devices: &[usize]) -> Step {
    Step::Approve { which: 0, action, devices: devices.to_vec(), lifetime: None, until: None }
}

fn rules(consent: Consent, action: Action, devices: &[(usize, DevicePolicy)]) -> Step {
    Step::Rules { consent, action, devices: devices.to_vec(), timeout_action: TimeoutAction::Ignore }
}

const SURE: &[(usize, Confidence)] = &[(0, Confidence::Exact)];

/// Sequences that once dropped more than was consented to, each with what is then left.
#[test]
fn what_was_once_dropped_without_consent() {
    let successor = Step::Put { client: 0, mid: 2, scope: 0, lifetime: 60 };
    let found = Step::Found { which: 0, suspects: SURE.to_vec() };
    let exempt = rules(Consent::Ask, Action::Block, &[(0, DevicePolicy::Exempt)]);
    let (asking, observing) = (rules(Consent::Ask, Action::Block, &[]), rules(Consent::Observe, Action::Block, &[]));
    let auto = rules(Consent::Auto, Action::Block, &[]);
    let both = [(0, Confidence::Exact), (1, Confidence::Exact)];
    let auto_at_last = auto.clone();
    let counted = Step::Counted { which: 0 };
    let last_minute = Step::Put { client: 0, mid: 1, scope: 0, lifetime: 60 };
    let cases: [&[Step]; 13] = [
        // What the policy does for a request a person has prolonged does not go on with it.
        &[
            ask(0, &both),
            rules(Consent::Auto, Action::Block, &[]),
            yes(Some(Action::Quarantine), &[0]),
            Step::Pass(4000),
        ],
        // A question about who goes on is answered by no rule.
        &[
            auto.clone(),
            ask(0, SURE),
            counted,
            last_minute,
            Step::Pass(10),
            Step::Counted { which: 0 },
            Step::Pass(50),
            found.clone(),
        ],
        // Another device than the one the person quarantined is no reason for the policy to do as much to it.
        &[
            ask(0, SURE),
            yes(Some(Action::Quarantine), &[0]),
            auto.clone(),
            Step::Found { which: 0, suspects: both.to_vec() },
        ],
        &[ask(0, SURE), yes(Some(Action::Quarantine), &[0]), auto.clone(), ask(0, &both)],
        &[ask(0, &both), yes(None, &[0]), yes(Some(Action::Quarantine), &[1])],
        // What the rules said at the time of the request is not what they say now.
        &[rules(Consent::Ask, Action::Quarantine, &[]), ask(0, SURE), auto],
        // What ended consent in between ends it for good.
        &[ask(0, SURE), yes(None, &[]), successor.clone(), observing.clone(), asking.clone(), found.clone()],
        &[ask(0, SURE), yes(None, &[]), successor.clone(), observing, found.clone()],
        &[ask(0, SURE), yes(None, &[]), successor, exempt, asking, found],
        // A release reaches consent that waits for its search, and to take back the no does not bring that back.
        &[
            ask(0, SURE),
            yes(None, &[]),
            ask(6, &[(1, Confidence::Possible)]),
            Step::Release { device: 0 },
            Step::Lift { which: 0 },
            Step::Found { which: 0, suspects: SURE.to_vec() },
        ],
        // Whoever approves one device has taken back a no about whoever sends, but none about another device.
        &[
            ask(0, SURE),
            auto_at_last.clone(),
            Step::Withdraw { which: 0 },
            Step::Put { client: 0, mid: 2, scope: 0, lifetime: 60 },
            Step::Reject { which: 0 },
            ask(0, &[(1, Confidence::Possible)]),
            yes(None, &[]),
            ask(0, SURE),
        ],
        // ICMP types, and source ports, say something about what is dropped.
        &[ask(12, SURE), yes(None, &[]), ask(0, SURE)],
        &[ask(15, SURE), yes(None, &[]), ask(0, SURE)],
    ];
    for steps in cases {
        run(steps);
    }
}

/// The property would be worth nothing if nothing were ever dropped, or if consent never passed on.
#[test]
fn consent_passes_to_whatever_drops_no_more() {
    for (approved, next) in [(0, 0), (1, 0), (2, 1), (1, 2), (3, 0), (0, 6), (7, 6), (9, 10), (13, 12), (0, 15)] {
        let world = run(&[ask(approved, SURE), yes(None, &[]), ask(next, SURE)]);
        let m = world.house.ledger.all().next().unwrap();
        assert_eq!((m.state(), m.mid()), (State::Active, 2), "{approved} then {next}");
        assert_eq!(m.decision().unwrap().by, "root");
    }
    for (approved, next) in [(0, 1), (0, 3), (6, 0), (6, 7), (8, 9), (10, 8), (12, 13), (12, 0), (12, 14), (15, 0)] {
        let world = run(&[ask(approved, SURE), yes(None, &[]), ask(next, SURE)]);
        assert_eq!(world.house.ledger.all().next().unwrap().state(), State::Pending, "{approved} then {next}");
    }
}
