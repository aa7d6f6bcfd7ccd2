//! From installation to removal.

use std::fs;
use std::os::unix::fs::symlink;

use crate::router::Router;

const CONFIG: &str = "/etc/config/dots-callhome";
const INIT: &str = "/etc/init.d/dots-callhome";

/// Switched on, with the credentials where the configuration says.
fn running(name: &str, jails: bool) -> Router {
    let router = Router::new(name, jails);
    router.install();
    router.write(CONFIG, &router.read(CONFIG).replace("option enabled '0'", "option enabled '1'"));
    for file in ["isp-ca.pem", "router.pem", "router.key"] {
        router.write(&format!("/etc/dots-callhome/{file}"), "secret");
    }
    router
}

#[test]
fn installed_it_is_ready_but_does_nothing() {
    let router = Router::new("installed", true);
    let noted = router.install();
    assert_eq!(noted, ["killall -HUP ubusd", "start dots-callhome", "reload with dots-callhome"]);
    assert!(router.read("/etc/passwd").contains("\ndots-callhome:"));
    assert!(router.read("/etc/group").contains("\ndots-callhome:"));
    assert!(!router.path("/etc/uci-defaults/dots-callhome").exists(), "done once");
    assert!(router.path("/etc/rc.d/S95dots-callhome").exists());
    assert_eq!(router.mode("/etc/dots-callhome"), 0o700);
    assert_eq!(router.mode(CONFIG), 0o600);
}

/// Its own user, one capability, and of the file system what it needs.
#[test]
fn it_runs_in_a_jail() {
    let router = running("jail", true);
    let noted = router.run(&format!("{INIT} start"));
    let expected = "\
        start dots-callhome\n\
        instance\n\
        command /usr/sbin/dots-callhome\n\
        respawn 3600 5 0\n\
        stdout 1\n\
        stderr 1\n\
        file /etc/config/dots-callhome\n\
        reload_signal HUP\n\
        chown -hR dots-callhome:dots-callhome /etc/dots-callhome /var/run/dots-callhome\n\
        chown root:dots-callhome /var/etc/dots-callhome /var/etc/dots-callhome/.new\n\
        jail dots-callhome procfs ronly\n\
        sees /usr/sbin/nft\n\
        sees /etc/hosts\n\
        sees /var/etc/dots-callhome:/etc/config\n\
        sees /tmp/resolv.conf.d\n\
        writes /etc/dots-callhome\n\
        writes /var/run/dots-callhome\n\
        writes /var/run/ubus\n\
        user dots-callhome\n\
        group dots-callhome\n\
        capabilities /etc/capabilities/dots-callhome.json\n\
        no_new_privs 1\n\
        file /etc/dots-callhome/isp-ca.pem\n\
        file /etc/dots-callhome/router.pem\n\
        file /etc/dots-callhome/router.key\n\
        instance ends\n\
        reload with dots-callhome\n\
        procd starts it";
    assert_eq!(noted.join("\n"), expected);
    for file in ["isp-ca.pem", "router.pem", "router.key"] {
        assert_eq!(router.mode(&format!("/etc/dots-callhome/{file}")), 0o600, "as nobody else's business");
    }
    assert_eq!(router.mode("/var/run/dots-callhome"), 0o700);
    assert_eq!(router.mode("/var/etc/dots-callhome"), 0o750);
    assert_eq!(router.mode("/var/etc/dots-callhome/dots-callhome"), 0o640);
}

/// What a reload shows the daemon is what stands in the file now, and nothing else is there.
#[test]
fn it_sees_the_configuration_of_today() {
    let router = running("today", true);
    router.run(&format!("{INIT} start"));
    let changed = router.read(CONFIG).replace("'30'", "'60'");
    router.write(CONFIG, &changed);
    router.run(&format!("{INIT} reload"));
    assert_eq!(router.read("/var/etc/dots-callhome/dots-callhome"), changed);
    let shown: Vec<_> = fs::read_dir(router.path("/var/etc/dots-callhome")).unwrap().collect();
    assert_eq!(shown.len(), 1);
}

/// The jail shows credentials wherever they lie, and what does not exist disturbs nobody.
#[test]
fn credentials_may_lie_anywhere() {
    let router = running("anywhere", true);
    router.write("/etc/other.pem", "secret");
    let config = router.read(CONFIG).replace("/etc/dots-callhome/isp-ca.pem", "/etc/other.pem");
    router.write(CONFIG, &config.replace("router.key", "missing.key"));
    let noted = router.run(&format!("{INIT} start"));
    assert!(noted.contains(&"sees /etc/other.pem".to_owned()));
    assert!(noted.contains(&"file /etc/other.pem".to_owned()));
    assert!(!noted.iter().any(|line| line.contains("missing.key")));
}

/// A file that is replaced by another one stays the old one in the jail, so it is shown by its directory; and the one that a link
/// leads to too.
#[test]
fn credentials_elsewhere_are_seen_when_they_are_replaced() {
    let router = running("replaced", true);
    fs::create_dir_all(router.path("/etc/ssl/acme")).unwrap();
    fs::create_dir_all(router.path("/etc/acme/home")).unwrap();
    router.write("/etc/acme/home/full.cer", "secret");
    symlink("/etc/acme/home/full.cer", router.path("/etc/ssl/acme/home.crt")).unwrap();
    let config = router.read(CONFIG).replace("/etc/dots-callhome/router.pem", "/etc/ssl/acme/home.crt");
    router.write(CONFIG, &config);
    let noted = router.run(&format!("{INIT} start"));
    for directory in ["sees /etc/ssl/acme", "sees /etc/acme/home"] {
        assert!(noted.contains(&directory.to_owned()), "{noted:?}");
    }
    assert!(!noted.iter().any(|line| line.starts_with("sees") && line.contains("home.")), "{noted:?}");
}

/// One broken line, and uci reads nothing of the file; the daemon does, so it is told and not ended.
#[test]
fn a_configuration_that_uci_refuses_ends_nothing() {
    let router = running("refused", true);
    router.run(&format!("{INIT} start"));
    let broken = format!("{}\tconfig device\n\toption name 'Ron's camera'\n", router.read(CONFIG));
    router.write(CONFIG, &broken);
    let noted = router.run(&format!("{INIT} reload"));
    assert!(noted.contains(&"procd sends HUP".to_owned()), "{noted:?}");
    assert!(!noted.iter().any(|line| line.starts_with("nft")), "{noted:?}");
    assert_eq!(router.read("/var/etc/dots-callhome/dots-callhome"), broken);
}

/// Modes are put right before anybody looks, be it before the first start.
#[test]
fn a_check_before_the_first_start_is_right() {
    let router = running("check", true);
    router.run("chmod 644 /etc/dots-callhome/router.key");
    router.run(&format!("{INIT} check"));
    assert_eq!(router.mode("/etc/dots-callhome/router.key"), 0o600);
}

/// A daemon gone bad gains nothing from links it left in the directory it may write.
#[test]
fn links_are_not_followed() {
    let router = running("links", true);
    router.write("/etc/shadow", "root");
    fs::set_permissions(router.path("/etc/shadow"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    symlink("/etc/shadow", router.path("/etc/dots-callhome/link")).unwrap();
    let noted = router.run(&format!("{INIT} start"));
    assert!(noted.iter().any(|line| line.starts_with("chown -hR ")));
    assert_eq!(router.mode("/etc/shadow"), 0o644);
}

#[test]
fn without_ujail_it_runs_all_the_same() {
    let router = running("unjailed", false);
    let noted = router.run(&format!("{INIT} start"));
    assert!(noted.contains(&"command /usr/sbin/dots-callhome".to_owned()));
    assert!(
        noted
            .iter()
            .any(|line| line.starts_with("logger -t dots-callhome -p daemon.warn procd-ujail is not installed"))
    );
    let again = router.run(&format!("{INIT} reload"));
    assert!(!again.iter().any(|line| line.starts_with("logger")), "told once: {again:?}");
    let of_a_jail =
        |line: &String| ["jail", "sees", "writes", "user", "chown"].iter().any(|word| line.starts_with(word));
    assert!(!noted.iter().any(of_a_jail), "{noted:?}");
}

#[test]
fn an_upgrade_keeps_configuration_and_blocks() {
    let router = running("upgraded", true);
    router.run(&format!("{INIT} start"));
    let config = router.read(CONFIG);
    router.write("/etc/hotplug.d/dots-callhome/50-mine", "true");
    router.write("/etc/dots-callhome/decisions.cbor", "a quarantine");
    let noted = router.install();
    assert_eq!(router.read("/etc/dots-callhome/decisions.cbor"), "a quarantine");
    assert!(noted.contains(&"procd starts it".to_owned()), "the new program: {noted:?}");
    assert_eq!(router.read(CONFIG), config);
    assert_eq!(router.read("/etc/dots-callhome/router.key"), "secret");
    assert!(router.path("/etc/hotplug.d/dots-callhome/50-mine").exists());
    assert!(!noted.iter().any(|line| line.starts_with("nft")), "{noted:?}");
    assert!(noted.contains(&"command /usr/sbin/dots-callhome".to_owned()), "it runs again");
    assert_eq!(router.read("/etc/passwd").matches("dots-callhome:").count(), 1);
}

/// The daemon ends first, then its tables; what the administrator made stays.
#[test]
fn removed_it_leaves_configuration_and_no_table() {
    let router = running("removed", true);
    router.run(&format!("{INIT} start"));
    router.write("/etc/dots-callhome/decisions.cbor", "a quarantine");
    let noted = router.remove();
    let expected = [
        "stop dots-callhome",
        "nft delete table inet dots_callhome",
        "nft delete table bridge dots_callhome",
        "nft delete table inet dots_callhome_guard",
        "nft delete table bridge dots_callhome_guard",
        "nft delete table inet dots_callhome_2",
        "nft delete table bridge dots_callhome_2",
        "nft delete table inet dots_callhome_2_guard",
        "nft delete table bridge dots_callhome_2_guard",
        "nft delete table inet dots_callhome_senders",
        "nft delete table bridge dots_callhome_servers",
        "nft delete table inet dots_callhome_servers",
        "logger -t dots-callhome -p daemon.notice removed: all blocks have ended",
    ];
    assert_eq!(noted, expected);
    for gone in [
        "/usr/sbin/dots-callhome",
        INIT,
        "/etc/rc.d/S95dots-callhome",
        "/var/run/dots-callhome",
        "/var/etc/dots-callhome",
        "/etc/dots-callhome/decisions.cbor",
    ] {
        assert!(fs::symlink_metadata(router.path(gone)).is_err(), "{gone}");
    }
    assert!(router.path(CONFIG).exists());
    assert_eq!(router.read("/etc/dots-callhome/router.key"), "secret");
}

/// Switched off it leaves nothing to the kernel that has no end by itself.
#[test]
fn switched_off_it_notes_nothing_more() {
    let router = running("off", true);
    assert!(!router.run(&format!("{INIT} start")).iter().any(|line| line.starts_with("nft")));
    let config = router.read(CONFIG).replace("option enabled '1'", "option enabled '0'");
    assert_ne!(config, router.read(CONFIG));
    router.write(CONFIG, &config);
    let noted = router.run(&format!("{INIT} reload"));
    for table in ["inet dots_callhome_senders", "bridge dots_callhome_servers"] {
        assert!(noted.contains(&format!("nft delete table {table}")), "{noted:?}");
    }
    assert!(!noted.iter().any(|line| line.starts_with("command")), "{noted:?}");
}

/// Put into an image on the building machine, its scripts touch nothing that runs there.
#[test]
fn built_into_an_image_it_touches_nothing() {
    let router = running("image", true);
    for script in ["postinst-pkg", "postrm"] {
        let noted = router
            .run(&format!(". /lib/functions.sh; IPKG_INSTROOT=/image; . /usr/lib/opkg/info/dots-callhome.{script}"));
        assert_eq!(noted, [""; 0], "{script}");
    }
}

/// A file that lost its section gets it back, without harm to the rest.
#[test]
fn an_older_configuration_gets_what_scripts_write_to() {
    let router = Router::new("older", true);
    router.write(CONFIG, "config peer 'isp'\n\toption enabled '0'\n");
    router.install();
    assert_eq!(router.read(CONFIG), "config peer 'isp'\n\toption enabled '0'\n\nconfig globals 'globals'\n");
}

/// The example is a script without a mistake that does nothing.
#[test]
fn the_example_does_nothing() {
    let router = running("example", true);
    let noted = router.run("ACTION=pending NAME='$(reboot)'; . /etc/hotplug.d/dots-callhome/10-example");
    assert_eq!(noted, [""; 0]);
    let example = router.read("/etc/hotplug.d/dots-callhome/10-example");
    let taken = example.replace("\nreturn 0\n", "\n").replace("#   printf", "printf").replace("#   curl", "curl");
    router.write("/etc/hotplug.d/dots-callhome/10-example", &taken);
    for program in ["curl", "msmtp"] {
        router.write(&format!("/bin/{program}"), "#!/bin/sh\nfor word; do echo \"$word\" >>/tmp/log; done\n");
    }
    let noted = router.run(
        "chmod 755 /bin/curl /bin/msmtp; ACTION=pending ID=3 MAC=02:00:00:00:00:11 NAME='$(reboot)' TARGET=203.0.113.80/32; \
         . /etc/hotplug.d/dots-callhome/10-example",
    );
    assert!(
        noted.contains(&"text=$(reboot) (02:00:00:00:00:11) is said to attack 203.0.113.80/32".to_owned()),
        "{noted:?}"
    );
    assert!(noted.contains(&"you@example.org".to_owned()));
}
