//! The tables that note who serves names and leases at home.

use super::ruleset::in_a_namespace;
use crate::support::enforce::*;
use crate::support::kernel::table_deleted;
use dots_callhome::enforce::ServerTables;

/// Everything there is to make now, each of which is made.
fn made(tables: &mut ServerTables, house: &TestRouter) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(text) = tables.poll_ruleset(house.now.instant) {
        tables.handle_nft(true, house.now.instant);
        texts.push(text);
    }
    texts
}

/// Packets are marked only while anybody is in quarantine, and never to where a link leads out of the home.
#[test]
fn what_is_routed_is_looked_at_while_somebody_is_in_quarantine() {
    let house = TestRouter::enforcing();
    let mut tables = ServerTables::default();
    let mut texts = made(&mut tables, &house);
    assert!(texts.len() == 1 && texts[0].starts_with("table bridge "), "before the links are known: {texts:?}");
    tables.set_outward(None);
    assert_eq!(made(&mut tables, &house).len(), 0);
    tables.set_outward(Some(vec![1, 7]));
    texts.extend(made(&mut tables, &house));
    assert!(texts[1].contains("meta oif { 1, 7 } return"), "{}", texts[1]);
    assert!(texts[1].contains("delete chain inet dots_callhome_servers asked"), "{}", texts[1]);
    for is_quarantining in [true, true, false] {
        tables.set_quarantining(is_quarantining);
        tables.set_outward(Some(vec![1, 7]));
        texts.extend(made(&mut tables, &house));
    }
    assert_eq!(texts.len(), 4, "made anew when something changes");
    assert!(texts[2].contains("fib daddr oif { 1, 7 } return") && !texts[2].contains("delete chain"), "{}", texts[2]);
    assert_eq!(texts[3], texts[1]);
    tables.set_outward(Some(vec![]));
    texts.extend(made(&mut tables, &house));
    let listed = in_a_namespace(&texts[1..]);
    let (said, errors) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    assert!(listed.status.success() && said.contains("chain used") && !said.contains("chain asked"), "{said} {errors}");
}

/// What fails, or is removed, is made again after a pause; what has changed meanwhile as it is then.
#[test]
fn they_are_made_again() {
    let mut house = TestRouter::enforcing();
    let mut tables = ServerTables::default();
    tables.set_outward(Some(vec![2]));
    let now = house.now.instant;
    let bridged = tables.poll_ruleset(now).expect("the first");
    tables.handle_nft(false, now);
    let routed = tables.poll_ruleset(now).expect("the other");
    tables.set_outward(Some(vec![3]));
    tables.handle_nft(true, now);
    let changed = made(&mut tables, &house);
    assert!(changed.len() == 1 && changed[0] != routed && changed[0].contains("{ 3 }"), "{changed:?}");
    assert_eq!(tables.poll_timeout(), Some(now + seconds(60)));
    house.pass(seconds(60));
    assert_eq!(made(&mut tables, &house), std::slice::from_ref(&bridged));
    tables.handle_change(&table_deleted("dots_callhome_servers"), house.now.instant);
    assert_eq!(made(&mut tables, &house).len(), 0);
    house.pass(seconds(600));
    assert_eq!(made(&mut tables, &house), [bridged, changed[0].clone()]);
}
