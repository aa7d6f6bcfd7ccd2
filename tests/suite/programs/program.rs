//! The provider's program, run over the loopback interface.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long is waited for what must happen: busy machines are slow.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The program and its files.
pub struct Program {
    child: Option<Child>,
    directory: PathBuf,
    /// Where it listens.
    pub v4: SocketAddr,
    /// Likewise.
    pub v6: SocketAddr,
}

impl Program {
    /// A directory for a test of that name, and addresses; nothing runs yet.
    pub fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("dots-callhome-{test}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (v4, v6) = free_addresses();
        Self { child: None, directory, v4, v6 }
    }

    /// Writes a file and tells its name.
    pub fn file(&self, name: &str, content: &str) -> String {
        let file = self.directory.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        file.display().to_string()
    }

    /// Its arguments for certificates: the authority of both sides, and its own certificate and key.
    pub fn certified(&self, authority: &str, (certificate, key): &(String, String)) -> Vec<String> {
        let files =
            [("--ca", "ca.pem", authority), ("--certificate", "own.pem", certificate), ("--key", "own.key", key)];
        files.iter().flat_map(|(option, name, content)| [(*option).to_owned(), self.file(name, content)]).collect()
    }

    /// Starts it, again after [`Program::end`].
    pub fn start(&mut self, arguments: &[impl AsRef<OsStr>]) {
        self.start_under("", Stdio::null(), arguments);
    }

    /// The same after something that the shell does before, with this for its log. Returns the log's other end, if it has one.
    pub fn start_under(
        &mut self,
        shell: &str,
        log: impl Into<Stdio>,
        arguments: &[impl AsRef<OsStr>],
    ) -> Option<ChildStdout> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{shell}\nexec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_dots-callhome-client"));
        command.arg("serve").arg("--listen").arg(self.v4.to_string()).arg("--listen").arg(self.v6.to_string());
        command.arg("--control").arg(self.directory.join("control")).arg("--state").arg(self.directory.join("state"));
        let mut child = command.args(arguments).stdout(log).spawn().unwrap();
        let log = child.stdout.take();
        self.child = Some(child);
        let start = Instant::now();
        while !self.routers().contains("routers") {
            assert!(start.elapsed() < PATIENCE, "it does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
        log
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// One of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Begins a command; [`told`] waits for its end.
    pub fn command(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome-client"));
        command.arg("--json").arg("--control").arg(self.directory.join("control")).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same, answered in words.
    pub fn plain_command(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome-client"));
        command.arg("--control").arg(self.directory.join("control")).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The routers it knows, as it says.
    pub fn routers(&self) -> String {
        told(self.command(&["routers"])).unwrap_or_default()
    }

    /// The first line of the answer to a line sent over the control socket; empty where none comes.
    pub fn control(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.directory.join("control")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        let _ = BufReader::new(stream).read_line(&mut answer);
        answer
    }

    /// Ends it as a loss of power would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends it as an administrator would.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            Command::new("kill").arg(child.id().to_string()).status().unwrap();
            assert!(child.wait().unwrap().success());
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Where nobody listens, and below the ports that go to whoever connects: it may start there again and again.
fn free_addresses() -> (SocketAddr, SocketAddr) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(16).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + number % 20_000).unwrap();
        let both = (SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        if TcpListener::bind(both.0).is_ok() && TcpListener::bind(both.1).is_ok() {
            return both;
        }
    }
}

/// What a command has printed in the end, or why it failed.
pub fn told(command: Child) -> Result<String, String> {
    let output = command.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
