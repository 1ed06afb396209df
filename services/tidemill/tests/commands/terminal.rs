//! A terminal.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// What a person types, and what they see.
pub(crate) struct Terminal {
    pub(crate) url: String,
}

impl Terminal {
    pub(crate) async fn run(&self, arguments: &[&str], input: Option<String>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.args(arguments).env("TIDEMILL_URL", &self.url).env("USER", "anna");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = move || {
            let mut child = command.spawn().expect("tidemill starts");
            let mut stdin = child.stdin.take().expect("a pipe");
            stdin.write_all(input.unwrap_or_default().as_bytes()).expect("writes");
            drop(stdin);
            child.wait_with_output().expect("ends")
        };
        tokio::task::spawn_blocking(run).await.expect("runs")
    }

    /// As before a `| true`: who reads has gone. The exit code, and what is told
    /// beside the result.
    pub(crate) fn says_to_nobody(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
        command.args(arguments).env("TIDEMILL_URL", &self.url).env("USER", "anna");
        let output = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(crate) async fn says(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(arguments, None).await;
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains(|c| c != '\n' && tidemill_service::acts(c)), "a terminal would obey {text:?}");
        (output.status.code(), text.into_owned())
    }

    pub(crate) async fn json(&self, arguments: &[&str], input: Option<String>) -> (Option<i32>, Value) {
        let output = self.run(arguments, input).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{told}"));
        (output.status.code(), json)
    }
}

/// The address of a server that gives this JSON as its one answer.
pub(crate) fn answering(json: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("a request");
            request.extend(byte);
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", json.len());
        client.write_all(format!("{head}connection: close\r\n\r\n{json}").as_bytes()).expect("an answer");
    });
    format!("http://{address}")
}
