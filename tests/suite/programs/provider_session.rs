//! Who may call the provider's program and what it does for a router that has.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::programs::home::*;
use crate::programs::program::{PATIENCE, told};
use crate::support::tls::*;
use rustls::{ClientConnection, HandshakeKind};

/// Proves SC-8-01, SC-8-03, SC-4.4-01.
#[test]
fn both_sides_show_certificates_of_their_authority() {
    let isp = Isp::serving("certificates");
    let foreign = Authority::new("Foreign");
    let home = isp.home(ROUTER);
    assert!(isp.program.routers().contains(ROUTER));
    drop(home);

    let expired = isp.root.issue_with(Kind::P256, params_from_until("old.isp.example", 2020, 2021));
    for (stranger, config) in [
        ("without a certificate", Arc::new(anonymous_router(&isp.root))),
        ("of another authority", router(foreign.issue("foreign.example"), &isp.root)),
        ("expired", router(expired, &isp.root)),
    ] {
        assert!(Home::call(&config, PROVIDER, isp.program.v4).is_err(), "{stranger}");
    }
    let trusts_others = router(isp.root.issue(ROUTER), &foreign);
    assert!(Home::call(&trusts_others, PROVIDER, isp.program.v4).is_err());
    let mistaken = router(isp.root.issue(ROUTER), &isp.root);
    assert!(Home::call(&mistaken, "another.isp.example", isp.program.v4).is_err());
    let routers = isp.program.routers();
    assert!(!routers.contains("foreign") && !routers.contains("old"), "{routers}");
}

/// Proves DR-3.1-02: the port the draft wants, where it is configured.
#[test]
fn routers_call_on_the_port_of_call_home() {
    let mut isp = Isp::new("port-tls");
    isp.program.v4 = "127.46.47.2:4647".parse().unwrap();
    isp.start();
    isp.home(ROUTER);
}

/// Proves CH-5.1-02: a router that is gone is waited for.
#[test]
fn the_provider_never_connects() {
    let isp = Isp::serving("waits");
    let mut home = isp.home(ROUTER);
    home.has_heard_all();
    let address = home.stream.local_addr().unwrap();
    home.release();
    // The kernel keeps the address until the provider has confirmed the end of the stream.
    let start = Instant::now();
    let listener = loop {
        match TcpListener::bind(address) {
            Ok(listener) => break listener,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    listener.set_nonblocking(true).unwrap();
    let why = told(isp.command(&wanting(ROUTER, "203.0.113.7", "192.0.2.1"))).unwrap_err();
    assert!(why.contains("has not called"), "{why}");
    // It has done what it wants to when it serves others again.
    isp.home("home-9.isp.example").has_heard_all();
    assert!(listener.accept().is_err());
}

/// Proves CH-5.2.1-04: heartbeats are all that a router may ask of its provider.
#[test]
fn a_router_configures_nothing() {
    let isp = Isp::serving("serves");
    let mut home = isp.home(ROUTER);
    for (request, code) in [
        (put("hb", "{49:{51:true}}"), "2.04"),
        (put("hb", "{49:{}}"), "4.00"),
        (get("hb"), "4.05"),
        (get("config"), "4.04"),
        (put("config/sid=1", "{30:{44:{33:{36:60}}}}"), "4.04"),
        (delete("config"), "4.04"),
        (put("mitigate/K/5", "{1:{2:[{14:60}]}}"), "4.04"),
    ] {
        home.say(&request.token(b"t"));
        let answer = home.hear();
        assert_eq!((answer.code().as_str(), &answer.token[..]), (code, &b"t"[..]));
    }
}

/// Proves CT-8.2-03: a router that resumes its session and would like to send early data may not.
#[test]
fn no_early_data_is_accepted() {
    let isp = Isp::serving("early");
    let mut config = (*router(isp.root.issue(ROUTER), &isp.root)).clone();
    config.enable_early_data = true;
    let config = Arc::new(config);
    for is_resumed in [false, true] {
        let name = PROVIDER.try_into().unwrap();
        let mut connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        assert!(connection.early_data().is_none());
        let mut stream = TcpStream::connect(isp.program.v4).unwrap();
        let mut settings = [0; 2];
        rustls::Stream::new(&mut connection, &mut stream).read_exact(&mut settings).unwrap();
        assert_eq!(connection.handshake_kind() == Some(HandshakeKind::Resumed), is_resumed);
        assert_eq!(connection.alpn_protocol(), Some(&b"coap"[..]));
    }
}
