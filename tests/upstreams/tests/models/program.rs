//! The program: it says where it listens, serves, and ends when it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

#[test]
fn it_says_where_it_listens_and_ends_when_told() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_staleguard-upstreams"))
        .args(["--as", "lrsql", "--listen", "127.0.0.1:0", "--pause", "5ms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap();

    let mut client = TcpStream::connect(address).unwrap();
    write!(client, "GET /xapi/about HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"2.0.0\""), "{answer}");

    // The shell's own kill: it is there on every machine.
    let kill = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(kill.success() && child.wait().unwrap().success());
    let mut more = String::new();
    stdout.read_to_string(&mut more).unwrap();
    assert_eq!(more, "", "one line is all that it says");
}
