//! Conntrack messages: what we ask, and what we make of the answers.

use std::net::IpAddr;

use crate::support::kernel::messages::{self, attribute, done, error, hostile, nest};
use dots_callhome::model::{Detail, Flow, Traffic, Tuple};
use dots_callhome::netlink::conntrack::{self, By, Filter, Message};

fn tuple(source: &str, destination: &str, protocol: u8, detail: Detail) -> Tuple {
    Tuple { source: source.parse().unwrap(), destination: destination.parse().unwrap(), protocol, detail, zone: 0 }
}

fn ports(source: u16, destination: u16) -> Detail {
    Detail::Ports { source, destination }
}

/// One of each kind of tuple.
fn flows() -> Vec<Flow> {
    let flow = |id, original, reply| Flow {
        id,
        original,
        reply,
        sent: Some(Traffic { packets: 5_000_000_000, bytes: 1 << 40 }),
        answered: Some(Traffic { packets: 0, bytes: 0 }),
        offloaded: id == 2,
    };
    let echo = |kind| Detail::Icmp { kind, code: 0, id: 0x1234 };
    vec![
        flow(
            0x0102_0304,
            tuple("192.168.1.23", "203.0.113.80", 17, ports(4000, 53)),
            tuple("203.0.113.80", "198.51.100.7", 17, ports(53, 40000)),
        ),
        flow(
            2,
            tuple("2001:db8:123::23", "2001:db8:c000::80", 6, ports(50000, 443)),
            tuple("2001:db8:c000::80", "2001:db8:123::23", 6, ports(443, 50000)),
        ),
        flow(3, tuple("192.168.1.23", "203.0.113.80", 1, echo(8)), tuple("203.0.113.80", "198.51.100.7", 1, echo(0))),
        flow(
            4,
            tuple("2001:db8:123::23", "2001:db8:c000::80", 58, echo(128)),
            tuple("2001:db8:c000::80", "2001:db8:123::23", 58, echo(129)),
        ),
        flow(
            u32::MAX,
            tuple("192.168.1.23", "203.0.113.80", 99, Detail::None),
            tuple("203.0.113.80", "198.51.100.7", 99, Detail::None),
        ),
    ]
}

#[test]
fn entries_are_read_whole() {
    for flow in flows() {
        let datagram = [
            messages::flow(0x100, 2, 7, &flow),
            messages::flow(0x100, 0x600, 0, &flow),
            messages::flow(0x102, 0, 0, &flow),
            done(7),
        ];
        let said: Vec<_> = conntrack::messages(&datagram.concat()).collect();
        assert_eq!(
            said,
            [(7, Message::Flow(flow)), (0, Message::New(flow)), (0, Message::Destroyed(flow)), (7, Message::Done)]
        );
    }
}

/// In zone 7 both ways, or one way only: everybody inside a zone of his own, all answers in the same.
fn zoned() -> [Flow; 3] {
    let flow = flows()[0];
    let within = |zone, tuple| Tuple { zone, ..tuple };
    [(7, 7), (7, 0), (0, 7)].map(|(original, reply)| Flow {
        original: within(original, flow.original),
        reply: within(reply, flow.reply),
        ..flow
    })
}

#[test]
fn zones_are_told_of_each_direction() {
    for flow in zoned() {
        let said: Vec<_> = conntrack::messages(&messages::flow(0x100, 2, 1, &flow)).collect();
        assert_eq!(said, [(1, Message::Flow(flow))]);
    }
}

/// What the kernel has told leads back to the same entry.
#[test]
fn an_entry_is_asked_for_and_deleted_in_its_zone() {
    let zone = attribute(18, &7_u16.to_be_bytes());
    for flow in zoned() {
        for (by, which, tuple) in [(By::Original, 1, flow.original), (By::Reply, 2, flow.reply)] {
            let zone = if tuple.zone == 7 { zone.clone() } else { Vec::new() };
            let plain = Tuple { zone: 0, ..tuple };
            let tuple_and_zone = [written(&plain, which), zone].concat();
            assert_eq!(asked(&conntrack::get(by, &tuple, 77)).attributes, tuple_and_zone);
            if by == By::Original {
                assert_eq!(asked(&conntrack::delete(&tuple, None, 77)).attributes, tuple_and_zone);
            }
        }
    }
}

#[test]
fn an_entry_without_accounting_has_no_counters() {
    let flow = Flow { sent: None, answered: None, ..flows()[0] };
    let said: Vec<_> = conntrack::messages(&messages::flow(0x100, 2, 1, &flow)).collect();
    assert_eq!(said, [(1, Message::Flow(flow))]);
}

#[test]
fn ends_and_errors_are_told_apart() {
    let broken_off = messages::message(3, 2, 4, &(-4_i32).to_ne_bytes());
    let datagram = [error(0, 1), error(2, 2), done(3), broken_off, messages::message(0x555, 0, 5, &[])].concat();
    let said: Vec<_> = conntrack::messages(&datagram).collect();
    let expected = [
        (1, Message::Error(0)),
        (2, Message::Error(conntrack::ENOENT)),
        (3, Message::Done),
        (4, Message::Error(4)),
        (5, Message::Other),
    ];
    assert_eq!(said, expected);
}

/// What is asked for, read back as the kernel reads it.
struct Asked {
    kind: u16,
    flags: u16,
    family: u8,
    attributes: Vec<u8>,
}

fn asked(request: &[u8]) -> Asked {
    assert_eq!(u32::from_ne_bytes(request[..4].try_into().unwrap()) as usize, request.len(), "length of the message");
    assert_eq!(request[8..12], 77_u32.to_ne_bytes(), "sequence");
    let word = |at: usize| u16::from_ne_bytes(request[at..at + 2].try_into().unwrap());
    let mut attributes = request[20..].to_vec();
    // What fills up the last one may be left out.
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    Asked { kind: word(4), flags: word(6), family: request[16], attributes }
}

/// The tuple's attribute as the kernel would write it: the first or second of a flow's message.
fn written(tuple: &Tuple, which: u16) -> Vec<u8> {
    let flow = Flow { id: 0, original: *tuple, reply: *tuple, sent: None, answered: None, offloaded: false };
    let bytes = messages::flow(0x100, 0, 0, &flow);
    let length = usize::from(u16::from_ne_bytes(bytes[20..22].try_into().unwrap()));
    let mut attribute = bytes[20..20 + length].to_vec();
    attribute[2..4].copy_from_slice(&(which | 0x8000).to_ne_bytes());
    attribute
}

#[test]
fn an_entry_is_asked_for_by_either_direction_and_acknowledged() {
    for flow in flows() {
        for (by, which, tuple) in [(By::Original, 1, flow.original), (By::Reply, 2, flow.reply)] {
            let asked = asked(&conntrack::get(by, &tuple, 77));
            // NLM_F_REQUEST | NLM_F_ACK: the answer to a get is never ended by NLMSG_DONE.
            assert_eq!((asked.kind, asked.flags), (0x101, 5));
            assert_eq!(asked.family, if tuple.source.is_ipv4() { 2 } else { 10 });
            assert_eq!(asked.attributes, written(&tuple, which));
        }
    }
}

#[test]
fn an_entry_is_deleted_by_tuple_and_number() {
    for flow in flows() {
        let plain = asked(&conntrack::delete(&flow.original, None, 77));
        assert_eq!((plain.kind, plain.flags, plain.attributes), (0x102, 5, written(&flow.original, 1)));
        let numbered = asked(&conntrack::delete(&flow.original, Some(flow.id), 77));
        let number = attribute(12, &flow.id.to_be_bytes());
        assert_eq!(numbered.attributes, [written(&flow.original, 1), number].concat());
    }
}

/// Both families at once: a list that leaves anything out stops the router's packets for as long as it takes.
#[test]
fn everything_is_listed_without_a_filter() {
    let asked = asked(&conntrack::list(77));
    assert_eq!((asked.kind, asked.flags, asked.family), (0x101, 0x301, 0));
    assert!(asked.attributes.is_empty());
}

#[test]
fn the_kernel_compares_what_is_given_and_nothing_else() {
    let address = |text: &str| messages::octets(text.parse::<IpAddr>().unwrap());
    let v4 = |text: &str| text.parse().unwrap();
    let (sender, answerer) = (v4("192.168.1.23"), v4("203.0.113.80"));
    let filter = Filter { by: By::Original, sender, answerer, protocol: Some(17), port: Some(53) };
    let from = |which, text| nest(which, &[nest(1, &[attribute(1, &address(text))])]);
    let [device, target] = ["192.168.1.23", "203.0.113.80"];
    let target_port = |which| {
        nest(
            which,
            &[
                nest(1, &[attribute(1, &address(target))]),
                nest(2, &[attribute(1, &[17]), attribute(2, &53_u16.to_be_bytes())]),
            ],
        )
    };
    let flags = |original: u32, reply: u32| {
        nest(25, &[attribute(1, &original.to_ne_bytes()), attribute(2, &reply.to_ne_bytes())])
    };
    let erased = asked(&conntrack::erase(&filter, 77));
    // NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO.
    assert_eq!((erased.kind, erased.flags, erased.family), (0x102, 13, 2));
    assert_eq!(erased.attributes, [from(1, device), target_port(2), flags(0b1, 0b1_1001)].concat());

    let answers = asked(&conntrack::erase(&Filter { by: By::Reply, ..filter }, 77)).attributes;
    let mut swapped = [from(2, device), target_port(1)];
    assert_eq!(answers, [swapped.concat(), flags(0b1_1001, 0b1)].concat());

    // Ports without a protocol are refused by the kernel, those of ICMP are none.
    swapped = [from(1, device), from(2, target)];
    let without = asked(&conntrack::erase(&Filter { protocol: None, ..filter }, 77)).attributes;
    assert_eq!(without, [swapped.concat(), flags(0b1, 0b1)].concat());
    let echo = asked(&conntrack::erase(&Filter { protocol: Some(1), ..filter }, 77)).attributes;
    assert!(echo.ends_with(&flags(0b1, 0b1001)));
}

#[test]
fn a_length_that_makes_no_sense_ends_the_datagram() {
    let good = messages::flow(0x100, 2, 1, &flows()[0]);
    for length in [0_u32, 15, u32::MAX, good.len() as u32 + 1] {
        let mut bad = good.clone();
        bad[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(conntrack::messages(&bad).count(), 0, "{length}");
        assert_eq!(conntrack::messages(&[good.clone(), bad].concat()).count(), 1, "{length}");
    }
}

#[test]
fn hostile_datagrams_are_survived() {
    let flows = flows();
    let datagram: Vec<u8> = flows.iter().flat_map(|flow| messages::flow(0x100, 2, 1, flow)).chain(done(1)).collect();
    for bytes in hostile(&datagram, 20_000) {
        // No more messages than headers fit.
        assert!(conntrack::messages(&bytes).count() <= bytes.len() / 16);
    }
}
