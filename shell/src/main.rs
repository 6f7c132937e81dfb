//! `cis shell`: the interpreter bashkit on the files of a run. The sandbox is around this program:
//! memory, time and output are bounded by the run's limits, so the interpreter's own are open.
//!
//!   cis-shell CWD STATE NAME SCRIPT [ARGUMENT…]
//!
//! STATE is a file, or empty outside of a session; beside it is what is /tmp in all lines of one.

mod files;
mod input;

use bashkit::{
    Bash, Error, ExecOptions, ExecutionLimits, MemoryLimits, PosixFs,
    SessionLimits, SnapshotOptions,
};
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

const OPEN: usize = usize::MAX >> 1;

struct Job {
    cwd: String,
    state: String, // what a session's shell was when its last line ended; "": no session
    name: String,
    script: String,
    arguments: Vec<String>,
}

fn take_arguments() -> Option<Job> {
    let mut words = std::env::args().skip(1);
    Some(Job {
        cwd: words.next()?,
        state: words.next()?,
        name: words.next()?,
        script: words.next()?,
        arguments: words.collect(),
    })
}

fn limits() -> ExecutionLimits {
    ExecutionLimits {
        max_work_units: u64::MAX,
        max_aggregate_input_bytes: u64::MAX,
        max_live_intermediate_bytes: u64::MAX,
        max_input_bytes: OPEN,
        max_parser_operations: OPEN,
        max_stdout_bytes: OPEN,
        max_stderr_bytes: OPEN,
        max_word_split_fields: OPEN,
        max_word_split_bytes: OPEN,
        ..ExecutionLimits::cli()
    }
}

fn build(job: &Job) -> Bash {
    let session_tmp = (!job.state.is_empty()).then(|| Path::new(&job.state).with_file_name("tmp"));
    let mut bash = Bash::builder()
        .fs(Arc::new(PosixFs::new(files::Files::new(session_tmp))))
        .cwd(&job.cwd)
        .env("HOME", &job.cwd)
        .limits(limits())
        .session_limits(SessionLimits::unlimited())
        .memory_limits(MemoryLimits::unlimited())
        .hostname("cis")
        .rootfs(false) // what is in / is what the user mounted
        .build();
    if !job.state.is_empty() {
        bash.set_interactive(true);
        if let Ok(bytes) = std::fs::read(&job.state)
            && let Err(e) = bash.restore_snapshot(&bytes)
        {
            eprintln!("cis shell: the state of the last line is lost: {e}");
        }
    }
    bash
}

fn keep_state(job: &Job, bash: &Bash) -> Result<(), String> {
    let options = SnapshotOptions { exclude_filesystem: true, ..Default::default() };
    let bytes = bash.snapshot_with_options(options).map_err(|e| e.to_string())?;
    let cwd = bash.shell_state_view().cwd;
    std::fs::write(&job.state, bytes)
        .and_then(|()| std::fs::write(format!("{}.cwd", job.state), cwd.as_os_str().as_encoded_bytes()))
        .map_err(|e| e.to_string())
}

/// A session's line that is not a whole command: the next one is added to it.
fn goes_on(job: &Job, report: &str) -> bool {
    let open = ["unexpected end of file", "unexpected EOF", "unterminated"];
    !job.state.is_empty()
        && open.iter().any(|text| report.contains(text))
        && std::fs::write(format!("{}.more", job.state), "").is_ok()
}

fn tell(job: &Job, e: &Error) -> u8 {
    match e.syntax_report(&job.name, &job.script) {
        Some(report) if goes_on(job, &report) => 2,
        Some(report) => {
            eprint!("{report}");
            2
        }
        None => {
            eprintln!("{}: {e}", job.name);
            1
        }
    }
}

async fn run(job: Job) -> u8 {
    let mut bash = build(&job);
    let mut options = ExecOptions::new().arg0(&job.name).positional(&job.arguments);
    if let Some(stdin) = input::for_script(&bash, &job.script) {
        options = options.stdin(stdin);
    }
    // A session's last exit code is the first one of the next line.
    let last = bash.shell_state_view().last_exit_code;
    let script = match last {
        1.. if !job.state.is_empty() && job.script.contains("$?") => format!("(exit {last}); {}", job.script),
        _ => job.script.clone(),
    };
    let done = bash
        .execute(&script)
        .options(options)
        .stdout_fn(|bytes| async move { Ok(stdout().write_all(&bytes).and_then(|()| stdout().flush())?) })
        .stderr_fn(|bytes| async move { Ok(stderr().write_all(&bytes)?) })
        .await;
    if !job.state.is_empty()
        && let Err(why) = keep_state(&job, &bash)
    {
        eprintln!("cis shell: the state of this line is lost: {why}");
    }
    match done {
        Ok(result) => result.exit_code as u8,
        Err(e) => tell(&job, &e),
    }
}

fn main() -> ExitCode {
    let Some(job) = take_arguments() else {
        eprintln!("cis-shell CWD STATE NAME SCRIPT [ARGUMENT…]");
        return ExitCode::from(2);
    };
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => ExitCode::from(runtime.block_on(run(job))),
        Err(e) => {
            eprintln!("cis shell: {e}");
            ExitCode::from(125)
        }
    }
}
