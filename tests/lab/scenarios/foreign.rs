//! Foreign peers: the daemon speaks with Call Home DOTS clients built on libraries that are not ours.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use dots_callhome::model::{PortRange, Scope};
use dots_callhome::signal::body::{Lifetime, MitigationRequest};

use crate::attack::Attack;
use crate::home::{PROVIDER, VICTIM};
use crate::stage::{PORT, Stage};

/// The client's name for itself.
const MITIGATE: &str = ".well-known/dots/mitigate/cuid=dz6pHjaADkaFTbjr0JGBpw";

/// What both sides know where no certificates are used.
const PSK: &str = "correct horse battery";

/// A peer's program, and how it and the daemon authenticate.
pub struct Peer {
    /// Shown in the test's name.
    pub name: &'static str,
    library: Library,
    transport: &'static str,
    psk: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Library {
    Aiocoap,
    Libcoap,
}

/// Every combination the libraries have.
pub const ALL: &[Peer] = &[
    Peer { name: "aiocoap_tls_certificates", library: Library::Aiocoap, transport: "tls", psk: false },
    Peer { name: "libcoap_tls_certificates", library: Library::Libcoap, transport: "tls", psk: false },
    Peer { name: "libcoap_dtls_certificates", library: Library::Libcoap, transport: "dtls", psk: false },
    Peer { name: "libcoap_dtls_psk", library: Library::Libcoap, transport: "dtls", psk: true },
];

/// The peer's program once it runs: a line in, a line out.
struct Running {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(peer: &Peer, stage: &Stage) -> Self {
        let mut command = match peer.library {
            Library::Aiocoap => {
                let mut command = Command::new(tools().join("python/bin/python"));
                command.arg(source("aiocoap_peer.py"));
                command
            }
            Library::Libcoap => {
                let mut command = Command::new(tools().join("bin/libcoap_peer"));
                command.arg(peer.transport);
                command
            }
        };
        command.arg(PROVIDER.to_string()).arg(PORT.to_string());
        if peer.psk {
            command.args(["psk", PSK]);
        } else {
            if peer.library == Library::Libcoap {
                command.arg("pki");
            }
            command.args([stage.file("ca.pem"), stage.file("provider.pem"), stage.file("provider.key")]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = stage.home.provider.enter(|| command.spawn()).expect("the peer starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut running = Self { child, input, output };
        assert_eq!(running.line(), "listening");
        running
    }

    fn line(&mut self) -> String {
        self.output.next().expect("the peer still runs").expect("a line")
    }

    fn ask(&mut self, question: &str) -> String {
        writeln!(self.input, "{question}").expect("asked");
        self.line().trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools")
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/peers").join(name)
}

fn body(seen: SocketAddr, lifetime: u32) -> String {
    let port = |port| PortRange::new(port, port).expect("a port");
    let scope = Scope {
        target_prefixes: vec![format!("{VICTIM}/32").parse().expect("a prefix")],
        target_ports: vec![port(53)],
        target_protocols: vec![17],
        source_prefixes: vec![format!("{}/32", seen.ip()).parse().expect("a prefix")],
        source_ports: vec![port(seen.port())],
        ..Scope::default()
    };
    let request = MitigationRequest { scope, lifetime: Some(Lifetime::Seconds(lifetime)), attack_status: None };
    hex(&request.encode())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Proves SC-3-01, SC-3-05, SC-4.3-09, SC-4.4.1.3-13, SC-4.4.1.3-23, SC-4.4.4-03, CH-5.3.1-29, CO-9.1.1-02 with peers that are not
/// ours.
pub fn life(peer: &Peer) {
    let mut stage = Stage::prepare(2, "\toption consent 'auto'");
    let authentication = if peer.psk {
        let file = stage.secret("isp.psk", &hex(PSK.as_bytes()));
        format!("\toption auth 'psk'\n\toption psk_identity 'home-1234'\n\toption psk_file '{}'", file.display())
    } else {
        String::new()
    };
    stage.configure_transport(peer.transport, &authentication, "\toption consent 'auto'");
    stage.start_bus();
    let mut foreign = Running::start(peer, &stage);
    stage.start_daemon();
    assert_eq!(foreign.line(), "session");

    let attack = Attack::start(&stage);
    let seen = attack.seen();

    assert!(foreign.ask("GET .well-known/dots/config").starts_with("2.05 a1181e"), "the session's configuration");
    assert!(foreign.ask(&format!("PUT {MITIGATE}/mid=1 {}", body(seen, 3600))).starts_with("2.01 a101"));
    stage.until("in force and verified", |s| s.the_mitigation()["verified"] == true);
    attack.assert_blocked();
    let report = foreign.ask(&format!("GET {MITIGATE}/mid=1"));
    assert!(report.starts_with("2.05 a101") && report.contains("1002"), "status 2 in {report}");
    assert!(foreign.ask(&format!("PUT {MITIGATE}/mid=1 {}", body(seen, 7200))).starts_with("2.04 a101"));

    assert!(foreign.ask(&format!("PUT {MITIGATE}/mid=2 {}", body(seen, 0))).starts_with("4.00 "));
    assert!(foreign.ask(&format!("PUT {MITIGATE}/mid=2 a1")).starts_with("4.00 "));
    assert!(foreign.ask(&format!("GET {MITIGATE}/mid=9")).starts_with("4.04 "));
    assert!(foreign.ask("GET .well-known/dots/nothing").starts_with("4.04 "));
    assert_eq!(foreign.ask(&format!("DELETE {MITIGATE}/mid=1")), "2.02");
    let report = foreign.ask(&format!("GET {MITIGATE}/mid=1"));
    assert!(report.contains("1005"), "status 5 in {report}");
}
