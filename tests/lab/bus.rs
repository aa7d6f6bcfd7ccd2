//! The bus of the lab: an embedded broker, and calls as a script makes them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;
use ubusd::{Broker, Config};

/// Seconds a call may take: its answer may wait for a disk that others keep busy.
const PATIENCE: &str = "180";

/// A broker on a thread of its own, until dropped.
pub struct Bus {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bus {
    /// Starts it, with the rights that files in `acl.d` beside the socket give to others than root.
    pub fn start(socket: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rights = Some(socket.with_file_name("acl.d")).filter(|directory| directory.is_dir());
        let acl_dir = rights.map(|directory| directory.display().to_string());
        let config = Config { socket_path: socket.display().to_string(), acl_dir, ..Config::default() };
        let mut broker = Broker::bind(config).expect("broker");
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                broker.poll_once(50).expect("broker");
            }
        });
        Self { socket: socket.into(), stop, thread: Some(thread) }
    }

    /// Calls our object; the status where the bus or the daemon refuses.
    pub fn call(&self, method: &str, arguments: &Value) -> Result<Value, i32> {
        let socket = self.socket.display().to_string();
        let output = Command::new(client())
            .args(["-s", &socket, "-t", PATIENCE, "call", "dots-callhome", method, &arguments.to_string()])
            .output()
            .expect("ubus-client runs");
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
        } else {
            Err(output.status.code().unwrap_or(-1))
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The `ubus-client` program, where `tests/tools.sh` puts it.
pub fn client() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/ubus-client")
}
