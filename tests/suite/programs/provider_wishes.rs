//! What is wanted of routers lasts: over absences, restarts and a store that is away, and programs can ask for it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::programs::home::*;
use crate::programs::program::told;
use crate::support::tls::ROUTER;
use serde_json::{Value, json};

const SOURCE: &str = "203.0.113.7/32";

/// What a command has printed, and its exit code.
fn ended(command: Child) -> (Value, i32) {
    let output = command.wait_with_output().unwrap();
    let first = String::from_utf8(output.stdout).unwrap().lines().next().unwrap_or("null").to_owned();
    (serde_json::from_str(&first).unwrap(), output.status.code().unwrap())
}

/// A conversation on the control socket.
struct Talk {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Talk {
    fn new(isp: &Isp) -> Self {
        let stream = UnixStream::connect(isp.program.path("control")).unwrap();
        Self { answers: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stream, "{line}").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

fn wish(target: &str) -> Value {
    json!({ "v": 1, "id": target, "ask": "request", "router": ROUTER, "lifetime": 3600,
        "scope": { "source": [SOURCE], "target": [target] } })
}

/// The router is away, and the program is killed before it comes: it is asked all the same, once.
#[test]
fn what_an_absent_router_is_wanted_to_do_is_kept() {
    let mut isp = Isp::serving("absent");
    let (answer, code) = ended(isp.command(&wanting(ROUTER, SOURCE, "192.0.2.1")));
    assert_eq!((&answer["answer"], &answer["mid"], code), (&json!("waiting"), &Value::Null, 5));
    isp.program.kill();
    isp.start();
    let (wishes, _) = ended(isp.command(&["wishes"]));
    assert_eq!((&wishes["wishes"][0]["state"], wishes["wishes"].as_array().unwrap().len()), (&json!("waiting"), 1));

    let mut home = isp.home(ROUTER);
    let put = home.hear();
    assert_eq!((put.code, mid(&put)), (PUT, 1));
    home.take_on(&put);
    home.has_heard_all();
    let (wishes, _) = ended(isp.command(&["wishes"]));
    assert_eq!((&wishes["wishes"][0]["state"], &wishes["wishes"][0]["mids"]), (&json!("accepted"), &json!([1])));

    // It has forgotten everything: another number, though the program has lost its own.
    drop(home);
    isp.program.kill();
    fs::remove_dir_all(isp.program.path("state")).unwrap();
    isp.start();
    let mut home = isp.stranger(ROUTER);
    let config = home.hear();
    home.answer(&config, CONTENT, "{30:{}}");
    let all = home.hear();
    home.answer(&all, CONTENT, "{1:{2:[{5:40,6:[\"192.0.2.9/32\"],14:3000,16:2,32768:[\"203.0.113.7/32\"]}]}}");
    home.observed(40);
    let command = isp.command(&wanting(ROUTER, SOURCE, "192.0.2.1"));
    let put = home.hear();
    assert_eq!(mid(&put), 41);
    home.take_on(&put);
    assert_eq!(ended(command).1, 0);
}

/// Whatever becomes of the file: what is no database is set aside, and said; what another program uses is left alone.
#[test]
fn a_broken_store_is_set_aside() {
    let mut isp = Isp::new("broken");
    isp.program.file("state/state.db", "no database at all, but some text of some length");
    isp.start();
    assert_eq!(ended(isp.command(&wanting(ROUTER, SOURCE, "192.0.2.1"))).1, 5);
    let aside = fs::read_to_string(isp.program.path("state/state.db.broken-1")).unwrap();
    assert!(aside.starts_with("no database"));
    let second = Command::new(env!("CARGO_BIN_EXE_dots-callhome-client"))
        .args(["--control", isp.program.path("other").to_str().unwrap(), "serve", "--listen", "127.0.0.1:0", "--state"])
        .arg(isp.program.path("state"))
        .args(&isp.arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("another program uses it"), "{said}");
    isp.program.kill();
    isp.program.file("state/mids.json", "{\"home-0.isp.exam");
    isp.start();
    assert_eq!(ended(isp.command(&["wishes"])).0["wishes"].as_array().unwrap().len(), 1);
}

/// Questions with an id are answered each with its own, on one connection, in whatever order; what can't be read keeps none from it.
#[test]
fn programs_ask_many_things_on_one_connection() {
    let isp = Isp::serving("talk");
    let mut home = isp.home(ROUTER);
    let mut talk = Talk::new(&isp);
    talk.say(&wish("192.0.2.1/32").to_string());
    talk.say("{\"v\":1,\"id\":7,\"ask\":\"routers\"}");
    let answer = talk.hear();
    assert_eq!((&answer["id"], &answer["v"], &answer["routers"][0]["name"]), (&json!(7), &json!(1), &json!(ROUTER)));
    let put = home.hear();
    home.take_on(&put);
    let answer = talk.hear();
    let told = (&answer["id"], &answer["answer"], &answer["mid"], &answer["exit"]);
    assert_eq!(told, (&json!("192.0.2.1/32"), &json!("accepted"), &json!(1), &json!(0)));
    for (line, exit) in [
        ("{\"id\":[1],\"ask\":\"nothing\"}".to_owned(), 2),
        ("{\"v\":2,\"id\":[1],\"ask\":\"routers\"}".to_owned(), 2),
        ("{\"id\":[1],\"ask\":\"withdraw\",\"router\":\"nobody\",\"mid\":9}".to_owned(), 4),
        ("{\"id\":[1],\"ask\":\"withdraw\",\"key\":\"nothing\"}".to_owned(), 4),
        (wish("127.0.0.1/32").to_string().replace("\"127.0.0.1/32\",\"l", "[1],\"l"), 3),
    ] {
        talk.say(&line);
        let answer = talk.hear();
        assert_eq!((&answer["exit"], answer["error"].is_string()), (&json!(exit), true), "{line} {answer}");
    }
    home.has_heard_all();
}

/// A question is of any length up to a limit, and so is an answer: nothing is cut off.
#[test]
fn long_answers_are_whole() {
    let isp = Isp::serving("long");
    let mut talk = Talk::new(&isp);
    for host in 0..200 {
        let mut wish = wish(&format!("192.0.{}.{}/32", host / 250, host % 250));
        wish["reason"] = json!("r".repeat(9000));
        talk.say(&wish.to_string());
        assert_eq!(talk.hear()["answer"], "waiting");
    }
    let (wishes, code) = ended(isp.command(&["wishes"]));
    let first = wishes["wishes"].as_array().unwrap().first().unwrap()["reason"].as_str().unwrap().len();
    assert_eq!((wishes["wishes"].as_array().unwrap().len(), first, code), (200, 9000, 0));
    let (some, _) = ended(isp.command(&["wishes", "--limit", "3"]));
    assert_eq!(some["wishes"].as_array().unwrap().len(), 3);
}

/// From standard input, an answer for each line; what is wrong with one of them is in the exit code.
#[test]
fn a_batch_succeeds_in_part() {
    let isp = Isp::serving("batch");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dots-callhome-client"));
    command.args(["--json", "--control"]).arg(isp.program.path("control")).args(["request", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut bad = wish("224.0.0.1/32");
    bad["id"] = json!("bad");
    let lines = [wish("192.0.2.1/32").to_string(), "no json".to_owned(), bad.to_string()].join("\n");
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answers: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let exits: Vec<&Value> = answers.iter().map(|answer| &answer["exit"]).collect();
    assert_eq!((exits, output.status.code()), (vec![&json!(5), &json!(2), &json!(3)], Some(3)));
}

/// Routers, statuses: a line for each thing that happens.
#[test]
fn events_are_told() {
    let isp = Isp::serving("events");
    let mut talk = Talk::new(&isp);
    talk.say("{\"v\":1,\"id\":\"e\",\"ask\":\"events\"}");
    let mut home = isp.home(ROUTER);
    let up = talk.hear();
    assert_eq!((&up["event"], &up["router"], &up["id"]), (&json!("router-up"), &json!(ROUTER), &json!("e")));
    let command = isp.command(&wanting(ROUTER, SOURCE, "192.0.2.1"));
    let put = home.hear();
    home.take_on(&put);
    told(command).unwrap();
    let status = talk.hear();
    assert_eq!((&status["event"], &status["mitigation"]["status"]), (&json!("status"), &json!(2)));
    home.release();
    assert_eq!(talk.hear()["event"], "router-down");
}

/// Who has the sources is asked: who calls from there.
#[test]
fn a_router_is_found_by_its_address() {
    let isp = Isp::serving("found");
    let (answer, code) = ended(isp.command(&["request", "--source", "127.0.0.1", "--target", "192.0.2.1"]));
    assert_eq!((answer, code), (Value::Null, 4));
    let mut isp = Isp::new("found-2");
    let routers =
        isp.program.file("routers", &format!("{ROUTER} 203.0.113.0/28\nhome-9.isp.example 203.0.113.16/28\n"));
    isp.arguments.extend(["--routers".to_owned(), routers]);
    isp.start();
    let (answer, code) = ended(isp.command(&["request", "--source", "203.0.113.17", "--target", "192.0.2.1"]));
    assert_eq!((&answer["router"], code), (&json!("home-9.isp.example"), 5));
    let (_, code) = ended(isp.command(&["request", "--source", "203.0.113.99", "--target", "192.0.2.1"]));
    assert_eq!(code, 4);
    let (_, code) = ended(isp.command(&wanting("nobody", SOURCE, "192.0.2.1")));
    assert_eq!(code, 4);
}

/// Nothing more can be written: sessions go on, whoever asks is told, and what waited is kept once there is room.
#[test]
fn a_store_that_is_away_ends_nothing() {
    let mut isp = Isp::new("away");
    isp.program.start_under("trap '' XFSZ; ulimit -Sf 400", Stdio::null(), &isp.arguments);
    let mut home = isp.home("home-9.isp.example");
    let mut talk = Talk::new(&isp);
    let refused = (1..250).find(|host| {
        talk.say(&wish(&format!("192.0.2.{host}/32")).to_string());
        talk.hear()["exit"] == 7
    });
    let refused = refused.expect("the file has a limit");
    home.has_heard_all();
    assert!(isp.program.routers().contains("home-9"));
    let pid = isp.program.pid().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap().success());
    let start = std::time::Instant::now();
    loop {
        talk.say(&wish("198.51.100.1/32").to_string());
        if talk.hear()["exit"] == 5 {
            break;
        }
        assert!(start.elapsed() < crate::programs::program::PATIENCE, "it is never back");
    }
    isp.program.kill();
    isp.start();
    let (wishes, _) = ended(isp.command(&["wishes"]));
    assert_eq!(wishes["wishes"].as_array().unwrap().len(), refused + 1);
}
