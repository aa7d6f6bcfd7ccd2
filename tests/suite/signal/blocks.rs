//! Bodies that are larger than a message, in both directions (RFC 7959).

use crate::support::signal::*;

/// A router with so many requests that their list is large.
fn crowded(mut house: TestRouter, requests: u32) -> TestRouter {
    for mid in 0..requests {
        house.want(mid, &about(mid));
    }
    house
}

/// All blocks of a content, with the size the router chooses; the number of blocks.
fn fetch(house: &mut TestRouter, message: &Message, first: Option<u32>) -> (Vec<u8>, u32) {
    let mut wish = first;
    let mut content = Vec::new();
    let mut etag: Option<Vec<u8>> = None;
    for count in 1.. {
        let mut next = message.clone();
        next = match wish {
            Some(wish) => next.number(23, wish),
            None => next,
        };
        if let Some(etag) = &etag {
            next = next.option(4, etag);
        }
        let answer = house.ask(&next);
        assert_eq!((answer.code().as_str(), answer.uint(12)), ("2.05", Some(271)));
        let (number, more, szx) = answer.block(23).expect("a block");
        let size = 16 << szx;
        assert_eq!(number as usize * size, content.len());
        assert!(if more { answer.payload.len() == size } else { (1..=size).contains(&answer.payload.len()) });
        let tag = answer.value(4).expect("an ETag").to_vec();
        assert_eq!(*etag.get_or_insert(tag.clone()), tag, "the content stays the same");
        content.extend(&answer.payload);
        if !more {
            return (content, count);
        }
        wish = Some(block(number + 1, false, szx));
        house.pass(seconds(1));
    }
    unreachable!()
}

/// Proves SC-4.4.2-13, SC-4.4.2-14, SC-4.4.2-04: example 21. Although lifetimes run on, the blocks fit each other.
#[test]
fn a_long_list_goes_in_blocks() {
    for house in TestRouter::both() {
        let mut house = crowded(house, 40);
        for (message, entry) in [(get("mitigate/K").query("c=n").con(), "16:2"), (get("mitigate/K"), "32768:")] {
            let first = house.ask(&message);
            assert_eq!(first.block(23), Some((0, true, 6)));
            let size = first.uint(28).expect("the size of the whole");
            let (content, blocks) = fetch(&mut house, &message, None);
            assert_eq!((content.len() as u32, blocks), (size, size.div_ceil(1024)));
            let list = diag::decode(&content);
            assert_eq!(
                list.matches("5:").count() - list.matches("15:").count() - list.matches("25:").count(),
                40,
                "{list}"
            );
            assert_eq!(list.matches(entry).count(), 40);
        }
    }
}

/// Proves BW-2.4-01.
#[test]
fn the_client_may_wish_for_smaller_blocks() {
    for house in TestRouter::both() {
        let mut house = crowded(house, 40);
        let message = get("mitigate/K").query("c=n");
        let (whole, _) = fetch(&mut house, &message, None);
        for szx in [0, 2, 5, 6] {
            let wish = block(0, true, szx);
            let answer = house.ask(&message.clone().number(23, wish));
            assert_eq!(answer.block(23), Some((0, true, szx)), "the M of a request means nothing");
            house.pass(seconds(10));
            let (content, blocks) = fetch(&mut house, &message, Some(block(0, false, szx)));
            assert_eq!((content.len() as u32).div_ceil(16 << szx), blocks);
            assert_eq!(diag::decode(&content).len(), diag::decode(&whole).len());
        }
        let small = house.ask(&get("mitigate/K/1").query("c=n").number(23, block(0, false, 6)));
        assert_eq!(small.block(23), Some((0, false, 6)), "a wish is answered even where all fits");
        let beyond = house.ask(&message.clone().number(23, block(1000, false, 6)));
        assert_eq!(beyond.code(), "4.00");
        let far_beyond = house.ask(&message.number(23, block((1 << 20) - 1, false, 6)));
        assert_eq!(far_beyond.code(), "4.00");
    }
}

/// Proves SC-4.4.2-14: whoever comes back with an old tag, or after a long time, learns that it is another content.
#[test]
fn an_old_tag() {
    let mut house = crowded(TestRouter::udp(), 40);
    let message = get("mitigate/K").query("c=n");
    let first = house.ask(&message);
    house.pass(seconds(61));
    let second = house.ask(&message.clone().number(23, block(1, false, 6)).option(4, first.value(4).unwrap()));
    assert_ne!(second.value(4), first.value(4));
    let with_other_tag = house.ask(&message.number(23, block(1, false, 6)).option(4, b"other"));
    assert_ne!(with_other_tag.value(4), Some(&b"other"[..]));
}

/// Proves BW-2.2-01: reserved over datagrams, and "as large as fits" over streams.
#[test]
fn size_exponent_seven() {
    let mut house = TestRouter::udp();
    for message in [get("mitigate/K"), put("mitigate/K/1", &wanted("")), get("config")] {
        for option in [23, 27] {
            let answer = house.ask(&message.clone().number(option, 7));
            assert_eq!(answer.code(), "4.00");
            assert!(!answer.text().is_empty());
        }
    }
    assert_eq!(house.ledger.all().count(), 0);
    let mut house = crowded(TestRouter::tcp(), 40);
    let answer = house.ask(&get("mitigate/K").number(23, 7));
    assert_eq!(answer.block(23), Some((0, true, 6)));
}

/// Proves BW-2.6-01.
#[test]
fn a_large_notification_is_its_first_block() {
    for house in TestRouter::both() {
        let mut house = crowded(house, 40);
        let message = get("mitigate/K").token(b"obs").query("c=n");
        assert!(house.ask(&message.clone().number(6, 0)).value(6).is_some());
        house.pass(seconds(15));
        let told = house.notified(b"obs").remove(0);
        assert_eq!(told.block(23), Some((0, true, 6)));
        house.pass(seconds(2));
        let rest =
            house.ask(&get("mitigate/K").query("c=n").number(23, block(1, true, 6)).option(4, told.value(4).unwrap()));
        assert_eq!(rest.value(4), told.value(4), "of the very content that was told");
        let size = told.uint(28).unwrap() as usize;
        assert_eq!(rest.payload.len(), (size - 1024).min(1024));
    }
}

/// The pieces of a body.
fn pieces(message: &Message, szx: u32) -> Vec<Message> {
    let size = 16 << szx;
    let count = message.payload.len().div_ceil(size);
    let piece = |(number, payload): (usize, &[u8])| {
        message.clone().number(27, block(number as u32, number + 1 < count, szx)).raw(payload.to_vec())
    };
    message.payload.chunks(size).enumerate().map(piece).collect()
}

/// Proves SC-9-04: all sizes, and at the end the answer of the whole.
#[test]
fn a_body_in_blocks() {
    for house in TestRouter::both() {
        for szx in 0..=6 {
            let mut house = TestRouter::serving(house.is_stream());
            let sources: Vec<String> = (0..120).map(|n| format!("\"2001:db8:123::{n:x}/128\"")).collect();
            let message = put("mitigate/K/1", &wanted(&format!("32768:[{}]", sources.join(","))));
            let all = pieces(&message, szx);
            let (last, others) = all.split_last().unwrap();
            for piece in others {
                let answer = house.ask(piece);
                assert_eq!((answer.code().as_str(), answer.uint(27)), ("2.31", piece.uint(27)));
                let again = house.ask(piece);
                assert_eq!(
                    (again.code(), again.uint(27)),
                    (answer.code(), answer.uint(27)),
                    "a copy is answered again"
                );
                house.pass(seconds(1));
            }
            let answer = house.ask(last);
            assert_eq!(answer.to_string(), "2.01 {1:{2:[{5:1,14:3600}]}}");
            assert_eq!(answer.uint(27), last.uint(27));
            assert_eq!(house.ledger.get(house.id(1)).unwrap().scope().source_prefixes.len(), 120);
        }
    }
}

/// Proves SC-9-04: over streams in blocks of any multiple of 1024.
#[test]
fn a_body_in_large_blocks() {
    let mut house = TestRouter::tcp();
    let sources: Vec<String> = (0..250).map(|n| format!("\"2001:db8:123::{n:x}/128\"")).collect();
    let whole = put("mitigate/K/1", &wanted(&format!("32768:[{}]", sources.join(","))));
    let (first, rest) = whole.payload.split_at(2048);
    assert_eq!(house.ask(&whole.clone().number(27, block(0, true, 7)).raw(first.to_vec())).code(), "2.31");
    let odd = house.ask(&whole.clone().number(27, block(2, true, 7)).raw(vec![0; 1500]));
    assert_eq!(odd.code(), "4.00");
    assert_eq!(house.ask(&whole.clone().number(27, block(2, false, 7)).raw(rest.to_vec())).code(), "2.01");
}

/// Proves SC-9-04.
#[test]
fn missing_and_misshapen_blocks() {
    for mut house in TestRouter::both() {
        let whole = put("mitigate/K/1", &wanted(""));
        let all = pieces(&whole, 0);
        let answer = house.ask(&all[1]);
        assert_eq!((answer.code().as_str(), answer.uint(27)), ("4.08", all[1].uint(27)));
        assert!(!answer.text().is_empty());
        assert_eq!(house.ask(&all[0]).code(), "2.31");
        assert_eq!(house.ask(&all[2]).code(), "4.08");
        assert_eq!(house.ask(&all[0]).code(), "2.31");
        let elsewhere =
            Message { options: pieces(&put("mitigate/K/2", &wanted("")), 0)[1].options.clone(), ..all[1].clone() };
        assert_eq!(house.ask(&elsewhere).code(), "4.08", "the body of another request");
        assert_eq!(house.ask(&all[0]).code(), "2.31");
        assert_eq!(house.ask(&all[1].clone().raw(vec![0; 15])).code(), "4.00");
        assert_eq!(house.ask(&all[1].clone().raw(vec![0; 17])).code(), "4.00");
        assert_eq!(
            house.ask(&all[1].clone().without(27).number(27, block(1, false, 0)).raw(vec![0; 17])).code(),
            "4.00"
        );
        assert_eq!(house.ledger.all().count(), 0);
        let single = whole.clone().number(27, block(0, false, 6));
        assert_eq!(house.ask(&single).code(), "2.01", "one block may be the whole");
    }
}

/// Proves SC-9-04, SC-11-07: 4.13 says how much is taken, and nothing is kept.
#[test]
fn a_body_without_end() {
    for mut house in TestRouter::both() {
        let announced =
            put("mitigate/K/1", &wanted("")).number(60, 1 << 20).number(27, block(0, true, 6)).raw(vec![0; 1024]);
        let answer = house.ask(&announced);
        assert_eq!((answer.code().as_str(), answer.uint(60)), ("4.13", Some(32 * 1024)));
        let mut refused = None;
        for number in 0..100 {
            let piece = put("mitigate/K/1", &wanted("")).number(27, block(number, true, 6)).raw(vec![0; 1024]);
            let answer = house.ask(&piece);
            if answer.code() != "2.31" {
                refused = Some((number, answer));
                break;
            }
        }
        let (number, answer) = refused.expect("an end");
        assert_eq!((number, answer.code().as_str(), answer.uint(60)), (32, "4.13", Some(32 * 1024)));
        assert!(!answer.text().is_empty());
        let next = put("mitigate/K/1", &wanted("")).number(27, block(33, true, 6)).raw(vec![0; 1024]);
        assert_eq!(house.ask(&next).code(), "4.08");
    }
}
