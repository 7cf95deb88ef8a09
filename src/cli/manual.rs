//! The arguments of the command line to completions of a shell, and to manual pages.

use std::io::{self, Write};

use clap::{Command, CommandFactory};

use super::{
    Verdict,
    args::{Cli, CompletionsArgs},
};

const NAME: &str = "forewave";

/// `forewave completions`.
pub(super) fn completions(args: &CompletionsArgs) -> io::Result<Verdict> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut text);
    io::stdout().lock().write_all(&text)?;
    Ok(Verdict::Fine)
}

/// `forewave man`: one page, the commands one after the other.
pub(super) fn man() -> io::Result<Verdict> {
    let mut text = Vec::new();
    let mut whole = Cli::command();
    whole.build();
    let page = clap_mangen::Man::new(whole.clone());
    // Without its list of commands, which names a page for each.
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    for command in whole.get_subcommands().filter(|command| command.get_name() != "help") {
        render_command(command, &mut text)?;
    }
    io::stdout().lock().write_all(&text)?;
    Ok(Verdict::Fine)
}

/// One command as a part of the page.
fn render_command(command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    writeln!(text, ".SH \"{NAME} {}\"", command.get_name().to_uppercase())?;
    page.render_synopsis_section(text)?;
    page.render_description_section(text)?;
    page.render_options_section(text)?;
    if command.get_after_help().is_some() {
        page.render_extra_section(text)?;
    }
    Ok(())
}
