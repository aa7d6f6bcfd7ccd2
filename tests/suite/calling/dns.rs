//! Answers of name servers: whose they are, and that none does harm.

use std::net::IpAddr;

use dots_callhome::calling::dns::{RecordType, answer, question};

const NAME: &str = "callhome.isp.example";

/// An answer to this question with these flags and records.
fn reply(question: &[u8], flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2..4].copy_from_slice(&flags.to_be_bytes());
    bytes[7] = u8::try_from(records.len()).unwrap();
    bytes.extend(records.concat());
    bytes
}

fn record(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    [name, &[0, kind, 0, 1, 0, 0, 0, 30, 0, u8::try_from(data.len()).unwrap()], data].concat()
}

#[test]
fn addresses_are_found_behind_other_names() {
    let asked = question(0x1234, NAME, RecordType::A).unwrap();
    assert_eq!(&asked[..6], [0x12, 0x34, 1, 0, 0, 1]);
    assert_eq!(&asked[12..], b"\x08callhome\x03isp\x07example\0\0\x01\0\x01");
    let records = [
        record(&[0xc0, 12], 5, b"\x01x\xc0\x15"),
        record(b"\x01x\xc0\x15", 1, &[203, 0, 113, 1]),
        record(&[0xc0, 12], 28, &[0; 16]),
        record(&[0xc0, 12], 1, &[203, 0, 113, 2]),
    ];
    let two: Vec<IpAddr> = vec!["203.0.113.1".parse().unwrap(), "203.0.113.2".parse().unwrap()];
    assert_eq!(answer(&asked, &reply(&asked, 0x8180, &records)), Some(two.clone()));
    let asked = question(1, "callhome.isp.example.", RecordType::Aaaa).unwrap();
    let six: [u8; 16] = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let shouted: Vec<u8> = reply(&asked, 0x8180, &[record(&[0xc0, 12], 28, &six)]);
    assert_eq!(answer(&asked, &shouted), Some(vec!["2001:db8::1".parse().unwrap()]));
    assert_eq!(answer(&asked, &reply(&asked, 0x8183, &[])), Some(Vec::new()), "no such name");
}

/// Another number, name or kind, a question, a server that fails: none of them is an answer.
#[test]
fn only_an_answer_is_one() {
    let asked = question(7, NAME, RecordType::A).unwrap();
    let good = [record(&[0xc0, 12], 1, &[203, 0, 113, 1])];
    for other in [
        question(8, NAME, RecordType::A).unwrap(),
        question(7, "evil.example", RecordType::A).unwrap(),
        question(7, NAME, RecordType::Aaaa).unwrap(),
    ] {
        assert_eq!(answer(&asked, &reply(&other, 0x8180, &good)), None);
    }
    for flags in [0x0100, 0x8182, 0x8185] {
        assert_eq!(answer(&asked, &reply(&asked, flags, &good)), None);
    }
    for name in ["", ".", "a..b", &"x".repeat(64), &"x.".repeat(200)] {
        assert_eq!(question(1, name, RecordType::A), None, "{name}");
    }
}

/// Cut anywhere and with any byte changed there is an answer or none, and its addresses are few.
#[test]
fn hostile_answers_do_no_harm() {
    let asked = question(7, NAME, RecordType::A).unwrap();
    let whole = reply(&asked, 0x8180, &vec![record(&[0xc0, 12], 1, &[203, 0, 113, 1]); 40]);
    assert_eq!(answer(&asked, &whole).unwrap().len(), 16);
    for at in 0..whole.len() {
        let _ = answer(&asked, &whole[..at]);
        for value in [0, 1, 0x3f, 0xc0, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            assert!(answer(&asked, &changed).is_none_or(|found| found.len() <= 16));
        }
    }
}
