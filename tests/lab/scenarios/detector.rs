//! The whole chain with a detector that is not ours: flood, FastNetMon, its notify script, the program, the router, the last packet.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use crate::attack::{Attack, FLOOD};
use crate::home::{VICTIM, WAN};
use crate::stage::Stage;
use crate::traffic::{Sender, Sink};

/// The tag of the second flood's packets.
const SECOND: u8 = 3;
/// Debian's package, unpacked.
const PROGRAM: &str = "target/tools/fastnetmon/usr/sbin/fastnetmon";

/// The detector; gone when dropped.
struct Detector(Child);

impl Drop for Detector {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// It watches the provider's interface towards the router, and its script is the one of the documents, which notes its calls here.
fn start(stage: &Stage) -> Detector {
    let at = |name: &str| stage.file(name).display().to_string();
    let script = format!(
        "#!/bin/sh\necho \"$4\" >>'{}'\nexec {} import fastnetmon \"$@\"\n",
        at("notified"),
        stage.provider_command()
    );
    fs::write(stage.file("notify"), script).expect("written");
    fs::set_permissions(stage.file("notify"), fs::Permissions::from_mode(0o755)).expect("a program");
    fs::write(stage.file("networks"), format!("{WAN}/32\n")).expect("written");
    fs::write(stage.file("spared"), "").expect("written");
    let settings = format!(
        "disable_usage_report = on\nenable_api = off\nmirror_afpacket = on\ninterfaces = edge\nmonitor_local_ip_addresses = off\n\
         networks_list_path = {}\nwhite_list_path = {}\nnotify_script_path = {}\n\
         cli_stats_file_path = {}\ncli_stats_ipv6_file_path = {}\n\
         enable_ban = on\nenable_connection_tracking = on\nban_for_pps = on\nthreshold_pps = 500\nban_time = 5\n\
         ban_for_bandwidth = off\nban_for_flows = off\nunban_only_if_attack_finished = on\n\
         process_outgoing_traffic = on\nprocess_incoming_traffic = off\naverage_calculation_time = 1\n",
        at("networks"),
        at("spared"),
        at("notify"),
        at("stats"),
        at("stats6"),
    );
    fs::write(stage.file("fastnetmon.conf"), settings).expect("written");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    let mut command = Command::new(program);
    command.args(["--disable_pid_logic", "--log_file", &at("fastnetmon.log")]);
    command.args(["--configuration_file", &at("fastnetmon.conf")]);
    Detector(stage.start_at_provider(command, "fastnetmon.out"))
}

/// How often the script was called for this.
fn notified(stage: &Stage, what: &str) -> usize {
    fs::read_to_string(stage.file("notified")).unwrap_or_default().lines().filter(|line| *line == what).count()
}

/// A flood is reported and blocked, and the innocent device behind the same address is not. The detector sees nothing of it then, and
/// says that it is over, which changes nothing. A second flood at another port of the same victim: both stay blocked.
pub fn chain() {
    let stage = Stage::new(2, "\toption consent 'auto'");
    let _detector = start(&stage);
    let attack = Attack::start(&stage);
    let first = Instant::now();
    stage.until("the detector reports it", |s| notified(s, "ban") == 1);
    stage.until("in force and verified", |s| s.the_mitigation()["verified"] == true);
    attack.assert_blocked();
    let last = attack.sink.last(FLOOD).expect("arrived").0;
    println!("last packet at the victim {:.2} s after the first", last.saturating_duration_since(first).as_secs_f32());
    stage.until("the detector sees nothing of it", |s| notified(s, "unban") == 1);
    let wishes = || stage.provider(&["wishes"]).expect("wishes")["wishes"].clone();
    stage.until("it is still wanted", |_| wishes()[0]["state"] == "accepted");
    attack.assert_blocked();

    let sink = Sink::udp(&stage.home.victim, 80);
    let _second = Sender::udp(stage.home.device(1), (VICTIM, 80).into(), SECOND, 2000);
    stage.until("the second arrives", |_| sink.last(SECOND).is_some());
    stage.until("the detector reports it", |s| notified(s, "ban") == 2);
    let is_still = || {
        attack.settle();
        let before = sink.packets(SECOND);
        attack.settle();
        sink.packets(SECOND) == before
    };
    stage.until("the second is blocked", |_| is_still());
    attack.assert_blocked();
    stage.until("the detector sees nothing of either", |s| notified(s, "unban") == 2);
    stage.until("both are still wanted", |_| {
        let wishes = wishes();
        let accepted = wishes.as_array().map(|all| all.iter().filter(|one| one["state"] == "accepted").count());
        accepted == Some(2)
    });
    attack.assert_blocked();
    assert!(is_still(), "the second flood passes again");
}
