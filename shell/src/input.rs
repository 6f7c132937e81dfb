//! Standard input. The interpreter takes all of it before the script begins, so it is read only for
//! a script that may ask for it: one that does not must not wait for the end of a pipe that stays
//! open.

use bashkit::Bash;
use std::io::{IsTerminal, Read, stdin};

/// Commands that never read standard input.
const SILENT: &[&str] = &[
    "", ":", "[", "[[", "alias", "basename", "break", "cd", "chmod", "continue", "cp", "date",
    "declare", "dirname", "dirs", "du", "echo", "exit", "export", "expr", "false", "find", "getopts",
    "hash", "hostname", "id", "kill", "let", "ln", "local", "ls", "mkdir", "mktemp", "mv", "popd",
    "printf", "pushd", "pwd", "readlink", "readonly", "realpath", "return", "rm", "rmdir", "seq",
    "set", "shift", "shopt", "sleep", "stat", "test", "touch", "trap", "true", "type", "typeset",
    "umask", "unalias", "uname", "unset", "wait", "which", "whoami",
];

fn may_read(bash: &Bash, script: &str) -> bool {
    match bash.analyze(script) {
        Ok(a) if !a.is_opaque() => a.command_names().iter().any(|name| {
            !SILENT.contains(name) && !a.functions.iter().any(|f| f == name)
        }),
        Ok(_) => true,
        Err(_) => false, // it does not run
    }
}

/// None: as without a standard input.
pub fn for_script(bash: &Bash, script: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if stdin().is_terminal() || !may_read(bash, script) {
        return None;
    }
    stdin().read_to_end(&mut bytes).ok().map(|_| bytes)
}
