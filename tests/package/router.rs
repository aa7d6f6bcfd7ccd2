//! A router as far as a package sees it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{package, run, scratch};

pub struct Router {
    root: PathBuf,
}

impl Router {
    /// Without the package. With `jails`, ujail is there.
    pub fn new(name: &str, jails: bool) -> Self {
        let router = Self { root: scratch(name) };
        for directory in
            ["bin", "sbin", "lib", "tmp", "dev", "etc/config", "usr/sbin", "usr/lib/opkg/info", "var/run/ubus"]
        {
            fs::create_dir_all(router.path(directory)).unwrap();
        }
        let busybox = run(Command::new("sh").args(["-c", "command -v busybox"]));
        fs::copy(busybox.trim(), router.path("bin/busybox")).unwrap();
        let applets = run(Command::new("busybox").arg("--list"));
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            symlink("busybox", router.path("bin").join(applet)).unwrap();
        }
        for (stand_in, place) in [("functions.sh", "lib/functions.sh"), ("rc.common", "etc/rc.common")] {
            let text = fs::read_to_string(Path::new("tests/package").join(stand_in)).unwrap();
            router.program(place, &text);
        }
        if jails {
            router.program("sbin/ujail", "#!/bin/sh\n");
        }
        fs::write(router.path("dev/null"), "").unwrap();
        fs::write(router.path("etc/passwd"), "root:x:0:0:::/bin/ash\n").unwrap();
        fs::write(router.path("etc/group"), "root:x:0:\n").unwrap();
        router
    }

    /// The place of an absolute path on the router.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn program(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    pub fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    /// Runs it there and returns what the stand-ins noted meanwhile.
    pub fn run(&self, line: &str) -> Vec<String> {
        let _ = fs::remove_file(self.path("tmp/log"));
        let root = run(Command::new("id").arg("-u")).trim() == "0";
        let mut command = Command::new(if root { "chroot" } else { "unshare" });
        if !root {
            command.args(["--map-root-user", "chroot"]);
        }
        command.arg(&self.root).args(["/bin/sh", "-ec", line]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        run(&mut command);
        fs::read_to_string(self.path("tmp/log")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// As opkg-lede 38eccbb does it; configuration that differs from the package's stays.
    pub fn install(&self) -> Vec<String> {
        let upgrade = self.path("usr/lib/opkg/info/dots-callhome.list").exists();
        let environment = if upgrade { "PKG_UPGRADE=1 " } else { "" };
        if upgrade {
            self.run(&format!("{environment}/usr/lib/opkg/info/dots-callhome.prerm upgrade"));
        }
        let conffiles = fs::read_to_string(package().control.join("conffiles")).unwrap();
        let kept: Vec<(&str, Option<Vec<u8>>)> =
            conffiles.lines().map(|path| (path, fs::read(self.path(path)).ok())).collect();
        run(Command::new("cp").arg("-a").arg(package().data.join(".")).arg(&self.root));
        for (path, content) in kept.into_iter().filter_map(|(path, content)| Some((path, content?))) {
            fs::write(self.path(path), content).unwrap();
        }
        if upgrade {
            let script = ". /lib/functions.sh; set -- upgrade 0.2.0-r1; . /usr/lib/opkg/info/dots-callhome.postrm";
            assert_eq!(self.run(script), [""; 0], "nothing ends in an upgrade");
        }
        for part in ["control", "postinst", "postinst-pkg", "prerm", "prerm-pkg", "postrm"] {
            let place = self.path(&format!("usr/lib/opkg/info/dots-callhome.{part}"));
            if package().control.join(part).exists() {
                fs::copy(package().control.join(part), place).unwrap();
            }
        }
        let list = run(Command::new("find").args([".", "-type", "f"]).current_dir(&package().data));
        self.write("usr/lib/opkg/info/dots-callhome.list", &list.replace("./", "/"));
        self.run(&format!("{environment}/usr/lib/opkg/info/dots-callhome.postinst configure"))
    }

    /// As apk-tools 3.0.6 does it: nothing of the old version is run, and the files are there when the new one's script is.
    pub fn upgrade_by_apk(&self, script: &str) -> Vec<String> {
        run(Command::new("cp").arg("-a").arg(package().data.join("usr")).arg(&self.root));
        self.write("/tmp/post-upgrade", script);
        self.run("sh /tmp/post-upgrade 0.2.0-r1 0.1.0-r1")
    }

    /// As opkg-lede 38eccbb does it: files of the package go, but for configuration.
    pub fn remove(&self) -> Vec<String> {
        let mut noted = self.run("/usr/lib/opkg/info/dots-callhome.prerm remove");
        let conffiles = fs::read_to_string(package().control.join("conffiles")).unwrap();
        for path in self.read("usr/lib/opkg/info/dots-callhome.list").lines() {
            if !conffiles.lines().any(|kept| kept == path) {
                let _ = fs::remove_file(self.path(path));
            }
        }
        noted.extend(self.run(". /lib/functions.sh; set -- remove; . /usr/lib/opkg/info/dots-callhome.postrm"));
        noted
    }
}
