//! One file from the provider: taken over as a whole, or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A router's directories, and a provider that writes profiles.
struct House {
    directory: PathBuf,
}

impl House {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("import").join(name);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("state")).unwrap();
        Self { directory }
    }

    fn path(&self, file: &str) -> String {
        self.directory.join(file).to_str().unwrap().to_owned()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    fn run(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome"));
        command.args(["--config", &self.path("config"), "--state", &self.path("state")]);
        command.args(more).output().unwrap()
    }

    fn import(&self, more: &[&str]) -> (bool, String, String) {
        let profile = self.path("profile");
        let output = self.run(&[&["--import", profile.as_str()], more].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    /// Everything there is, with what is in it.
    fn all(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = fs::read_dir(self.path("state"))
            .unwrap()
            .map(|entry| format!("state/{}", entry.unwrap().file_name().to_str().unwrap()))
            .chain(["config".to_owned()])
            .map(|file| (file.clone(), self.read(&file)))
            .collect();
        all.sort();
        all
    }
}

/// Authority, certificate and key, each PEM.
fn credentials() -> [String; 3] {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let own = KeyPair::generate().unwrap();
    let names = vec!["home-1234.isp.example".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap().pem();
    [ca, certificate, own.serialize_pem()]
}

fn profile(more: &str) -> String {
    let [ca, certificate, key] = credentials();
    format!(
        "config profile 'isp'\n\toption version '1'\n\toption name 'callhome.isp.example'\n\tlist address '192.0.2.1'\n\
         \toption display_name 'My ISP'\n\toption help_url 'https://isp.example/help'\n{more}\
         \toption ca '{ca}'\n\toption certificate '{certificate}'\n\toption key '{key}'\n"
    )
}

#[test]
fn a_profile_is_all_that_is_needed() {
    let house = House::new("good");
    house.write("profile", &profile(""));
    let (done, said, complaints) = house.import(&["--check"]);
    assert!(done && complaints.is_empty(), "{complaints}");
    assert!(
        said.contains("new provider 'isp': callhome.isp.example (My ISP)") && said.contains("switched on"),
        "{said}"
    );
    assert_eq!(house.all(), [("config".to_owned(), String::new())], "only told");
    assert!(house.import(&[]).0);
    assert!(house.run(&["--check"]).status.success());
    let config = house.read("config");
    for line in
        ["config globals 'globals'", "option enabled '1'", "list address '192.0.2.1'", "option display_name 'My ISP'"]
    {
        assert!(config.contains(line), "{line}: {config}");
    }
    assert!(!config.contains("BEGIN"), "no secret in the configuration");
    for (file, _) in house.all().into_iter().filter(|(file, _)| file.starts_with("state/")) {
        let mode = fs::metadata(house.path(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// A profile is taken over wherever one stands.
#[test]
fn paths_may_be_relative() {
    let house = House::new("relative");
    house.write("profile", &profile(""));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome"));
    command.current_dir(&house.directory).args(["--config", "config", "--state", "state", "--import", "profile"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(house.run(&["--check"]).status.success());
}

/// Renewal: nothing else of the configuration changes, and no file of before is left.
#[test]
fn a_later_profile_takes_the_place_of_the_first() {
    let house = House::new("renewed");
    house.write(
        "config",
        "config globals 'globals'\n\toption consent 'auto'\n\toption enabled '0'\n\nconfig peer 'isp'\n\toption enabled '0'\n\
         \toption name 'old.example'\n\toption interface 'wan2'\n\nconfig device\n\toption mac '02:00:00:00:00:11'\n\toption name 'It'\\''s mine'\n",
    );
    house.write("profile", &profile(""));
    let (done, said, complaints) = house.import(&[]);
    assert!(done, "{complaints}");
    assert!(said.contains("changed provider 'isp'"), "{said}");
    let first = house.all();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    house.write("profile", &profile("\toption port '4700'\n"));
    assert!(house.import(&[]).0);
    let second = house.all();
    assert_eq!((first.len(), second.len()), (4, 4), "{:?}", second.iter().map(|(file, _)| file).collect::<Vec<_>>());
    assert!(first.iter().filter(|(file, _)| file != "config").all(|file| !second.contains(file)));
    let config = house.read("config");
    for line in
        ["option consent 'auto'", "option interface 'wan2'", "option port '4700'", "option name 'It'\\''s mine'"]
    {
        assert!(config.contains(line), "{line}: {config}");
    }
    assert!(!config.contains("old.example") && !config.contains("'0'"), "{config}");
}

/// Whatever is wrong with it, nothing has changed, and nothing is left.
#[test]
fn what_is_wrong_changes_nothing() {
    let house = House::new("bad");
    house.write("config", "config globals 'globals'\n\toption enabled '0'\n");
    let [ca, _, key] = credentials();
    let [_, certificate, _] = credentials();
    let good = profile("");
    let cases = [
        ("nothing", String::new(), "exactly one section"),
        ("two", format!("{good}{}", good.replace("'isp'", "'other'")), "exactly one section"),
        ("a peer", good.replace("config profile", "config peer"), "exactly one section"),
        ("another version", good.replace("version '1'", "version '2'"), "version"),
        ("a name that is a path", good.replace("profile 'isp'", "profile '../../etc/x'"), "name"),
        ("an unknown option", profile("\toption colour 'red'\n"), "colour"),
        ("a path", profile("\toption psk_file '/etc/shadow'\n"), "psk_file"),
        ("a script", profile("\toption help_url 'javascript:alert(1)'\n"), "help_url"),
        ("a phone", profile("\toption help_phone '<b>'\n"), "help_phone"),
        ("an open quote", good.trim_end().trim_end_matches('\'').to_owned(), "line"),
        ("no key", good.split("\toption key").next().unwrap().to_owned(), "key"),
        ("a port", profile("\toption port '70000'\n"), "port"),
        (
            "another's key",
            format!(
                "config profile 'isp'\n\toption name 'a.example'\n\toption ca '{ca}'\n\toption certificate '{certificate}'\n\toption key '{key}'\n"
            ),
            "the key does not belong to the certificate",
        ),
    ];
    let before = house.all();
    for (what, text, why) in cases {
        house.write("profile", &text);
        let (done, _, complaints) = house.import(&[]);
        assert!(
            !done && complaints.contains(why) && complaints.contains("nothing has changed"),
            "{what}: {complaints}"
        );
        assert_eq!(house.all(), before, "{what}");
        assert!(!Path::new(&house.path("config.import")).exists(), "{what}");
    }
}
