//! A text assembler: mnemonics, numbers (pushed), `name:` and `@name`.

use revm::{bytecode::opcode::OpCode, primitives::U256};

/// Assembles `text`.
///
/// A number is pushed with the shortest `PUSH`; `name:` is a `JUMPDEST`, and
/// `@name` pushes where it is.
pub fn assemble(text: &str) -> Vec<u8> {
    let mut code = Vec::new();
    let mut labels = Vec::new();
    let mut uses = Vec::new();
    for token in text.split_whitespace() {
        if let Some(label) = token.strip_suffix(':') {
            labels.push((label, code.len()));
            code.push(opcode("JUMPDEST"));
        } else if let Some(label) = token.strip_prefix('@') {
            uses.push((label, code.len() + 1));
            code.extend([opcode("PUSH2"), 0, 0]);
        } else if token.starts_with(|first: char| first.is_ascii_digit()) {
            push(&mut code, token.parse().expect("a number"));
        } else {
            code.push(opcode(token));
        }
    }
    for (label, at) in uses {
        let (_, target) = labels.iter().find(|(name, _)| *name == label).expect("a label");
        let target = u16::try_from(*target).expect("short code");
        code[at..at + 2].copy_from_slice(&target.to_be_bytes());
    }
    code
}

fn push(code: &mut Vec<u8>, value: U256) {
    let bytes = value.to_be_bytes_trimmed_vec();
    code.push(opcode("PUSH0") + u8::try_from(bytes.len()).expect("at most 32 bytes"));
    code.extend(bytes);
}

fn opcode(name: &str) -> u8 {
    (0..=u8::MAX)
        .find(|code| OpCode::new(*code).is_some_and(|known| known.as_str() == name))
        .unwrap_or_else(|| panic!("no opcode {name}"))
}

/// Init code that deploys `runtime`.
pub fn deployer(runtime: &[u8]) -> Vec<u8> {
    let len = runtime.len();
    let head = assemble(&format!("{len} 11 0 CODECOPY {len} 0 RETURN"));
    let pad = 11 - head.len();
    let mut code = head;
    code.extend(core::iter::repeat_n(0, pad));
    code.extend(runtime);
    code
}
