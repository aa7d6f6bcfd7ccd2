//! What is in the package.

use std::fs;
use std::path::Path;
use std::process::Command;

use dots_callhome::config::Config;
use serde_json::Value;

use crate::{BINARY, make, package, run, scratch};

/// The archive's files as tar lists them: modes, owners, names.
fn listed(archive: &str) -> Vec<String> {
    let parts = package().parts();
    let list = run(Command::new("tar").args(["tvzf", archive, "--numeric-owner"]).current_dir(parts).env("TZ", "UTC"));
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[3], "1970-01-01", "{line}");
        format!("{} {} {}", words[0], words[1], words[5])
    };
    list.lines().map(line).collect()
}

fn json(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn files_modes_and_owners() {
    let parts = run(Command::new("tar").arg("tzf").arg(&package().file));
    assert_eq!(parts, "./debian-binary\n./data.tar.gz\n./control.tar.gz\n");
    let expected = "\
        drwxr-xr-x 0/0 ./\n\
        drwxr-xr-x 0/0 ./etc/\n\
        drwxr-xr-x 0/0 ./etc/capabilities/\n\
        -rw-r--r-- 0/0 ./etc/capabilities/dots-callhome.json\n\
        drwxr-xr-x 0/0 ./etc/config/\n\
        -rw------- 0/0 ./etc/config/dots-callhome\n\
        -rw------- 0/0 ./etc/config/dots-callhome-notify\n\
        drwx------ 0/0 ./etc/dots-callhome/\n\
        drwxr-xr-x 0/0 ./etc/hotplug.d/\n\
        drwxr-xr-x 0/0 ./etc/hotplug.d/dots-callhome/\n\
        -rw-r--r-- 0/0 ./etc/hotplug.d/dots-callhome/10-example\n\
        -rw-r--r-- 0/0 ./etc/hotplug.d/dots-callhome/20-notify\n\
        drwxr-xr-x 0/0 ./etc/init.d/\n\
        -rwxr-xr-x 0/0 ./etc/init.d/dots-callhome\n\
        drwxr-xr-x 0/0 ./etc/uci-defaults/\n\
        -rwxr-xr-x 0/0 ./etc/uci-defaults/dots-callhome\n\
        drwxr-xr-x 0/0 ./lib/\n\
        drwxr-xr-x 0/0 ./lib/upgrade/\n\
        drwxr-xr-x 0/0 ./lib/upgrade/keep.d/\n\
        -rw-r--r-- 0/0 ./lib/upgrade/keep.d/dots-callhome\n\
        drwxr-xr-x 0/0 ./usr/\n\
        drwxr-xr-x 0/0 ./usr/lib/\n\
        drwxr-xr-x 0/0 ./usr/lib/dots-callhome/\n\
        -rwxr-xr-x 0/0 ./usr/lib/dots-callhome/notify\n\
        -rw-r--r-- 0/0 ./usr/lib/dots-callhome/notify.de\n\
        -rw-r--r-- 0/0 ./usr/lib/dots-callhome/notify.en\n\
        -rw-r--r-- 0/0 ./usr/lib/dots-callhome/notify.fr\n\
        drwxr-xr-x 0/0 ./usr/sbin/\n\
        -rwxr-xr-x 0/0 ./usr/sbin/dots-callhome\n\
        drwxr-xr-x 0/0 ./usr/share/\n\
        drwxr-xr-x 0/0 ./usr/share/acl.d/\n\
        -rw-r--r-- 0/0 ./usr/share/acl.d/dots-callhome.json";
    assert_eq!(listed("data.tar.gz").join("\n"), expected);
    let control = "\
        drwxr-xr-x 0/0 ./\n\
        -rw-r--r-- 0/0 ./conffiles\n\
        -rw-r--r-- 0/0 ./control\n\
        -rwxr-xr-x 0/0 ./postinst\n\
        -rwxr-xr-x 0/0 ./postinst-pkg\n\
        -rwxr-xr-x 0/0 ./postrm\n\
        -rwxr-xr-x 0/0 ./prerm";
    assert_eq!(listed("control.tar.gz").join("\n"), control);
}

#[test]
fn what_it_says_of_itself() {
    let control = fs::read_to_string(package().control.join("control")).unwrap();
    let fields: Vec<(&str, &str)> = control.lines().map(|line| line.split_once(": ").expect(line)).collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    // The order of OpenWrt's own packages.
    assert_eq!(
        names,
        [
            "Package",
            "Version",
            "Depends",
            "Source",
            "SourceName",
            "License",
            "LicenseFiles",
            "Section",
            "Require-User",
            "SourceDateEpoch",
            "URL",
            "Maintainer",
            "Architecture",
            "Installed-Size",
            "Description"
        ]
    );
    let value = |name: &str| fields.iter().find(|(field, _)| *field == name).unwrap().1;
    assert_eq!(value("Package"), "dots-callhome");
    assert_eq!(value("Version"), concat!(env!("CARGO_PKG_VERSION"), "-r1"));
    assert_eq!(value("Depends"), "libc, firewall4, kmod-nf-conntrack-netlink");
    assert_eq!(value("License"), "Apache-2.0");
    assert_eq!(value("Require-User"), "dots-callhome:dots-callhome");
    assert_eq!(value("Architecture"), "x86_64");
    let data = run(Command::new("sh").args(["-c", "gzip -dc data.tar.gz | wc -c"]).current_dir(package().parts()));
    assert_eq!(value("Installed-Size"), data.trim());
    assert_eq!(fs::read_to_string(package().data.join("usr/sbin/dots-callhome")).unwrap(), BINARY);
    let name = format!("dots-callhome_{}-r1_x86_64.ipk", env!("CARGO_PKG_VERSION"));
    assert_eq!(package().file.file_name().unwrap().to_str().unwrap(), name);
}

/// The configuration survives an upgrade of the package, the administrator's files also one of the firmware.
#[test]
fn what_is_kept() {
    let conffiles = fs::read_to_string(package().control.join("conffiles")).unwrap();
    let expected = "/etc/config/dots-callhome\n/etc/config/dots-callhome-notify\n\
        /etc/hotplug.d/dots-callhome/10-example\n/etc/hotplug.d/dots-callhome/20-notify\n";
    assert_eq!(conffiles, expected);
    let kept = fs::read_to_string(package().data.join("lib/upgrade/keep.d/dots-callhome")).unwrap();
    assert_eq!(kept, "/etc/dots-callhome/\n/etc/hotplug.d/dots-callhome/\n");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let again = make("ipk", &scratch("again"));
    assert_eq!(again.len(), package().all.len());
    for (again, first) in again.iter().zip(&package().all) {
        assert_eq!(fs::read(again).unwrap(), fs::read(first).unwrap());
    }
}

/// LuCI's page, all of it and readable for the web server, and the menu read anew.
#[test]
fn the_page() {
    let list = |archive: &str| {
        let list = run(Command::new("tar").args(["tvzf", archive, "--numeric-owner"]).current_dir(&package().luci));
        let files = list.lines().filter(|line| line.starts_with('-'));
        let files = files.map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", words[0], words[1], words[5])
        });
        files.collect::<Vec<String>>()
    };
    let files = "(cd htdocs && find . -type f | sed 's,^.,./www,'; cd ../root && find . -type f) | LC_ALL=C sort";
    let files = run(Command::new("sh").args(["-c", files]).current_dir("luci-app"));
    let mut packed = list("data.tar.gz");
    packed.sort();
    assert_eq!(packed, files.lines().map(|file| format!("-rw-r--r-- 0/0 {file}")).collect::<Vec<_>>());
    assert!(packed.iter().any(|file| file.ends_with("/view/dots-callhome/requests.js")));
    let control = run(Command::new("tar").args(["xzOf", "control.tar.gz", "./control"]).current_dir(&package().luci));
    for line in ["Package: luci-app-dots-callhome", "Depends: libc, luci-base, dots-callhome", "Architecture: all"] {
        assert!(control.contains(&format!("{line}\n")), "{control}");
    }
    let script =
        run(Command::new("tar").args(["xzOf", "control.tar.gz", "./postinst-pkg"]).current_dir(&package().luci));
    assert!(script.contains("rm -f /tmp/luci-indexcache.*\n") && script.contains("rpcd reload\n"));
}

/// Translations are read by LuCI as texts with an index by the hash of the original.
#[test]
fn translations() {
    let names: Vec<&str> = package().all[2..].iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    for language in ["de", "fr"] {
        let name = format!("luci-i18n-dots-callhome-{language}_{}-r1_all.ipk", env!("CARGO_PKG_VERSION"));
        assert!(names.contains(&name.as_str()), "{names:?}");
    }
    let german = package().all.iter().find(|file| file.to_str().unwrap().contains("-de_")).unwrap();
    let part = |archive: &str, file: &str| {
        let line = format!("tar xzOf '{}' ./{archive}.tar.gz | tar xzO {file}", german.display());
        Command::new("sh").args(["-c", &line]).output().unwrap().stdout
    };
    let control = String::from_utf8(part("control", "./control")).unwrap();
    assert!(control.contains("Depends: libc, luci-app-dots-callhome\n"), "{control}");
    let catalogue = part("data", "./usr/lib/lua/luci/i18n/dots-callhome.de.lmo");
    let word = |at: usize| u32::from_be_bytes(catalogue[at..at + 4].try_into().unwrap());
    let place = |at: usize| usize::try_from(word(at)).unwrap();
    let start = place(catalogue.len() - 4);
    let index: Vec<usize> = (start..catalogue.len() - 4).step_by(16).collect();
    assert!(index.is_sorted_by_key(|at| word(*at)));
    let text = |hash: u32| {
        let at = *index.iter().find(|at| word(**at) == hash).unwrap();
        std::str::from_utf8(&catalogue[place(at + 8)..place(at + 8) + place(at + 12)]).unwrap()
    };
    assert_eq!(text(0xae5d_eb3a), "Abbrechen", "Cancel");
    assert!(text(0).starts_with("nplurals=2;"));
}

/// The recipe for the packages feed can't ask Cargo.toml.
#[test]
fn the_recipe_has_the_version_of_the_crate() {
    let recipe = fs::read_to_string("openwrt/Makefile").unwrap();
    assert!(recipe.contains(concat!("\nPKG_VERSION:=", env!("CARGO_PKG_VERSION"), "\n")));
}

/// The configuration as installed has nothing wrong in it, says all defaults and does nothing.
#[test]
fn the_configuration_as_installed() {
    let text = fs::read_to_string("files/etc/config/dots-callhome").unwrap();
    let (config, problems) = Config::read(&text);
    assert_eq!(problems, []);
    assert!(!config.enabled && config.peers.is_empty());
    assert_eq!(config.policy, Config::default().policy);
    let switched_on = text.replace("option enabled '0'", "option enabled '1'").replace("\n#config", "\nconfig");
    let (config, problems) = Config::read(&switched_on.replace("\n#\toption", "\n\toption"));
    assert_eq!(problems, []);
    let shortest = "config peer 'isp'\noption name 'callhome.isp.example'\noption ca '/etc/dots-callhome/isp-ca.pem'\n\
        option certificate '/etc/dots-callhome/router.pem'\noption key '/etc/dots-callhome/router.key'";
    assert_eq!(config.peers, Config::read(shortest).0.peers, "what is written out is the default");
    assert_eq!((config.names.len(), config.policy.devices.len()), (1, 1));
}

#[test]
fn nothing_but_net_admin() {
    let capabilities = json("files/etc/capabilities/dots-callhome.json");
    let sets = capabilities.as_object().unwrap();
    let mut names: Vec<&str> = sets.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["ambient", "bounding", "effective", "inheritable", "permitted"]);
    assert!(sets.values().all(|set| *set == serde_json::json!(["CAP_NET_ADMIN"])));
}

/// On the bus our user may be itself, and ask what it needs.
#[test]
fn the_bus_lets_it_do_its_work_only() {
    let acl = json("files/usr/share/acl.d/dots-callhome.json");
    assert_eq!(acl["user"], "dots-callhome");
    assert_eq!(acl["publish"], serde_json::json!(["dots-callhome"]));
    assert_eq!(acl["send"], serde_json::json!(["dots-callhome.*"]));
    let access: Vec<&str> = acl["access"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(access, ["hotplug.dots-callhome", "luci-rpc", "network.interface", "session"]);
}

/// What the SDK copies is a crate that cargo takes, with all its files.
#[test]
fn the_sdk_gets_all_sources() {
    let copy = scratch("sources");
    let sdk = fs::canonicalize("openwrt/sdk").unwrap();
    let mut make = Command::new("make");
    make.args(["--silent", "-C", "openwrt", "prepare"]).arg(format!("TOPDIR={}", sdk.display()));
    run(make.arg(format!("PKG_BUILD_DIR={}", copy.display())));
    let metadata = ["metadata", "--no-deps", "--offline", "--locked", "--format-version=1"];
    run(Command::new(env!("CARGO")).args(metadata).current_dir(&copy));
    for part in ["build.rs", "files/etc/init.d/dots-callhome", "LICENSE", "src/transport/mbedtls/shim.c"] {
        assert!(copy.join(part).exists(), "{part}");
    }
}

/// As the packages feed's CI does.
#[test]
fn the_feeds_test_passes() {
    let daemon = Path::new(env!("CARGO_BIN_EXE_dots-callhome")).parent().unwrap();
    let path = format!("{}:{}", daemon.display(), std::env::var("PATH").unwrap());
    let mut test = Command::new("sh");
    test.args(["openwrt/test.sh", "dots-callhome", env!("CARGO_PKG_VERSION")]).env("PATH", path);
    run(&mut test);
}

/// All say the same version: the feeds read it from the recipes, the rest from Cargo.
#[test]
fn one_version() {
    for recipe in ["openwrt/Makefile", "luci-app/Makefile"] {
        let text = fs::read_to_string(recipe).unwrap();
        assert!(text.contains(concat!("\nPKG_VERSION:=", env!("CARGO_PKG_VERSION"), "\n")), "{recipe}");
    }
    let control = run(Command::new("tar").args(["xzOf", "control.tar.gz", "./control"]).current_dir(&package().luci));
    assert!(
        control.contains("\nMaintainer: The dots-callhome founders <") && control.contains("\nURL: https://"),
        "{control}"
    );
}
