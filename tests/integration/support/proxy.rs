//! The proxy as its users run it: the binary as a child process, known by what it prints.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::client::{Answer, Client, send};
use super::store::Store;
use super::{PATIENCE, within};

/// How long a start may take, on a machine that is busy building something else.
const START: Duration = Duration::from_secs(20);

/// A running proxy. Dropping it ends the process; one that has ended by itself, or panicked, fails the test.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    child: Child,
    ended: Mutex<Receiver<()>>,
    log: watch::Receiver<Vec<Value>>,
    said: watch::Receiver<Vec<String>>,
    may_panic: bool,
    config: Option<tempfile::NamedTempFile>,
}

impl Proxy {
    /// In front of a store, with nothing configured.
    pub(crate) fn before(store: &Store) -> Self {
        Self::spawn(&url(store), "", &[])
    }

    /// In front of a store, with a configuration file.
    pub(crate) fn configured(store: &Store, config: &str) -> Self {
        Self::spawn(&url(store), config, &[])
    }

    /// In front of a store, refusing nothing.
    pub(crate) fn observing(store: &Store) -> Self {
        Self::spawn(&url(store), "", &["--observe"])
    }

    pub(crate) fn spawn(upstream: &str, config: &str, more: &[&str]) -> Self {
        Self::spawn_in(&[], upstream, config, more)
    }

    /// At this address, which may be a Unix socket's.
    pub(crate) fn listening(listen: &str, upstream: &str, config: &str) -> Self {
        Self::start(&[], listen, upstream, config, &[])
    }

    /// With variables in its environment, beside those of the test.
    pub(crate) fn spawn_in(
        environment: &[(&str, &str)],
        upstream: &str,
        config: &str,
        more: &[&str],
    ) -> Self {
        Self::start(environment, "127.0.0.1:0", upstream, config, more)
    }

    fn start(
        environment: &[(&str, &str)],
        listen: &str,
        upstream: &str,
        config: &str,
        more: &[&str],
    ) -> Self {
        let mut command = Command::new(program());
        command.envs(environment.iter().copied());
        command.args(["run", "--upstream", upstream, "--listen", listen, "--admin", "127.0.0.1:0"]);
        command.args(more);
        let file = (!config.is_empty()).then(|| config_file(config));
        if let Some(file) = &file {
            command.arg("--config").arg(file.path());
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (log, ended) = follow_log(child.stdout.take().unwrap());
        let (said, lines) = follow_diagnostics(child.stderr.take().unwrap());
        let [address, admin] = announced(&lines, &mut child);
        Self { address, admin, child, ended: Mutex::new(ended), log, said, may_panic: false, config: file }
    }

    /// Puts another configuration into its file, at once as editors do.
    pub(crate) fn rewrite(&self, config: &str) {
        let file = self.config.as_ref().expect("it was started with a configuration");
        config_file_in(file.path().parent().unwrap(), config).persist(file.path()).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A panic inside an exchange is what this test is about.
    pub(crate) fn panics_are_expected(&mut self) {
        self.may_panic = true;
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// A connection that has reached its core, so that what comes on it is read in its turn.
    pub(crate) async fn arrive(&self) -> Client {
        let mut client = self.connect().await;
        client.send("GET", "/barrier", &[], "").await;
        client
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        send(self.address, method, target, fields, body).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], "").await
    }

    /// What `/metrics` says: every sample by its name and labels.
    pub(crate) async fn metrics(&self) -> BTreeMap<String, u64> {
        let answer = send(self.admin, "GET", "/metrics", &[], "").await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        let text = answer.text();
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            // Moments have parts of seconds, which no test looks at.
            let whole = value.split_once('.').map_or(value, |(whole, _)| whole);
            (name.to_owned(), whole.parse().unwrap())
        });
        samples.collect()
    }

    /// What `/status.json` says.
    pub(crate) async fn status_json(&self) -> Value {
        let answer = send(self.admin, "GET", "/status.json", &[], "").await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Waits for a line of the access log that fits.
    pub(crate) async fn logged(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut log = self.log.clone();
        within(&format!("a line of the access log: {what}"), async {
            loop {
                if let Some(line) = log.borrow_and_update().iter().find(|line| fits(line)) {
                    return line.clone();
                }
                log.changed().await.expect("the proxy still writes its log");
            }
        })
        .await
    }

    /// Everything it has written to stdout so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.borrow().clone()
    }

    /// Everything it has written to stderr so far.
    pub(crate) fn said(&self) -> String {
        self.said.borrow().join("\n")
    }

    /// Waits until it has written a line with these words to stderr.
    pub(crate) async fn says(&self, words: &str) {
        let mut said = self.said.clone();
        within(&format!("a diagnostic: {words}"), async {
            while !said.borrow_and_update().iter().any(|line| line.contains(words)) {
                said.changed().await.expect("the proxy still runs");
            }
        })
        .await;
    }

    /// Ends it, and gives everything it has written to stderr until then.
    pub(crate) async fn last_words(&self) -> String {
        self.signal("TERM");
        self.says("draining").await;
        self.said()
    }

    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.pid());
        // The shell's own kill: it is there on every machine.
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Waits for the process to end; its exit code.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        let mut log = self.log.clone();
        within("the end of the process", async { while log.changed().await.is_ok() {} }).await;
        self.child.wait().unwrap().code()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let ended_early = self.child.try_wait().unwrap();
        if ended_early.is_none() {
            self.signal("TERM");
            // Most tests leave an exchange or a connection behind; that drain is graceful has tests of its own.
            if self.ended.lock().unwrap().recv_timeout(Duration::from_millis(300))
                == Err(RecvTimeoutError::Timeout)
            {
                self.child.kill().unwrap();
            }
            self.child.wait().unwrap();
        }
        let said = self.said();
        if std::thread::panicking() {
            eprintln!("what the proxy said:\n{said}\nits log: {:?}", self.log());
        } else if !self.may_panic {
            assert!(!said.contains("panicked"), "the proxy panicked:\n{said}");
            let crashed = ended_early.filter(|status| !status.success());
            assert!(crashed.is_none(), "the proxy ended by itself: {crashed:?}\n{said}");
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.address)
    }
}

/// The program: the one that was built with the tests, unless another is asked for.
fn program() -> OsString {
    std::env::var_os("STALEGUARD_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_staleguard").into())
}

/// The URL of a store.
pub(crate) fn url(store: &Store) -> String {
    format!("http://{}", store.address())
}

/// A file with this configuration.
pub(crate) fn config_file(config: &str) -> tempfile::NamedTempFile {
    config_file_in(&std::env::temp_dir(), config)
}

fn config_file_in(folder: &Path, config: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile_in(folder).unwrap();
    file.write_all(config.as_bytes()).unwrap();
    file
}

/// Reads the access log; the receiver hears when the process has ended.
fn follow_log(stdout: impl Read + Send + 'static) -> (watch::Receiver<Vec<Value>>, Receiver<()>) {
    let (lines, log) = watch::channel(Vec::new());
    let (ending, ended) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let parsed = serde_json::from_str(&line).unwrap_or(Value::String(line));
            lines.send_modify(|all| all.push(parsed));
        }
        drop(ending);
    });
    (log, ended)
}

fn follow_diagnostics(
    stderr: impl Read + Send + 'static,
) -> (watch::Receiver<Vec<String>>, Receiver<String>) {
    let (keep, said) = watch::channel(Vec::new());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            keep.send_modify(|all| all.push(line.clone()));
            // Nobody listens any more once it has started.
            sender.send(line).ok();
        }
    });
    (said, lines)
}

/// Waits for the two addresses that a start announces.
fn announced(lines: &Receiver<String>, child: &mut Child) -> [SocketAddr; 2] {
    let (mut address, mut admin, mut said) = (None, None, String::new());
    while address.is_none() || admin.is_none() {
        let Ok(line) = lines.recv_timeout(START) else {
            child.kill().ok();
            panic!("the proxy did not start:\n{said}");
        };
        let listening = ["listening on http://", "listening on https://"];
        address = address.or_else(|| listening.into_iter().find_map(|words| address_after(&line, words)));
        if line.contains("listening on unix:") {
            // Nobody asks for it.
            address = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
        }
        admin = admin.or_else(|| address_after(&line, "admin on http://"));
        said = said + &line + "\n";
    }
    [address.unwrap(), admin.unwrap()]
}

fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    let rest = &line[line.find(words)? + words.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}

/// One connection on every core of the proxy, opened before all others: a round trip on each of them shows that what
/// was sent before has been read. It stands in for a sleep wherever something must *not* happen.
#[derive(Debug)]
pub(crate) struct Barrier(Vec<Client>);

impl Barrier {
    pub(crate) async fn open(proxy: &Proxy) -> Self {
        let cores = std::thread::available_parallelism().unwrap().get();
        let mut clients = Vec::new();
        for _ in 0..cores {
            clients.push(proxy.arrive().await);
        }
        Self(clients)
    }

    pub(crate) async fn pass(&mut self) {
        for client in &mut self.0 {
            client.send("GET", "/barrier", &[], "").await;
        }
    }
}

/// A run that ends by itself, such as one with a bad configuration.
pub(crate) fn run(arguments: &[&str]) -> std::process::Output {
    run_in(&[], arguments)
}

/// The same with variables in its environment.
pub(crate) fn run_in(environment: &[(&str, &str)], arguments: &[&str]) -> std::process::Output {
    let child = Command::new(env!("CARGO_BIN_EXE_staleguard"))
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (sender, output) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    output.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        Command::new("kill").args(["-KILL", &pid.to_string()]).status().ok();
        panic!("it runs on: staleguard {arguments:?}")
    })
}
