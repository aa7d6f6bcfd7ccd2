//! The package for apk. It is read here by the description of its format, apk-v3(5).

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::router::Router;
use crate::{make, package, run, scratch};

/// A value of the tree.
#[derive(Debug)]
enum Value {
    Nothing,
    Number(u32),
    Text(Vec<u8>),
    Slots(Vec<Value>),
}

impl Value {
    fn slot(&self, number: usize) -> &Value {
        match self {
            Self::Slots(slots) => slots.get(number - 1).unwrap_or(&Value::Nothing),
            other => panic!("no slots in {other:?}"),
        }
    }

    fn slots(&self) -> &[Value] {
        match self {
            Self::Slots(slots) => slots,
            Self::Nothing => &[],
            other => panic!("no slots in {other:?}"),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) => bytes,
            Self::Nothing => b"",
            other => panic!("no text: {other:?}"),
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap()
    }

    fn number(&self) -> u32 {
        match self {
            Self::Number(number) => *number,
            other => panic!("no number: {other:?}"),
        }
    }
}

fn word(content: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(content[at..at + 4].try_into().unwrap())
}

fn value(content: &[u8], tag: u32) -> Value {
    let at = usize::try_from(tag & 0x0fff_ffff).unwrap();
    let text = |length: usize, width: usize| Value::Text(content[at + width..at + width + length].to_vec());
    match tag >> 28 {
        0 => Value::Nothing,
        1 => Value::Number(tag & 0x0fff_ffff),
        2 => Value::Number(word(content, at)),
        8 => text(content[at].into(), 1),
        9 => text(u16::from_le_bytes([content[at], content[at + 1]]).into(), 2),
        0xa => text(word(content, at).try_into().unwrap(), 4),
        0xd | 0xe => {
            let count = usize::try_from(word(content, at)).unwrap();
            Value::Slots((1..count).map(|slot| value(content, word(content, at + 4 * slot))).collect())
        }
        other => panic!("type {other:#x}"),
    }
}

/// The tree, and the contents of files by the numbers of their directory and their own.
fn read(file: &Path) -> (Value, Vec<(usize, usize, Vec<u8>)>) {
    let packed = fs::read(file).unwrap();
    assert_eq!(&packed[..4], b"ADBd");
    let inflate = "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read(), -15))";
    let mut python =
        Command::new("python3").args(["-c", inflate]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(&packed[4..]).unwrap();
    let content = python.wait_with_output().unwrap().stdout;
    assert_eq!(&content[..8], b"ADB.pckg");
    let (mut tree, mut files, mut at) = (None, Vec::new(), 8);
    while at < content.len() {
        let head = word(&content, at);
        let size = usize::try_from(head & 0x3fff_ffff).unwrap();
        let block = &content[at + 4..at + size];
        match head >> 30 {
            0 => tree = Some(value(block, word(block, 4))),
            2 => files.push((
                word(block, 0).try_into().unwrap(),
                word(block, 4).try_into().unwrap(),
                block[8..].to_vec(),
            )),
            other => panic!("block {other}"),
        }
        at += size.next_multiple_of(8);
    }
    (tree.unwrap(), files)
}

#[test]
fn an_apk_says_and_holds_the_same() {
    let files = make("apk", &scratch("apk"));
    let (tree, contents) = read(&files[0]);
    let info = tree.slot(1);
    assert_eq!(info.slot(1).text(), "dots-callhome");
    assert_eq!(info.slot(2).text(), concat!(env!("CARGO_PKG_VERSION"), "-r1"));
    assert_eq!(info.slot(3).bytes().len(), 20);
    assert_eq!((info.slot(5).text(), info.slot(6).text()), ("x86_64", "Apache-2.0"));
    let depends: Vec<&str> = info.slot(15).slots().iter().map(|dependency| dependency.slot(1).text()).collect();
    assert_eq!(depends, ["firewall4", "kmod-nf-conntrack-netlink", "libc"]);
    let mut found = Vec::new();
    for (number, directory) in (1..).zip(tree.slot(2).slots()) {
        let name = directory.slot(1).text();
        let acl = |of: &Value| {
            assert_eq!((of.slot(2).slot(2).text(), of.slot(2).slot(3).text()), ("root", "root"));
            of.slot(2).slot(1).number()
        };
        found.push(format!("{:o} /{name}", acl(directory)));
        for (index, entry) in (1..).zip(directory.slot(3).slots()) {
            let path = format!("/{name}/{}", entry.slot(1).text());
            let content = &contents.iter().find(|(d, f, _)| (*d, *f) == (number, index)).unwrap().2;
            assert_eq!(entry.slot(3).number(), u32::try_from(content.len()).unwrap(), "{path}");
            let in_ipk = package().data.join(path.trim_start_matches('/'));
            assert!(path.starts_with("/lib/apk/") || fs::read(&in_ipk).unwrap() == *content, "{path}");
            if path == "/usr/sbin/dots-callhome" {
                let sum = run(Command::new("sha256sum").arg(in_ipk));
                let digest: String = entry.slot(5).bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(sum.split_whitespace().next(), Some(digest.as_str()));
            }
            found.push(format!("{:o} {path}", acl(entry)));
        }
    }
    for line in ["600 /etc/config/dots-callhome", "700 /etc/dots-callhome", "755 /etc/init.d/dots-callhome"] {
        assert!(found.contains(&line.to_owned()), "{found:?}");
    }
    assert_eq!(read(&files[1]).0.slot(1).slot(5).text(), "noarch");
}

/// What apk's scripts run, and the lists OpenWrt's own scripts read.
#[test]
fn an_apk_brings_its_scripts_and_lists() {
    let files = make("apk", &scratch("apk-scripts"));
    let (tree, contents) = read(&files[0]);
    let scripts = tree.slot(3);
    let (install, deinstall, upgrade) = (scripts.slot(3).text(), scripts.slot(4).text(), scripts.slot(7).text());
    assert!(install.starts_with("#!/bin/sh\n") && install.contains("\nadd_group_and_user; default_postinst\n"));
    assert!(install.contains("killall -HUP ubusd") && !install.contains("export PKG_UPGRADE"));
    assert!(upgrade.contains("\nexport PKG_UPGRADE=1\n") && upgrade.contains("default_postinst\n"));
    assert!(deinstall.contains("\ndefault_prerm\n"));
    assert!(scripts.slot(5).text().contains("nft delete table inet dots_callhome"));
    let router = Router::new("apk-upgrade", true);
    router.install();
    let config = router.read("/etc/config/dots-callhome");
    assert!(!router.upgrade_by_apk(upgrade).iter().any(|line| line.starts_with("procd")), "it was not switched on");
    router.write("/etc/config/dots-callhome", &config.replace("option enabled '0'", "option enabled '1'"));
    router.run("/etc/init.d/dots-callhome start");
    let noted = router.upgrade_by_apk(upgrade);
    let last = noted.iter().position(|line| line == "procd starts it").expect("the new program runs");
    assert!(noted[..last].contains(&"stop dots-callhome".to_owned()), "{noted:?}");
    assert!(!noted.iter().any(|line| line.starts_with("nft")), "blocks stay: {noted:?}");
    let lists = tree.slot(2).slots().iter().position(|d| d.slot(1).text() == "lib/apk/packages").unwrap();
    let list = |name: &str| {
        let files = tree.slot(2).slots()[lists].slot(3).slots();
        let index = files.iter().position(|file| file.slot(1).text() == name).unwrap();
        let content = contents.iter().find(|(d, f, _)| (*d, *f) == (lists + 1, index + 1)).unwrap();
        String::from_utf8(content.2.clone()).unwrap()
    };
    assert_eq!(list("dots-callhome.rusers"), "dots-callhome:dots-callhome\n");
    assert_eq!(
        list("dots-callhome.conffiles"),
        "/etc/config/dots-callhome\n/etc/config/dots-callhome-notify\n/etc/dots-callhome/\n/etc/hotplug.d/dots-callhome/\n"
    );
    assert!(list("dots-callhome.conffiles_static").starts_with("/etc/config/dots-callhome "));
    assert!(list("dots-callhome.list").contains("\n/etc/init.d/dots-callhome\n"));
}

#[test]
fn the_same_input_gives_the_same_apk() {
    let [first, again] = ["apk-first", "apk-again"].map(|name| make("apk", &scratch(name)));
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(fs::read(first).unwrap(), fs::read(again).unwrap());
    }
}
