//! Credentials that only OpenSSL makes, and its server, which shows them as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A directory of keys and certificates.
pub struct Openssl {
    directory: PathBuf,
}

impl Openssl {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openssl").join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    /// The place of a file.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// Its content.
    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Writes these files one after the other.
    pub fn join(&self, to: &str, files: &[&str]) {
        let all: Vec<u8> = files.iter().flat_map(|file| self.read(file)).collect();
        fs::write(self.path(to), all).unwrap();
    }

    /// Runs it with these arguments, separated by spaces.
    pub fn run(&self, line: &str) {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(&self.directory).output().unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A key `NAME.key` of a kind, as `genpkey` calls them.
    pub fn key(&self, name: &str, kind: &str) {
        let options = match kind {
            "P-256" | "P-384" | "P-521" | "secp256k1" => format!("EC -pkeyopt ec_paramgen_curve:{kind}"),
            "RSA" | "RSA-PSS" => format!("{kind} -pkeyopt rsa_keygen_bits:2048"),
            "RSA-1024" => "RSA -pkeyopt rsa_keygen_bits:1024".to_owned(),
            other => other.to_owned(),
        };
        self.run(&format!("genpkey -algorithm {options} -out {name}.key"));
    }

    /// An authority `NAME.pem` that signs itself with these extensions beside its own.
    pub fn authority(&self, name: &str, kind: &str, more: &str) {
        self.key(name, kind);
        let line = format!("req -x509 -new -key {name}.key -subj /CN={name} -days 3650 -out {name}.pem");
        self.run(&format!("{line} -addext basicConstraints=critical,CA:TRUE{more}"));
    }

    /// A certificate `NAME.pem` below `issuer` with this subject and these lines of extensions; without any of version 1.
    pub fn issue(&self, name: &str, kind: &str, issuer: &str, subject: &str, extensions: &str, more: &str) {
        self.key(name, kind);
        self.run(&format!("req -new -key {name}.key -subj /CN={subject} -out {name}.csr"));
        fs::write(self.path(&format!("{name}.ext")), extensions).unwrap();
        let version_3 = if extensions.is_empty() { String::new() } else { format!(" -extfile {name}.ext") };
        let signed = format!("-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial");
        self.run(&format!("x509 -req -in {name}.csr {signed} -days 90 -out {name}.pem{version_3}{more}"));
    }

    /// Serves on this port of the loopback and shows `leaf`, and the certificates of `chain` as they stand there.
    pub fn serve(&self, port: u16, datagrams: bool, leaf: &str, chain: Option<&str>) -> Server {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        // It would not show what is weak.
        command.args(["-cipher", "DEFAULT@SECLEVEL=0"]);
        command.args(["-cert", &format!("{leaf}.pem"), "-key", &format!("{leaf}.key")]);
        command.args(chain.into_iter().flat_map(|chain| ["-cert_chain", chain]));
        command.args(if datagrams { ["-dtls1_2"].as_slice() } else { &["-alpn", "coap"] });
        command.current_dir(&self.directory).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Server(command.spawn().unwrap())
    }
}

/// Ends with this.
pub struct Server(Child);

impl Server {
    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
