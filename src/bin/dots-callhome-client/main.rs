//! The provider's side: the Call Home DOTS client.

#![warn(unreachable_pub)]

mod accepting;
mod arguments;
mod calls;
mod commands;
mod control;
mod credentials;
mod ended;
mod limits;
mod listeners;
mod output;
mod roster;
mod scope_arguments;
mod serve;
mod show;
mod tokens;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    let Arguments { json, control, command } = Arguments::parse();
    let outcome = match command.ask() {
        Err(serve) => serve::serve(&serve, &control),
        Ok(question) => control::ask(&control, &question, |answer| {
            output::print(if json { show::json_text(answer) } else { show::text(answer) })
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            output::complain(&why);
            ExitCode::FAILURE
        }
    }
}
