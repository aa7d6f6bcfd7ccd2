//! What people are told by ntfy, e-mail, Telegram, web address and MQTT, on a router with stand-ins for the programs that send.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::router::Router;

const NOTIFY: &str = "/usr/lib/dots-callhome/notify";
const WAYS: [(&str, &str); 5] = [
    ("ntfy", "https://ntfy.example/a-secret-topic"),
    ("email", "me@isp.example"),
    ("telegram", "123:botsecret/-55"),
    ("url", "https://home.example/hook?key=urlsecret"),
    ("mqtt", "mqtt://user:mqttsecret@192.168.1.2"),
];

/// Notes its arguments in a file of its own, and what it is given beside them.
const PROGRAM: &str = r#"#!/bin/sh
printf '%s\n' "$*" >>"/tmp/arguments-${0##*/}"
for word; do
	case $word in @*) file=${word#@} ;; --post-file=*) file=${word#*=} ;; *) continue ;; esac
	cp "$file" "/tmp/given-${0##*/}-${file##*/}"
done
cat >>"/tmp/input-${0##*/}"
[ -z "$XDG_CONFIG_HOME" ] || cp "$XDG_CONFIG_HOME/${0##*/}" "/tmp/config-${0##*/}"
[ ! -e "/tmp/hang-${0##*/}" ] || exec sleep 600
[ ! -e "/tmp/fail-${0##*/}" ] || exit 7
"#;

/// A uci that reads lines `package.section.option=value` of a file.
const UCI: &str = r#"#!/bin/sh
case $2 in
get) sed -n "s/^$3=//p" /tmp/uci | grep . ;;
show) grep "^$3\." /tmp/uci ;;
esac
"#;

/// A router with the ways that are set, and the programs named.
fn house(name: &str, ways: &[(&str, &str)], programs: &[&str]) -> Router {
    let router = Router::new(name, true);
    router.install();
    for directory in ["proc", "lib/functions"] {
        fs::create_dir_all(router.path(directory)).unwrap();
    }
    router.write("/lib/functions/network.sh", "network_get_ipaddr() { eval \"$1=192.168.1.1\"; }\n");
    clock(&router, 1000);
    let note = "#!/bin/sh\necho \"${0##*/} $*\" >>/tmp/log\n";
    let stand_ins = [("uci", UCI), ("logger", note), ("flock", "#!/bin/sh\n")];
    for (program, text) in stand_ins.into_iter().chain(programs.iter().map(|program| (*program, PROGRAM))) {
        let _ = fs::remove_file(router.path("/bin").join(program));
        router.write(&format!("/usr/sbin/{program}"), text);
        fs::set_permissions(router.path("/usr/sbin").join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Busy machines are slow, and busybox prefers a logger of its own.
    let script = router.read(NOTIFY).replace("PATIENCE=15", "PATIENCE=300").replace("logger -t", "/usr/sbin/logger -t");
    router.write(NOTIFY, &script);
    set(&router, ways, "");
    router
}

fn set(router: &Router, ways: &[(&str, &str)], more: &str) {
    let lines: String =
        ways.iter().map(|(way, value)| format!("dots-callhome-notify.notify.{way}={value}\n")).collect();
    router.write("/tmp/uci", &format!("{lines}{more}"));
}

fn clock(router: &Router, seconds: u64) {
    router.write("/proc/uptime", &format!("{seconds}.25 {seconds}.00\n"));
}

/// As a hook runs it. Returns what was logged.
fn happens(router: &Router, action: &str, environment: &str) -> Vec<String> {
    let given =
        "ID=3 MAC=02:00:00:00:00:11 TARGET='203.0.113.80/32 2001:db8::/64' PEER=isp NAME='Garage camera' BY= COMMENT=";
    router.run(&format!("export {given}; export {environment} ACTION={action}; {NOTIFY} {action}"))
}

/// What a program was given.
fn given(router: &Router, what: &str) -> String {
    fs::read_to_string(router.path("/tmp").join(what)).unwrap_or_default()
}

fn json(router: &Router, what: &str) -> Value {
    let text = given(router, what);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The text of the last message.
fn text(router: &Router) -> String {
    json(router, "given-curl-ntfy")["message"].as_str().unwrap_or_default().to_owned()
}

fn told(router: &Router) -> usize {
    given(router, "arguments-msmtp").lines().count()
}

const ALL: [&str; 3] = ["curl", "msmtp", "mosquitto_pub"];

#[test]
fn every_way_tells_what_happened_and_what_to_do() {
    let router = house("told", &WAYS, &ALL);
    set(&router, &WAYS, "dots-callhome.isp.display_name=My ISP\ndots-callhome.isp.help_phone=+49 123\n");
    assert_eq!(happens(&router, "pending", ""), [""; 0]);
    let link = "http://192.168.1.1/cgi-bin/luci/admin/services/dots-callhome/requests";
    let expected = format!(
        "My ISP reports: “Garage camera” (02:00:00:00:00:11) is attacking 203.0.113.80, 2001:db8::/64.\n\
         Nothing is blocked yet. Look at it and decide: {link}\nHelp from My ISP: +49 123"
    );
    assert_eq!(text(&router), expected);
    assert_eq!(json(&router, "given-curl-ntfy")["topic"], "a-secret-topic");
    assert_eq!(json(&router, "given-curl-ntfy")["click"], link);
    assert_eq!(json(&router, "given-curl-telegram")["text"], expected.as_str());
    assert_eq!(json(&router, "given-curl-telegram")["chat_id"], "-55");
    let addresses = given(&router, "input-curl");
    for address in
        ["https://ntfy.example/", "https://api.telegram.org/bot123:botsecret/sendMessage", WAYS[3].1].map(str::to_owned)
    {
        assert!(addresses.contains(&format!("url = \"{address}\"\n")), "{addresses}");
    }
    for message in
        [json(&router, "given-curl-url"), serde_json::from_str(&given(&router, "input-mosquitto_pub")).unwrap()]
    {
        let fields =
            ["event", "id", "mac", "name", "target", "peer", "text"].map(|field| message[field].as_str().unwrap());
        let targets = "203.0.113.80/32 2001:db8::/64";
        assert_eq!(fields, ["pending", "3", "02:00:00:00:00:11", "Garage camera", targets, "isp", expected.as_str()]);
    }
    assert_eq!(given(&router, "config-mosquitto_pub"), "-L mqtt://user:mqttsecret@192.168.1.2/dots-callhome\n");
    let (head, body) =
        given(&router, "input-msmtp").split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(head.starts_with("To: me@isp.example\nSubject: DDoS Call Home: message from your router\n"), "{head}");
    assert_eq!(body.trim_end(), expected);
}

/// Arguments of programs are everybody's on the router, and so is the log.
#[test]
fn secrets_stay_out_of_arguments_logs_and_files() {
    let router = house("secrets", &WAYS, &ALL);
    router.write("/tmp/fail-curl", "");
    router.write("/tmp/fail-mosquitto_pub", "");
    let log = happens(&router, "pending", "").join("\n");
    for way in ["ntfy", "telegram", "url", "mqtt"] {
        assert!(log.contains(&format!("daemon.warn message not sent: {way} failed 7")), "{log}");
    }
    let arguments: String = ALL.map(|program| given(&router, &format!("arguments-{program}"))).concat();
    for secret in ["secret", "isp.example", "camera", "203.0.113"] {
        assert!(!log.contains(secret) && !arguments.contains(secret), "{secret}: {log}\n{arguments}");
    }
    let left: Vec<_> =
        fs::read_dir(router.path("/var/run/dots-callhome-notify")).unwrap().map(|e| e.unwrap()).collect();
    assert!(left.iter().all(|entry| entry.file_type().unwrap().is_file()), "{left:?}");
    assert_eq!(router.mode("/var/run/dots-callhome-notify"), 0o700);
}

/// Names come from devices, the rest from providers: they are shown, and do nothing.
#[test]
fn what_strangers_say_is_only_shown() {
    let router = house("strangers", &WAYS, &ALL);
    let name = "$(touch /tmp/owned)`touch /tmp/owned`\"; \\ %s%n\nBcc: all@evil.example\nhttp://evil.example/fix";
    router.write("/tmp/name", name);
    set(&router, &WAYS, "dots-callhome.isp.display_name=$(touch /tmp/owned) \"%s\\\n");
    happens(
        &router,
        "pending",
        "NAME=\"$(cat /tmp/name)\" TARGET='203.0.113.80/32 $(reboot) * ; x' MAC='02:00:00:00:00:11'",
    );
    assert!(!router.path("/tmp/owned").exists());
    let first = text(&router);
    assert!(first.contains("$(touch / tmp/ owned)"), "{first}");
    assert!(!first.contains("http://evil") && !first.contains("evil.example"), "no link of theirs: {first}");
    assert_eq!(first.lines().count(), 2, "{first}");
    let mail = given(&router, "input-msmtp");
    assert!(!mail.contains("\nBcc:") && mail.matches("\n\n").count() == 1, "{mail}");
    assert_eq!(json(&router, "given-curl-url")["name"], name);
    assert!(given(&router, "config-mosquitto_pub").ends_with("/dots-callhome\n"));
    // A section of another name than uci has them, and an address that is none.
    happens(&router, "pending", "PEER='../../x'");
    assert_eq!(told(&router), 1);
    happens(&router, "pending", "MAC='$(reboot)'");
    assert!(text(&router).contains("a device in your home"), "{}", text(&router));
}

/// Decisions of people are their own business.
#[test]
fn only_what_somebody_has_to_know_is_told() {
    let router = house("known", &WAYS[..2], &ALL);
    let silent =
        ["requested", "approved", "enforced", "stopped", "resumed", "expired", "kept", "quarantined", "test2", "x;y"];
    for action in silent.map(|action| action.replace(';', "\\;")) {
        happens(&router, &action, "BY=root");
        assert_eq!(told(&router), 0, "{action}");
    }
    for (action, by, said) in [
        ("pending", "", "Nothing is blocked yet."),
        ("reminder", "", "Still open after a day."),
        ("approved", "policy", "Your router acts upon it"),
        ("approved", "timeout", "Your router acts upon it"),
        ("rejected", "timeout", "Nobody has answered in time"),
        ("failed", "", "A block does not hold"),
    ] {
        happens(&router, action, &format!("BY={by}"));
        assert!(text(&router).contains(said), "{action}: {}", text(&router));
    }
    let router = house("observed", &WAYS[..1], &ALL);
    set(&router, &WAYS[..1], "dots-callhome.globals.consent=observe\n");
    happens(&router, "pending", "");
    assert!(text(&router).contains("Your router only shows this"));
    let router = house("nobody", &[], &ALL);
    happens(&router, "pending", "");
    assert!(!router.path("/tmp/input-curl").exists());
}

/// Six messages about one provider's requests at once, then one in ten minutes, which says how many were left out. Another
/// provider has its own.
#[test]
fn one_provider_can_not_flood() {
    let router = house("flood", &WAYS[..2], &ALL);
    for _ in 0..20 {
        happens(&router, "pending", "");
    }
    assert_eq!(told(&router), 6);
    happens(&router, "pending", "PEER=other");
    assert_eq!(told(&router), 7);
    clock(&router, 1599);
    happens(&router, "pending", "");
    assert_eq!(told(&router), 7);
    clock(&router, 1601);
    happens(&router, "pending", "");
    assert_eq!(told(&router), 8);
    assert!(text(&router).contains("Messages left out before this one: 15"), "{}", text(&router));
    happens(&router, "pending", "");
    assert_eq!(told(&router), 8);
    clock(&router, 100_000);
    for _ in 0..20 {
        happens(&router, "pending", "");
    }
    assert_eq!(told(&router), 14);
}

/// Nor can somebody who makes up providers.
#[test]
fn made_up_providers_are_bounded() {
    let router = house("made-up", &WAYS[1..2], &["msmtp"]);
    let script = router.read(NOTIFY).replace("MOST=64", "MOST=3");
    router.write(NOTIFY, &script);
    for n in 0..6 {
        happens(&router, "pending", &format!("PEER=made_up_{n}"));
    }
    assert_eq!(told(&router), 3);
    happens(&router, "pending", "PEER=made_up_1 TARGET=");
    assert_eq!(told(&router), 4);
    assert!(given(&router, "input-msmtp").contains("is attacking ….\n"));
}

fn test(router: &Router) -> String {
    router.run(&format!("{NOTIFY} test >/tmp/said"));
    router.read("/tmp/said")
}

#[test]
fn a_test_says_what_came_of_each_way() {
    let router = house("test", &WAYS, &ALL);
    assert_eq!(test(&router), "email sent\nmqtt sent\nntfy sent\ntelegram sent\nurl sent\n");
    assert!(text(&router).starts_with("This is a test"));
    router.write("/tmp/fail-msmtp", "");
    assert!(test(&router).contains("email failed 7\n"));
    let router = house("test-missing", &WAYS, &[]);
    let missing =
        "email missing msmtp\nmqtt missing mosquitto_pub\nntfy missing curl\ntelegram missing curl\nurl missing curl\n";
    assert_eq!(test(&router), missing);
    set(&router, &[], "");
    assert_eq!(test(&router), "none\n");
}

/// What hangs is ended, and holds nothing else up.
#[test]
fn what_hangs_is_ended() {
    let router = house("hanging", &WAYS, &ALL);
    router.write(NOTIFY, &router.read(NOTIFY).replace("PATIENCE=300", "PATIENCE=5"));
    router.write("/tmp/hang-mosquitto_pub", "");
    let said = test(&router);
    assert!(said.contains("mqtt late\n") && said.lines().count() == 5, "{said}");
    assert_eq!(told(&router), 1);
}

/// Where curl is not installed: of ntfy the address says nothing secret, unless it has a password.
#[test]
fn what_openwrt_has_is_enough_for_ntfy() {
    let router = house("uclient", &WAYS[..1], &["uclient-fetch"]);
    assert_eq!(test(&router), "ntfy sent\n");
    let arguments = given(&router, "arguments-uclient-fetch");
    assert!(arguments.ends_with(" https://ntfy.example/\n") && !arguments.contains("topic"), "{arguments}");
    assert_eq!(json(&router, "given-uclient-fetch-ntfy")["topic"], "a-secret-topic");
    set(&router, &[("ntfy", "https://:secret@ntfy.example/topic")], "");
    assert_eq!(test(&router), "ntfy missing curl\n");
    set(&router, &[("ntfy", "only-a-topic")], "");
    assert_eq!(test(&router), "ntfy sent\n");
    assert!(given(&router, "arguments-uclient-fetch").ends_with(" https://ntfy.sh/\n"));
}

/// Nothing of what is set becomes an option, a command or a line of a program's configuration.
#[test]
fn what_is_set_wrongly_is_not_used() {
    let router = house("wrong", &[], &ALL);
    for (way, value) in [
        ("ntfy", "https://ntfy.sh/"),
        ("ntfy", "https://topic"),
        ("ntfy", "file:///etc/shadow"),
        ("ntfy", "a topic"),
        ("email", "me"),
        ("email", "-oops@isp.example"),
        ("email", "me@isp.example, you@isp.example"),
        ("telegram", "123:secret"),
        ("telegram", "123:secret/1/../2"),
        ("url", "home.example/hook"),
        ("url", "file:///etc/shadow"),
        ("url", "https://home.example/\" output = \"/etc/passwd"),
        ("mqtt", "192.168.1.2"),
        ("mqtt", "mqtt://192.168.1.2 --will-topic x"),
    ] {
        set(&router, &[(way, value)], "");
        assert_eq!(test(&router), format!("{way} wrong\n"), "{value}");
    }
}

/// The router's language: its own setting, else LuCI's. All languages say all things, in the same order.
#[test]
fn it_speaks_three_languages() {
    let router = house("languages", &WAYS[..1], &ALL);
    for (setting, said) in [
        ("luci.main.lang=auto", "Nothing is blocked yet."),
        ("luci.main.lang=de", "Noch ist nichts gesperrt."),
        ("luci.main.lang=fr", "Rien n’est encore bloqué."),
        ("luci.main.lang=de\ndots-callhome-notify.notify.language=fr", "Rien n’est encore bloqué."),
        ("luci.main.lang=../../x", "Nothing is blocked yet."),
    ] {
        let _ = fs::remove_dir_all(router.path("/var/run/dots-callhome-notify"));
        set(&router, &WAYS[..1], &format!("{setting}\n"));
        happens(&router, "pending", "");
        assert!(text(&router).contains(said), "{setting}: {}", text(&router));
    }
    let texts = |language: &str| {
        let text = fs::read_to_string(format!("files{NOTIFY}.{language}")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once('=').unwrap());
        lines.map(|(name, text)| (name.to_owned(), text.matches("%s").count())).collect::<Vec<_>>()
    };
    assert_eq!(texts("de"), texts("en"));
    assert_eq!(texts("fr"), texts("en"));
}

/// The hook runs it beside all others, and does no harm where the package is gone.
#[test]
fn the_hook_calls_it() {
    let router = house("hook", &WAYS[..2], &ALL);
    let hook = ". /etc/hotplug.d/dots-callhome/20-notify; wait";
    router.run(&format!(
        "export ACTION=pending ID=3 MAC=02:00:00:00:00:11 NAME=x TARGET=203.0.113.80/32 PEER=isp BY=; {hook}"
    ));
    assert_eq!(told(&router), 1);
    fs::remove_file(router.path(NOTIFY)).unwrap();
    router.run(&format!("export ACTION=pending PEER=isp; {hook}"));
    assert_eq!(told(&router), 1);
}
