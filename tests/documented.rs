//! What the pages say that one can type: those with a `$` print what stands below them, and
//! the others name commands and options that exist.

#[path = "support/ran.rs"]
mod ran;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use self::ran::forewave;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> =
        docs.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    pages.extend(["README.md", "fixtures/README.md"].map(|page| root().join(page)));
    pages.sort();
    pages
}

/// A command of a page's `console` fences, and what is said to be printed.
struct Shown {
    command: String,
    output: Vec<String>,
}

fn shown(page: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for fence in page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        for line in fence.lines() {
            match (line.strip_prefix("$ "), shown.last_mut()) {
                (Some(command), _) => {
                    shown.push(Shown { command: command.to_owned(), output: Vec::new() });
                }
                (None, Some(last)) => last.output.push(line.to_owned()),
                (None, None) => panic!("a fence begins with a command: {line}"),
            }
        }
    }
    shown
}

/// Whether lines are as shown: `...` alone stands for any lines, `[..]` for any part of one.
fn is_as_shown(shown: &[String], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=lines.len()).any(|from| is_as_shown(rest, &lines[from..]))
        }
        Some((line, rest)) => lines.split_first().is_some_and(|(first, lines)| {
            let (before, after) = line.split_once("[..]").unwrap_or((line, ""));
            let is_long = first.len() >= before.len() + after.len();
            let is_it = if line.contains("[..]") {
                is_long && first.starts_with(before) && first.ends_with(after)
            } else {
                first == line
            };
            is_it && is_as_shown(rest, lines)
        }),
    }
}

/// The commands in a page's `sh` fences, comments and continuations taken out.
fn commands(page: &str) -> Vec<String> {
    let fences = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let text = fences.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let line = |line: &str| {
        let command = line.split(" #").next().unwrap_or_default();
        command.split(" | ").next().unwrap_or_default().trim().to_owned()
    };
    text.lines().map(line).filter(|line| line.starts_with("forewave ")).collect()
}

#[test]
fn commands_print_what_the_pages_show() {
    let mut ran = 0;
    for page in pages() {
        for Shown { command, output } in shown(&fs::read_to_string(&page).unwrap()) {
            let mut words = command.split_whitespace();
            assert_eq!(words.next(), Some("forewave"), "{}: {command}", page.display());
            let result = forewave(words);
            assert_eq!(result.code, Some(0), "{}: {command}: {}", page.display(), result.stderr);
            let lines: Vec<&str> = result.stdout.lines().collect();
            let page = page.display();
            assert!(is_as_shown(&output, &lines), "{page}: {command} prints\n{}", result.stdout);
            ran += 1;
        }
    }
    assert!(ran > 4, "{ran} commands");
}

#[test]
fn commands_and_options_that_the_pages_name_exist() {
    let mut helps = BTreeMap::new();
    let mut checked = 0;
    for page in pages() {
        for command in commands(&fs::read_to_string(&page).unwrap()) {
            let mut words = command.split([' ', '[', ']', '|']);
            let name = words.nth(1).expect("a command").to_owned();
            let help = helps.entry(name.clone()).or_insert_with(|| {
                let ran = forewave([&name, "--help"]);
                assert_eq!(ran.code, Some(0), "{}: {command}", page.display());
                ran.stdout
            });
            for option in words.filter(|word| word.starts_with('-') && word.len() > 1) {
                let option = option.split('=').next().unwrap_or(option);
                let names = |line: &str| line.split([' ', ',', '=']).any(|word| word == option);
                assert!(help.lines().any(names), "{}: {option} of {command}", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "{checked} options");
}
