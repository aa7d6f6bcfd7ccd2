//! Our end of the bus against a real broker and real clients, each on a thread of its own.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::programs::broker::Bus;
use crate::support::ledger::{CAMERA, TV, attack, policy, seconds};
use crate::support::ubus::{TestRouter, apart, data, table, text};
use dots_callhome::mitigation::{Consent, State};
use dots_callhome::ubus::{Event, LogicalInterface};
use serde_json::{Value, json};
use ubus::client::UbusClient;
use ubus::json::blobmsg_to_json;
use ubus::server::{UbusConnection, UbusObject};
use ubus::unix::UnixUbusTransport;
use ubus::wire::MsgType;
use ubus::{DispatchOutcome, UbusError};

type Client = UbusClient<UnixUbusTransport>;

/// Long enough for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);

/// The daemon's end with a socket, and the broker.
struct Router {
    desk: TestRouter,
    stream: Option<UnixStream>,
    socket: PathBuf,
    broker: Option<Bus>,
    since: Instant,
}

impl Router {
    fn new(name: &str) -> Self {
        let socket = std::env::temp_dir().join(format!("ubus-{name}-{}.sock", std::process::id()));
        let broker = Some(Bus::start(&socket));
        let mut desk = apart(policy(Consent::Ask));
        desk.now.instant = Instant::now();
        let mut router = Self { desk, stream: None, socket, broker, since: Instant::now() };
        router.until("joined", |router| router.desk.bus_events().contains(&Event::Joined));
        router
    }

    /// One turn of the loop.
    fn step(&mut self) {
        let passed = self.since.elapsed();
        self.since += passed;
        self.desk.now = self.desk.now.after(passed);
        if self.desk.bus.poll_connect(self.desk.now) {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
                    self.stream = Some(stream);
                    self.desk.bus.handle_connected();
                }
                Err(_) => self.desk.bus.handle_lost(self.desk.now),
            }
        }
        if self.desk.bus.poll_timeout().is_some_and(|due| due <= self.desk.now.instant) {
            self.desk.pass(seconds(0));
        }
        self.read();
        self.desk.pump_ledger();
        self.desk.end_turn();
        self.desk.bus.handle_settled(self.desk.ledger.generation().decided);
        if let (Some(bytes), Some(stream)) = (self.desk.bus.poll_transmit(), &mut self.stream) {
            // A loss shows when we read.
            let _ = stream.write_all(&bytes);
        }
    }

    fn read(&mut self) {
        let mut bytes = [0; 4096];
        let Some(stream) = &mut self.stream else { return std::thread::sleep(Duration::from_millis(5)) };
        match stream.read(&mut bytes) {
            Ok(length) if length > 0 => self.desk.feed_bus(&bytes[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // Its end, orderly or not.
            _ => {
                self.stream = None;
                self.desk.bus.handle_lost(self.desk.now);
            }
        }
    }

    fn until(&mut self, what: &str, mut is: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is(self) {
            assert!(start.elapsed() < PATIENCE, "never happened: {what}");
            self.step();
        }
    }

    /// Runs `work` as a program of its own on the bus, while the daemon goes on.
    fn with<T: Send>(&mut self, work: impl FnOnce(&mut Client) -> T + Send) -> T {
        let path = self.socket.display().to_string();
        std::thread::scope(|scope| {
            let working = scope.spawn(move || work(&mut client(&path)));
            self.until("the client is done", |_| working.is_finished());
            working.join().expect("no panic")
        })
    }

    fn call(&mut self, method: &str, arguments: Value) -> Result<Value, i32> {
        self.with(|client| call(client, method, &arguments))
    }
}

fn client(path: &str) -> Client {
    let mut transport = UnixUbusTransport::connect(path).expect("connected");
    transport.set_deadline(Some(PATIENCE));
    UbusClient::connect(transport).expect("greeted")
}

fn call(client: &mut Client, method: &str, arguments: &Value) -> Result<Value, i32> {
    let object = client.lookup("dots-callhome").expect("there");
    match client.invoke(object, method, &table(arguments)) {
        Ok(reply) => Ok(blobmsg_to_json(&reply).expect("well-formed")),
        Err(UbusError::Status(status)) => Err(status),
        Err(other) => panic!("{other}"),
    }
}

/// Somebody else's object, which answers one method with `reply`, as often as the test lets it.
fn serve(path: &str, object: &str, method: &str, reply: Value) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel();
    let answer = move |_: &[u8]| wait.recv().map(|()| table(&reply)).map_err(|_| UbusError::Closed);
    let (path, object, method) = (path.to_owned(), object.to_owned(), method.to_owned());
    let (ready, is_ready) = mpsc::channel();
    std::thread::spawn(move || {
        let transport = UnixUbusTransport::connect(&path).expect("connected");
        let object = UbusObject::new(object).method(method, answer);
        let mut connection = UbusConnection::connect_and_register(transport, object).unwrap();
        ready.send(()).unwrap();
        while let Ok(outcome) = connection.poll_one() {
            if matches!(outcome, DispatchOutcome::Idle) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    is_ready.recv().expect("registered");
    go
}

/// The name of the user who runs this test, as the broker tells it.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_object_is_found_with_its_methods_and_answers() {
    let mut router = Router::new("methods");
    let id = router.desk.request(1, &attack(), &[crate::support::ledger::exact(CAMERA)]);
    let objects = router.with(|client| client.lookup_objects(Some("dots-*")).unwrap());
    assert_eq!(objects.len(), 1);
    let signature = blobmsg_to_json(&objects[0].signature).unwrap();
    assert_eq!(
        signature["approve"],
        json!({ "id": 5, "action": 3, "devices": 1, "addresses": 1, "lifetime": 5, "until": 3 })
    );
    assert_eq!(signature.as_object().unwrap().len(), 14);
    for (method, arguments, status) in [
        ("reboot", json!({}), 3),
        ("get", json!({ "id": 4711 }), 4),
        ("get", json!({ "id": "one" }), 2),
        ("approve", json!({ "id": id.0, "devices": [TV.to_string()] }), 4),
    ] {
        assert_eq!(router.call(method, arguments), Err(status), "{method}");
    }
    let after = router.call("reject", json!({ "id": id.0, "comment": "ours" })).unwrap();
    assert_eq!((after["state"].as_str(), after["decision"]["by"].as_str()), (Some("rejected"), Some(user().as_str())));
    assert_eq!(router.call("reject", json!({ "id": id.0 })), Err(8));
    assert_eq!(router.desk.state(id), State::Rejected);
}

#[test]
fn a_decision_waits_for_rpcd_while_others_are_served() {
    let mut router = Router::new("session");
    let id = router.desk.request(1, &attack(), &[crate::support::ledger::exact(CAMERA)]);
    let path = router.socket.display().to_string();
    let rpcd = serve(&path, "session", "get", json!({ "values": { "username": "anna" } }));
    let after = router.with(move |client| {
        std::thread::scope(|scope| {
            let deciding = scope.spawn(|| {
                let arguments = json!({ "id": id.0, "ubus_rpc_session": "0123456789abcdef0123456789abcdef" });
                call(&mut self::client(&path), "approve", &arguments)
            });
            for _ in 0..5 {
                assert_eq!(call(client, "get", &json!({ "id": id.0 })).unwrap()["state"], "pending");
            }
            rpcd.send(()).unwrap();
            deciding.join().expect("no panic")
        })
    });
    let after = after.expect("approved");
    assert_eq!((after["state"].as_str(), after["decision"]["by"].as_str()), (Some("active"), Some("anna")));
}

/// Messages that come to a client by themselves: the name of the event or notification, and what it carries.
fn overheard(client: &mut Client, most: usize) -> Vec<(String, Value)> {
    let (mut heard, start) = (Vec::new(), Instant::now());
    while heard.len() < most && start.elapsed() < PATIENCE {
        match client.recv_frame().expect("connected") {
            Some(frame) if frame.hdr.ty == MsgType::Invoke => {
                heard.push((text(&frame, ubus::envelope::UbusAttr::Method).unwrap(), data(&frame)));
            }
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    heard
}

#[test]
fn listeners_and_subscribers_hear_of_mitigations_and_peers() {
    hears("listener", |client, receiver| client.register_event(receiver, "dots-callhome.*").unwrap());
    hears("subscriber", |client, receiver| {
        let object = client.lookup("dots-callhome").unwrap();
        client.subscribe(receiver, object).unwrap();
    });
}

fn hears(who: &str, start: fn(&mut Client, u32)) {
    let mut router = Router::new(who);
    let id = router.desk.request(1, &attack(), &[crate::support::ledger::exact(CAMERA)]);
    router.step();
    let path = router.socket.display().to_string();
    let (subscribed, is_subscribed) = mpsc::channel();
    let hearing = std::thread::spawn(move || {
        let mut client = client(&path);
        let receiver = client.add_anonymous_object().unwrap();
        start(&mut client, receiver);
        subscribed.send(()).unwrap();
        overheard(&mut client, 2)
    });
    router.until("subscribed", |_| is_subscribed.try_recv().is_ok());
    router.call("withdraw", json!({ "id": id.0 })).unwrap();
    router.desk.bus.handle_peer(&crate::support::ubus::peer("isp"));
    router.until("heard", |_| hearing.is_finished());
    let heard = hearing.join().unwrap();
    let names: Vec<&str> = heard.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dots-callhome.mitigation", "dots-callhome.peer"]);
    assert_eq!(heard[0].1["state"], "withdrawn");
    assert_eq!(heard[1].1["name"], "isp");
}

#[test]
fn others_are_asked_and_their_events_heard() {
    let mut router = Router::new("others");
    let path = router.socket.display().to_string();
    let dump = json!({ "interface": [{ "interface": "wan", "up": true, "l3_device": "wan" }] });
    let netifd = serve(&path, "network.interface", "dump", dump);
    let luci = serve(&path, "luci-rpc", "getHostHints", json!({ "02:00:00:00:00:11": { "name": "camera" } }));
    netifd.send(()).unwrap();
    luci.send(()).unwrap();
    let wan = LogicalInterface { up: true, device: Some("wan".into()), ..LogicalInterface::default() };
    let mut events = Vec::new();
    router.until("both answer", |router| {
        events.extend(router.desk.bus_events());
        events.len() == 2
    });
    assert!(events.contains(&Event::Interfaces([("wan".to_owned(), wan)].into())), "{events:?}");
    assert!(events.contains(&Event::Names([(CAMERA, "camera".to_owned())].into())), "{events:?}");

    router.with(|client| client.send_event("config.change", &table(&json!({ "config": "dots-callhome" }))).unwrap());
    router.until("configuration changed", |router| router.desk.bus_events() == [Event::ConfigChanged]);
    router.with(|client| client.send_event("network.interface", &table(&json!({ "action": "ifup" }))).unwrap());
    netifd.send(()).unwrap();
    router.until("asked again", |router| matches!(router.desk.bus_events().as_slice(), [Event::Interfaces(_)]));
}

#[test]
fn a_broker_that_was_restarted_is_joined_again() {
    let mut router = Router::new("restart");
    router.broker = None;
    router.until("the loss is noticed", |router| router.stream.is_none());
    router.broker = Some(Bus::start(&router.socket));
    router.until("joined again", |router| router.desk.bus_events().contains(&Event::Joined));
    assert_eq!(router.call("status", json!({})).unwrap()["version"], "1.2.3");
}
