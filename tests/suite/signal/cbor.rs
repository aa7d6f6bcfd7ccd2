//! Bodies as bytes: what counts as CBOR, as a key, as the type of a value.

use crate::support::signal::*;
use dots_callhome::signal::cbor::Value;

fn put_raw(bytes: &[u8]) -> Message {
    request(PUT, "mitigate/K/4000").number(12, 271).raw(bytes.to_vec())
}

/// Proves SC-9-02, SC-11-07.
#[test]
fn what_is_not_well_formed() {
    let good = diag::encode(&wanted(""));
    let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|end| good[..end].to_vec()).collect();
    bad.push([&good[..], &[0]].concat());
    bad.push([&good[..], &good[..]].concat());
    bad.extend(
        [
            "ff",
            "1c",
            "f8",
            "5f",
            "7f",
            "9f",
            "bf",
            "c4",
            "d9010f",
            "a1",
            "a101",
            "81",
            "9b7fffffffffffffff",
            "bbffffffffffffffff",
            "7bffffffffffffffff",
            "5bffffffffffffffff00",
            "62c328",
            "a2010101",
            "df00",
            "fc",
        ]
        .map(hex),
    );
    let mut house = TestRouter::udp();
    for bytes in bad {
        let answer = house.ask(&put_raw(&bytes));
        assert_eq!(answer.code(), "4.00", "{bytes:02x?}");
        assert!(!answer.text().is_empty());
        house.pass(seconds(1));
        house.heard();
    }
    assert_eq!(house.ledger.all().count(), 0);
}

/// Proves SC-9-02: wrong top-level keys and types.
#[test]
fn what_is_something_else() {
    let mut house = TestRouter::udp();
    for body in [
        "[1]",
        "1",
        "\"a\"",
        "true",
        "null",
        "{30:{}}",
        "{49:{51:true}}",
        "{1:[]}",
        "{1:{2:{}}}",
        "{1:{2:[[]]}}",
        "{1:{2:[1]}}",
        "{1:{1:[]}}",
        "1.5",
        "h'00'",
    ] {
        let answer = house.ask(&put("mitigate/K/1", body));
        assert_eq!(answer.code(), "4.00", "{body}");
    }
}

/// Proves SC-11-07: nesting, deep and wide.
#[test]
fn depth_is_bounded() {
    let mut house = TestRouter::tcp();
    for (open, times) in [(0x81_u8, 17), (0x81, 20_000), (0xa1, 20_000), (0xc4, 20_000), (0x9f, 20_000), (0xbf, 20_000)]
    {
        let mut bytes = vec![open; times];
        bytes.push(0);
        assert_eq!(house.ask(&put_raw(&bytes)).text(), "malformed CBOR");
    }
    let deep = |levels: usize| wanted(&format!("49152:{}1{}", "[".repeat(levels), "]".repeat(levels)));
    assert!(house.want(1, &deep(11)).starts_with("2.01"));
    house.refuses(&deep(13), "malformed");
    let wide = [&hex("a101a102819a00007000")[..], &[0; 0x7000]].concat();
    assert_eq!(house.ask(&put_raw(&wide)).code(), "4.00");
}

/// Proves SC-6-01, SC-10.6.1.1-01.
#[test]
fn keys_are_numbers_from_1_to_65535() {
    let mut house = TestRouter::udp();
    for key in [
        "0",
        "-1",
        "65536",
        "18446744073709551615",
        "\"mid\"",
        "true",
        "h'01'",
        "[1]",
        "{1:1}",
        "1.5",
        "271(1)",
        "null",
    ] {
        house.refuses(&wanted(&format!("{key}:1")), "key is no integer");
    }
    let text_keys = "{\"ietf-dots-signal-channel:mitigation-scope\":{\"scope\":[{\"lifetime\":3600}]}}";
    house.refuses(text_keys, "key is no integer");
}

/// Proves SC-6-06, SC-6-07, SC-4.4.1.3-07: at any depth, and all of them named.
#[test]
fn unknown_comprehension_required_keys() {
    for mut house in TestRouter::both() {
        for key in [54, 127, 256, 300, 16383] {
            let words = format!("unknown comprehension-required key {key}");
            house.refuses(&wanted(&format!("{key}:1")), &words);
            house.refuses(&wanted(&format!("7:[{{8:80,{key}:1}}]")), &words);
            house.refuses(&wanted(&format!("32769:[{{8:80,{key}:1}}]")), &words);
            house.refuses(&wanted(&format!("32770:[{{32771:8,{key}:1}}]")), &words);
            house.refuses(&format!("{{1:{{2:[],{key}:1}}}}"), &words);
            house.refuses(&format!("{{1:{{}},{key}:1}}"), &words);
        }
        house.refuses(&wanted("127:1,126:2,300:3"), "key 126 127 300");
    }
}

/// Proves SC-4.4.1.3-08, SC-6-08, SC-3.1-01, DR-4.2-02.
#[test]
fn unknown_comprehension_optional_keys() {
    for mut house in TestRouter::both() {
        for (mid, key) in [128, 200, 255, 16384, 32767, 32776, 49151, 49152, 65535].into_iter().enumerate() {
            let body = wanted(&format!("{key}:{{1:[1,\"x\",h'00',1.5,null]}},7:[{{8:80,{key}:1}}]"));
            let nested = body.replace("{1:{2:", &format!("{{{key}:1,1:{{{key}:1,2:"));
            let answer = house.want(mid as u32, &nested);
            assert!(answer.starts_with("2.01"), "{key}: {answer}");
        }
    }
}

/// Proves SC-10.5-01: with the tag and without, around the whole only.
#[test]
fn the_tag_is_optional() {
    for mut house in TestRouter::both() {
        for (path, body) in [
            ("mitigate/K/1", wanted("")),
            ("config/sid=1", "{30:{44:{33:{36:60}}}}".into()),
            ("hb", "{49:{51:true}}".into()),
            ("redirect", "{46:{32773:\"a.example\"}}".into()),
        ] {
            let plain = house.ask(&put(path, &body)).code;
            let tagged = house.ask(&put(path, &format!("271({body})"))).code;
            assert_eq!((plain >> 5, tagged >> 5), (2, 2), "{path}");
        }
        house.refuses(&format!("271(271({}))", wanted("")), "type");
        house.refuses(&format!("55799({})", wanted("")), "type");
        house.refuses("{1:271({2:[]})}", "type");
        assert_eq!(diag::encode("271(1)"), hex("d9010f01"));
    }
}

/// Proves SC-6-01, SC-6-04: each attribute has its one type.
#[test]
fn types() {
    let mut house = TestRouter::udp();
    let others = ["1", "-2", "\"x\"", "h'00'", "[1]", "{1:1}", "true", "1.5", "null", "4([-2,100])"];
    for (key, right) in [
        (6, ""),
        (7, ""),
        (10, "[1]"),
        (11, ""),
        (12, ""),
        (14, "1"),
        (45, "true"),
        (32768, ""),
        (32769, ""),
        (32770, ""),
    ] {
        for value in others.iter().filter(|value| **value != right) {
            house.refuses(&wanted(&format!("{key}:{value}")), "");
        }
    }
}

/// Proves SC-11-07: the same key twice is no choice to be made silently.
#[test]
fn duplicate_keys() {
    let mut house = TestRouter::udp();
    house.refuses(&scope(&format!("14:60,6:[\"{TARGET}\"],32768:[\"{SOURCE}\"],14:61")), "malformed");
    house.refuses(&wanted("49152:{1:1,1:2}"), "malformed");
    let long_form = [&hex("a1180101a2")[..1], &hex("0101180102")].concat();
    assert_eq!(Value::decode(&[&[0xa2], &long_form[1..]].concat()), Err(dots_callhome::signal::cbor::Malformed));
}

/// Proves SC-6-05, SC-6-02, SC-6-03: numbers in every length they may be written in.
#[test]
fn longer_forms_of_numbers() {
    let mut house = TestRouter::udp();
    let body = diag::encode(&wanted("14:60"));
    let place = body.windows(3).position(|window| window == [0x0e, 0x18, 60]).unwrap();
    for (mid, form) in
        ["0e19003c", "0e1a0000003c", "0e1b000000000000003c", "180e183c", "19000e183c"].into_iter().enumerate()
    {
        let bytes = [&body[..place], &hex(form), &body[place + 3..]].concat();
        let answer = house.ask(&request(PUT, &format!("mitigate/K/{mid}")).number(12, 271).raw(bytes));
        assert_eq!(answer.to_string(), format!("2.01 {{1:{{2:[{{5:{mid},14:60}}]}}}}"));
    }
    let forever = [&body[..place], &hex("0e3b0000000000000000"), &body[place + 3..]].concat();
    assert!(house.ask(&put_raw(&forever)).to_string().contains("14:86400"));
}

/// Proves SC-9-02: maps, lists and texts of indefinite length are CBOR as well.
#[test]
fn indefinite_lengths() {
    let mut house = TestRouter::udp();
    let text = |text: &str| {
        [&[0x7f, 0x61, text.as_bytes()[0], 0x78, text.len() as u8 - 1][..], &text.as_bytes()[1..], &[0xff]].concat()
    };
    let bytes =
        [&hex("bf01bf029fbf069f")[..], &text(TARGET), &hex("ff1980009f"), &text(SOURCE), &hex("ff0e190e10ffffffff")]
            .concat();
    assert_eq!(house.ask(&put_raw(&bytes)).code(), "2.01");
}

/// Proves SC-11-07: any bytes are read or refused; what is read can be written, and then reads the same.
#[test]
fn hostile_bytes() {
    let seeds = [
        diag::encode(&wanted("7:[{8:80}],10:[6],11:[\"a\"],45:true,200:[1.5,null,h'01']")),
        diag::encode("{30:{32:{33:{36:30},39:{43:4([-2,200])}},44:{33:{36:0}}}}"),
        diag::encode("{46:{32773:\"a.example\",32774:[\"2001:db8::1\"],32775:600}}"),
    ];
    let mut dice = Dice(99);
    let (mut read, mut refused) = (0, 0);
    for round in 0..60_000_usize {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=dice.roll() % 4 {
            let place = dice.roll() as usize % bytes.len();
            match dice.roll() % 3 {
                0 => bytes[place] ^= 1 << (dice.roll() % 8),
                1 => bytes[place] = dice.roll() as u8,
                _ => bytes.truncate(place.max(1)),
            }
        }
        match Value::decode(&bytes) {
            Ok(value) => {
                read += 1;
                let again = Value::decode(&value.encode()).expect("what was written");
                assert_eq!(again.encode(), value.encode());
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} {refused}");
}
