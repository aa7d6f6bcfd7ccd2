//! A scenario's stage: a home with its bus, the daemon on the router, the provider's program at the provider.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bus::Bus;
use crate::credentials::{Authority, PROVIDER_NAME, ROUTER_NAME};
use crate::home::{Home, PROVIDER, VICTIM};
use crate::host::{Host, PATIENCE, comes_true};

/// The port the provider listens on.
pub const PORT: u16 = 4647;

/// Everything of one scenario; gone when dropped.
pub struct Stage {
    daemon: Option<Child>,
    client: Option<Child>,
    bus: Option<Bus>,
    /// The hosts.
    pub home: Home,
    directory: PathBuf,
    path: Option<PathBuf>,
    wrapper: Vec<String>,
}

impl Stage {
    /// A home with as many devices, and everything running. `globals` are lines of the UCI section of that name.
    pub fn new(devices: usize, globals: &str) -> Self {
        let mut stage = Self::prepare(devices, globals);
        stage.start_bus();
        stage.start_client();
        stage.start_daemon();
        stage.until("the session is up", |s| s.peer_state() == "connected");
        stage
    }

    /// The same, with files written but nothing started.
    pub fn prepare(devices: usize, globals: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-{}-{number}", std::process::id()));
        for part in ["", "state", "run", "provider"] {
            fs::create_dir_all(directory.join(part)).expect("directory");
        }
        let authority = Authority::new(&directory);
        authority.issue("provider", PROVIDER_NAME);
        authority.issue("router", ROUTER_NAME);
        let home = Home::new(devices);
        let stage = Self { daemon: None, client: None, bus: None, home, directory, path: None, wrapper: Vec::new() };
        stage.configure(globals, "", "");
        stage
    }

    /// Writes the configuration: lines for `globals`, for the peer, and sections besides.
    pub fn configure(&self, globals: &str, peer: &str, more: &str) {
        self.write_configuration("tls", globals, peer, more);
    }

    /// The same with another transport, and lines that replace the certificates.
    pub fn configure_transport(&self, transport: &str, authentication: &str, globals: &str) {
        self.write_configuration(transport, globals, authentication, "");
    }

    fn write_configuration(&self, transport: &str, globals: &str, peer: &str, more: &str) {
        let at = |name: &str| self.file(name).display().to_string();
        let certificates = format!(
            "\toption ca '{}'\n\toption certificate '{}'\n\toption key '{}'\n",
            at("ca.pem"),
            at("router.pem"),
            at("router.key")
        );
        let certificates = if peer.contains("option auth ") { "" } else { &certificates };
        let text = format!(
            "config globals 'globals'\n\toption enabled '1'\n\toption log_level 'debug'\n{globals}\n\
             config peer 'isp'\n\toption name '{PROVIDER_NAME}'\n\tlist address '{PROVIDER}'\n\toption port '{PORT}'\n\
             \toption transport '{transport}'\n{certificates}\toption interface 'wan'\n{peer}\n{more}\n",
        );
        fs::write(self.file("config"), text).expect("configuration");
    }

    /// Writes a file only its owner may read.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        crate::credentials::secret(&self.file(name), text);
        self.file(name)
    }

    /// A file of this scenario.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// An authority whose files take the place of the first one's.
    pub fn other_authority(&self) -> Authority {
        Authority::new(&self.directory)
    }

    /// Starts the broker, again after [`Stage::stop_bus`].
    pub fn start_bus(&mut self) {
        self.bus = Some(Bus::start(&self.file("ubus.sock")));
    }

    /// Stops the broker.
    pub fn stop_bus(&mut self) {
        self.bus = None;
    }

    /// Starts the provider's program, with the pre-shared keys in `keys` if there is such a file.
    pub fn start_client(&mut self) {
        self.client = Some(self.serve(&self.home.provider, PROVIDER, "provider"));
        self.until("the provider listens", |s| s.provider(&["routers"]).is_ok());
    }

    /// Starts the provider's program at an address of a host, with the certificate, control socket and state of that name.
    pub fn serve(&self, host: &Host, address: Ipv4Addr, name: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome-client"));
        command.arg("serve").arg("--listen").arg(format!("{address}:{PORT}"));
        command.arg("--ca").arg(self.file("ca.pem"));
        command.arg("--certificate").arg(self.file(&format!("{name}.pem")));
        command.arg("--key").arg(self.file(&format!("{name}.key")));
        command.arg("--control").arg(self.control(name)).arg("--state").arg(self.file(name));
        if self.file("keys").exists() {
            command.arg("--psk-file").arg(self.file("keys"));
        }
        self.start(host, command, "client.log")
    }

    /// Starts a program that is not ours at the provider.
    pub fn start_at_provider(&self, command: Command, log: &str) -> Child {
        self.start(&self.home.provider, command, log)
    }

    fn control(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.control"))
    }

    /// Ends the provider's program.
    pub fn stop_client(&mut self) {
        stop(&mut self.client, "TERM");
    }

    /// Ends the provider's program as a loss of power would.
    pub fn kill_client(&mut self) {
        stop(&mut self.client, "KILL");
    }

    /// Lets the daemon find programs only in this directory.
    pub fn set_path(&mut self, path: PathBuf) {
        self.path = Some(path);
    }

    /// Starts the daemon through another program, named with its first arguments.
    pub fn set_wrapper(&mut self, wrapper: Vec<String>) {
        self.wrapper = wrapper;
    }

    /// Starts the daemon.
    pub fn start_daemon(&mut self) {
        let words = self.wrapper.iter().map(String::as_str);
        let mut words = words.chain([env!("CARGO_BIN_EXE_dots-callhome")]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        command.arg("--config").arg(self.file("config")).arg("--ubus").arg(self.file("ubus.sock"));
        command.arg("--state").arg(self.file("state")).arg("--run").arg(self.file("run"));
        match &self.path {
            Some(path) => command.env("PATH", path),
            // As OpenWrt's jail starts it.
            None => command.env_remove("PATH"),
        };
        self.daemon = Some(self.start(&self.home.router, command, "daemon.log"));
    }

    /// Ends the daemon with a signal, `TERM` or `KILL`.
    pub fn stop_daemon(&mut self, signal: &str) {
        stop(&mut self.daemon, signal);
    }

    /// Sends the daemon a signal that does not end it.
    pub fn signal_daemon(&self, signal: &str) {
        kill(self.daemon_pid(), signal);
    }

    /// Lets the daemon read its configuration anew, and waits until it has.
    pub fn reload(&self) {
        self.signal_daemon("HUP");
        // The first answer may be of the turn of its loop in which the signal came, the second is of a later one.
        for _ in 0..2 {
            self.until("it answers", |s| s.ubus("status", json!({})).is_ok());
        }
    }

    /// The daemon's process.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("running").id()
    }

    /// The provider's process.
    pub fn client_pid(&self) -> u32 {
        self.client.as_ref().expect("running").id()
    }

    fn start(&self, host: &Host, mut command: Command, log: &str) -> Child {
        let log = File::options().create(true).append(true).open(self.file(log)).expect("log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log);
        host.enter(|| command.spawn()).expect("program starts")
    }

    /// What the daemon has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("daemon.log")).unwrap_or_default()
    }

    /// Waits until the daemon has logged something so many times; when that shows.
    pub fn logged(&self, what: &str, times: usize) -> Instant {
        let start = Instant::now();
        while self.log().matches(what).count() < times {
            assert!(start.elapsed() < PATIENCE, "not logged: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Instant::now()
    }

    /// Calls the daemon's object on the bus.
    pub fn ubus(&self, method: &str, arguments: Value) -> Result<Value, i32> {
        self.bus.as_ref().expect("bus runs").call(method, &arguments)
    }

    /// What to type before a bus command.
    pub fn ubus_command(&self) -> String {
        format!("{} -s {}", crate::bus::client().display(), self.file("ubus.sock").display())
    }

    /// What to type before a command to the provider's program.
    pub fn provider_command(&self) -> String {
        let program = env!("CARGO_BIN_EXE_dots-callhome-client");
        format!("{program} --control {}", self.control("provider").display())
    }

    /// A folder that is `/` to the LuCI page: the configuration in it is the daemon's.
    pub fn page_root(&self) -> PathBuf {
        let root = self.file("root");
        fs::create_dir_all(root.join("etc/config")).expect("directory");
        symlink(self.file("config"), root.join("etc/config/dots-callhome")).expect("link");
        root
    }

    /// The state of the session as the bus tells it.
    pub fn peer_state(&self) -> String {
        let status = self.ubus("status", json!({})).unwrap_or_default();
        status["peers"][0]["state"].as_str().unwrap_or("unknown").into()
    }

    /// The mitigation of that id.
    pub fn mitigation(&self, id: u64) -> Value {
        self.ubus("get", json!({ "id": id })).unwrap_or_default()
    }

    /// Quarantines a device, once the router has met it: before that one can't speak of it.
    pub fn quarantine(&self, mac: &str) {
        self.until("the device is known", |s| {
            let devices = s.ubus("devices", json!({})).expect("devices")["devices"].clone();
            devices.as_array().is_some_and(|all| all.iter().any(|device| device["mac"] == mac))
        });
        self.ubus("quarantine", json!({ "mac": mac, "comment": "odd" })).expect("quarantined");
    }

    /// The only mitigation there is.
    pub fn the_mitigation(&self) -> Value {
        let list = self.ubus("list", json!({})).unwrap_or_default();
        list["mitigations"][0].clone()
    }

    /// A command to the provider's program; its JSON answer, or what it complained about.
    pub fn provider(&self, arguments: &[&str]) -> Result<Value, String> {
        self.ask("provider", arguments)
    }

    /// The same to the program of that name.
    pub fn ask(&self, name: &str, arguments: &[&str]) -> Result<Value, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome-client"));
        command.arg(arguments.first().expect("a command"));
        command.arg("--control").arg(self.control(name)).arg("--json").args(arguments.iter().skip(1));
        let output = command.output().expect("client runs");
        if output.status.success() {
            serde_json::from_slice(&output.stdout).map_err(|e| format!("no JSON: {e}"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    /// The provider reports a UDP flood it sees coming from `seen`; the answer has `mid`.
    pub fn request(&self, seen: SocketAddr, lifetime: u32) -> Value {
        self.provider(&[
            "request",
            "--router",
            ROUTER_NAME,
            "--source",
            &format!("{}/32", seen.ip()),
            "--source-port",
            &seen.port().to_string(),
            "--target",
            &format!("{VICTIM}/32"),
            "--target-port",
            "53",
            "--protocol",
            "17",
            "--lifetime",
            &lifetime.to_string(),
        ])
        .expect("request")
    }

    /// What the provider knows of a mitigation.
    pub fn provider_status(&self, mid: u64) -> Value {
        let status = self.provider(&["status", "--router", ROUTER_NAME, "--mid", &mid.to_string()]);
        status.unwrap_or_default()["mitigations"][0].clone()
    }

    /// Waits until something is true, and tells how long it took.
    pub fn until(&self, what: &str, is: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        assert!(comes_true(|| is(self)), "never happened: {what}\n{}", self.report());
        start.elapsed()
    }

    /// What one wants to see when something went wrong.
    fn report(&self) -> String {
        let client = fs::read_to_string(self.file("client.log")).unwrap_or_default();
        let list = self.bus.as_ref().map(|bus| bus.call("list", &json!({})));
        format!("--- daemon\n{}--- client\n{client}--- list\n{list:?}", self.log())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        stop(&mut self.daemon, "KILL");
        stop(&mut self.client, "KILL");
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Ends a program of ours and waits for it.
fn stop(program: &mut Option<Child>, signal: &str) {
    if let Some(mut child) = program.take() {
        kill(child.id(), signal);
        let _ = child.wait();
    }
}

fn kill(pid: u32, signal: &str) {
    let _ = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
}
