//! A host of the lab: one network namespace, entered thread by thread.
//!
//! The namespace lives as long as a holder process waits on our pipe, so nothing is left behind whatever happens to us.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long is waited for what must happen: busy machines are slow.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Marks the process that already runs inside a user namespace of its own.
const NESTED: &str = "DOTS_LAB_NESTED";

/// Makes sure namespaces can be made here, by becoming "root" of a user namespace when we are not root.
///
/// # Errors
/// In words, what the administrator of this machine can do about it.
pub fn prepare() -> Result<(), String> {
    let may = |args: &[&str]| {
        let done = Command::new("unshare").args(args).arg("true").stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    if may(&["--net"]) {
        return Ok(());
    }
    if std::env::var_os(NESTED).is_none() && may(&["--user", "--map-root-user", "--net"]) {
        let program = std::env::current_exe().map_err(|e| format!("cannot find myself: {e}"))?;
        let error = Command::new("unshare")
            .args(["--user", "--map-root-user"])
            .arg(program)
            .args(std::env::args_os().skip(1))
            .env(NESTED, "1")
            .exec();
        return Err(format!("unshare: {error}"));
    }
    Err("this machine lets neither root nor a user namespace make network namespaces; run as root, or as root allow \
         them: sysctl kernel.unprivileged_userns_clone=1 (Debian), \
         sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)"
        .into())
}

/// Waits until something is true; tells whether it came true in time.
pub fn comes_true(is: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        // Looking costs processes: the longer it takes, the less often.
        let pause = start.elapsed() / 10;
        std::thread::sleep(pause.clamp(Duration::from_millis(20), Duration::from_millis(250)));
    }
    true
}

/// One host with a network of its own.
pub struct Host {
    name: &'static str,
    holder: Child,
    _pipe: ChildStdin,
    namespace: File,
}

impl Host {
    /// A new host with only a loopback interface, up.
    pub fn new(name: &'static str) -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let pipe = holder.stdin.take().expect("piped");
        let mut ready = String::new();
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut ready).expect("holder answers");
        assert_eq!(ready, "ready\n", "no namespace for {name}");
        let namespace = File::open(format!("/proc/{}/ns/net", holder.id())).expect("namespace file");
        let host = Self { name, holder, _pipe: pipe, namespace };
        host.ip("link set lo up");
        host
    }

    /// What `ip link set … netns` takes.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs `work` on a thread inside this host: its sockets and child processes belong here.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
                work()
            });
            inside.join().expect("work in the namespace")
        })
    }

    /// Runs `work` on a thread of its own inside this host, until it ends by itself.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
        let namespace = self.namespace.try_clone().expect("namespace file");
        std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
            work();
        })
    }

    /// Runs a program inside this host and returns what it said.
    pub fn output(&self, program: &str, args: &[&str]) -> Output {
        self.enter(|| Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}")))
    }

    /// Runs a program that must succeed.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.output(program, args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {program} {args:?}: {errors}", self.name);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Lets the router at home know this device: one that says nothing is unknown.
    pub fn says_hello(&self) {
        let answered = || self.output("ping", &["-c1", "-W2", "192.168.1.1"]).status.success();
        assert!(comes_true(answered), "the router does not answer {}", self.name);
    }

    /// `ip` with its arguments in one string.
    pub fn ip(&self, args: &str) {
        self.run("ip", &args.split_whitespace().collect::<Vec<_>>());
    }

    /// Feeds `nft` a ruleset.
    pub fn nft(&self, ruleset: &str) {
        let output = self.enter(|| {
            let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft starts");
            nft.stdin.take().expect("piped").write_all(ruleset.as_bytes()).expect("nft reads");
            nft.wait().expect("nft ends")
        });
        assert!(output.success(), "{}: nft refused: {ruleset}", self.name);
    }

    /// What the counters of a table have counted, in packets and in the order of its rules.
    pub fn counted(&self, table: &str) -> Vec<usize> {
        let rules = self.run("nft", &["list", "table", "inet", table]);
        let counts = rules.split("counter packets ").skip(1).map(|rest| rest.split(' ').next());
        counts.map(|count| count.and_then(|count| count.parse().ok()).expect("a number")).collect()
    }

    /// Sets a network sysctl of this host, by its path below `/proc/sys/net`.
    pub fn sysctl(&self, path: &str, value: &str) {
        let file = format!("/proc/sys/net/{path}");
        self.enter(|| std::fs::write(&file, value).unwrap_or_else(|e| panic!("sysctl {path}: {e}")));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
