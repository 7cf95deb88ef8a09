//! The command line. Everything it can do, the library can; what is only here
//! is files, clocks, colours and exit codes.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
