//! The configuration: defaults, what every fault does, and that none does harm.

use std::path::Path;
use std::time::Duration;

use dots_callhome::config::{Auth, Config, Peer, Problem, TransportChoice};
use dots_callhome::mitigation::{Action, Consent, DevicePolicy, TimeoutAction};
use dots_callhome::model::Mac;
use log::LevelFilter;

const COMPLETE: &str = "
config globals 'globals'
	option enabled '1'
	option consent 'auto'
	option action 'quarantine'
	option consent_timeout '300'
	option timeout_action 'reject'
	option max_lifetime '7200'
	option max_mitigations '16'
	option internal_sources '1'
	option log_level 'debug'

config peer 'isp'
	option enabled '1'
	option name 'callhome.isp.example'
	list address '192.0.2.1'
	list address '2001:db8::1'
	option port '14647'
	option transport 'tls'
	option auth 'certificate'
	option ca '/etc/dots-callhome/isp-ca.pem'
	option certificate '/etc/dots-callhome/router.pem'
	option key '/etc/dots-callhome/router.key'
	option interface 'wan6'
	list domain '198.51.100.7/32'
	list domain '2001:db8:1::/48'
	option heartbeat_interval '15'

config peer 'second'
	option auth 'psk'
	option psk_identity 'home-1234'
	option psk_file '/etc/dots-callhome/isp.psk'

config peer 'third'
	option auth 'raw-public-key'
	option key '/etc/dots-callhome/router.key'
	option peer_key '/etc/dots-callhome/isp.pub'

config device
	option mac '02:00:00:00:00:11'
	option name 'Garage camera'
	option policy 'exempt'

config device
	option mac '02:00:00:00:00:1F'
	option policy 'auto'
";

/// The least a peer needs; `more` is added to it.
fn peer(more: &str) -> String {
    format!(
        "config peer 'isp'\n option name 'callhome.isp.example'\n option ca '/a'\n option certificate '/b'\n option key '/c'\n{more}"
    )
}

fn globals(options: &str) -> String {
    format!("config globals 'globals'\n{options}")
}

/// Reads what has nothing wrong in it.
fn good(text: &str) -> Config {
    let (config, problems) = Config::read(text);
    assert_eq!(problems, [], "{text}");
    config
}

/// Reads what has one thing wrong in it.
fn faulty(text: &str) -> (Config, Problem) {
    let (config, mut problems) = Config::read(text);
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    (config, problems.remove(0))
}

fn the_peer(text: &str) -> Peer {
    let mut config = good(text);
    assert_eq!((config.peers.len(), config.disabled.len()), (1, 0));
    config.peers.remove(0)
}

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

/// Proves CH-1-03, SC-3-03, CH-5.1-07, CH-3-02, CH-5.3.1-25.
#[test]
fn a_complete_file() {
    let config = good(COMPLETE);
    assert!(config.enabled && config.internal_sources);
    assert_eq!(config.log_level, LevelFilter::Debug);
    let policy = &config.policy;
    assert_eq!((policy.consent, policy.action), (Consent::Auto, Action::Quarantine));
    assert_eq!(policy.consent_timeout, Some(Duration::from_secs(300)));
    assert_eq!(policy.timeout_action, TimeoutAction::Reject);
    assert_eq!((policy.max_lifetime, policy.max_mitigations), (Duration::from_secs(7200), 16));
    assert_eq!(policy.devices.get(&mac(0x11)), Some(&DevicePolicy::Exempt));
    assert_eq!(policy.devices.get(&mac(0x1f)), Some(&DevicePolicy::Auto));
    assert_eq!(config.names.get(&mac(0x11)).map(String::as_str), Some("Garage camera"));
    assert_eq!(config.names.len(), 1);
    let [isp, second, third] = config.peers.as_slice() else { panic!("{:?}", config.peers) };
    assert_eq!((isp.section.as_str(), isp.name.as_str()), ("isp", "callhome.isp.example"));
    assert_eq!(isp.addresses, ["192.0.2.1", "2001:db8::1"].map(|address| address.parse::<std::net::IpAddr>().unwrap()));
    assert_eq!((isp.port, isp.transport, isp.heartbeat_interval), (14647, TransportChoice::Tls, 15));
    assert_eq!(isp.interfaces, ["wan6"]);
    assert_eq!(isp.domain.iter().map(ToString::to_string).collect::<Vec<_>>(), ["198.51.100.7/32", "2001:db8:1::/48"]);
    let files = [("ca", "isp-ca.pem"), ("certificate", "router.pem"), ("key", "router.key")];
    let expected = files.map(|(option, file)| (option, Path::new("/etc/dots-callhome").join(file)));
    assert_eq!(isp.auth.files().iter().map(|(o, f)| (*o, f.to_path_buf())).collect::<Vec<_>>(), expected);
    assert!(matches!(&second.auth, Auth::Psk { identity, .. } if identity == "home-1234"));
    assert_eq!(second.auth.files(), [("psk_file", Path::new("/etc/dots-callhome/isp.psk"))]);
    assert!(matches!(third.auth, Auth::RawPublicKey { .. }));
    assert_eq!(third.auth.files().iter().map(|(option, _)| *option).collect::<Vec<_>>(), ["key", "peer_key"]);
}

/// Proves CH-8-05: nothing is done unless it is said, and what is done is asked first.
#[test]
fn defaults_do_nothing() {
    for text in ["", "config globals 'globals'\n"] {
        let config = good(text);
        assert!(!config.enabled && !config.internal_sources && config.peers.is_empty() && config.names.is_empty());
        assert_eq!(config.log_level, LevelFilter::Info);
        let policy = config.policy;
        assert_eq!((policy.consent, policy.action), (Consent::Ask, Action::Block));
        assert_eq!((policy.consent_timeout, policy.timeout_action), (None, TimeoutAction::Ignore));
        assert_eq!((policy.max_lifetime, policy.max_mitigations), (Duration::from_secs(86_400), 128));
        assert!(policy.devices.is_empty());
    }
}

/// Proves SC-3-02, SC-3-04, DR-4.1-01 and SC-4.5.2-13: the port and the heartbeats of a router nobody told otherwise.
#[test]
fn defaults_of_a_peer() {
    let peer = the_peer(&peer(""));
    assert_eq!((peer.port, peer.transport, peer.heartbeat_interval), (4647, TransportChoice::Auto, 30));
    assert_eq!(peer.interfaces, ["wan"]);
    assert!(peer.addresses.is_empty() && peer.domain.is_empty());
}

/// Proves SC-4.5.1-03 and CH-5.2.1-02: 0 is heartbeats off, else 15 to 240.
#[test]
fn heartbeats_keep_their_range() {
    for (text, interval) in [("0", 0), ("15", 15), ("240", 240)] {
        assert_eq!(the_peer(&peer(&format!("option heartbeat_interval {text}"))).heartbeat_interval, interval);
    }
    for text in ["1", "14", "241", "65536", "-15", "15s", "+15", "00"] {
        let (config, problem) = faulty(&peer(&format!("option heartbeat_interval {text}")));
        assert_eq!(problem.option.as_deref(), Some("heartbeat_interval"));
        assert!(config.peers.is_empty(), "{text}");
    }
}

/// Every rule that can't be read is the careful one, said with section, option, reason and line.
#[test]
fn faulty_rules_are_the_careful_ones() {
    let cases = [
        ("enabled", "maybe", "'maybe' is neither 1 nor 0"),
        ("consent", "Auto", "'Auto' is none of ask, auto, observe"),
        ("action", "quarantin", "'quarantin' is none of block, quarantine"),
        ("consent_timeout", "-1", "'-1' is no number from 0 to 4294967295"),
        ("consent_timeout", "5 min", "'5 min' is no number from 0 to 4294967295"),
        ("timeout_action", "accept", "'accept' is none of ignore, approve, reject"),
        ("max_lifetime", "0", "'0' is no number from 1 to 4294967295"),
        ("max_lifetime", "4294967296", "'4294967296' is no number from 1 to 4294967295"),
        ("max_mitigations", "0", "'0' is no number from 1 to 1024"),
        ("max_mitigations", "99999999999999999999", "'99999999999999999999' is no number from 1 to 1024"),
        ("internal_sources", "2", "'2' is neither 1 nor 0"),
        ("log_level", "loud", "'loud' is none of error, warn, info, debug"),
    ];
    for (option, value, reason) in cases {
        let (config, problem) = faulty(&globals(&format!("option {option} '{value}'")));
        assert_eq!(config, good(""), "{option} {value}");
        assert_eq!(problem.to_string(), format!("section globals, option {option}: {reason} (line 2)"));
    }
}

#[test]
fn switches_are_words_of_openwrt() {
    for (text, enabled) in [("1", true), ("on", true), ("yes", true), ("0", false), ("off", false), ("disabled", false)]
    {
        assert_eq!(good(&globals(&format!("option enabled {text}"))).enabled, enabled);
    }
}

/// Everything wrong is said at once, and what is right is taken.
#[test]
fn all_faults_are_reported_at_once() {
    let text = "config globals 'globals'
	option enabled '1'
	option consent 'later'
	option colour 'red'
config peer 'isp'
	option name 'not a name'
	option port '70000'
	option key 'router.key'
config peer 'good'
	option auth 'psk'
	option psk_identity 'home'
	option psk_file '/psk'
	option proxy 'x'
config gadget
config device
	option policy 'exempt'
config device 'tv'
	option mac '02:00:00:00:00:11'
	option policy 'never'
";
    let (config, problems) = Config::read(text);
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "section globals, option consent: 'later' is none of ask, auto, observe (line 3)",
            "section globals, option colour: unknown, ignored (line 4)",
            "section isp, option ca: missing, authentication by certificate needs it (line 5)",
            "section isp, option certificate: missing, authentication by certificate needs it (line 5)",
            "section isp, option name: 'not a name' is no domain name (line 6)",
            "section isp, option port: '70000' is no number from 1 to 65535 (line 7)",
            "section isp, option key: 'router.key' does not start with / (line 8)",
            "section good, option proxy: unknown, ignored (line 13)",
            "section @gadget[0]: 'gadget' is an unknown kind of section, ignored (line 14)",
            "section @device[0], option mac: missing, it says which device is meant (line 15)",
            "section tv, option policy: 'never' is none of ask, auto, exempt, default (line 19)",
        ]
    );
    assert!(config.enabled);
    assert_eq!(config.peers.iter().map(|peer| peer.section.as_str()).collect::<Vec<_>>(), ["good"]);
    let [disabled] = config.disabled.as_slice() else { panic!("{:?}", config.disabled) };
    assert_eq!(disabled.section, "isp");
    assert_eq!(disabled.reason.to_string(), "option port: '70000' is no number from 1 to 65535");
    assert_eq!(config.policy.devices.iter().collect::<Vec<_>>(), [(&mac(0x11), &DevicePolicy::Ask)]);
}

#[test]
fn a_faulty_peer_is_disabled_with_the_reason() {
    let cases = [
        ("option enabled perhaps", "option enabled: 'perhaps' is neither 1 nor 0"),
        ("option name 192.0.2.1", "option name: '192.0.2.1' is no domain name"),
        ("option name ''\noption name '*'", "option name: '*' is no domain name"),
        ("list address 192.0.2", "option address: '192.0.2' is no IP address"),
        ("list address ''", "option address: '' is no IP address"),
        ("list address 0.0.0.0", "option address: '0.0.0.0' is no address to call"),
        ("list address ff02::1", "option address: 'ff02::1' is no address to call"),
        ("list address fe80::1", "option address: 'fe80::1' is no address to call"),
        ("list port 1", "option port: takes one value, not a list"),
        ("option port 0", "option port: '0' is no number from 1 to 65535"),
        ("option transport quic", "option transport: 'quic' is none of auto, dtls, tls"),
        ("option auth oscore", "option auth: 'oscore' is none of certificate, raw-public-key, psk"),
        ("option auth psk", "option psk_identity: missing, authentication by shared secret needs it"),
        ("option auth raw-public-key", "option peer_key: missing, authentication by raw public key needs it"),
        ("option interface 'eth0; reboot'", "option interface: 'eth0;' is no interface of /etc/config/network"),
        ("list domain home", "option domain: 'home' is no prefix such as 198.51.100.7/32"),
        ("list domain 192.0.2.0/33", "option domain: '192.0.2.0/33' is no prefix such as 198.51.100.7/32"),
        ("list domain ::/0", "option domain: '::/0' is the whole internet"),
    ];
    for (more, reason) in cases {
        let (config, problems) = Config::read(&format!("{}\nconfig peer 'other'\noption enabled off", peer(more)));
        assert!(config.peers.is_empty(), "{more}");
        let disabled: Vec<_> = config.disabled.iter().map(|d| (&d.section, d.reason.to_string())).collect();
        let disabled: Vec<_> = disabled.iter().map(|(section, why)| (section.as_str(), why.as_str())).collect();
        assert_eq!(disabled, [("isp", reason), ("other", "switched off")]);
        let of_isp: Vec<_> = problems.iter().filter(|problem| problem.section == "isp").collect();
        let (option, why) = reason.split_once(": ").unwrap();
        assert_eq!(of_isp[0].option.as_deref().map(|name| format!("option {name}")), Some(option.to_owned()));
        assert_eq!(of_isp[0].reason.to_string(), why);
    }
}

#[test]
fn a_peer_needs_a_name_to_be_known_by() {
    let (config, problem) = faulty(&peer("").replace("'isp'", ""));
    assert_eq!(problem.to_string(), "section @peer[0]: the section needs a name, as in: config peer 'isp' (line 1)");
    assert_eq!(config.disabled[0].section, "@peer[0]");
}

#[test]
fn a_certificate_needs_a_name_to_be_checked_against() {
    let (config, problem) = faulty("config peer 'isp'\noption ca /a\noption certificate /b\noption key /c");
    assert_eq!(problem.reason.to_string(), "missing, the certificate is checked against it");
    assert!(config.peers.is_empty());
    let peer = the_peer("config peer 'isp'\noption auth psk\noption psk_identity home\noption psk_file /a");
    assert_eq!(peer.name, "");
}

/// `auto` is what the authentication works on, and a choice that can't work is said to be one.
#[test]
fn transports_fit_the_authentication() {
    let psk = "config peer 'isp'\noption auth psk\noption psk_identity home\noption psk_file /a\n";
    let key = "config peer 'isp'\noption auth raw-public-key\noption key /a\noption peer_key /b\n";
    assert_eq!(the_peer(psk).transport, TransportChoice::Dtls);
    assert_eq!(the_peer(key).transport, TransportChoice::Tls);
    let (_, problem) = faulty(&format!("{psk}option transport tls"));
    assert_eq!(problem.to_string(), "section isp, option transport: a shared secret needs dtls or auto (line 5)");
    let (_, problem) = faulty(&format!("{key}option transport dtls"));
    assert_eq!(problem.to_string(), "section isp, option transport: raw public keys need tls or auto (line 5)");
}

#[test]
fn values_are_taken_as_meant() {
    let peer = the_peer(&peer(
        "option address '192.0.2.1 192.0.2.1 2001:db8::1'\nlist domain 198.51.100.7/24\nlist domain 2001:db8::5\nlist domain 198.51.100.0/24\noption name Callhome.ISP.example.",
    ));
    assert_eq!(peer.addresses.len(), 2);
    assert_eq!(peer.domain.iter().map(ToString::to_string).collect::<Vec<_>>(), ["198.51.100.0/24", "2001:db8::5/128"]);
    assert_eq!(peer.name, "Callhome.ISP.example");
}

/// Options of other ways to authenticate may stay in the file.
#[test]
fn what_the_authentication_does_not_read_does_no_harm() {
    the_peer(&peer("option peer_key x\noption psk_identity ''\noption psk_file x"));
}

#[test]
fn only_the_section_globals_counts() {
    for section in ["config globals", "config globals 'mine'"] {
        let (config, problem) = faulty(&format!("{section}\noption enabled 1\noption consent auto"));
        assert!(!config.enabled && config.policy.consent == Consent::Ask);
        assert_eq!(problem.reason.to_string(), "ignored, only config globals 'globals' counts");
    }
    let (config, _) = faulty("config globals 'globals'\noption consent observe\nconfig globals\noption consent auto");
    assert_eq!(config.policy.consent, Consent::Observe);
}

/// Of two sections about one device the more careful policy holds, whatever their order.
#[test]
fn the_more_careful_of_two_policies_holds() {
    let pairs = [
        ("auto", "ask", DevicePolicy::Ask),
        ("exempt", "ask", DevicePolicy::Exempt),
        ("auto", "exempt", DevicePolicy::Exempt),
    ];
    for (one, other, holds) in pairs {
        for (first, second) in [(one, other), (other, one)] {
            let device = |policy: &str, name: &str| {
                format!("config device\noption mac 02:00:00:00:00:11\noption policy {policy}\noption name {name}\n")
            };
            let (config, problem) = faulty(&(device(first, "a") + &device(second, "b")));
            assert_eq!(config.policy.devices.get(&mac(0x11)), Some(&holds));
            assert_eq!(config.names.get(&mac(0x11)).map(String::as_str), Some("a"));
            assert_eq!(problem.section, "@device[1]");
        }
    }
}

#[test]
fn devices_are_known_by_their_address() {
    for address in ["02:00:00:00:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "camera"] {
        let (config, problem) = faulty(&format!("config device\noption mac '{address}'\noption policy auto"));
        assert!(config.policy.devices.is_empty() && config.names.is_empty());
        assert_eq!(problem.option.as_deref(), Some("mac"));
    }
    for name in ["x".repeat(65), "a\nb".to_owned()] {
        let (config, problem) = faulty(&format!("config device\noption mac 02:00:00:00:00:11\noption name '{name}'"));
        assert_eq!((config.names.len(), config.policy.devices.len()), (0, 1));
        assert_eq!(problem.option.as_deref(), Some("name"));
    }
}

/// Of what is no configuration at all nothing is taken, and one line says why.
#[test]
fn a_broken_file_does_nothing() {
    for text in ["{}", "\u{fffd}ELF", "config globals 'globals\noption enabled 1\n"] {
        let (config, problem) = faulty(text);
        assert_eq!(config, good(""));
        assert_eq!((problem.section.as_str(), &problem.option), ("", &None));
    }
    let (config, problem) = faulty("config globals 'globals'\noption enabled 1\nconfig peer 'isp\n");
    assert!(config.enabled && config.peers.is_empty());
    assert_eq!(problem.to_string(), "a quote is never closed (line 3)");
    let (_, problem) = faulty("config globals 'globals'\noption enabled\toption consent auto");
    assert_eq!(
        problem.to_string(),
        "section globals: there is too much on the line, a value with spaces needs quotes (line 2)"
    );
}

/// A provider still being filled in is nobody's trouble, but what is wrong already is said.
#[test]
fn a_peer_switched_off_may_be_incomplete() {
    let config = good("config peer 'isp'\noption enabled 0");
    assert_eq!(config.disabled[0].reason.to_string(), "switched off");
    let (config, problem) = faulty("config peer 'isp'\noption enabled 0\noption port 0");
    assert_eq!((config.disabled.len(), problem.option.as_deref()), (1, Some("port")));
}

/// A file of a future release runs with what this one knows of it.
#[test]
fn a_file_of_the_future_runs_with_what_is_known() {
    let future =
        COMPLETE.replace("\toption enabled '1'\n", "\toption enabled '1'\n\toption shape 'round'\n\tlist hue 'x'\n");
    let (config, problems) = Config::read(&format!("{future}\nconfig schedule 'night'\noption from '22:00'\n"));
    assert_eq!(config, good(COMPLETE));
    assert_eq!(problems.len(), 5);
}

/// What a problem shows of the file stays on one line and short.
#[test]
fn problems_are_single_short_lines() {
    let hostile = "\u{1b}[2J\nMay 1 root: all is well\n".repeat(2000);
    let (_, problem) = faulty(&globals(&format!("option consent '{hostile}'")));
    let line = problem.to_string();
    assert!(line.len() < 300 && !line.chars().any(char::is_control), "{line}");
}

/// Bytes changed at random never let a faulty peer run, nor make a rule less careful than the file without it.
#[test]
fn hostile_files_do_no_harm() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    for cut in 0..COMPLETE.len() {
        Config::read(&COMPLETE[..cut]);
    }
    let whole = good(COMPLETE);
    let (mut taken, mut partly) = (0, 0);
    for _ in 0..5000 {
        let mut hostile = COMPLETE.as_bytes().to_vec();
        for _ in 0..=random(3) {
            let at = random(hostile.len());
            hostile[at] ^= 1 << random(8);
        }
        let (config, problems) = Config::read(&String::from_utf8_lossy(&hostile));
        taken += usize::from(problems.is_empty());
        partly += usize::from(!problems.is_empty() && !config.peers.is_empty());
        assert!(!problems.is_empty() || config.peers.len() + config.disabled.len() >= whole.peers.len() - 1);
        assert!(config.peers.iter().all(|p| p.heartbeat_interval == 0 || (15..=240).contains(&p.heartbeat_interval)));
        assert!(config.peers.iter().all(|p| p.auth.files().iter().all(|(_, file)| file.is_absolute())));
        assert!(config.policy.max_lifetime > Duration::ZERO && config.policy.max_mitigations > 0);
    }
    assert!(taken > 100 && partly > 100, "{taken} taken, {partly} partly");
}

/// What can't be read harms its own section; but as it may have been a no, nothing is done without asking.
#[test]
fn a_broken_line_leaves_the_rest_and_makes_careful() {
    let text = COMPLETE.replace("'reject'", "'approve'");
    for broken in
        ["config device\n\toption name 'Ron's camera'\n", "config device\n\topton policy exempt\n", "confg device\n"]
    {
        let (config, problems) = Config::read(&format!("{text}\n{broken}"));
        assert_eq!(config.peers.len(), 3, "{problems:?}");
        assert_eq!((config.policy.consent, config.policy.timeout_action), (Consent::Ask, TimeoutAction::Ignore));
        let policies: Vec<DevicePolicy> = config.policy.devices.values().copied().collect();
        assert_eq!(policies, [DevicePolicy::Exempt, DevicePolicy::Ask], "what is forbidden stays so");
        assert!(problems.iter().all(|problem| problem.line.is_some()), "{problems:?}");
    }
    // It may have been the one that keeps its requests within bounds.
    let (config, problems) =
        Config::read(&text.replace("list domain '198.51.100.7/32'", "lst domain '198.51.100.7/32'"));
    assert_eq!((config.peers.len(), config.disabled.len()), (2, 1));
    assert!(config.disabled[0].reason.to_string().contains("none of config, option and list"), "{problems:?}");
    // Its options are not the section's before.
    let (config, _) = Config::read(&format!("{text}\nconfig peer 'ot her'\n\toption name 'evil.example'\n"));
    assert_eq!(config.peers[2].auth, Config::read(&text).0.peers[2].auth);
    assert!(config.peers.iter().all(|peer| peer.name != "evil.example"));
}

/// `uci` takes any byte; what is no text is shown as such.
#[test]
fn what_is_unknown_but_harmless_is_told_so() {
    let text = format!(
        "{COMPLETE}config device\n\toption mac '02:00:00:00:00:77'\n\toption name 'K\u{fffd}che'\n\toption hue '1'\n"
    );
    let (config, problems) = Config::read(&text);
    assert_eq!(config.names.get(&mac(0x77)).map(String::as_str), Some("K\u{fffd}che"));
    assert_eq!(problems.iter().map(Problem::is_harmless).collect::<Vec<_>>(), [true]);
    assert_eq!(config.policy.consent, Consent::Auto);
}
