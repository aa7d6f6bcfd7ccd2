//! Asking the serving program.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::control::{Ask, Question, VERSION};
use crate::exit::Exit;

/// Why a command has not done what it should.
#[derive(Debug)]
pub(crate) struct Failed {
    /// For the exit code.
    pub exit: u8,
    /// In words.
    pub why: String,
}

impl Failed {
    /// For this reason.
    pub(crate) fn new(exit: Exit, why: impl ToString) -> Self {
        Self { exit: exit.code(), why: why.to_string() }
    }
}

fn connect(socket: &Path) -> Result<UnixStream, Failed> {
    let hint = "(is \"dots-callhome-client serve\" running?)";
    UnixStream::connect(socket)
        .map_err(|error| Failed::new(Exit::Away, format!("{}: {error} {hint}", socket.display())))
}

fn write(stream: &mut UnixStream, question: &impl serde::Serialize) -> Result<(), Failed> {
    let mut line = serde_json::to_string(question).map_err(|error| Failed::new(Exit::Other, error))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(|error| Failed::new(Exit::Away, error))
}

/// Asks one question and hands each line of the answer to `show`.
///
/// # Errors
/// Nobody serves there, or the answer is no success.
pub(crate) fn ask(socket: &Path, ask: Ask, mut show: impl FnMut(&Value) -> Result<(), String>) -> Result<(), Failed> {
    let mut stream = connect(socket)?;
    write(&mut stream, &Question { v: None, id: None, ask })?;
    let mut outcome = Err(Failed::new(Exit::Away, "the serving program ended without an answer"));
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(|error| Failed::new(Exit::Away, error))?;
        let value: Value = serde_json::from_str(&line).map_err(|error| Failed::new(Exit::Other, error))?;
        outcome = failure(&value);
        if value.get("error").is_none() {
            show(&value).map_err(|why| Failed::new(Exit::Other, why))?;
        }
    }
    outcome
}

/// Asks all questions, a line each, over one connection, and hands each answer to `show`; one that can't be read or done keeps
/// none from being asked.
///
/// # Errors
/// Nobody serves there; or some answers are no success: the exit code of the last of them.
pub(crate) fn ask_all(
    socket: &Path,
    questions: impl BufRead,
    mut show: impl FnMut(&Value) -> Result<(), String>,
) -> Result<(), Failed> {
    let mut stream = connect(socket)?;
    let answers = stream.try_clone().map_err(|error| Failed::new(Exit::Other, error))?;
    let mut answers = BufReader::new(answers).lines();
    let mut outcome = Ok(());
    for (number, line) in questions.lines().enumerate() {
        let line = line.map_err(|error| Failed::new(Exit::Other, error))?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match serde_json::from_str::<Value>(&line) {
            Err(error) => json!({ "id": number + 1, "error": error.to_string(), "exit": Exit::Usage.code() }),
            Ok(mut question) => {
                if let Some(object) = question.as_object_mut() {
                    object.entry("v").or_insert(json!(VERSION));
                    object.entry("ask").or_insert(json!("request"));
                    object.entry("id").or_insert(json!(number + 1));
                }
                write(&mut stream, &question)?;
                let line = answers.next().ok_or_else(|| Failed::new(Exit::Away, "the serving program ended"))?;
                let line = line.map_err(|error| Failed::new(Exit::Away, error))?;
                serde_json::from_str(&line).map_err(|error| Failed::new(Exit::Other, error))?
            }
        };
        if let Err(Failed { exit, why }) = failure(&answer) {
            outcome = Err(Failed { exit, why: format!("line {}: {why}", number + 1) });
        }
        show(&answer).map_err(|why| Failed::new(Exit::Other, why))?;
    }
    outcome
}

/// What is wrong according to an answer.
fn failure(answer: &Value) -> Result<(), Failed> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    let exit = answer.get("exit").and_then(Value::as_u64).and_then(|exit| u8::try_from(exit).ok());
    match (text("error").or_else(|| text("why")), exit) {
        (Some(why), exit) => Err(Failed { exit: exit.unwrap_or(Exit::Other.code()), why }),
        (None, Some(exit)) if exit > 0 => Err(Failed { exit, why: "not done".to_owned() }),
        _ => Ok(()),
    }
}
