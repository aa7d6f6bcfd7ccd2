//! Mitigation requests: what is accepted, what is refused and with which words.

use crate::support::signal::*;
use dots_callhome::mitigation::{Policy, State};

/// Proves SC-4.4.1.3-13, SC-4.4-08, SC-10.4-01, CO-5.3.1-01, CO-5.2.3-01, CH-5.1-04: example 2, byte for byte.
#[test]
fn a_request_and_its_answer_on_the_wire() {
    let mut house = TestRouter::udp();
    house.feed(
        0,
        &hex("510312344abb2e77656c6c2d6b6e6f776e04646f7473086d697469676174650d0e637569643d647a3670486a6141446b614654626a72
              304a47427077066d69643d353612010fffa101a10281a3068174323030313a6462383a633030303a3a312f31323819800081733230
              30313a6462383a3132333a3a312f3132380e190e10"),
    );
    let answer = &house.heard()[0];
    let expected = hex("514180014ac2010fffa101a10281a20518380e190e10");
    assert_eq!(answer.clone().id(0x8001).datagram(), expected);
    assert_eq!(answer.kind, NON);
}

/// Proves SC-4.4.1.3-13, SC-4.4.1.1-32, SC-4.4.1.1-30, CH-5.3.1-28.
#[test]
fn a_new_request_is_created_and_acted_upon_at_once() {
    for mut house in TestRouter::both() {
        assert_eq!(house.want(1, &wanted("")), "2.01 {1:{2:[{5:1,14:3600}]}}");
        assert_eq!(house.want(2, &wanted("6:[\"2001:db8:c000::2/128\"],45:true")), "2.01 {1:{2:[{5:2,14:3600}]}}");
        let desired = house.ledger.desired(house.now);
        assert!(desired.blocks.iter().all(|block| block.devices == [CAMERA]));
        assert_eq!(desired.blocks.len(), 2);
    }
}

/// Proves CH-5.3.1-24, CH-5.3.1-25, CH-5.3.1-26, CH-8-05, DR-3.2.1-09: examples 3 and 4.
#[test]
fn where_consent_is_needed_the_answer_says_that_it_is_in_progress() {
    let body = "{1:{2:[{6:[\"203.0.113.80/32\"],7:[{8:80},{8:443}],10:[6],32768:[\"198.51.100.7/32\"],\
                32769:[{8:40000,9:40999}],14:1800}]}}";
    let bytes =
        hex("a101a10281a606816f3230332e302e3131332e38302f33320782a1081850a1081901bb0a8106198000816f3139382e35312e
                     3130302e372f333219800181a208199c400919a0270e190708");
    for mut house in TestRouter::both() {
        house = house.asking();
        let request = request(PUT, "mitigate/K/57").number(12, 271).raw(bytes.clone());
        assert_eq!(house.ask(&request).to_string(), "2.01 {1:{2:[{5:57,14:1800,16:1}]}}");
        let approved = house.id(57);
        house.ledger.approve(approved, None, &[], None, "root", house.now).unwrap();
        house.settle();
        assert!(house.ask(&get("mitigate/K/57").query("c=n")).to_string().contains("16:2"));
        assert_eq!(diag::encode(body), bytes);
    }
}

/// Proves SC-4.4.1.3-11, SC-4.4.1.3-12, SC-4.4.1.3-07, SC-5.3-01, SC-4.4.1.1-28: example 11.
#[test]
fn lifetimes() {
    for mut house in TestRouter::both() {
        house.refuses(&scope(&format!("6:[\"{TARGET}\"],32768:[\"{SOURCE}\"]")), "lifetime missing");
        house.refuses(&wanted("14:0"), "lifetime");
        house.refuses(&wanted("14:-2"), "lifetime");
        house.refuses(&wanted("14:-4294967296"), "lifetime");
        house.refuses(&wanted("14:4294967296"), "lifetime");
        house.refuses(&wanted("14:18446744073709551615"), "lifetime");
        house.refuses(&wanted("14:-18446744073709551616"), "lifetime");
        house.refuses(&wanted("14:\"3600\""), "lifetime");
        house.refuses(&wanted("14:3600.0"), "lifetime");
        assert_eq!(house.want(1, &wanted("14:4294967295")), "2.01 {1:{2:[{5:1,14:86400}]}}");
        assert_eq!(house.want(2, &wanted("14:1")), "2.01 {1:{2:[{5:2,14:1}]}}");
        assert_eq!(house.want(3, &wanted("14:-1")), "2.01 {1:{2:[{5:3,14:86400}]}}");
    }
}

/// Proves SC-4.4.1.1-28, SC-10.5-01, SC-6-08, SC-3.1-01: the last part of example 11, byte for byte.
#[test]
fn an_indefinite_lifetime_with_optional_keys_in_a_tagged_body() {
    let mut house = TestRouter::udp();
    let body =
        hex("d9010fa101a10281a5068174323030313a6462383a633030303a3a382f3132381980008173323030313a6462383a3132333a3a
                    312f3132380e2018c80119c0006178");
    let answer = house.ask(&request(PUT, "mitigate/K/68").number(12, 271).raw(body));
    assert_eq!(answer.payload, hex("a101a10281a20518440e1a00015180"));
    assert_eq!(answer.code(), "2.01");
}

/// Proves SC-4.4.1.1-31.
#[test]
fn at_the_end_of_its_lifetime_a_request_is_forgotten() {
    for mut house in TestRouter::both() {
        house.want(1, &wanted("14:5"));
        house.pass(seconds(4));
        assert_eq!(house.ask(&get("mitigate/K/1")).code(), "2.05");
        assert!(!house.ledger.desired(house.now).blocks.is_empty());
        house.pass(seconds(1));
        assert_eq!(house.ask(&get("mitigate/K/1")).code(), "4.04");
        assert!(house.ledger.desired(house.now).blocks.is_empty());
    }
}

/// Proves SC-4.4.1.3-23, SC-4.4.1.3-24, SC-4.4.1.1-30: example 5.
#[test]
fn the_same_again_is_a_refresh_and_anything_else_is_refused() {
    let mut house = TestRouter::udp();
    house.want(56, &wanted(""));
    house.pass(seconds(1000));
    assert_eq!(house.want(56, &wanted("14:7200")), "2.04 {1:{2:[{5:56,14:7200}]}}");
    house.pass(seconds(100));
    for changed in [
        "32768:[\"2001:db8:123::2/128\"]",
        "32769:[{8:1}]",
        "32770:[{32771:8}]",
        "10:[6]",
        "7:[{8:80}]",
        "6:[\"2001:db8:c000::2/128\"]",
        "11:[\"a.example\"]",
    ] {
        let refused = house.want(56, &wanted(changed));
        assert!(refused.starts_with("4.00") && refused.contains("differ"), "{refused}");
    }
    assert!(house.ask(&get("mitigate/K/56").query("c=n")).to_string().contains("14:7100"));
}

/// A non-confirmable request is repeated until it is answered; every copy gets the one answer.
#[test]
fn copies_of_an_unanswered_request_get_its_answer() {
    let mut house = TestRouter::udp().asking();
    house.suspects = None;
    assert_eq!(house.reply(&put("mitigate/K/1", &wanted(""))), None);
    house.pass(std::time::Duration::from_millis(100));
    assert_eq!(house.reply(&put("mitigate/K/1", &wanted(""))), None);
    house.pass(std::time::Duration::from_millis(150));
    let answers: Vec<String> = house.heard().iter().map(Message::to_string).collect();
    assert_eq!(answers, ["2.01 {1:{2:[{5:1,14:3600,16:1}]}}"; 2]);
    assert_eq!(house.want(1, &wanted("")), "2.04 {1:{2:[{5:1,14:3600}]}}");
}

/// Proves SC-4.4.1.3-06, SC-9-02: example 11.
#[test]
fn one_scope_in_a_request() {
    for mut house in TestRouter::both() {
        let one = format!("{{6:[\"{TARGET}\"],32768:[\"{SOURCE}\"],14:60}}");
        house.refuses(&format!("{{1:{{2:[{one},{one}]}}}}"), "scope");
        house.refuses("{1:{2:[]}}", "scope is empty");
        house.refuses("{1:{}}", "scope missing");
        house.refuses("{}", "mitigation-scope missing");
    }
}

/// Proves CH-5.3.1-02, CH-5.3.1-16, SC-4.4.1.1-19, SC-4.4.1.3-07: example 8.
#[test]
fn source_and_target_are_mandatory() {
    for mut house in TestRouter::both() {
        house.refuses(&scope(&format!("6:[\"{TARGET}\"],14:3600")), "source-prefix missing");
        let without_target = format!("11:[\"victim.example\"],32768:[\"{SOURCE}\"],14:3600");
        house.refuses(&scope(&without_target), "target-prefix missing");
        house.refuses(&scope(&without_target.replace("11:", "12:")), "target-prefix missing");
        house.refuses(&scope("14:3600"), "missing");
        house.refuses(&scope(&format!("13:[\"a\"],32768:[\"{SOURCE}\"],14:3600")), "alias-name");
    }
}

/// Proves CH-5.3.1-21, SC-6-04: example 9.
#[test]
fn preconfigured_requests_are_refused() {
    for mut house in TestRouter::both() {
        house.refuses(&wanted("45:false"), "trigger-mitigation");
        house.refuses(&wanted("45:0"), "trigger-mitigation");
        house.want(1, &wanted(""));
        let refresh = house.want(1, &wanted("45:false"));
        assert!(refresh.starts_with("4.00") && refresh.contains("trigger-mitigation"), "{refresh}");
    }
}

/// Proves CH-5.3.1-03, SC-4.4.1.1-20: what is no prefix.
#[test]
fn prefixes_are_text_in_cidr_form() {
    let bad = [
        "[\"192.0.2.0/33\"]",
        "[\"2001:db8::/129\"]",
        "[\"192.0.2.1\"]",
        "[\"2001:db8::1\"]",
        "[\"192.0.2.1/\"]",
        "[\"/24\"]",
        "[\"192.0.2.1/-1\"]",
        "[\"192.0.2/24\"]",
        "[\"192.0.2.256/32\"]",
        "[\"victim.example/32\"]",
        "[\"\"]",
        "[1]",
        "[]",
        "\"192.0.2.1/32\"",
        "[h'c0000201']",
        "{}",
        "true",
    ];
    let mut house = TestRouter::udp();
    for value in bad {
        house.refuses(&wanted(&format!("6:{value}")), "target-prefix");
        house.refuses(&wanted(&format!("32768:{value}")), "source-prefix");
    }
}

/// Proves SC-4.4.1.1-21, CH-5.3.1-04, DR-3.2.1-03: example 10 and its like.
#[test]
fn no_loopback_multicast_or_broadcast() {
    let bad = [
        "127.0.0.1/32",
        "127.0.0.0/8",
        "::1/128",
        "224.0.0.1/32",
        "239.255.255.250/32",
        "ff02::1/128",
        "ff00::/8",
        "255.255.255.255/32",
        "0.0.0.0/0",
        "::/0",
        "224.0.0.0/3",
    ];
    let mut house = TestRouter::udp();
    house.providers[0].session.set_domain(vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
    for prefix in bad {
        house.refuses(&wanted(&format!("6:[\"192.0.2.1/32\",\"{prefix}\"]")), "target-prefix");
        house.refuses(&wanted(&format!("32768:[\"192.0.2.1/32\",\"{prefix}\"]")), "source-prefix");
    }
}

/// Proves CH-5.3.1-20, CH-5.3.2-09, SC-11-04: example 10.
#[test]
fn sources_lie_in_our_domain() {
    for mut house in TestRouter::both() {
        house.refuses(&wanted("32768:[\"2001:db8:999::1/128\"]"), "out of scope");
        house.refuses(&wanted(&format!("32768:[\"{SOURCE}\",\"192.0.2.200/32\"]")), "192.0.2.200/32 is out of scope");
        house.refuses(&wanted("32768:[\"2001:db8::/32\"]"), "out of scope");
        house.refuses(&wanted("32768:[\"198.51.100.0/24\"]"), "out of scope");
        house.refuses(&wanted("32768:[\"100.64.0.9/32\"]"), "out of scope");
        assert!(house.ledger.desired(house.now).blocks.is_empty());
        assert!(house.want(1, &wanted("32768:[\"2001:db8:123::/48\",\"198.51.100.7/32\"]")).starts_with("2.01"));
        house.providers[0].session.set_domain(Vec::new());
        house.refuses(&wanted(""), "out of scope");
    }
}

/// Proves CH-8-06, CH-5.3.1-05: what is not visible outside is accepted by policy only, unless it is our domain.
#[test]
fn internal_sources() {
    for mut house in TestRouter::both() {
        let internal =
            ["192.168.1.10/32", "10.0.0.0/8", "172.16.3.0/24", "169.254.1.1/32", "fd00::1/128", "fe80::1/128"];
        for source in internal {
            house.refuses(&wanted(&format!("32768:[\"{source}\"]")), "not visible outside");
        }
        house.providers[0].session.set_internal_sources(true);
        for (mid, source) in internal.iter().enumerate() {
            let answer = house.want(mid as u32, &wanted(&format!("32768:[\"{source}\"]")));
            assert!(answer.starts_with("2.01"), "{source}: {answer}");
        }
        house.refuses(&wanted("32768:[\"8.0.0.0/7\"]"), "out of scope");
        house.refuses(&wanted("32768:[\"192.0.2.1/32\"]"), "out of scope");
        house.providers[0].session.set_internal_sources(false);
        house.providers[0].session.set_domain(vec!["fe80::/10".parse().unwrap(), "192.168.7.2/32".parse().unwrap()]);
        let answer = house.want(90, &wanted("32768:[\"fe80::1/128\",\"192.168.7.2/32\"]"));
        assert!(answer.starts_with("2.01"), "{answer}");
    }
}

/// Proves CH-5.3.1-22.
#[test]
fn any_target_out_there_is_the_providers_business() {
    let mut house = TestRouter::udp();
    for (mid, target) in ["8.8.8.8/32", "203.0.113.0/24", "2606:4700::/32", "100.64.0.1/32"].iter().enumerate() {
        assert!(house.want(mid as u32, &wanted(&format!("6:[\"{target}\"]"))).starts_with("2.01"));
    }
}

/// Proves SC-4.4.1.1-23, CH-5.3.1-07, CH-6.3-01, CH-6.2-01.
#[test]
fn port_ranges() {
    let mut house = TestRouter::udp();
    for (name, key) in [("target-port-range", 7), ("source-port-range", 32769)] {
        for (bad, words) in [
            ("[{8:443,9:80}]", name),
            ("[{9:80}]", "lower-port missing"),
            ("[{}]", "lower-port missing"),
            ("[{8:80},{8:80,9:90}]", name),
            ("[{8:65536}]", "lower-port"),
            ("[{8:1,9:65536}]", "upper-port"),
            ("[{8:-1}]", "lower-port"),
            ("[{8:\"80\"}]", "lower-port"),
            ("[{8:80,10:6}]", "key 10"),
            ("[80]", name),
            ("[]", name),
            ("80", name),
        ] {
            house.refuses(&wanted(&format!("{key}:{bad}")), words);
        }
        let good = format!("{key}:[{{8:0}},{{8:1024,9:65535}},{{8:80,9:80}},{{8:81,200:1}}]");
        assert!(house.want(key, &wanted(&good)).starts_with("2.01"));
        let known = &house.ledger.get(house.id(key)).unwrap().scope();
        let ranges = if key == 7 { &known.target_ports } else { &known.source_ports };
        assert_eq!(ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0", "1024-65535", "80", "81"]);
    }
}

/// Proves CH-5.3.1-08, CH-6.3-02, CH-6.2-01.
#[test]
fn icmp_type_ranges() {
    let mut house = TestRouter::udp();
    let name = "source-icmp-type-range";
    for (bad, words) in [
        ("[{32771:8,32772:3}]", name),
        ("[{32771:256}]", "lower-type"),
        ("[{32771:1,32772:256}]", "upper-type"),
        ("[{32772:8}]", "lower-type missing"),
        ("[{8:8}]", "key 8"),
        ("[{32771:8},{32771:8,32772:9}]", name),
        ("[8]", name),
        ("[]", name),
    ] {
        house.refuses(&wanted(&format!("32770:{bad}")), words);
    }
    assert!(house.want(1, &wanted("32770:[{32771:8},{32771:128,32772:255}]")).starts_with("2.01"));
    let types = &house.ledger.get(house.id(1)).unwrap().scope().source_icmp_types;
    assert_eq!(types.iter().map(ToString::to_string).collect::<Vec<_>>(), ["8", "128-255"]);
}

/// Proves SC-4.4.1.1-24.
#[test]
fn protocols() {
    let mut house = TestRouter::udp();
    for bad in ["[256]", "[-1]", "[\"tcp\"]", "[]", "6"] {
        house.refuses(&wanted(&format!("10:{bad}")), "target-protocol");
    }
    house.want(1, &wanted("10:[0,6,17,255]"));
    assert_eq!(house.ledger.get(house.id(1)).unwrap().scope().target_protocols, [0, 6, 17, 255]);
}

/// Proves CH-5.3.1-15, DR-3.2.1-05, SC-11-05: names are kept for a person to read; the session has no means
/// to look anything up.
#[test]
fn names_and_uris_are_shown_and_nothing_else() {
    let mut house = TestRouter::udp();
    assert!(house.want(1, &wanted("11:[\"a.example\"],12:[\"https://b.example/c\"]")).starts_with("2.01"));
    let scope = house.ledger.get(house.id(1)).unwrap().scope().clone();
    assert_eq!(
        (scope.target_fqdns.as_slice(), scope.target_uris.as_slice()),
        (&["a.example".to_owned()][..], &["https://b.example/c".to_owned()][..])
    );
    assert_eq!(scope.target_prefixes.len(), 1);
    for bad in ["[\"\"]", "[1]", "[]", "\"a.example\""] {
        house.refuses(&wanted(&format!("11:{bad}")), "target-fqdn");
        house.refuses(&wanted(&format!("12:{bad}")), "target-uri");
    }
}

/// Proves SC-4.4.1.3-09.
#[test]
fn there_are_no_aliases() {
    for mut house in TestRouter::both() {
        house.refuses(&wanted("13:[\"a\"]"), "alias-name");
        house.refuses(&wanted("13:[]"), "alias-name");
    }
}

/// Proves SC-5.3-02, SC-4.4.1.1-16: what only the server says, and what stands in the path only.
#[test]
fn attributes_that_no_request_has() {
    let mut house = TestRouter::udp();
    for key in [1, 2, 3, 4, 5, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 31, 36, 46, 49, 51] {
        house.refuses(&wanted(&format!("{key}:1")), &format!("key {key}"));
    }
}

/// Proves FC-3.2.1-01, FC-3.2.1-02: example 22, with and without a mitigation.
#[test]
fn filtering_control_is_not_understood() {
    let mut house = TestRouter::udp();
    let with_acl = format!("6:[\"{TARGET}\"],32768:[\"{SOURCE}\"],14:3600,53:[{{23:\"an-accept-list\",52:3}}]");
    house.refuses(&scope(&with_acl), "unknown comprehension-required key 53");
    house.want(1, &about(1));
    house.refuses(&scope(&with_acl), "unknown comprehension-required key 53");
    house.refuses(&wanted("52:3"), "unknown comprehension-required key 52");
}

/// Proves CH-5.3.1-27, CH-9-01: example 13, the refusal in the answer.
#[test]
fn legitimate_traffic_is_refused_in_the_answer() {
    for mut house in TestRouter::both() {
        house = house.asking();
        let rules = Policy {
            devices: [(CAMERA, dots_callhome::mitigation::DevicePolicy::Exempt)].into(),
            ..house.ledger.policy().clone()
        };
        house.ledger.set_policy(rules, house.now);
        let answer = house.ask(&put("mitigate/K/70", &wanted("")));
        assert_eq!((answer.code().as_str(), &answer.payload), ("4.09", &hex("a101a10281a111a11304")));
        assert_eq!(house.ask(&get("mitigate/K/70")).code(), "4.04");
        assert!(house.ledger.desired(house.now).blocks.is_empty());
    }
}

/// Proves CH-5.3.1-27: example 13, the refusal after consent was asked for; and again at every refresh.
#[test]
fn legitimate_traffic_is_told_after_the_administrator_said_so() {
    let mut house = TestRouter::udp().asking();
    house.want(57, &wanted(""));
    let observed = house.send(&get("mitigate/K/57").number(6, 0));
    house.heard();
    let rejected = house.id(57);
    house.ledger.reject(rejected, None, "root", house.now).unwrap();
    house.settle();
    house.pass(seconds(3));
    let told = &house.notified(&observed.token)[0];
    assert_eq!(
        told.body(),
        format!("{{1:{{2:[{{5:57,6:[\"{TARGET}\"],14:3597,16:7,17:{{19:4}},32768:[\"{SOURCE}\"]}}]}}}}")
    );
    assert_eq!(house.want(57, &wanted("")), "4.09 {1:{2:[{17:{19:4}}]}}");
    assert_eq!(house.ledger.get(rejected).unwrap().state(), State::Rejected);
}

/// Proves SC-3-09, SC-9-01: without a Content-Format the context tells; another one is refused.
#[test]
fn content_formats() {
    for mut house in TestRouter::both() {
        assert_eq!(house.ask(&put("mitigate/K/1", &wanted("")).without(12)).code(), "2.01");
        for format in [0, 40, 50, 60, 270, 272, 65535] {
            for path in ["mitigate/K/71", "config/sid=1", "hb", "redirect"] {
                let answer = house.ask(&put(path, &wanted("")).without(12).number(12, format));
                assert_eq!(answer.code(), "4.15", "{path} {format}");
            }
        }
        assert_eq!(house.ask(&request(PUT, "mitigate/K/71").number(12, 50).raw(b"{\"a\":1}".to_vec())).code(), "4.15");
    }
}

/// Proves SC-4.4.1.1-17: empty values anywhere spoil the request.
#[test]
fn nothing_is_empty() {
    let mut house = TestRouter::udp();
    for key in [6, 7, 10, 11, 12, 13, 32768, 32769, 32770] {
        house.refuses(&wanted(&format!("{key}:[]")), "");
    }
    for path in
        ["/.well-known/dots/mitigate/cuid=/mid=1", "mitigate/K/mid=", "/.well-known/dots/mitigate/cdid=/cuid=x/mid=1"]
    {
        let answer = house.ask(&put(path, &wanted("")));
        assert_eq!(answer.code(), "4.00", "{path}");
        assert!(answer.text().contains("empty"));
    }
}

/// Proves SC-11-07: a longer list than anybody needs is refused in so many words.
#[test]
fn lists_are_bounded() {
    let mut house = TestRouter::tcp();
    let prefixes = |n: u32| (0..n).map(|i| format!("\"2001:db8:123::{i:x}/128\"")).collect::<Vec<_>>().join(",");
    house.refuses(&wanted(&format!("32768:[{}]", prefixes(257))), "more than 256");
    assert!(house.want(1, &wanted(&format!("32768:[{}]", prefixes(256)))).starts_with("2.01"));
    house.refuses(&wanted(&format!("11:[\"{}\"]", "a".repeat(1025))), "more than 1024");
}
