//! Calls of programs: arguments as they are, no shell, and a deadline.

use std::{ffi::OsString, process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::error::Error;

/// How long a call may take unless it says otherwise.
const DEADLINE: Duration = Duration::from_secs(60);
/// Characters of a failed program's last words that are told.
const LAST_WORDS: usize = 2_000;

/// A call of a program.
#[derive(Debug, Clone)]
pub(super) struct Call {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    input: Option<String>,
    deadline: Duration,
}

impl Call {
    /// Of a program without arguments.
    pub(super) fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: None,
            deadline: DEADLINE,
        }
    }

    /// Of a command that somebody configured: its words, split at blanks.
    pub(super) fn configured(words: &[String]) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Self::new(program).args(arguments.iter().cloned()))
    }

    /// With more arguments.
    pub(super) fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With a variable of the environment: what is not to be seen on a command
    /// line.
    pub(super) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// With a text on standard input.
    pub(super) fn input(self, text: String) -> Self {
        Self { input: Some(text), ..self }
    }

    /// With so long to end.
    pub(super) fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// As a person would type it.
    pub(super) fn line(&self) -> String {
        std::iter::once(&self.program).chain(&self.arguments).map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The process, in a group of its own, so that Ctrl-C ends this program
    /// and not what it needs to tidy up. It is killed when dropped.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(OsString::from(&self.program));
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command.process_group(0).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// Runs it; answers its standard output, if it succeeds.
    pub(super) async fn output(self) -> Result<String, Error> {
        let line = self.line();
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(Error::program(&line))?;
        let stdin = child.stdin.take();
        let write = async {
            match (&self.input, stdin) {
                (Some(text), Some(mut stdin)) => stdin.write_all(text.as_bytes()).await,
                _ => Ok(()),
            }
        };
        // It may say more than a pipe holds before it has read everything.
        let both = async { tokio::join!(child.wait_with_output(), write) };
        let Ok((ended, written)) = timeout(self.deadline, both).await else {
            return Err(Error::program(line)(format!("not done within {} s", self.deadline.as_secs())));
        };
        let output = ended.map_err(Error::program(&line))?;
        if output.status.success() {
            written.map_err(Error::program(&line))?;
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = [output.stdout, output.stderr].concat();
        let words = String::from_utf8_lossy(&words);
        let begin = words.chars().count().saturating_sub(LAST_WORDS);
        let last: String = words.trim().chars().skip(begin).collect();
        Err(Error::program(line)(format!("{}: {last}", output.status)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_gives_its_output_or_says_what_went_wrong() {
        let echo = Call::new("echo").args(["a  b", "$HOME"]);
        assert_eq!(echo.line(), "echo a  b $HOME");
        assert_eq!(echo.output().await.expect("runs"), "a  b $HOME\n");
        assert_eq!(Call::new("cat").input("text".into()).output().await.expect("runs"), "text");
        let told = Call::new("sh").args(["-c", "echo $WORD"]).env("WORD", "secret");
        assert!(!told.line().contains("secret"));
        assert_eq!(told.output().await.expect("runs"), "secret\n");
        let long = "0123456789abcdef".repeat(1 << 16);
        assert_eq!(Call::new("cat").input(long.clone()).output().await.expect("runs"), long, "more than a pipe holds");
        let error = Call::new("ls").args(["/no/such/file"]).output().await.expect_err("fails");
        assert!(error.to_string().contains("No such file"), "{error}");
        let slow = Call::new("sleep").args(["30"]).within(Duration::from_millis(20));
        assert!(slow.output().await.is_err());
        assert!(Call::configured(&[]).is_none());
    }
}
