//! What might fool the daemon: ports and addresses that change hands, pretences, services, other conntrack zones.

use super::{Case, Who};
use crate::home::{VICTIM, WAN, device_address};
use crate::raw::UDP;

pub const CASES: &[Case] = &[Case {
    name: "an address that another device has taken over",
    who: Who::Nobody(&[31], "it may be a pretence, or the flow that of the one before"),
    act: |lab, port| {
        let address = device_address(30);
        lab.send(&[30], port, 0);
        lab.seen(30);
        lab.streams.clear();
        lab.host(30).ip(&format!("addr del {address}/24 dev eth0"));
        lab.host(31).ip(&format!("addr add {address}/32 dev eth0"));
        lab.send_as(31, &address.to_string(), port);
        lab.asked(port, UDP, &[lab.seen(31).port()])
    },
}];
