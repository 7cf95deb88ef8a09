//! The command line. Everything it can do, the library can; what is only here
//! is files, clocks, colours and exit codes.

mod cli;

use std::process::ExitCode;

/// Of the whole program, so that it favours neither way to execute a block.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
