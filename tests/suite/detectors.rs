//! What recorded reports of detectors and feeds are read as.

use dots_callhome::client::detectors::{BadReport, NoticeAction, read_feed, read_notice, read_reports};
use dots_callhome::client::guard::{Guard, Limits, Objection};
use dots_callhome::model::Scope;

/// A recorded call of the notify script: its first and last argument, and its input.
macro_rules! recorded {
    ($name:literal) => {
        (
            include_str!(concat!("data/fastnetmon/", $name, ".args")),
            include_str!(concat!("data/fastnetmon/", $name, ".stdin")),
        )
    };
}

fn read(call: (&str, &str)) -> dots_callhome::client::detectors::Notice {
    let words: Vec<&str> = call.0.split_whitespace().collect();
    read_notice(Some((words[0], words[3])), call.1).unwrap()
}

fn texts(scope: &Scope) -> [String; 5] {
    let join = |all: Vec<String>| all.join(" ");
    [
        join(scope.source_prefixes.iter().map(ToString::to_string).collect()),
        join(scope.source_ports.iter().map(ToString::to_string).collect()),
        join(scope.target_prefixes.iter().map(ToString::to_string).collect()),
        join(scope.target_ports.iter().map(ToString::to_string).collect()),
        join(scope.target_protocols.iter().map(ToString::to_string).collect()),
    ]
}

#[test]
fn fastnetmon_tells_ports_by_its_flows() {
    let notice = read(recorded!("udp-ban"));
    assert_eq!((notice.action, notice.sightings.len()), (NoticeAction::Ban, 1));
    let scope = notice.sightings[0].scope();
    assert_eq!(texts(&scope), ["198.51.100.7/32", "4021", "203.0.113.80/32", "80", "17"]);
    assert_eq!(notice.sightings[0].key("fastnetmon"), "fastnetmon/198.51.100.7/203.0.113.80/17/80");
}

/// From ports that change, and with the answers of the victim between: the target only.
#[test]
fn fastnetmon_tells_who_attacks_by_the_direction_of_flows() {
    for (call, action) in
        [(recorded!("syn-ban"), NoticeAction::Ban), (recorded!("syn-attack_details"), NoticeAction::AttackDetails)]
    {
        let notice = read(call);
        assert_eq!(notice.action, action);
        let scopes: Vec<_> = notice.sightings.iter().map(|sighting| texts(&sighting.scope())).collect();
        let target = ["198.51.100.7/32", "", "203.0.113.80/32"];
        assert!(scopes.iter().all(|scope| scope[..3] == target && scope[4] == "6"), "{scopes:?}");
    }
    let notice = read(recorded!("syn-unban"));
    assert_eq!((notice.action, notice.sightings.len()), (NoticeAction::Unban, 0));
    for bad in [("home", "ban"), ("198.51.100.7", "band")] {
        assert!(read_notice(Some(bad), "").is_err());
    }
}

#[test]
fn fastnetmon_tells_in_json_too() {
    let rule = r#""source_prefix":"198.51.100.7/32","destination_prefix":"203.0.113.80/32","destination_ports":[53],"source_ports":[4021],"protocols":["udp"]"#;
    let text = format!(r#"{{"action":"ban","ip":"198.51.100.7","alert_scope":"host","flow_spec_rules":[{{{rule}}}]}}"#);
    let notice = read_notice(None, &text).unwrap();
    assert_eq!(texts(&notice.sightings[0].scope()), ["198.51.100.7/32", "4021", "203.0.113.80/32", "53", "17"]);
    let dump = r#"{"action":"attack_details","ip":"198.51.100.7","packet_dump":["2026-11-29 00:39:58.1 198.51.100.7:6849 > 203.0.113.80:81 protocol: tcp flags: syn packets: 1"]}"#;
    let notice = read_notice(None, dump).unwrap();
    assert_eq!(texts(&notice.sightings[0].scope())[2..], ["203.0.113.80/32", "81", "6"]);
    for bad in ["{", "{}", r#"{"action":"ban"}"#, r#"{"action":"ban","ip":"home"}"#] {
        assert!(matches!(read_notice(None, bad), Err(BadReport::Json(_))), "{bad}");
    }
}

/// An old source port means another flow by now.
#[test]
fn shadowservers_rows_are_requests() {
    let text = include_str!("data/shadowserver.csv");
    // 2026-11-28 21:14:07.
    let first = 1_795_900_447;
    for (now, port) in [(first + 599, "38055"), (first + 600, "")] {
        let rows = read_feed(text, now).unwrap();
        let row = rows[0].as_ref().unwrap();
        assert_eq!((row.at, row.line, row.what.as_str(), rows.len()), (first, 2, "mirai", 2));
        assert_eq!(texts(&row.sighting.scope()), ["198.51.100.7/32", port, "203.0.113.80/32", "16464", "6"]);
    }
    let bad = "\u{feff}timestamp,src_ip,dst_ip,dst_port\r\n2026-13-01 00:00:00,192.0.2.1,192.0.2.2,1\n\n\
               2026-11-01T00:00:00Z,\"192.0.2.1\",192.0.2.2,\n2026-11-01 00:00:00,home,192.0.2.2,1\n2026-11-01 00:00:00,192.0.2.1,192.0.2.2,x";
    let rows = read_feed(bad, 0).unwrap();
    let told: Vec<String> =
        rows.iter().map(|row| row.as_ref().map_or_else(ToString::to_string, |row| row.what.clone())).collect();
    assert_eq!(
        told,
        [
            "line 2: \"2026-13-01 00:00:00\" is no timestamp",
            "unnamed",
            "line 5: \"home\" is no src_ip",
            "line 6: \"x\" is no dst_port",
        ]
    );
    assert_eq!(read_feed("timestamp,src_ip\n", 0).unwrap_err(), BadReport::Column("dst_ip"));
    assert!(read_feed("", 0).is_err());
}

#[test]
fn the_providers_own_limits_hold() {
    let mut guard = Guard::default();
    let safe = ["203.0.113.0/24", "2001:db8:5afe::/48"].map(|net| net.parse().unwrap()).to_vec();
    guard.set_limits(Limits { safe, widest_v4: 28, widest_v6: 56, most_an_hour: 2 });
    let about = |source: &str, target: &str| Scope {
        source_prefixes: vec![source.parse().unwrap()],
        target_prefixes: vec![target.parse().unwrap()],
        ..Scope::default()
    };
    for (source, target) in [
        ("198.51.100.7/32", "203.0.113.80/32"),
        ("203.0.113.80/32", "198.51.100.7/32"),
        ("198.51.100.7/32", "2001:db8::/33"),
    ] {
        assert!(matches!(guard.admit("home", &about(source, target), 0), Err(Objection::Safe(_))), "{source} {target}");
    }
    for wide in ["192.0.2.0/27", "2001:db8:1::/55"] {
        assert_eq!(
            guard.admit("home", &about("198.51.100.7/32", wide), 0),
            Err(Objection::Wide(wide.parse().unwrap()))
        );
    }
    let fine = about("198.51.100.7/32", "192.0.2.0/28");
    let asked: Vec<bool> = [0, 1, 2, 3599, 3600].iter().map(|&at| guard.admit("home", &fine, at).is_ok()).collect();
    assert_eq!(asked, [true, true, false, false, true]);
    assert!(guard.admit("another", &fine, 2).is_ok());
}

/// Somebody else behind the same address talks to the same target, a little.
#[test]
fn weak_flows_are_somebody_elses() {
    let flows = |weak: &str| {
        let text = format!(
            "UDP flows: 2\n198.51.100.7:4021 > 203.0.113.80:80 854828 bytes 1934 packets\n\
             198.51.100.7:5000 > 203.0.113.80:443 1000 bytes {weak} packets\n"
        );
        let notice = read_notice(Some(("198.51.100.7", "ban")), &text).unwrap();
        texts(&notice.sightings[0].scope())
    };
    assert_eq!(flows("20"), ["198.51.100.7/32", "4021", "203.0.113.80/32", "80", "17"]);
    assert_eq!(flows("1000"), ["198.51.100.7/32", "4021 5000", "203.0.113.80/32", "80 443", "17"]);
}

#[test]
fn reports_in_xarf_are_requests() {
    let text = include_str!("data/xarf.json");
    let now = 1_795_908_570;
    let rows = read_reports(text, now);
    let [Ok(attack), Err(spam), Ok(late), Err(nowhere), Err(cut)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(texts(&attack.sighting.scope()), ["198.51.100.7/32", "4021", "203.0.113.80/32", "80", "17"]);
    assert_eq!((attack.what.as_str(), attack.line), ("ddos", 1));
    assert_eq!(texts(&late.sighting.scope()), ["2001:db8:123::7/128", "", "2001:db8:c000::80/128", "22", "6"]);
    assert_eq!(spam.to_string(), "report 2: it is not about connections");
    assert_eq!(nowhere.to_string(), "report 4: its source is no address");
    assert!(matches!(cut, BadReport::Json(_)), "{cut:?}");
    assert!(read_reports(text, now + 3600).iter().flatten().all(|row| row.sighting.source_ports.is_empty()));
    assert!(read_reports("", now).is_empty());
}
