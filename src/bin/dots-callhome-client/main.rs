//! The provider's side: the Call Home DOTS client.

#![warn(unreachable_pub)]

mod accepting;
mod arguments;
mod asking;
mod authority;
mod call;
mod call_event;
mod call_table;
mod calls;
mod commands;
mod control;
mod credentials;
mod desired;
mod desk;
mod drain;
mod duplicates;
mod ended;
mod enrol;
mod exit;
mod import;
mod issued;
mod limits;
mod listeners;
mod metrics;
mod output;
mod roster;
mod scope_arguments;
mod scrapes;
mod serve;
mod settings;
mod show;
mod store;
mod tokens;
mod written;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Task};
use asking::Failed;
use exit::Exit;

fn main() -> ExitCode {
    let Arguments { json, control, command } = Arguments::parse();
    let show = |answer: &_| output::print(if json { show::json_text(answer) } else { show::text(answer) });
    let check = |arguments: &_| serve::check(arguments).map_err(|why| Failed::new(Exit::Usage, why));
    let outcome = match command.task() {
        Task::Serve(arguments) => check(&arguments)
            .and_then(|()| serve::serve(&arguments, &control).map_err(|why| Failed::new(Exit::Other, why))),
        Task::Ask(question) => asking::ask(&control, question, show),
        Task::Import(arguments) => import::import(&control, &arguments, show),
        Task::Enrol(arguments) => print_files(enrol::enrol(&arguments)),
        Task::Renew(arguments) => print_files(enrol::renew(&arguments)),
        Task::Revoke(name, authority) => enrol::revoke(&name, &authority, &control, show),
        Task::Check(arguments) => check(&arguments),
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

fn print_files(files: Result<Vec<PathBuf>, String>) -> Result<(), Failed> {
    files
        .and_then(|files| files.iter().try_for_each(|file| output::print(file.display())))
        .map_err(|why| Failed::new(Exit::Other, why))
}
