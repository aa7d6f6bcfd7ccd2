//! The provider's own authority: requests signed, certificates renewed and revoked.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::programs::home::*;
use crate::programs::openssl::Openssl;
use crate::programs::program::told;
use crate::programs::provider_config::until;
use crate::programs::provider_udp::Router;
use crate::support::dtls::random;
use crate::support::tls::{Channel, Kind, PROVIDER, ROUTER, clock, params};
use dots_callhome::io::clock::now;
use dots_callhome::transport::credentials::{Anchors, Identity};
use dots_callhome::transport::dtls::ClientConfig;
use dots_callhome::transport::identity;
use dots_callhome::transport::tls_config::client_config;
use dots_callhome::transport::{Failure, dtls::SavedSession};
use dots_callhome::uci::{self, SettingValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const OTHER: &str = "home-5678.isp.example";
const THIRD: &str = "home-9.isp.example";

/// A provider whose authority is its own, and that reads its list.
struct Enrolling {
    isp: Isp,
    authority: String,
}

impl Enrolling {
    fn new(test: &str) -> Self {
        let mut isp = Isp::new(test);
        let authority = isp.program.path("authority").display().to_string();
        let file = |end: &str| format!("{authority}/{end}");
        isp.arguments = vec!["--ca".to_owned(), file("ca.pem"), "--crl".to_owned(), file("crl.pem")];
        isp.arguments.extend(["--certificate".to_owned(), file(&format!("{PROVIDER}.pem"))]);
        isp.arguments.extend(["--key".to_owned(), file(&format!("{PROVIDER}.key"))]);
        let enrolling = Self { isp, authority };
        enrolling.run(&["enrol", PROVIDER, "--own"]).unwrap();
        enrolling
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let more = ["--authority", self.authority.as_str()];
        told(self.isp.program.plain_command(&[arguments, &more].concat()))
    }

    fn file(&self, name: &str) -> String {
        self.isp.program.path(name).display().to_string()
    }

    fn anchors(&self) -> Anchors {
        Anchors::read(&fs::read(format!("{}/ca.pem", self.authority)).unwrap()).unwrap()
    }

    /// What a new profile for this name holds.
    fn enrolled(&self, name: &str, file: &str) -> (String, String) {
        let file = self.file(file);
        self.run(&["enrol", name, "--provider", PROVIDER, "--output", &file]).unwrap();
        credentials(&file)
    }

    fn tls(&self, (certificate, key): &(String, String)) -> Arc<rustls::ClientConfig> {
        let identity = Identity::read(certificate.as_bytes(), key.as_bytes()).unwrap();
        client_config(identity, &self.anchors(), clock(now().unix)).unwrap().config
    }

    fn dtls(&self, (certificate, key): &(String, String)) -> ClientConfig {
        let identity = Identity::read(certificate.as_bytes(), key.as_bytes()).unwrap();
        ClientConfig::certificate(&identity, &self.anchors(), random(1)).unwrap()
    }

    /// What comes of a call over UDP.
    fn called(&self, config: &ClientConfig, session: Option<&SavedSession>) -> Option<Failure> {
        let mut router = Router::new(config, self.isp.program.v4, session);
        router.until("refused", |router| router.failure.is_some());
        router.failure
    }
}

/// Certificate and key of a profile.
fn credentials(file: &str) -> (String, String) {
    let sections = uci::parse(&fs::read_to_string(file).unwrap()).unwrap();
    let value = |name: &str| {
        let setting = sections[0].settings().iter().find(|setting| setting.name() == name).unwrap();
        match setting.value() {
            SettingValue::Scalar(text) => text.clone(),
            SettingValue::List(items) => items.join(" "),
        }
    };
    (value("certificate"), value("key"))
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Sessions end at once; neither a handshake nor a ticket helps, over either channel, nor does a restart. Others are unaffected, and
/// the name may be enrolled anew.
#[test]
fn a_revoked_certificate_counts_no_more() {
    let mut here = Enrolling::new("revoke");
    let (bad, good, third) =
        (here.enrolled(ROUTER, "bad"), here.enrolled(OTHER, "good"), here.enrolled(THIRD, "third"));
    here.isp.start();
    let (tls, other) = (here.tls(&bad), here.tls(&good));
    let mut home = Home::call(&tls, PROVIDER, here.isp.program.v4).unwrap();
    home.has_heard_first();
    let mut spared = Home::call(&other, PROVIDER, here.isp.program.v4).unwrap();
    spared.has_heard_first();
    let dtls = here.dtls(&third);
    let mut datagrams = Router::new(&dtls, here.isp.program.v4, None);
    datagrams.connect();
    datagrams.ping();
    let session = datagrams.channel.session().expect("a ticket").clone();
    until("over UDP", || here.isp.program.routers().contains("dtls"));

    here.run(&["revoke", ROUTER]).unwrap();
    home.waits_for_the_end();
    datagrams.ping();
    here.run(&["revoke", THIRD]).unwrap();
    datagrams.until("ended", |router| router.failure.is_some());
    spared.has_heard_all();
    for round in 0..2 {
        assert!(Home::call(&tls, PROVIDER, here.isp.program.v6).is_err());
        assert!(Home::call(&here.tls(&bad), PROVIDER, here.isp.program.v6).is_err());
        let revoked = Some(Failure::Refused("it is revoked".into()));
        assert_eq!(here.called(&here.dtls(&bad), None), revoked);
        assert_eq!(here.called(&dtls, Some(&session)), revoked);
        let known = here.isp.program.routers();
        assert!(!known.contains(ROUTER) && !known.contains(THIRD), "{round}: {known}");
        here.isp.program.end();
        here.isp.start();
    }
    let anew = here.enrolled(ROUTER, "anew");
    Home::call(&here.tls(&anew), PROVIDER, here.isp.program.v4).expect("a session");
    // There is nothing that could be revoked.
    let why = here.run(&["revoke", "home-10.isp.example"]).unwrap_err();
    assert!(why.contains("nothing for home-10.isp.example"), "{why}");
}

/// It must not pass for done where the serving program does not know.
#[test]
fn a_list_that_nobody_reads_is_told() {
    let mut here = Enrolling::new("unread");
    here.enrolled(ROUTER, "bad");
    let why = here.run(&["revoke", ROUTER]).unwrap_err();
    assert!(why.contains("crl.pem names it") && why.contains("serve"), "{why}");
    here.isp.arguments.retain(|argument| argument != "--crl" && !argument.ends_with("crl.pem"));
    here.isp.start();
    let why = here.run(&["revoke", ROUTER]).unwrap_err();
    assert!(why.contains("set crl"), "{why}");
}

/// Only the key counts: the name is the signer's to say. Whoever does not have the key gets nothing.
#[test]
fn a_request_is_signed() {
    let mut here = Enrolling::new("csr");
    let openssl = Openssl::new("csr");
    here.isp.start();
    for (name, kind) in [("ec", "P-256"), ("wide", "P-384"), ("rsa", "RSA")] {
        openssl.key(name, kind);
        let names = "-addext subjectAltName=DNS:evil.example -addext basicConstraints=critical,CA:TRUE";
        openssl.run(&format!("req -new -key {name}.key -subj /CN=evil.example -out {name}.csr {names}"));
        let (csr, output) = (openssl.path(&format!("{name}.csr")), here.file(&format!("{name}.pem")));
        let enrol = ["enrol", ROUTER, "--csr", csr.to_str().unwrap(), "--output", &output];
        assert_eq!(here.run(&enrol), Ok(format!("{output}\n")));
        let certificate = fs::read_to_string(&output).unwrap();
        assert_eq!(identity::name(&der(&certificate)).as_deref(), Some(ROUTER));
        let key = String::from_utf8(openssl.read(&format!("{name}.key"))).unwrap();
        let signed = (certificate, key);
        Home::call(&here.tls(&signed), PROVIDER, here.isp.program.v4).expect("a session");
        assert!(here.run(&enrol).unwrap_err().contains("exists"), "nothing is overwritten");
        here.run(&["renew", ROUTER, "--csr", csr.to_str().unwrap(), "--output", &output]).unwrap();
        assert_ne!(fs::read_to_string(&output).unwrap(), signed.0);
    }
    openssl.key("odd", "Ed25519");
    openssl.run("req -new -key odd.key -subj /CN=odd -out odd.csr");
    openssl.run("req -in ec.csr -outform DER -out bad.der");
    let mut bad = openssl.read("bad.der");
    // In the name that is asked for.
    let at = bad.windows(4).position(|bytes| bytes == b"evil").unwrap();
    bad[at] = b'E';
    fs::write(openssl.path("bad.der"), bad).unwrap();
    openssl.run("req -inform DER -in bad.der -out bad.csr");
    fs::write(openssl.path("text.csr"), "nothing\n").unwrap();
    for (file, why) in [
        ("odd.csr", "not of RSA, P-256 or P-384"),
        ("bad.csr", "not signed"),
        ("text.csr", "no PEM CERTIFICATE REQUEST"),
        ("ec.key", "no PEM CERTIFICATE REQUEST"),
    ] {
        let (csr, output) = (openssl.path(file), here.file("none.pem"));
        let said = here.run(&["enrol", ROUTER, "--csr", csr.to_str().unwrap(), "--output", &output]).unwrap_err();
        assert!(said.contains(why) && said.contains(file) && fs::metadata(&output).is_err(), "{said}");
    }
}

/// The key stays, and all else in the profile; both certificates are good, and one command revokes both.
#[test]
fn a_certificate_is_renewed() {
    let mut here = Enrolling::new("renew");
    let file = here.file("home");
    let enrol = ["enrol", ROUTER, "--provider", PROVIDER, "--output", &file, "--hours", "1", "--help-phone", "+1 555"];
    here.run(&enrol).unwrap();
    let former = credentials(&file);
    let hour = Identity::read(former.0.as_bytes(), former.1.as_bytes()).unwrap().valid_until(now().unix).unwrap();
    assert!(hour <= now().unix + 3600);
    assert!(here.run(&["renew", OTHER, "--output", &file]).unwrap_err().contains("nothing was signed"));
    here.enrolled(OTHER, "other");
    assert!(here.run(&["renew", OTHER, "--output", &file]).unwrap_err().contains("not for"));
    here.run(&["renew", ROUTER, "--output", &file, "--days", "2"]).unwrap();
    let renewed = credentials(&file);
    assert!(renewed.0 != former.0 && renewed.1 == former.1);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.replace(&renewed.0, &former.0).matches(&former.0).count(), 1);
    assert!(text.contains("+1 555"));

    let own = |end: &str| fs::read_to_string(format!("{}/{PROVIDER}.{end}", here.authority)).unwrap();
    let (certificate, key) = (own("pem"), own("key"));
    here.run(&["renew", PROVIDER, "--own"]).unwrap();
    // Its identifier towards routers is made of the key.
    assert!(own("pem") != certificate && own("key") == key);
    here.isp.start();
    let configs = [here.tls(&former), here.tls(&renewed)];
    for config in &configs {
        Home::call(config, PROVIDER, here.isp.program.v4).expect("a session");
    }
    here.run(&["revoke", ROUTER]).unwrap();
    assert!(configs.iter().all(|config| Home::call(config, PROVIDER, here.isp.program.v6).is_err()));
}

/// A list that another program has made, of the authority and of none of ours.
#[test]
fn lists_of_openssl_are_read() {
    let openssl = Openssl::new("crl");
    openssl.authority("Root", "P-256", "");
    openssl.authority("Stranger", "P-256", "");
    let extensions = |name: &str| format!("subjectAltName=DNS:{name}\n");
    openssl.issue("own", "P-256", "Root", "own", &extensions(PROVIDER), "");
    openssl.issue("bad", "P-256", "Root", "bad", &extensions(ROUTER), "");
    openssl.issue("good", "P-256", "Root", "good", &extensions(OTHER), "");
    let list = |authority: &str, revoked: &str, to: &str| {
        fs::write(openssl.path("index.txt"), "").unwrap();
        fs::write(openssl.path("crlnumber"), "01\n").unwrap();
        let config =
            "[ca]\ndefault_ca=x\n[x]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=1\n";
        fs::write(openssl.path("ca.cnf"), config).unwrap();
        let by = format!("ca -config ca.cnf -cert {authority}.pem -keyfile {authority}.key");
        openssl.run(&format!("{by} -revoke {revoked}.pem"));
        openssl.run(&format!("{by} -gencrl -out {to}"));
    };
    list("Root", "bad", "root.crl");
    list("Stranger", "good", "strange.crl");
    let mut isp = Isp::new("openssl-crl");
    let file = |name: &str| openssl.path(name).display().to_string();
    isp.arguments = ["--ca", "Root.pem", "--certificate", "own.pem", "--key", "own.key", "--crl", "root.crl"]
        .map(|word| if word.starts_with("--") { word.to_owned() } else { file(word) })
        .to_vec();
    isp.start();
    let anchors = Anchors::read(&openssl.read("Root.pem")).unwrap();
    let config = |name: &str| {
        let read = |end: &str| openssl.read(&format!("{name}.{end}"));
        let identity = Identity::read(&read("pem"), &read("key")).unwrap();
        client_config(identity, &anchors, clock(now().unix)).unwrap().config
    };
    assert!(Home::call(&config("bad"), PROVIDER, isp.program.v4).is_err());
    let mut good = Home::call(&config("good"), PROVIDER, isp.program.v4).unwrap();
    good.has_heard_first();

    // What can't be used leaves all as it was.
    let before = openssl.read("root.crl");
    for (content, why) in [
        (openssl.read("strange.crl"), "not among ours"),
        (b"nothing".to_vec(), "no PEM X509 CRL"),
        (b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n".to_vec(), "cannot be read"),
    ] {
        fs::write(openssl.path("root.crl"), content).unwrap();
        let said = told(isp.command(&["reload"])).unwrap_err();
        assert!(said.contains("root.crl") && said.contains(why), "{said}");
    }
    assert!(Home::call(&config("bad"), PROVIDER, isp.program.v6).is_err());
    good.has_heard_all();
    fs::write(openssl.path("root.crl"), before).unwrap();
    list("Root", "good", "root.crl");
    told(isp.command(&["reload"])).unwrap();
    until("it is gone", || !isp.program.routers().contains(OTHER));
}

/// A session does not outlive its certificate: short lifetimes would be none.
#[test]
fn a_session_ends_with_its_certificate() {
    let isp = Isp::serving("short");
    // As long as it takes to call.
    let call = |seconds| {
        let mut short = params(ROUTER);
        short.not_after = (SystemTime::now() + Duration::from_secs(seconds)).into();
        let identity = isp.root.issue_with(Kind::P256, short);
        let config = client_config(identity, &isp.root.anchors(), clock(now().unix)).unwrap().config;
        Home::call(&config, PROVIDER, isp.program.v4).ok()
    };
    let mut home = [2, 4, 8, 16, 32].into_iter().find_map(call).expect("a session");
    home.waits_for_the_end();
    until("it is gone", || !isp.program.routers().contains(ROUTER));
}
