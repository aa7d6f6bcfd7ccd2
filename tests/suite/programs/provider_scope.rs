//! What the provider's program never asks a router for, and which routers it listens to.

use crate::programs::home::*;
use crate::programs::program::told;
use crate::support::tls::*;

const OTHER: &str = "home-5678.isp.example";
const SOURCE: &str = "203.0.113.7/32";
const TARGET: &str = "192.0.2.1/32";

/// Proves CH-5.3.1-04, SC-4.4.1.1-21, DR-3.2.1-03 for the client: no prefix of loopback, multicast or broadcast addresses, nor
/// of everything, as source or as target, alone or behind others.
#[test]
fn nothing_is_asked_about_addresses_that_are_nobodys() {
    let isp = Isp::serving("nobody");
    let mut home = isp.home(ROUTER);
    let nobodys = ["127.0.0.1", "127.0.0.0/8", "::1", "224.0.0.1", "239.255.255.250/32", "ff02::1", "ff00::/8"];
    let more = ["255.255.255.255", "255.255.255.0/24", "240.0.0.0/4", "0.0.0.0/0", "::/0", "128.0.0.0/1", "2000::/3"];
    for wrong in nobodys.into_iter().chain(more) {
        for (source, target) in [(wrong, TARGET), (SOURCE, wrong)] {
            let why = told(isp.command(&wanting(ROUTER, source, target))).unwrap_err();
            let said = wrong.split('/').next().unwrap();
            assert!(why.contains(said) && (why.contains("addresses") || why.contains("Internet")), "{why}");
        }
        for option in ["--source", "--target"] {
            let mut wanted = wanting(ROUTER, SOURCE, TARGET).to_vec();
            wanted.extend([option, wrong].map(str::to_owned));
            told(isp.command(&wanted)).unwrap_err();
        }
    }
    // Nor where something else than the program's own command asks.
    for (source, target) in [("127.0.0.0/8", TARGET), (SOURCE, "0.0.0.0/0")] {
        let scope = format!(
            "{{\"source\":[\"{source}\"],\"source_port\":[],\"source_icmp_type\":[],\"target\":[\"{target}\"],\
             \"target_port\":[],\"protocol\":[]}}"
        );
        let ask = format!("{{\"ask\":\"request\",\"router\":\"{ROUTER}\",\"scope\":{scope},\"lifetime\":60}}");
        let answer = isp.program.control(&ask);
        assert!(answer.contains("addresses") || answer.contains("Internet"), "{answer}");
    }
    home.has_heard_all();

    let command = isp.command(&wanting(ROUTER, "203.0.113.0/24", "192.0.2.0/24"));
    let put = home.hear();
    home.take_on(&put);
    told(command).unwrap();
}

/// Proves CH-8-01: a certificate of the authority is not enough where the provider has a list.
#[test]
fn a_router_that_is_not_on_the_list_is_not_admitted() {
    let mut isp = Isp::new("list");
    let routers = isp.program.file("routers", &format!("# ours\n{ROUTER} 203.0.113.0/28\n"));
    isp.arguments.extend(["--routers".to_owned(), routers]);
    isp.start();
    let config = router(isp.root.issue(OTHER), &isp.root);
    assert!(Home::call(&config, PROVIDER, isp.program.v4).is_err(), "another one is turned away");
    assert!(!isp.program.routers().contains(OTHER));
    let refused = told(isp.command(&wanting(OTHER, SOURCE, TARGET))).unwrap_err();
    assert!(refused.contains("has not called"), "{refused}");
    let mut home = isp.home(ROUTER);
    home.has_heard_all();
    assert!(isp.program.routers().contains(ROUTER));
}

/// Every source counts, not only the first.
#[test]
fn a_foreign_source_behind_an_own_one_is_refused() {
    let mut isp = Isp::new("behind");
    let routers = isp.program.file("routers", &format!("{ROUTER} 203.0.113.0/28 2001:db8:1234::/48\n"));
    isp.arguments.extend(["--routers".to_owned(), routers]);
    isp.start();
    let mut home = isp.home(ROUTER);
    for foreign in ["203.0.113.16", "203.0.113.0/27", "2001:db8:5678::/64", "2001:db8::/32"] {
        let mut wanted = wanting(ROUTER, SOURCE, TARGET).to_vec();
        wanted.extend(["--source", foreign].map(str::to_owned));
        let why = told(isp.command(&wanted)).unwrap_err();
        assert!(why.contains(foreign) && why.contains(&format!("does not belong to {ROUTER}")), "{why}");
    }
    home.has_heard_all();
}
