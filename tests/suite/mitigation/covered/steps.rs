//! What can happen, and random sequences of it.

use super::packets::{DEVICES, SCOPES};
use dots_callhome::mitigation::{Action, Client, Consent, DevicePolicy, TimeoutAction, Until};
use dots_callhome::source::Confidence;
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub enum Step {
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

pub fn clients() -> [Client; 3] {
    let client = |peer: &str, cuid: &str| Client { peer: peer.into(), cuid: cuid.into() };
    [client("isp", "K"), client("isp", "L"), client("other", "M")]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
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
