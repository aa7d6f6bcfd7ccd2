//! The daemon as it runs on a router: its own user, its own capability, the mounts of its jail, and a provider that is known by name
//! only, which nobody can resolve before the upstream comes up.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::attack::{Attack, approve, the_id_in_state};
use crate::credentials::{PROVIDER_NAME, ROUTER_NAME};
use crate::home::{PROVIDER, device_mac};
use crate::host::Host;
use crate::stage::{PORT, Stage};

/// Another instance of the provider, to which the first one sends the router.
const SECOND_NAME: &str = "callhome2.isp.example";
const SECOND: [u8; 4] = [198, 51, 100, 2];

/// A server of names at the provider, until dropped.
struct Names(Arc<AtomicBool>);

impl Names {
    fn serve(host: &Host) -> Self {
        let socket = host.enter(|| UdpSocket::bind((PROVIDER, 53))).expect("socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        host.spawn(move || {
            let mut packet = [0; 512];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                let _ = socket.send_to(&answer(&packet[..length]), from);
            }
        });
        Self(stop)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The answer to a question for an IPv4 address of one of the two; else there is none.
fn answer(question: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name") + 5;
    let is_v4 = question[end - 4..end - 2] == [0, 1];
    let address = if question[12..].starts_with(b"\x09callhome2") { SECOND } else { PROVIDER.octets() };
    let mut answer = [&question[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0], &question[12..end]].concat();
    if is_v4 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
        answer.extend(address);
    }
    answer
}

/// A user whom every machine has, in place of the one that the package makes: the bus asks who that is.
const NOBODY: u32 = 65_534;
/// What the package lets the daemon's user do on the bus.
const RIGHTS: &str = include_str!("../../../files/usr/share/acl.d/dots-callhome.json");

/// What the jail shows, and the number of the daemon's user, where this machine's root may give it.
struct Jail {
    directory: PathBuf,
    user: u32,
}

impl Jail {
    fn new(stage: &mut Stage) -> Self {
        let is_root = fs::read_to_string("/proc/self/uid_map").expect("readable").contains("4294967295");
        let jail = Self { directory: stage.file("jail"), user: if is_root { NOBODY } else { 0 } };
        for part in ["own", "run", "bus", "config", "resolv.conf.d"] {
            fs::create_dir_all(jail.file(part)).expect("directory");
        }
        fs::write(jail.file("resolv.conf.d/resolv.conf.auto"), "").expect("written");
        for name in ["ca.pem", "router.pem", "router.key"] {
            fs::copy(stage.file(name), jail.file("own").join(name)).expect("copied");
        }
        jail.configure("");
        jail.own();
        fs::create_dir_all(stage.file("acl.d")).expect("directory");
        let rights = RIGHTS.replacen("\"user\": \"dots-callhome\"", "\"user\": \"nobody\"", 1);
        fs::write(stage.file("acl.d/dots-callhome.json"), rights).expect("written");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/scenarios/jail.sh");
        let words = ["unshare", "--mount", "sh", script].map(str::to_owned);
        let arguments = [jail.directory.display().to_string(), jail.user.to_string()];
        stage.set_wrapper(words.into_iter().chain(arguments).collect());
        jail
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What the init script gives the daemon at a start or reload: a file in place of the one before.
    fn configure(&self, globals: &str) {
        let at = |name: &str| format!("/etc/dots-callhome/{name}");
        let text = format!(
            "config globals 'globals'\n\toption enabled '1'\n\toption log_level 'debug'\n{globals}\n\
             config peer 'isp'\n\toption name '{PROVIDER_NAME}'\n\toption port '{PORT}'\n\toption transport 'tls'\n\
             \toption ca '{}'\n\toption certificate '{}'\n\toption key '{}'\n",
            at("ca.pem"),
            at("router.pem"),
            at("router.key")
        );
        fs::write(self.file("config/new"), text).expect("written");
        fs::rename(self.file("config/new"), self.file("config/dots-callhome")).expect("renamed");
    }

    /// As `chown -R` of the init script.
    fn own(&self) {
        for part in ["own", "run"] {
            for entry in fs::read_dir(self.file(part)).expect("readable").flatten() {
                std::os::unix::fs::chown(entry.path(), Some(self.user), Some(self.user)).expect("owned");
            }
            std::os::unix::fs::chown(self.file(part), Some(self.user), Some(self.user)).expect("owned");
        }
    }

    /// netifd puts another file in place of the one that was there at the start.
    fn name_server(&self) {
        let new = self.file("resolv.conf.d/new");
        fs::write(&new, format!("# Interface wan\nnameserver {PROVIDER}\n")).expect("written");
        fs::rename(new, self.file("resolv.conf.d/resolv.conf.auto")).expect("renamed");
    }
}

/// From a start without upstream over a name, a request, a block, a reload, a redirect and a restart to the removal.
pub fn life() {
    let mut stage = Stage::prepare(2, "");
    let authority = stage.other_authority();
    for (file, name) in [("provider", PROVIDER_NAME), ("second", SECOND_NAME), ("router", ROUTER_NAME)] {
        authority.issue(file, name);
    }
    let jail = Jail::new(&mut stage);
    for family in ["-4", "-6"] {
        stage.home.router.ip(&format!("{family} route del default"));
    }
    stage.start_bus();
    fs::hard_link(stage.file("ubus.sock"), jail.file("bus/ubus.sock")).expect("shown");
    let _names = Names::serve(&stage.home.provider);
    stage.start_client();
    stage.start_daemon();
    stage.until("it has tried", |s| s.ubus("status", json!({})).is_ok_and(|s| s["peers"][0]["last_error"].is_string()));
    let process = fs::read_to_string(format!("/proc/{}/status", stage.daemon_pid())).expect("runs");
    for line in
        [format!("Uid:\t{0}\t{0}\t{0}\t{0}", jail.user), "CapEff:\t0000000000001000".into(), "NoNewPrivs:\t1".into()]
    {
        assert!(process.contains(&line), "not {line}: {process}");
    }

    // The upstream comes up.
    jail.name_server();
    stage.home.router.ip("route add default via 198.51.100.1");
    stage.until("the name is resolved", |s| s.peer_state() == "connected");
    let attack = Attack::start(&stage);
    stage.request(attack.seen(), 3600);
    let id = the_id_in_state(&stage, "pending");
    approve(&stage, id);
    attack.assert_blocked();

    // A reload reads the configuration of today, and keeps the session.
    let since = stage.ubus("status", json!({})).expect("status")["peers"][0]["since"].clone();
    jail.configure("\toption max_lifetime '1800'\n");
    stage.reload();
    assert_eq!(stage.ubus("status", json!({})).expect("status")["peers"][0]["since"], since);
    attack.assert_blocked();

    // The provider sends it on, to a name.
    stage.home.provider.ip("addr add 198.51.100.2/24 dev edge");
    fs::create_dir_all(stage.file("second")).expect("directory");
    let mut second = stage.serve(&stage.home.provider, SECOND.into(), "second");
    stage.until("the other one listens", |s| s.ask("second", &["routers"]).is_ok());
    let words = ["redirect", "--router", ROUTER_NAME, "--to", SECOND_NAME, "--ttl", "3600"];
    stage.provider(&words).expect("redirected");
    stage.until("it calls the other one", |s| {
        s.ask("second", &["routers"]).is_ok_and(|routers| routers.to_string().contains(ROUTER_NAME))
    });
    attack.assert_blocked();

    // A quarantine, and a restart: all of it is taken up again.
    stage.quarantine(&device_mac(2));
    stage.stop_daemon("TERM");
    jail.own();
    stage.start_daemon();
    stage.until("the session is up", |s| s.peer_state() == "connected");
    let states = || {
        let devices = stage.ubus("devices", json!({})).expect("devices")["devices"].clone();
        let state = |mac: String| {
            let all = devices.as_array().cloned().unwrap_or_default();
            all.into_iter().find(|device| device["mac"] == mac).unwrap_or_default()["state"].clone()
        };
        [state(device_mac(1)), state(device_mac(2))]
    };
    stage.until("it is in force again", |_| states() == [json!("blocked"), json!("quarantined")]);
    assert!(!stage.log().contains("ermission denied"), "{}", stage.log());
    stage.ubus("release", json!({ "mac": device_mac(2) })).expect("released");
    attack.assert_blocked();
    stage.ubus("withdraw", json!({ "id": id })).expect("withdrawn");
    attack.assert_free();
    let _ = second.kill();
    let _ = second.wait();
}
