//! The provider's program in a day's work: a configuration, files read anew, routers enrolled and revoked, reports imported.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::programs::home::*;
use crate::programs::program::{PATIENCE, told};
use crate::support::tls::{PROVIDER, ROUTER, clock, router};
use dots_callhome::transport::credentials::{Anchors, Identity};
use dots_callhome::transport::tls_config::client_config;
use dots_callhome::uci::{self, SettingValue};
use serde_json::Value;

const OTHER: &str = "home-5678.isp.example";

/// The program's own command, with something on its standard input.
fn fed(isp: &Isp, arguments: &[&str], input: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome-client"));
    command.arg("--json").arg("--control").arg(isp.program.path("control")).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child
}

pub fn until(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// All from a file; what is wrong with it is told with its line; and a signal that elsewhere ends programs reads it anew.
#[test]
fn a_configuration_is_read_and_read_anew() {
    let mut isp = Isp::new("config");
    let routers = isp.program.file("routers", &format!("{ROUTER}\n{OTHER}\n"));
    let file = |name: &str| isp.program.path(name).display().to_string();
    let text = format!(
        "ca = '{}'\ncertificate = '{}'\nkey = '{}'\nrouters = '{routers}'\n[limits]\nsafe = ['192.0.2.0/24']\n",
        file("ca.pem"),
        file("own.pem"),
        file("own.key")
    );
    let config = isp.program.file("config.toml", &format!("listen = ['127.0.0.1:0']\n{text}"));
    let check =
        |isp: &Isp| told(isp.program.plain_command(&["check", "--config", &config, "--state", &file("checked")]));
    assert_eq!(check(&isp), Ok(String::new()));
    for (wrong, told) in [
        ("colour = 1\n", "config.toml:2"),
        ("ca = 7\n", "config.toml:2"),
        ("[limits]\nsafe = ['x']\n", "config.toml:3"),
    ] {
        isp.program.file("config.toml", &format!("listen = ['127.0.0.1:0']\n{wrong}"));
        let why = check(&isp).unwrap_err();
        assert!(why.contains(told), "{why}");
        let serving = isp.program.plain_command(&["serve", "--config", &config, "--state", &file("checked")]);
        assert_eq!(serving.wait_with_output().unwrap().status.code(), Some(2), "as the reference has it");
    }
    isp.program.file("config.toml", &text);
    isp.arguments = vec!["--config".to_owned(), config.clone()];
    isp.start();
    let (mut home, mut other) = (isp.home(ROUTER), isp.home(OTHER));
    let why = told(isp.command(&wanting(ROUTER, "203.0.113.7", "192.0.2.1"))).unwrap_err();
    assert!(why.contains("in the list of what is safe"), "{why}");

    // What can't be read leaves all as it was.
    isp.program.file("routers", &format!("{OTHER} 203.0.113.0/99\n"));
    let why = told(isp.command(&["reload"])).unwrap_err();
    assert!(why.contains("routers:1"), "{why}");
    home.has_heard_all();
    isp.program.file("routers", &format!("{OTHER}\n"));
    isp.program.file("config.toml", &text.replace("192.0.2.0/24", "198.51.100.0/24"));
    let pid = isp.program.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    until("only the other", || !isp.program.routers().contains(ROUTER));
    other.has_heard_all();
    let command = isp.command(&wanting(OTHER, "203.0.113.7", "192.0.2.1"));
    let put = other.hear();
    other.take_on(&put);
    told(command).unwrap();
    told(isp.command(&["reload"])).unwrap();
    other.has_heard_all();
}

/// At once, and over a restart.
#[test]
fn a_revoked_router_calls_no_more() {
    let mut isp = Isp::serving("revoked");
    let _home = isp.home(ROUTER);
    let mut other = isp.home(OTHER);
    told(isp.command(&["revoke", "--router", ROUTER])).unwrap();
    let config = router(isp.root.issue(ROUTER), &isp.root);
    for _ in 0..2 {
        assert!(!isp.program.routers().contains(ROUTER));
        assert!(Home::call(&config, PROVIDER, isp.program.v4).is_err());
        other.has_heard_all();
        drop(other);
        isp.program.end();
        isp.start();
        other = isp.home(OTHER);
    }
}

/// An authority of one's own, the program's certificate, and one file with which a router calls.
#[test]
fn an_enrolled_router_calls() {
    let mut isp = Isp::new("enrol");
    let authority = isp.program.path("authority").display().to_string();
    let enrol =
        |more: &[&str]| told(isp.program.plain_command(&[&["enrol", "--authority", &authority], more].concat()));
    enrol(&[PROVIDER, "--own"]).unwrap();
    let output = isp.program.path("home.profile").display().to_string();
    let options =
        ["--address", "192.0.2.1", "--display-name", "Our ISP", "--help-phone", "+1 555", "--output", &output];
    let more = [&[ROUTER, "--provider", PROVIDER][..], &options].concat();
    enrol(&more).unwrap();
    assert!(enrol(&more).unwrap_err().contains("exists"), "nothing is overwritten");
    assert!(enrol(&[OTHER, "--provider", "it's", "--output", "nowhere"]).unwrap_err().contains("can't stand"));

    let sections = uci::parse(&fs::read_to_string(&output).unwrap()).unwrap();
    let [profile] = &sections[..] else { panic!("{sections:?}") };
    assert_eq!((profile.kind(), profile.name()), ("profile", Some("isp")));
    let value = |name: &str| match profile.settings().iter().find(|setting| setting.name() == name).unwrap().value() {
        SettingValue::Scalar(text) => text.clone(),
        SettingValue::List(items) => items.join(" "),
    };
    let told = ["version", "name", "address", "port", "transport", "auth", "display_name", "help_phone"].map(value);
    assert_eq!(told, ["1", PROVIDER, "192.0.2.1", "4647", "auto", "certificate", "Our ISP", "+1 555"]);

    let file = |name: String| isp.program.path("authority").join(name).display().to_string();
    isp.arguments = vec!["--ca".to_owned(), file("ca.pem".to_owned()), "--certificate".to_owned()];
    isp.arguments.extend([file(format!("{PROVIDER}.pem")), "--key".to_owned(), file(format!("{PROVIDER}.key"))]);
    isp.start();
    let identity = Identity::read(value("certificate").as_bytes(), value("key").as_bytes()).unwrap();
    let anchors = Anchors::read(value("ca").as_bytes()).unwrap();
    let now = dots_callhome::io::clock::now().unix;
    let config = client_config(identity, &anchors, clock(now)).unwrap().config;
    let _home = Home::call(&config, PROVIDER, isp.program.v4).expect("a session");
    until("it has called", || isp.program.routers().contains(ROUTER));
}

/// Whoever gets a profile can use it: one that no router takes is not written.
#[test]
fn what_no_router_takes_is_not_enrolled() {
    let isp = Isp::new("enrol-wrong");
    let authority = isp.program.path("authority").display().to_string();
    let output = isp.program.path("home.profile");
    let long = "x".repeat(65);
    for (wrong, why) in [
        (&["not a name"][..], "no domain name"),
        (&["192.0.2.1"], "no domain name"),
        (&[ROUTER, "--help-phone", "the hotline"], "help_phone"),
        (&[ROUTER, "--help-url", "ftp://isp.example"], "help_url"),
        (&[ROUTER, "--display-name", &long], "display_name"),
        (&[ROUTER, "--section", "my isp"], "a name has letters"),
        (&[ROUTER, "--address", "fe80::1"], "address"),
        (&[ROUTER, "--port", "0"], "port"),
        (&[ROUTER, "--days", "0"], "days"),
        (&[ROUTER, "--days", "4000000000"], "days"),
    ] {
        let more = ["--provider", PROVIDER, "--authority", &authority, "--output", output.to_str().unwrap()];
        let said = told(isp.program.plain_command(&[&["enrol"], wrong, &more].concat())).unwrap_err();
        assert!(said.contains(why) && !said.contains("panicked") && !output.exists(), "{wrong:?}: {said}");
    }
}

/// What is signed must lead to the authority that the other side is told of.
#[test]
fn an_authority_of_another_name_or_key_signs_nothing() {
    let isp = Isp::new("enrol-authority");
    let directory = isp.program.path("authority");
    let enrol = |name: &str| {
        let arguments = ["enrol", name, "--own", "--authority", directory.to_str().unwrap()];
        told(isp.program.plain_command(&arguments))
    };
    enrol(PROVIDER).unwrap();
    let key = fs::read_to_string(directory.join("ca.key")).unwrap();
    fs::write(directory.join("ca.key"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(enrol(ROUTER).unwrap_err().contains("it is not of"));
    fs::write(directory.join("ca.key"), &key).unwrap();
    let mut named = rcgen::CertificateParams::default();
    named.distinguished_name.push(rcgen::DnType::CommonName, "Another authority");
    let other = named.self_signed(&rcgen::KeyPair::from_pem(&key).unwrap()).unwrap().pem();
    fs::write(directory.join("ca.pem"), other).unwrap();
    assert!(enrol(ROUTER).unwrap_err().contains("it is not of"));
}

/// The notify script's calls: a ban asks, details ask nothing that is asked already, and an unban ends nothing that works.
#[test]
fn what_fastnetmon_reports_is_asked() {
    let isp = Isp::serving("fastnetmon");
    let mut home = isp.home(ROUTER);
    let call = |action: &str, input: &str| {
        fed(&isp, &["import", "--router", ROUTER, "fastnetmon", "198.51.100.7", "outgoing", "539", action], input)
    };
    let (udp, syn) =
        (include_str!("../data/fastnetmon/udp-ban.stdin"), include_str!("../data/fastnetmon/syn-ban.stdin"));
    let ban = call("ban", udp);
    let put = home.hear();
    let body =
        "{1:{2:[{6:[\"203.0.113.80/32\"],7:[{8:80}],10:[17],14:3600,32768:[\"198.51.100.7/32\"],32769:[{8:4021}]}]}}";
    assert_eq!(put.body(), canonical(body));
    let observation = home.take_on(&put);
    told(ban).unwrap();
    told(call("attack_details", udp)).unwrap();
    home.has_heard_all();
    // It works, so nothing is seen of the attack.
    let answer: Value = serde_json::from_str(&told(call("unban", "")).unwrap()).unwrap();
    assert_eq!(answer["wishes"].as_array().unwrap().len(), 0);
    home.has_heard_all();

    // Another attack at the same victim: both stay blocked.
    let ban = call("ban", syn);
    let put = home.hear();
    let both = "{1:{2:[{6:[\"203.0.113.80/32\"],7:[{8:80},{8:81}],10:[6,17],14:3600,32768:[\"198.51.100.7/32\"]}]}}";
    let lifetime = |body: &str| body.replace("14:3600", "14:3599");
    assert!(put.body() == canonical(both) || put.body() == canonical(&lifetime(both)), "{put:?}");
    home.answer(&put, CREATED, &format!("{{1:{{2:[{{5:{},14:3600}}]}}}}", mid(&put)));
    let mut said = [home.hear(), home.hear()];
    said.sort_by_key(|message| message.code);
    assert_eq!((said[0].code, said[1].code, mid(&said[1])), (GET, DELETE, mid(&observation)));
    home.notify(&said[0], &format!("{{1:{{2:[{{5:{},14:3600,16:1}}]}}}}", mid(&put)));
    home.answer(&said[1], DELETED, "");
    told(ban).unwrap();
    home.has_heard_all();
    // It only waits for the administrator, and nothing is seen any more: it is withdrawn.
    let unban = call("unban", "");
    let delete = home.hear();
    assert_eq!((delete.code, mid(&delete)), (DELETE, mid(&put)));
    home.answer(&delete, DELETED, "");
    told(unban).unwrap();
    // An attack on the home is nothing that its router could stop, and that is said.
    let output = call("ban", "").wait_with_output().unwrap();
    assert!(output.status.success() && String::from_utf8(output.stderr).unwrap().contains("no flow leaves"));
    home.has_heard_all();
}

/// Each row is asked, and what is wrong with one is told with its line.
#[test]
fn what_shadowserver_reports_is_asked() {
    let isp = Isp::serving("shadowserver");
    let feed = include_str!("../data/shadowserver.csv");
    let output =
        fed(&isp, &["import", "--dry-run", "--router", ROUTER, "shadowserver"], feed).wait_with_output().unwrap();
    let asked = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && asked.lines().count() == 2 && asked.contains("\"lifetime\":86400"), "{asked}");
    assert!(told(isp.command(&["wishes"])).unwrap().contains("[]"));
    let output = fed(&isp, &["import", "--router", ROUTER, "shadowserver"], &format!("{feed}bad,row\n"))
        .wait_with_output()
        .unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("line 4"));
    assert_eq!(output.status.code(), Some(2));
    let wishes: Value = serde_json::from_str(&told(isp.command(&["wishes"])).unwrap()).unwrap();
    assert_eq!(
        (wishes["wishes"].as_array().unwrap().len(), &wishes["wishes"][0]["reason"]),
        (2, &Value::from("mirai"))
    );
}
