//! `dots-callhome --check`: what is wrong with the configuration and the files it names, before anything runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints, PKCS_ED25519,
};

/// A directory with credentials, a configuration that names them, and the daemon asked about it.
struct House {
    directory: PathBuf,
}

impl House {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check").join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let house = Self { directory };
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        house.write("isp-ca.pem", &authority.self_signed(&key).unwrap().pem());
        let issuer = Issuer::new(authority, key);
        let own = KeyPair::generate().unwrap();
        let names = vec!["home-1234.isp.example".to_owned()];
        house.write("router.pem", &CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap().pem());
        house.write("router.key", &own.serialize_pem());
        house.chmod("router.key", 0o600);
        let files = [("ca", "isp-ca.pem"), ("certificate", "router.pem"), ("key", "router.key")];
        let options = files.map(|(option, file)| format!("\toption {option} '{}'\n", house.path(file)));
        house
            .write("config", &format!("config peer 'isp'\n\toption name 'callhome.isp.example'\n{}", options.concat()));
        house
    }

    fn path(&self, file: &str) -> String {
        self.directory.join(file).to_str().unwrap().to_owned()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    fn chmod(&self, file: &str, mode: u32) {
        fs::set_permissions(self.path(file), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What it complains about, without the name of the file.
    fn check(&self) -> Vec<String> {
        self.verdict().0
    }

    /// The same, and the last line, unless there is a fault.
    fn verdict(&self) -> (Vec<String>, Option<String>) {
        let config = self.path("config");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome"));
        let output = command.args(["--check", "--config", &config]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<String> =
            said.lines().map(|line| line.strip_prefix(&format!("{config}: ")).unwrap_or(line).to_owned()).collect();
        let verdict = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.success(), !verdict.is_empty(), "{said}{verdict}");
        assert!(verdict.lines().count() <= 1 && (lines.is_empty() || !verdict.starts_with("ok")), "{said}{verdict}");
        (lines, verdict.lines().next().map(str::to_owned))
    }
}

#[test]
fn a_good_house_has_no_complaints() {
    assert_eq!(House::new("good").check(), [""; 0]);
}

#[test]
fn every_bad_file_is_one_clear_line() {
    let house = House::new("bad");
    let key = fs::read_to_string(house.path("router.key")).unwrap();
    let restore = |house: &House| {
        house.write("router.key", &key);
        house.chmod("router.key", 0o600);
    };
    fs::remove_file(house.path("router.key")).unwrap();
    let lines = house.check();
    assert!(
        lines.len() == 1 && lines[0].starts_with(&format!("peer isp: {}: ", house.path("router.key"))),
        "{lines:?}"
    );
    restore(&house);
    house.chmod("router.key", 0o604);
    assert_eq!(house.check(), [format!("peer isp: {}: others may read it: chmod 600", house.path("router.key"))]);
    house.write("router.key", &KeyPair::generate().unwrap().serialize_pem());
    house.chmod("router.key", 0o600);
    let lines = house.check();
    assert!(lines.len() == 1 && lines[0].contains("the key does not belong to the certificate"), "{lines:?}");
    house.write("router.key", "no key");
    assert_eq!(house.check().len(), 1);
    restore(&house);
    house.write("isp-ca.pem", "no certificate");
    assert_eq!(house.check().len(), 1);
}

#[test]
fn the_configuration_itself_is_told_with_its_lines() {
    let house = House::new("configuration");
    let text = fs::read_to_string(house.path("config")).unwrap();
    house.write("config", &format!("{text}\toption port 'many'\nconfig globals 'globals'\n\toption shape 'round'\n"));
    let lines = house.check();
    assert_eq!(lines[0], "section isp, option port: 'many' is no number from 1 to 65535 (line 6)");
    assert_eq!(lines[1], "section globals, option shape: unknown, ignored (line 8)");
    house.write("config", &text[..text.len() - 3]);
    assert_eq!(house.check(), ["section isp: a quote is never closed (line 5)"]);
    fs::remove_file(house.path("config")).unwrap();
    assert_eq!(house.check().len(), 1);
}

/// Keys are root's, ours, or whose the directory is. Only root can give files away, so only root can see this proven.
#[test]
fn a_key_of_somebody_else_is_refused() {
    let house = House::new("foreign");
    if chown(house.path("router.key"), Some(65_534), None).is_err() {
        return;
    }
    assert_eq!(house.check(), [format!("peer isp: {}: it belongs to another user", house.path("router.key"))]);
    chown(&house.directory, Some(65_534), None).unwrap();
    assert_eq!(house.check(), [""; 0], "the daemon's own, when root checks");
    chown(house.path("router.key"), Some(1), None).unwrap();
    assert_eq!(house.check().len(), 1);
}

/// Writes an authority's and a router's credentials anew, and the transport.
fn with(house: &House, own: &KeyPair, constrained: bool, transport: &str) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.name_constraints = constrained.then(|| NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("isp.example".into())],
        excluded_subtrees: Vec::new(),
    });
    let key = KeyPair::generate().unwrap();
    house.write("isp-ca.pem", &authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    let names = vec!["home-1234.isp.example".to_owned()];
    house.write("router.pem", &CertificateParams::new(names).unwrap().signed_by(own, &issuer).unwrap().pem());
    house.write("router.key", &own.serialize_pem());
    let config = fs::read_to_string(house.path("config")).unwrap();
    let kept = config.lines().filter(|line| !line.contains("option transport")).collect::<Vec<_>>().join("\n");
    house.write("config", &format!("{kept}\n\toption transport '{transport}'\n"));
}

/// What is good for TLS alone is good for `transport` `tls`; where DTLS is wanted, the file that is not good for it is blamed. Name
/// constraints are no reason: both verify them.
#[test]
fn only_the_transports_that_are_used_have_demands() {
    let house = House::new("transports");
    let (usual, other) = (KeyPair::generate().unwrap(), KeyPair::generate_for(&PKCS_ED25519).unwrap());
    with(&house, &other, false, "tls");
    assert_eq!(house.check(), [""; 0]);
    let blamed = format!("peer isp: {}: DTLS cannot use an Ed25519 key", house.path("router.key"));
    with(&house, &other, false, "dtls");
    assert_eq!(house.check(), std::slice::from_ref(&blamed));
    with(&house, &other, false, "auto");
    assert_eq!(house.check(), [format!("{blamed}; dtls is not tried")]);
    for (constrained, transport) in [(false, "dtls"), (true, "tls"), (true, "dtls"), (true, "auto")] {
        with(&house, &usual, constrained, transport);
        assert_eq!(house.check(), [""; 0], "{transport}");
    }
}

/// Each file is blamed for what is wrong with itself.
#[test]
fn the_file_that_is_wrong_is_blamed() {
    let house = House::new("blame");
    house.write("router.key", "no key");
    assert!(house.check()[0].starts_with(&format!("peer isp: {}: ", house.path("router.key"))));
    let house = House::new("blame");
    house.write("router.pem", "no certificate");
    assert!(house.check()[0].starts_with(&format!("peer isp: {}: ", house.path("router.pem"))));
}

/// The last line says what it amounts to; warnings are no error, faults are.
#[test]
fn the_last_line_is_the_verdict() {
    let house = House::new("verdict");
    let peer = fs::read_to_string(house.path("config")).unwrap();
    let on = "config globals 'globals'\n\toption enabled '1'\n";
    house.write("config", &format!("{on}{peer}"));
    let (lines, verdict) = house.verdict();
    let verdict = verdict.unwrap();
    assert_eq!(lines, [""; 0]);
    assert!(
        verdict.starts_with("ok: switched on, 1 provider: isp (callhome.isp.example, its certificate for ")
            && verdict.ends_with(" more days)"),
        "{verdict}"
    );
    let verdict = |text: &str| {
        house.write("config", text);
        let (lines, verdict) = house.verdict();
        (lines.len(), verdict)
    };
    let warning = |text: &str| Some(format!("warning: {text}"));
    assert_eq!(verdict(&peer), (0, warning("switched off")));
    assert_eq!(verdict(on), (0, warning("switched on, but no provider")));
    let off = peer.replace("'isp'\n", "'isp'\n\toption enabled '0'\n");
    assert_eq!(verdict(&format!("{on}{off}")), (0, warning("switched on, but no provider")));
    let doubted = verdict(&format!("{on}\toption shape 'round'\n{peer}"));
    assert!(doubted.0 == 1 && doubted.1.unwrap().starts_with("warning: switched on, 1 provider: isp "));
    let both = format!("{on}{peer}{}", peer.replace("'isp'", "'other'"));
    assert!(verdict(&both).1.unwrap().starts_with("ok: switched on, 2 providers: isp ("));
    assert_eq!(verdict(&format!("{on}{peer}\toption port 'many'\n")), (1, None));
    let nothing = house.path("nothing");
    let output = Command::new(env!("CARGO_BIN_EXE_dots-callhome")).args(["--check", "--config", &nothing]).output();
    assert_eq!(output.unwrap().status.code(), Some(1));
}
