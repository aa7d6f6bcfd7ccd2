//! The provider's side: the Call Home DOTS client.

#![warn(unreachable_pub)]

mod accepting;
mod arguments;
mod asking;
mod call_table;
mod calls;
mod commands;
mod control;
mod credentials;
mod desired;
mod desk;
mod duplicates;
mod ended;
mod exit;
mod limits;
mod listeners;
mod output;
mod roster;
mod scope_arguments;
mod serve;
mod show;
mod store;
mod tokens;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Task};
use asking::Failed;
use exit::Exit;

fn main() -> ExitCode {
    let Arguments { json, control, command } = Arguments::parse();
    let show = |answer: &_| output::print(if json { show::json_text(answer) } else { show::text(answer) });
    let outcome = match command.task() {
        Task::Serve(serve) => serve::serve(&serve, &control).map_err(|why| Failed::new(Exit::Other, why)),
        Task::Ask(question) => asking::ask(&control, question, show),
        Task::AskAll => asking::ask_all(&control, std::io::stdin().lock(), show),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { exit, why }) => {
            output::complain(&why);
            exit.into()
        }
    }
}
