//! Batches of nf_tables, as the text that says the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dots_callhome::model::Mac;

/// An attribute: its kind, and what it holds.
type Attribute<'a> = (u16, &'a [u8]);

/// A part of a text: what stands within a table's braces under one head, or a line of its own.
enum Part {
    Block { family: &'static str, head: String, lines: Vec<String> },
    Line(String),
}

/// The text of a batch, and the number of its answer.
///
/// # Panics
/// When the kernel would not understand it.
pub fn text(batch: &[u8]) -> (String, u32) {
    let mut parts: Vec<Part> = Vec::new();
    let mut unnamed: Vec<(u32, bool, Vec<Vec<u8>>)> = Vec::new();
    let mut answered = None;
    let messages: Vec<&[u8]> = split(batch);
    assert_eq!(kind_of(messages[0]), 0x10, "begins");
    assert_eq!(kind_of(messages[messages.len() - 1]), 0x11, "ends");
    for message in &messages[1..messages.len() - 1] {
        assert_eq!(message[17..20], [0; 3]);
        if u16::from_ne_bytes([message[6], message[7]]) & 4 != 0 {
            assert_eq!(answered, None, "answered once");
            answered = Some(u32::from_ne_bytes(message[8..12].try_into().unwrap()));
        }
        let family = if message[16] == 1 { "inet" } else { "bridge" };
        let attributes = attributes(&message[20..]);
        let table = string(get(&attributes, 1).unwrap());
        let name = |kind| string(get(&attributes, kind).unwrap());
        let line = |verb: &str, what: &str, name: &str| Part::Line(format!("{verb} {what} {family} {table}{name}"));
        assert_eq!(table, "dots_callhome");
        let part = match kind_of(message) {
            0xa00 => line("add", "table", ""),
            0xa02 => line("delete", "table", ""),
            0xa03 => {
                let hook = get(&attributes, 4).map(|hook| {
                    let hook = self::attributes(hook);
                    let priority = number(get(&hook, 2).unwrap()).cast_signed();
                    let hook = match (number(get(&hook, 1).unwrap()), priority) {
                        (0, -300) => "prerouting priority raw",
                        (2, -200) => "forward priority filter",
                        other => panic!("{other:?}"),
                    };
                    format!("type filter hook {hook}; policy accept;")
                });
                Part::Block { family, head: format!("chain {}", name(3)), lines: hook.into_iter().collect() }
            }
            0xa05 => line("delete", "chain", &format!(" {}", name(3))),
            0xa06 => {
                let rule = rule(get(&attributes, 4).unwrap(), &unnamed);
                line("add", "rule", &format!(" {} {rule}", name(2)))
            }
            0xa08 => line("flush", "chain", &format!(" {}", name(2))),
            0xa09 if name(2) == "__set%d" => {
                let flags = number(get(&attributes, 3).unwrap());
                unnamed.push((number(get(&attributes, 10).unwrap()), flags & 4 != 0, Vec::new()));
                continue;
            }
            0xa09 => set(family, &name(2), &attributes),
            0xa0b => line("delete", "set", &format!(" {}", name(2))),
            0xa0c if name(2) == "__set%d" => {
                let id = number(get(&attributes, 4).unwrap());
                let (.., values) = unnamed.iter_mut().find(|(other, ..)| *other == id).expect("a set");
                let elements = self::attributes(get(&attributes, 3).unwrap());
                values.extend(elements.iter().map(|(_, element)| key(&self::attributes(element)).to_vec()));
                continue;
            }
            kind @ (0xa0c | 0xa0e) => {
                let verb = if kind == 0xa0c { "add" } else { "delete" };
                let elements = elements(get(&attributes, 3).unwrap(), verb == "add");
                let set = name(2);
                line(verb, "element", &format!(" {set} {{ {} }}", elements.join(", ")))
            }
            other => panic!("not understood: {other:x}"),
        };
        parts.push(part);
    }
    (join(parts), answered.expect("is answered"))
}

/// Blocks of the same table that follow each other are one, and so are those under the same head.
fn join(parts: Vec<Part>) -> String {
    let mut text = String::new();
    let mut open: Option<(&'static str, String)> = None;
    for part in parts {
        match (part, &mut open) {
            (Part::Block { family, head, lines }, Some((of, last))) if *of == family => {
                if *last != head {
                    text += &format!("\t}}\n\t{head} {{\n");
                    *last = head;
                }
                lines.iter().for_each(|line| text += &format!("\t\t{line}\n"));
            }
            (part, _) => {
                if open.take().is_some() {
                    text += "\t}\n}\n";
                }
                match part {
                    Part::Line(line) => text += &format!("{line}\n"),
                    Part::Block { family, head, lines } => {
                        text += &format!("table {family} dots_callhome {{\n\t{head} {{\n");
                        lines.iter().for_each(|line| text += &format!("\t\t{line}\n"));
                        open = Some((family, head));
                    }
                }
            }
        }
    }
    if open.is_some() {
        text += "\t}\n}\n";
    }
    text
}

fn set(family: &'static str, name: &str, attributes: &[Attribute<'_>]) -> Part {
    let flags = number(get(attributes, 3).unwrap());
    let (kind, length) = (number(get(attributes, 4).unwrap()), number(get(attributes, 5).unwrap()));
    let words = match (kind, length) {
        (7, 4) => "ipv4_addr",
        (8, 16) => "ipv6_addr",
        (9, 6) => "ether_addr",
        (38, 4) => {
            let lines = vec!["type fib_addrtype".into(), "flags constant".into()];
            assert_eq!(flags, 2);
            return Part::Block { family, head: format!("set {name}"), lines };
        }
        (0x91d4, 16) => "ether_addr . ipv4_addr . iface_index",
        (0x9214, 28) => "ether_addr . ipv6_addr . iface_index",
        other => panic!("{other:?}"),
    };
    if flags == 0xc {
        assert_eq!((get(attributes, 6), get(attributes, 7)), (Some(&[0xff, 0xff, 0xff, 0][..]), Some(&[0; 4][..])));
        let lines = vec![format!("type {words} : verdict"), "flags interval".into()];
        return Part::Block { family, head: format!("map {name}"), lines };
    }
    let mut lines = vec![format!("type {words}")];
    lines.push(if flags == 0x30 { "flags dynamic,timeout".into() } else { "flags timeout".into() });
    assert!([0x10, 0x30].contains(&flags));
    if let Some(timeout) = get(attributes, 11) {
        lines.push(format!("timeout {}s", u64::from_be_bytes(timeout.try_into().unwrap()) / 1000));
    }
    if let Some(description) = get(attributes, 9) {
        lines.push(format!("size {}", number(get(&self::attributes(description), 1).unwrap())));
    }
    if let Some(expression) = get(attributes, 17) {
        assert_eq!(string(get(&self::attributes(expression), 1).unwrap()), "counter");
        lines.push("counter".into());
    }
    Part::Block { family, head: format!("set {name}"), lines }
}

/// The elements of a list; of a map, each with the end of its range.
fn elements(list: &[u8], with_all: bool) -> Vec<String> {
    let mut elements = Vec::new();
    let mut range: Option<(Vec<u8>, String)> = None;
    let close = |range: (Vec<u8>, String), end: Option<&[u8]>| {
        let (first, verdict) = range;
        let last = end.map_or(vec![0xff; first.len()], before);
        let places = if last == first { address(&first) } else { format!("{}-{}", address(&first), address(&last)) };
        format!("{places} : {verdict}")
    };
    for (_, element) in attributes(list) {
        let parts = attributes(element);
        let value = key(&parts);
        if let Some(data) = get(&parts, 2) {
            elements.extend(range.take().map(|range| close(range, None)));
            range = Some((value.to_vec(), verdict(data)));
        } else if get(&parts, 3).map(number) == Some(1) {
            elements.push(close(range.take().expect("a range"), Some(value)));
        } else if value.len() == 4 {
            let names = ["local", "broadcast", "anycast", "multicast"];
            elements.push(names[u32::from_ne_bytes(value.try_into().unwrap()) as usize - 2].into());
        } else {
            let mut text = Mac(value.try_into().unwrap()).to_string();
            if let Some(expression) = get(&parts, 7) {
                let counter = attributes(get(&attributes(expression), 2).unwrap());
                let count = |kind| u64::from_be_bytes(get(&counter, kind).unwrap().try_into().unwrap());
                text += &format!(" counter packets {} bytes {}", count(2), count(1));
            }
            if let Some(timeout) = get(&parts, 4) {
                let seconds = u64::from_be_bytes(timeout.try_into().unwrap()) / 1000;
                let (days, rest) = (seconds / 86_400, seconds % 86_400);
                text += &if seconds > 99_999_999 {
                    format!(" timeout {days}d{rest}s")
                } else {
                    format!(" timeout {seconds}s")
                };
            }
            assert!(with_all || parts.len() == 1);
            elements.push(text);
        }
    }
    elements.extend(range.take().map(|range| close(range, None)));
    elements
}

/// The words of a rule. What `nft` adds by itself to what depends on it is left out.
fn rule(list: &[u8], unnamed: &[(u32, bool, Vec<Vec<u8>>)]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut loaded: Vec<String> = Vec::new();
    let mut value = Vec::new();
    let mut least = String::new();
    for (_, expression) in attributes(list) {
        let expression = attributes(expression);
        let data = attributes(get(&expression, 2).unwrap());
        let word = |kind| number(get(&data, kind).unwrap());
        match string(get(&expression, 1).unwrap()).as_str() {
            "meta" if get(&data, 3).is_some() => {
                words.push(format!(
                    "meta mark set 0x{:x}",
                    u32::from_ne_bytes(Vec::try_into(std::mem::take(&mut value)).unwrap())
                ));
            }
            "meta" => loaded.push(match word(2) {
                3 => "meta mark".into(),
                4 => "meta iif".into(),
                8 => "iiftype".into(),
                15 => "nfproto".into(),
                16 => "meta l4proto".into(),
                other => panic!("{other}"),
            }),
            "payload" => loaded.push(match (word(2), word(3), word(4)) {
                (0, 0, 6) => "ether daddr".into(),
                (0, 6, 6) => "ether saddr".into(),
                (1, 12, 4) => "ip saddr".into(),
                (1, 8, 16) => "ip6 saddr".into(),
                (1, 16, 4) => "ip daddr".into(),
                (1, 24, 16) => "ip6 daddr".into(),
                (2, 2, 2) => "th dport".into(),
                (2, 0, 1) => "icmp type".into(),
                other => panic!("{other:?}"),
            }),
            "fib" => {
                assert_eq!((word(2), word(3)), (3, 2));
                loaded.push("fib daddr type".into());
            }
            "cmp" => {
                let wanted = get(&attributes(get(&data, 3).unwrap()), 1).unwrap();
                let field = loaded.pop().unwrap();
                match word(2) {
                    // NFT_CMP_GTE: NFT_CMP_LTE follows.
                    5 => {
                        least = choice(&field, false, &[wanted.to_vec()]);
                        loaded.push(field);
                        continue;
                    }
                    3 => {
                        words.push(format!("{field} {least}-{}", choice(&field, false, &[wanted.to_vec()])));
                        continue;
                    }
                    other => assert!(other <= 1),
                }
                // NFT_CMP_NEQ
                let not = if word(2) == 1 { "!= " } else { "" };
                words.push(match field.as_str() {
                    "iiftype" => continue,
                    "nfproto" if wanted == [2] => "meta nfproto ipv4".into(),
                    "nfproto" => "meta nfproto ipv6".into(),
                    "meta mark" => format!("meta mark {not}0x{:x}", u32::from_ne_bytes(wanted.try_into().unwrap())),
                    "th dport" => format!("th dport {}", u16::from_be_bytes(wanted.try_into().unwrap())),
                    "ether saddr" => format!("ether saddr {not}{}", Mac(wanted.try_into().unwrap())),
                    field @ ("ip daddr" | "ip6 daddr" | "ip saddr" | "ip6 saddr") => {
                        format!("{field} {}", address(wanted))
                    }
                    field => format!("{field} {}", wanted[0]),
                });
            }
            "lookup" if get(&data, 4).is_some() => {
                let field = loaded.pop().unwrap();
                let (_, ranges, values) = unnamed.iter().find(|(id, ..)| *id == word(4)).expect("a set");
                words.push(format!("{field} {}", choice(&field, *ranges, values)));
            }
            "lookup" => {
                let how = if get(&data, 3).is_some() { "vmap " } else { "" };
                words.push(format!("{} {how}@{}", loaded.pop().unwrap(), string(get(&data, 1).unwrap())));
            }
            "dynset" => {
                let set = string(get(&data, 1).unwrap());
                words.push(format!("update @{set} {{ {} }}", std::mem::take(&mut loaded).join(" . ")));
            }
            "immediate" if word(1) == 0 => words.push(verdict(get(&data, 2).unwrap())),
            "immediate" => value = get(&attributes(get(&data, 2).unwrap()), 1).unwrap().to_vec(),
            other => panic!("not understood: {other}"),
        }
    }
    tidy(&words)
}

/// As `nft` is told it: a family or protocol that goes without saying is not said.
fn tidy(words: &[String]) -> String {
    let mut kept: Vec<String> = Vec::new();
    for word in words {
        let implied = match kept.last().map(String::as_str) {
            Some("meta nfproto ipv4") => word.starts_with("ip daddr") || word.contains("ip saddr"),
            Some("meta nfproto ipv6") => word.starts_with("ip6 daddr") || word.contains("ip6 saddr"),
            Some("meta l4proto 1") => word.starts_with("icmp type"),
            Some("meta l4proto 58") => word.starts_with("icmp type"),
            _ => false,
        };
        let protocol = if implied { kept.pop() } else { None };
        let of_v6 = protocol.as_deref() == Some("meta l4proto 58");
        kept.push(if of_v6 { word.replacen("icmp", "icmpv6", 1) } else { word.clone() });
    }
    kept.join(" ")
}

fn choice(field: &str, ranges: bool, values: &[Vec<u8>]) -> String {
    let show = |value: &[u8]| match field {
        "th dport" => u16::from_be_bytes(value.try_into().unwrap()).to_string(),
        "ip daddr" | "ip6 daddr" => address(value),
        _ => value[0].to_string(),
    };
    let values: Vec<String> = if ranges {
        let pairs = values.chunks(2).map(|pair| {
            let last = pair.get(1).map_or(vec![0xff; pair[0].len()], |end| before(end));
            if last == pair[0] { show(&last) } else { format!("{}-{}", show(&pair[0]), show(&last)) }
        });
        pairs.collect()
    } else {
        values.iter().map(|value| show(value)).collect()
    };
    if let [range] = values.as_slice() { range.clone() } else { format!("{{ {} }}", values.join(", ")) }
}

fn verdict(data: &[u8]) -> String {
    let verdict = attributes(get(&attributes(data), 2).unwrap());
    let chain = || string(get(&verdict, 2).unwrap());
    match number(get(&verdict, 1).unwrap()).cast_signed() {
        0 => "drop".into(),
        1 => "accept".into(),
        -3 => format!("jump {}", chain()),
        -4 => format!("goto {}", chain()),
        -5 => "return".into(),
        other => panic!("{other}"),
    }
}

fn address(octets: &[u8]) -> String {
    match <[u8; 4]>::try_from(octets) {
        Ok(octets) => IpAddr::V4(Ipv4Addr::from(octets)).to_string(),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).unwrap())).to_string(),
    }
}

/// The value before this one.
fn before(value: &[u8]) -> Vec<u8> {
    let mut before = value.to_vec();
    for byte in before.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != 0xff {
            break;
        }
    }
    before
}

fn key<'a>(element: &[Attribute<'a>]) -> &'a [u8] {
    get(&attributes(get(element, 1).unwrap()), 1).unwrap()
}

fn split(mut datagram: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !datagram.is_empty() {
        let length = u32::from_ne_bytes(datagram[..4].try_into().unwrap()) as usize;
        messages.push(&datagram[..length]);
        datagram = &datagram[length..];
    }
    messages
}

fn kind_of(message: &[u8]) -> u16 {
    u16::from_ne_bytes([message[4], message[5]])
}

fn attributes(mut bytes: &[u8]) -> Vec<Attribute<'_>> {
    let mut attributes = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff;
        attributes.push((kind, &bytes[4..length]));
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    attributes
}

fn get<'a>(attributes: &[Attribute<'a>], kind: u16) -> Option<&'a [u8]> {
    attributes.iter().find(|(other, _)| *other == kind).map(|(_, value)| *value)
}

fn number(value: &[u8]) -> u32 {
    u32::from_be_bytes(value.try_into().unwrap())
}

fn string(value: &[u8]) -> String {
    String::from_utf8(value[..value.len() - 1].to_vec()).unwrap()
}
