//! What the provider's program asks of routers, as its commands want it.

use crate::programs::home::*;
use crate::programs::program::told;
use crate::support::tls::*;
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const OTHER: &str = "home-5678.isp.example";
const SOURCE: &str = "203.0.113.7/32";
const TARGET: &str = "192.0.2.1/32";

/// The identifier a client of this key has: half of its digest, RFC 4648 section 5 without padding.
fn identifier(own: &(String, String)) -> String {
    let chain = vec![CertificateDer::from_pem_slice(own.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.1.as_bytes()).unwrap();
    let own = rustls::sign::CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).unwrap();
    let fingerprint = digest(&SHA256, &own.key.public_key().unwrap());
    let bits: String = fingerprint.as_ref()[..16].iter().map(|byte| format!("{byte:08b}")).collect::<String>() + "0000";
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    bits.as_bytes()
        .chunks(6)
        .map(|six| letters[usize::from_str_radix(std::str::from_utf8(six).unwrap(), 2).unwrap()])
        .collect()
}

/// The request a command leads to, which the router takes on.
fn mid_of(isp: &Isp, home: &mut Home, wanted: &[String]) -> (u32, Message) {
    let command = isp.command(wanted);
    let put = home.hear();
    assert_eq!(put.code, PUT);
    let observation = home.take_on(&put);
    let answer = told(command).unwrap();
    assert!(answer.contains(&format!("\"mid\":{}", mid(&put))), "{answer}");
    (mid(&put), observation)
}

/// Proves SC-4.3-09, CH-5.2.1-01, SC-4.4.2-01, CH-1-04, SC-4.4.1.1-01, SC-4.4.1.1-02, SC-4.4.1.1-03, SC-4.4.1.1-10, SC-4.4.1.1-14,
/// SC-4.4.1.2-01, SC-4.4.1.1-18, SC-4.4.1.1-27, CH-5.3.1-01, CH-5.3.1-11, CH-5.3.1-14, CH-5.3.1-18,
/// CH-5.3.1-19, DR-3.2.1-01, DR-3.2.1-04, DR-3.2.1-06, SC-4.4.1.3-26, SC-4.4.2.1-07, SC-4.4.2-05.
#[test]
fn a_request_says_what_it_must_and_no_more() {
    let mut isp = Isp::new("request");
    let own = isp.root.issue_pem(Kind::P256, params(PROVIDER));
    isp.arguments = isp.program.certified(&isp.root.pem(), &own);
    isp.start();
    let mut home = isp.stranger(ROUTER);
    let cuid = home.answer_first();
    assert_eq!(cuid, identifier(&own));

    let mut wanted = wanting(ROUTER, SOURCE, TARGET).to_vec();
    let more =
        ["--source-port", "4000-4010", "--source-icmp-type", "8-13", "--target-port", "80-443", "--protocol", "17"];
    wanted.extend(more.map(str::to_owned));
    let command = isp.command(&wanted);
    let put = home.hear();
    assert_eq!(put.code, PUT);
    assert_eq!(path(&put), format!(".well-known/dots/mitigate/cuid={cuid}/mid={}", mid(&put)));
    let body = "{1:{2:[{6:[\"192.0.2.1/32\"],7:[{8:80,9:443}],10:[17],14:3600,32768:[\"203.0.113.7/32\"],\
                32769:[{8:4000,9:4010}],32770:[{32771:8,32772:13}]}]}}";
    assert_eq!(put.body(), canonical(body));
    let observation = home.take_on(&put);
    assert_eq!(path(&observation), path(&put));
    assert_eq!(observation.value(15), Some(&b"c=n"[..]));
    told(command).unwrap();

    let (later, _) = mid_of(&isp, &mut home, &wanting(ROUTER, "2001:db8:123::1", "2001:db8:c000::/64"));
    assert!(later > mid(&put));
    home.has_heard_all();
}

/// Likewise where an address stands alone and a lifetime is given.
#[test]
fn an_address_is_a_prefix_of_its_own() {
    let isp = Isp::serving("address");
    let mut home = isp.home(ROUTER);
    let mut wanted = wanting(ROUTER, "2001:db8:123::1", "2001:db8:c000::/64").to_vec();
    wanted.extend(["--lifetime", "-1"].map(str::to_owned));
    let command = isp.command(&wanted);
    let put = home.hear();
    let body = "{1:{2:[{6:[\"2001:db8:c000::/64\"],14:-1,32768:[\"2001:db8:123::1/128\"]}]}}";
    assert_eq!(put.body(), canonical(body));
    home.take_on(&put);
    told(command).unwrap();
}

/// Proves SC-4.4.1.1-11, SC-4.4.1.1-03. What the router has forgotten meanwhile it is asked for again.
#[test]
fn numbers_rise_over_a_restart() {
    let mut isp = Isp::serving("numbers");
    let mut last = 0;
    let mut cuids = Vec::new();
    let mut wishes = 0;
    for _ in 0..3 {
        let mut home = isp.stranger(ROUTER);
        cuids.push(home.answer_first());
        let again: Vec<Message> = (0..wishes).map(|_| home.hear()).collect();
        for put in &again {
            assert!(put.code == PUT && mid(put) > last, "{} after {last}", mid(put));
            last = mid(put);
        }
        again.iter().for_each(|put| home.answer(put, CREATED, &format!("{{1:{{2:[{{5:{},14:3600}}]}}}}", mid(put))));
        again.iter().for_each(|put| drop(home.observed(mid(put))));
        for _ in 0..3 {
            wishes += 1;
            let (mid, _) = mid_of(&isp, &mut home, &wanting(ROUTER, SOURCE, &format!("192.0.2.{wishes}")));
            assert!(mid > last, "{mid} after {last}");
            last = mid;
        }
        isp.program.end();
        isp.start();
    }
    cuids.dedup();
    assert_eq!(cuids.len(), 1);
}

/// Proves SC-4.4.1.1-12.
#[test]
fn numbers_begin_again_in_peace() {
    let mut isp = Isp::new("rollover");
    isp.program.file("state/mids.json", &format!("{{\"{ROUTER}\":3221225470}}"));
    isp.start();
    let mut home = isp.home(ROUTER);
    let (first, one) = mid_of(&isp, &mut home, &wanting(ROUTER, SOURCE, TARGET));
    let (second, two) = mid_of(&isp, &mut home, &wanting(ROUTER, SOURCE, "192.0.2.2"));
    let (third, three) = mid_of(&isp, &mut home, &wanting(ROUTER, SOURCE, "192.0.2.3"));
    assert_eq!((first, second, third), (3_221_225_470, 3_221_225_471, 3_221_225_472));
    for observation in [one, two, three] {
        let number = mid(&observation).to_string();
        let command = isp.command(&["withdraw", "--router", ROUTER, "--mid", &number]);
        let delete = home.hear();
        home.answer(&delete, DELETED, "");
        home.answer(&observation, NOT_FOUND, "");
        told(command).unwrap();
    }
    home.has_heard_all();
    let (fourth, _) = mid_of(&isp, &mut home, &wanting(ROUTER, SOURCE, TARGET));
    let (fifth, _) = mid_of(&isp, &mut home, &wanting(ROUTER, SOURCE, "192.0.2.2"));
    assert_eq!((fourth, fifth), (0, 1));
}

/// Proves CH-5.3.1-01, CH-5.3.1-14, CH-5.3.1-06, DR-3.2.1-02, CH-9-03, CH-3-01, SC-4.4.1.1-03: nothing goes out without a source
/// and a target, none for a source of somebody else, and each router hears of its own home only.
#[test]
fn only_the_router_of_a_source_is_asked() {
    let mut isp = Isp::new("sources");
    let routers =
        isp.program.file("routers", &format!("{ROUTER} 203.0.113.0/28\n{OTHER} 2001:db8:5678::/48 203.0.113.16/28\n"));
    isp.arguments.extend(["--routers".to_owned(), routers]);
    isp.start();
    let (mut home, mut other) = (isp.stranger(ROUTER), isp.stranger(OTHER));
    assert_eq!(home.answer_first(), other.answer_first());
    let refused = |arguments: &[&str]| told(isp.program.command(arguments)).unwrap_err();
    assert!(refused(&["request", "--router", ROUTER, "--target", TARGET]).contains("--source"));
    assert!(refused(&["request", "--router", ROUTER, "--source", SOURCE]).contains("--target"));
    for foreign in ["203.0.113.16/32", "203.0.113.0/27", "0.0.0.0/0", "2001:db8:5678::1/128"] {
        let why = told(isp.command(&wanting(ROUTER, foreign, TARGET))).unwrap_err();
        assert!(why.contains(&format!("{foreign} does not belong to {ROUTER}")), "{why}");
        let mut both = wanting(ROUTER, foreign, TARGET).to_vec();
        both.extend(["--source".to_owned(), SOURCE.to_owned()]);
        told(isp.command(&both)).unwrap_err();
    }
    home.has_heard_all();
    other.has_heard_all();
    mid_of(&isp, &mut home, &wanting(ROUTER, SOURCE, TARGET));
    other.has_heard_all();
    mid_of(&isp, &mut other, &wanting(OTHER, "2001:db8:5678::1", TARGET));
    home.has_heard_all();
}

/// Proves CO-5.9-01, SC-4.4.1.3-25, SC-4.4.2.1-05: whatever the code, its class counts; conflicts are told with their cause.
#[test]
fn answers_are_told() {
    let isp = Isp::serving("answers");
    let mut home = isp.home(ROUTER);
    // What is declined for a conflict is not asked again for a while, so each is about another target.
    let mut targets = (1..).map(|host| format!("192.0.2.{host}"));
    for (code, body, words) in [
        (0x9f, "", "4.31"),
        (0x80, "", "4.00"),
        (0xbf, "", "5.31"),
        (CONFLICT, "{1:{2:[{5:1,17:{19:4}}]}}", "4.09: the traffic is legitimate"),
        (CONFLICT, "{1:{2:[{5:1,17:{18:1,19:1,21:{5:7}}}]}}", "4.09: overlaps with mid 7"),
        (CONFLICT, "{1:{2:[{5:1,17:{18:1,19:2}}]}}", "4.09: conflict of cause 2"),
    ] {
        let command = isp.command(&wanting(ROUTER, SOURCE, &targets.next().unwrap()));
        let put = home.hear();
        home.answer(&put, code, body);
        assert_eq!(told(command).unwrap_err().trim_end(), format!("dots-callhome-client: {words}"));
    }
    for code in [CREATED, CHANGED, 0x5d] {
        let command = isp.command(&wanting(ROUTER, SOURCE, &targets.next().unwrap()));
        let put = home.hear();
        home.answer(&put, code, "{1:{2:[{14:3600}]}}");
        home.observed(mid(&put));
        told(command).unwrap();
    }
}

/// Proves SC-4.4.1.1-08, SC-4.4.1.1-05: with the same request, but not while one under the old identifier stands; and then
/// for good.
#[test]
fn another_identifier_is_taken_where_ours_is_taken() {
    let collision = "{1:{2:[{17:{19:3}}]}}";
    let isp = Isp::serving("collision");
    let (mut home, mut other) = (isp.stranger(ROUTER), isp.home(OTHER));
    let first = home.answer_first();
    let command = isp.command(&wanting(ROUTER, SOURCE, TARGET));
    let put = home.hear();
    home.answer(&put, CONFLICT, collision);
    let again = home.hear();
    let second = path(&again).split('/').find_map(|segment| segment.strip_prefix("cuid=")).unwrap().to_owned();
    assert!(second != first && second.len() == 22);
    assert_eq!((mid(&again), &again.payload), (mid(&put), &put.payload));
    assert!(path(&home.take_on(&again)).contains(&second));
    told(command).unwrap();

    let mut home = isp.stranger(ROUTER);
    assert_eq!(home.answer_first(), second);

    mid_of(&isp, &mut other, &wanting(OTHER, SOURCE, TARGET));
    let command = isp.command(&wanting(OTHER, SOURCE, "192.0.2.2"));
    let put = other.hear();
    assert!(path(&put).contains(&first));
    other.answer(&put, CONFLICT, collision);
    assert!(told(command).unwrap_err().contains("another client has our cuid"));
    other.has_heard_all();
}

/// A range whose upper end is below its lower one is refused, on the control socket as on the command line: without it the
/// request would mean any port or type.
#[test]
fn inverted_ranges_are_refused() {
    let isp = Isp::serving("ranges");
    let mut home = isp.home(ROUTER);
    for range in [
        "\"source_port\":[[5000,4000]],\"source_icmp_type\":[],\"target_port\":[]",
        "\"source_port\":[],\"source_icmp_type\":[[13,8]],\"target_port\":[]",
        "\"source_port\":[],\"source_icmp_type\":[],\"target_port\":[[80,80],[90,80]]",
    ] {
        let answer = isp.program.control(&format!(
            "{{\"ask\":\"request\",\"router\":\"{ROUTER}\",\"scope\":{{\"source\":[\"{SOURCE}\"],\
             \"target\":[\"{TARGET}\"],\"protocol\":[],{range}}},\"lifetime\":3600}}"
        ));
        assert!(answer.contains("\"error\"") && answer.contains("is no range"), "{range}: {answer}");
    }
    for option in ["--source-port", "--source-icmp-type", "--target-port"] {
        let mut wanted = wanting(ROUTER, SOURCE, TARGET).to_vec();
        wanted.extend([option, "13-8"].map(str::to_owned));
        assert!(told(isp.command(&wanted)).unwrap_err().contains("13-8 is no range"));
    }
    home.has_heard_all();
}

/// Proves SC-7.3-05: each part under a number of its own, and whoever has asked is answered when the router has all of them.
#[test]
fn what_is_too_large_for_a_message_goes_in_several() {
    let isp = Isp::serving("large");
    let mut home = isp.home(ROUTER);
    let mut wanted = wanting(ROUTER, SOURCE, TARGET).to_vec();
    wanted.extend((0..40).flat_map(|host| ["--source".to_owned(), format!("2001:db8:1234:5678:9abc:def0:0:{host:x}")]));
    let command = isp.command(&wanted);
    let puts = [home.hear(), home.hear()];
    assert!(mid(&puts[0]) < mid(&puts[1]) && puts.iter().all(|put| put.code == PUT && put.payload.len() < 1152));
    puts.iter().for_each(|put| home.answer(put, CREATED, &format!("{{1:{{2:[{{5:{},14:3600}}]}}}}", mid(put))));
    puts.iter().for_each(|put| drop(home.observed(mid(put))));
    let answer = told(command).unwrap();
    assert!(answer.contains("\"mids\":[1,2]") && answer.contains("accepted"), "{answer}");
}

/// Proves SC-4.4.3-01: with an empty If-Match; and its answer, or that there is none, is the command's.
#[test]
fn how_an_attack_stands_is_told() {
    let isp = Isp::serving("efficacy");
    let mut home = isp.home(ROUTER);
    let request = isp.command(&wanting(ROUTER, "203.0.113.7", "192.0.2.1"));
    let put = home.hear();
    home.take_on(&put);
    told(request).unwrap();
    let tell = |how: &str| isp.command(&["efficacy", "--router", ROUTER, "--mid", "1", "--attack", how]);
    let telling = tell("under-attack");
    let update = home.hear();
    assert_eq!((update.code, mid(&update), update.options.first()), (PUT, 1, Some(&(1, Vec::new()))));
    home.answer(&update, CHANGED, "{1:{2:[{5:1,14:3600}]}}");
    assert_eq!(told(telling).unwrap(), "{\"told\":1}\n");
    let telling = tell("mitigated");
    let update = home.hear();
    home.answer(&update, 0xa3, "");
    assert!(told(telling).unwrap_err().contains("5.03"));
    let output = isp.command(&["efficacy", "--key", "none", "--attack", "mitigated"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
}
