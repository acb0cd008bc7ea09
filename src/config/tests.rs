//! Tables of what is read and what is refused, and that no text whatever makes a panic.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::environment::Environment;
use super::problem::{Colours, Place, Problem};
use super::*;
use crate::exchange::observe::Sample;
use crate::fingerprint::{Algorithm, Subject};
use crate::guard::policy::{Mode, Treatment, Unconditional};
use crate::guard::settle::ReadBack;
use crate::rule::Rule;
use crate::rule::identity::Part;
use crate::semantics::cors::Cors;
use crate::semantics::preconditions::Matching;
use crate::server::listener::Endpoint;

mod environment;
mod schema;

const URL: &str = "http://127.0.0.1:8000";

fn with_url() -> Overrides {
    Overrides { upstream: Some(URL.to_owned()), ..Overrides::default() }
}

fn read(text: &str) -> Result<Config, Problems> {
    Config::read(Some(("f.toml", text)), &with_url())
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn bad(text: &str) -> Vec<Problem> {
    match read(text) {
        Ok(config) => panic!("{text}\n{config:?}"),
        Err(problems) => problems.0,
    }
}

/// A file with the keys that are shown as examples written out.
fn with_examples(text: &str) -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => example.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

/// A configuration as a text that is the same for the same settings: hash maps are put in order.
fn shown(config: &Config) -> String {
    let Config {
        server,
        admin,
        admin_hosts,
        admin_token_file,
        upstream,
        holds,
        exchange,
        rules,
        log_level,
        otlp_endpoint,
        remembered_max,
        credential_fields,
        recalled,
        buffered_writes_max,
        buffered_reads_max,
        state_dir,
        start_settle,
        observe_flag,
        overruled,
        decisions,
    } = config;
    let rules: Vec<String> = rules.0.iter().map(|rule| shown_rule(rule)).collect();
    format!(
        "{server:#?}{admin:?}{admin_hosts:?}{admin_token_file:?}{upstream:#?}{holds:#?}{exchange:#?}{log_level:?}{otlp_endpoint:?}{rules:#?}{remembered_max} {buffered_writes_max} {buffered_reads_max} {state_dir:?}{start_settle:?}{observe_flag}{overruled:?}{decisions:?}{credential_fields:?}{recalled:?}"
    )
}

fn shown_rule(rule: &Rule) -> String {
    let by_method = |map: &std::collections::HashMap<Method, Unconditional>| {
        format!(
            "{:?}",
            map.iter().map(|(method, what)| (method.to_string(), *what)).collect::<BTreeMap<_, _>>()
        )
    };
    let when: Vec<_> = rule.when.iter().map(|when| (&when.header, by_method(&when.unconditional))).collect();
    let (unconditional, source) = Default::default();
    let rest = Rule { unconditional, source, when: Vec::new(), ..rule.clone() };
    format!("{rest:?}{}{when:?}", by_method(&rule.unconditional))
}

fn rule<'a>(config: &'a Config, name: &str) -> &'a Rule {
    config.rules.0.iter().find(|rule| &*rule.name == name).expect("a rule of that name")
}

/// What an unconditional write gets that says nothing about versions, or has this field.
fn gets(rule: &Rule, method: Method, field: Option<(&'static str, &'static str)>) -> Unconditional {
    let fields = field.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    rule.policy(&method, &fields.into_iter().collect()).unconditional
}

/// A field that every glob here fits which is written like it.
const V1: Option<(&str, &str)> = Some(("x-experience-api-version", "1.0*"));
const V2: Option<(&str, &str)> = Some(("x-experience-api-version", "2*"));
const TENANT: Option<(&str, &str)> = Some(("x-tenant", "a*"));

#[test]
fn the_default_file_equals_an_empty_one() {
    let nothing = Config::read(None, &with_url()).expect("the defaults");
    assert_eq!(shown(&good("")), shown(&nothing));
    assert_eq!(shown(&good(DEFAULT)), shown(&nothing));
}

#[test]
fn the_defaults_are_what_is_promised() {
    let config = good("");
    assert_eq!(
        config.server,
        server::Settings {
            address: Endpoint::Ip("127.0.0.1:8080".parse().expect("an address")),
            socket_mode: 0o660,
            trusted_proxies: None,
            tls: None,
            handshake_timeout: Duration::from_secs(10),
            connections: 10_000,
            header_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            header_max: 64 * 1024,
            drain_timeout: Duration::from_secs(25),
            access_log: true,
        }
    );
    assert_eq!(
        config.exchange,
        exchange::Settings {
            body_timeout: Duration::from_secs(30),
            linger: Duration::from_secs(5),
            exchange_timeout: Duration::from_secs(300),
            detached_max: 64,
            tunnel_idle_timeout: Duration::from_secs(300),
            observe: exchange::observe::Settings {
                serialise: true,
                sample: Sample::new(1.0).expect("a share"),
                etags: false,
            },
        }
    );
    assert_eq!(config.upstream.authority, "127.0.0.1:8000");
    assert_eq!((config.upstream.unknown_outcome.len(), config.upstream.target_max), (8, 4000));
    assert_eq!(config.holds.settle_time, config.upstream.settle_time);
    assert_eq!((config.holds.queue, config.holds.waiters, config.holds.scopes), (256, 10_000, 100_000));
    assert_eq!((config.admin.port(), config.admin.ip().is_loopback()), (9901, true));
    assert!(config.admin_hosts.is_empty());
    assert_eq!(config.log_level, LevelFilter::INFO);
    let names: Vec<&str> = config.rules.0.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["state", "agent-profile", "activity-profile"]);
    for rule in &config.rules.0 {
        assert_eq!(
            (rule.mode, rule.matching, rule.read_back, rule.cors),
            (Mode::Enforce, Matching::Lenient, ReadBack::Auto, Cors::Repair)
        );
        assert_eq!((rule.etag, rule.xapi, rule.document_max), (Algorithm::Sha1, true, 10 * 1024 * 1024));
        assert_eq!(rule.etag_of, Subject::Contents);
        assert_eq!(rule.absent.statuses, [StatusCode::NOT_FOUND, StatusCode::GONE]);
    }
}

#[test]
fn the_examples_in_the_default_file_can_be_used() {
    let secret = authorization("Basic dXNlcjpwYXNzd29yZA==\n");
    let (text, _pem) = examples(&secret);
    let config = Config::read(Some(("default.toml", &text)), &Overrides::default());
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.upstream.authority, "127.0.0.1:8000");
    assert_eq!(config.upstream.service.as_ref().expect("a credential"), "Basic dXNlcjpwYXNzd29yZA==");
    let notes = rule(&config, "notes");
    assert_eq!(notes.unconditional[&Method::PUT], Unconditional::REQUIRE);
    assert_eq!(notes.when.len(), 1);
}

/// A file as `probe.authorization-file` names it.
fn authorization(contents: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(contents.as_bytes()).expect("room for it");
    file
}

fn path_of(file: &tempfile::NamedTempFile) -> String {
    file.path().to_str().expect("UTF-8").to_owned()
}

/// The default file with its examples, where the files that it names are this one and the one that comes with it.
fn examples(secret: &tempfile::NamedTempFile) -> (String, tempfile::NamedTempFile) {
    let (pem, _) = certified("lrs.example");
    let mut text = with_examples(DEFAULT).replace("/run/secrets/staleguard-probe", &path_of(secret));
    text = text.replace("url = \"http://", "url = \"https://");
    for file in ["tls.crt", "tls.key", "upstream.crt", "upstream.key"] {
        text = text.replace(&format!("/run/secrets/{file}"), &path_of(&pem));
    }
    for file in ["clients.pem", "upstream-ca.pem"] {
        text = text.replace(&format!("/etc/staleguard/{file}"), &path_of(&pem));
    }
    (text, pem)
}

/// A file with a certificate that its own key has signed, and with that key; and another such key alone.
fn certified(name: &str) -> (tempfile::NamedTempFile, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let other = rcgen::KeyPair::generate().expect("a key");
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    (authorization(&pem), authorization(&other.serialize_pem()))
}

#[test]
fn certificates_are_looked_into_where_the_proxy_is_to_run() {
    let (pem, other_key) = certified("staleguard.example");
    let (pem, other_key, empty) = (path_of(&pem), path_of(&other_key), path_of(&authorization("")));
    let listen = |more: &str| format!("[listen.tls]\ncertificate = {pem:?}\n{more}");
    let upstream = |more: &str| format!("[upstream]\nurl = \"https://lrs.example\"\n[upstream.tls]\n{more}");
    let good = [
        listen(&format!("key = {pem:?}")),
        listen(&format!("key = {pem:?}\nclient-ca = {pem:?}")),
        upstream(&format!("ca = {pem:?}")),
        upstream(&format!("ca = {pem:?}\ncertificate = {pem:?}\nkey = {pem:?}\nserver-name = \"127.0.0.1\"")),
    ];
    let read = |text: &str| {
        let overrides = if text.contains("url") { Overrides::default() } else { with_url() };
        Config::read(Some(("f.toml", text)), &overrides)
    };
    for text in good {
        read(&text).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    }
    for (text, says) in [
        (listen(""), "`certificate` is there without its key"),
        (listen("key = \"\""), "names no file"),
        (listen("key = \"/nowhere\""), "/nowhere cannot be read"),
        (listen(&format!("key = {empty:?}")), "cannot be read"),
        (listen(&format!("key = {other_key:?}")), "cannot be used with its key"),
        (listen(&format!("key = {pem:?}\nclient-ca = {other_key:?}")), "holds no certificate in PEM"),
        (format!("[listen.tls]\nkey = {pem:?}"), "`key` is there without its certificate"),
        (format!("[listen.tls]\nclient-ca = {pem:?}"), "means nothing without a certificate"),
        (upstream(&format!("ca = {other_key:?}")), "holds no certificate in PEM"),
        (upstream("server-name = \"a b\""), "is no name that a certificate could be for: `a b`"),
        (format!("[upstream.tls]\nca = {pem:?}"), "[upstream.tls] means nothing for this upstream.url"),
    ] {
        let problems = read(&text).expect_err(&text).to_string();
        assert!(problems.contains(says) && problems.matches("error: ").count() == 1, "{text}\n{problems}");
        assert!(!problems.contains("PRIVATE KEY"), "{text}");
    }
    let text = listen("key = \"/nowhere\"");
    assert!(
        Config::check("f", &text, &Environment::default()).is_ok(),
        "what only reads the rules needs no keys"
    );
    let missing_key = format!("[listen.tls]\ncertificate = {pem:?}\nkey = \"/nowhere\"\n");
    let missing_ca = listen(&format!("key = {pem:?}\nclient-ca = \"/nowhere\""));
    let missing_upstream = upstream(&format!("certificate = {pem:?}\nkey = \"/nowhere\""));
    for (text, line) in [(missing_key, 3), (missing_ca, 4), (missing_upstream, 5)] {
        let problems = Config::check_with_files("f", &text, &Environment::default()).expect_err(&text);
        let problems = problems.to_string();
        assert!(
            problems.contains(&format!("f:{line}:")) && problems.contains("/nowhere cannot be read"),
            "{problems}"
        );
    }
}

#[test]
fn addresses_may_be_unix_sockets() {
    let config = good("[listen]\naddress = \"unix:/run/a.sock\"\nsocket-mode = \"600\"\n");
    assert_eq!(config.server.address, Endpoint::Unix("/run/a.sock".into()));
    assert_eq!(config.server.socket_mode, 0o600);
    let loops = "[upstream]\nurl = \"unix:/run/a.sock\"\n[listen]\naddress = \"unix:/run/a.sock\"";
    let problems = Config::read(Some(("f", loops)), &Overrides::default()).expect_err("a loop").to_string();
    assert!(problems.contains("unix:/run/a.sock: a loop"), "{problems}");
    let long = format!("unix:/{}", "x".repeat(107));
    for (key, text, says) in [
        ("address", "unix:", "without a path"),
        ("address", long.as_str(), "too long for the kernel"),
        ("socket-mode", "0888", "is no mode of a file: `0888`"),
        ("socket-mode", "01777", "is no mode of a file"),
    ] {
        let problems = bad(&format!("[listen]\n{key} = {text:?}"));
        assert!(matches!(&problems[..], [problem] if problem.message.contains(says)), "{problems:?}");
    }
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let nets = |text: &str| good(&format!("[listen]\ntrusted-proxies = {text}")).server.trusted_proxies;
    assert_eq!(nets("[]"), Some(vec![]));
    let read = nets("[\"10.0.0.0/8\", \"::1\"]").expect("two");
    assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    let problems = bad("[listen]\ntrusted-proxies = [\"10.0.0.0/33\", \"proxy\", \"::1\"]");
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn a_service_credential_is_one_authorization_and_is_never_shown() {
    let file = |contents| {
        let file = authorization(contents);
        let text = format!("[probe]\nauthorization-file = {:?}\n", path_of(&file));
        read(&text)
    };
    let config = file("Bearer s3cret\n").expect("a credential");
    assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
    for contents in ["", "\n", "s3cret", "Bearer  ", "Bearer s3cret\nBearer s3cret", "Bearer s3\u{7f}cret"] {
        let problems = match file(contents) {
            Ok(config) => panic!("{contents:?}\n{config:?}"),
            Err(problems) => problems.to_string(),
        };
        assert!(problems.contains("holds no Authorization") && !problems.contains("cret"), "{problems}");
    }
    let problems = bad("[probe]\nauthorization-file = \"/no/such/file\"\n");
    let problems = Problems(problems).to_string();
    assert!(problems.contains("cannot be read"), "{problems}");
}

#[test]
fn a_check_with_files_needs_the_service_credential() {
    let text = "[probe]\nauthorization-file = \"/no/such/file\"\n";
    assert!(Config::check("f.toml", text, &Environment::default()).is_ok());
    assert!(Config::check_with_files("f.toml", text, &Environment::default()).is_err());
    assert!(Config::check("f.toml", "[probe]\nauthorization-file = 1\n", &Environment::default()).is_err());
}

#[test]
fn what_the_upstream_wants_to_hear_is_a_setting_of_it_for_every_resource() {
    assert!(good("").rules.0.iter().all(|rule| !rule.satisfies));
    let config = good("[upstream]\nconditions = \"satisfy\"\n");
    assert!(config.rules.0.iter().all(|rule| rule.satisfies));
}

#[test]
fn replays_are_off_in_the_strict_preset() {
    let windows = |text: &str| -> Vec<u64> {
        good(text).rules.0.iter().map(|rule| rule.replay_window.as_secs()).collect()
    };
    assert_eq!(windows(""), [10; 3]);
    assert_eq!(windows("guard.presets = [\"xapi-strict\"]"), [0; 3]);
    assert_eq!(
        windows("[guard]\nreplay-window = \"3s\"\n[resource.state]\nreplay-window = \"4s\"\n"),
        [4, 3, 3]
    );
}

#[test]
fn the_example_resource_shows_the_values_that_keys_have_when_left_out() {
    let least = "[resource.notes]\npath = \"/api/notes/{id}\"\nidentity = [\"path\"]\n";
    let secret = authorization("Basic dXNlcjpwYXNzd29yZA==");
    let (shown_one, _pem) = examples(&secret);
    let without_writers: String =
        shown_one.lines().filter(|line| !line.starts_with("unconditional")).collect::<Vec<_>>().join("\n");
    let without_writers = without_writers
        .replace("[[resource.notes.when]]\n", "")
        .replace("header = { X-Api-Version = \"1.*\" }", "");
    let shown = Config::read(Some(("f.toml", &without_writers)), &Overrides::default()).expect("it is good");
    assert_eq!(shown_rule(rule(&shown, "notes")), shown_rule(rule(&good(least), "notes")));
}

#[test]
fn a_rule_knows_where_it_was_written() {
    let config = good("[guard]\nmode = \"observe\"\n\n[resource.state]\nmode = \"enforce\"\n");
    assert_eq!(
        (&*rule(&config, "state").source, &*rule(&config, "agent-profile").source),
        ("f.toml:4", "preset xapi")
    );
    let strict = good("guard.presets = [\"xapi-strict\"]");
    assert_eq!(&*rule(&strict, "state").source, "preset xapi-strict");
}

#[test]
fn the_default_file_holds_every_key() {
    let text = with_examples(DEFAULT);
    let default = DeTableKeys::of(&text);
    for section in ["listen", "upstream", "probe", "admin", "log", "guard", "observe", "resource.notes"] {
        let problems = bad(&format!("[{section}]\nnonsense = 1\n"));
        let remedy =
            problems.iter().find(|problem| problem.message.starts_with("unknown key")).expect("unknown");
        let remedy = remedy.remedy.as_deref().expect("a list of keys");
        let mut known: Vec<&str> = remedy.split('`').skip(1).step_by(2).collect();
        known.sort_unstable();
        assert_eq!(known, default.in_section(section), "[{section}]");
    }
}

/// The keys of a text, by section.
struct DeTableKeys(toml::Table);

impl DeTableKeys {
    fn of(text: &str) -> Self {
        Self(text.parse().expect("TOML"))
    }

    fn in_section(&self, section: &str) -> Vec<&str> {
        let table = section.split('.').fold(&self.0, |table, name| table[name].as_table().expect("a table"));
        let mut keys: Vec<&str> = table.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }
}

fn is_key(line: &&str) -> bool {
    line.contains(" = ") && !line.starts_with("# ")
}

#[test]
fn every_key_of_every_embedded_file_has_a_reason() {
    for (name, text) in [("default", DEFAULT)]
        .into_iter()
        .chain(presets::sources().iter().map(|source| ("preset", source.text.as_str())))
    {
        let mut above = "";
        let mut run_explained = false;
        for line in text.lines() {
            if is_key(&line) {
                // A run of lines of one key, as of `unconditional`, shares its reason.
                let same_key = line.split('.').next() == above.split('.').next() && line.contains('.');
                let example = name == "default" && line.starts_with('#');
                run_explained = above.starts_with("# ") || (same_key && run_explained) || example;
                assert!(run_explained, "{name}: {line}");
            }
            above = line;
        }
    }
}

/// Text, what is read from it, and a sentence that names the row.
#[test]
fn what_is_read() {
    type Row = (&'static str, &'static str, fn(&Config) -> String, &'static str);
    let rows: [Row; 32] = [
        (
            "a name of its own",
            "[admin]\nhosts = [\"Staleguard.internal\"]",
            |c| c.admin_hosts.concat(),
            "Staleguard.internal",
        ),
        ("an IPv6 address", "[listen]\naddress = \"[::1]:0\"", |c| c.server.address.to_string(), "[::1]:0"),
        ("one connection", "[listen]\nconnections = 1", |c| c.server.connections.to_string(), "1"),
        (
            "hexadecimal, with underscores",
            "[listen]\nconnections = 0x1_0",
            |c| c.server.connections.to_string(),
            "16",
        ),
        ("the smallest head", "[listen]\nheader-max = \"8KiB\"", |c| c.server.header_max.to_string(), "8192"),
        ("a decimal unit", "[listen]\nheader-max = \"10 kB\"", |c| c.server.header_max.to_string(), "10000"),
        ("a dotted key", "listen.linger = \"250ms\"", |c| format!("{:?}", c.exchange.linger), "250ms"),
        (
            "two units",
            "[listen]\nbody-timeout = \"1min 5s\"",
            |c| format!("{:?}", c.exchange.body_timeout),
            "65s",
        ),
        (
            "a time for everything",
            "[guard]\nexchange-timeout = \"2min\"",
            |c| format!("{:?}", c.exchange.exchange_timeout),
            "120s",
        ),
        ("one write left behind", "[listen]\ndetached-max = 1", |c| c.exchange.detached_max.to_string(), "1"),
        (
            "a short silence in tunnels",
            "[listen]\ntunnel-idle-timeout = \"90s\"",
            |c| format!("{:?}", c.exchange.tunnel_idle_timeout),
            "90s",
        ),
        ("no waiting", "[guard]\nhold-wait = \"0s\"", |c| format!("{:?}", c.holds.wait), "0ns"),
        (
            "no unknown outcome",
            "[upstream]\nunknown-outcome = []",
            |c| format!("{:?}", c.upstream.unknown_outcome),
            "[]",
        ),
        (
            "a target of the largest size",
            "[upstream]\ntarget-max = \"64KiB\"",
            |c| c.upstream.target_max.to_string(),
            "65536",
        ),
        ("exclusive", "[upstream]\nexclusive = true", |c| c.upstream.exclusive.to_string(), "true"),
        (
            "what is recalled for whom",
            "[upstream]\nexclusive = true",
            |c| format!("{:?}", c.recalled.as_ref().expect("it is exclusive")),
            "Settings { recall_max: 60s }",
        ),
        (
            "for whom else",
            "[upstream]\nexclusive = true\n[guard]\nrecall-max = \"0s\"\ncredential-fields = [\"X-Api-Key\"]",
            |c| format!("{:?} {:?}", c.recalled.as_ref().expect("it is exclusive"), c.credential_fields),
            "Settings { recall_max: 0ns } [\"x-api-key\"]",
        ),
        (
            "nothing is recalled where others write too",
            "[guard]\nrecall-max = \"1h\"",
            |c| format!("{:?}", c.recalled),
            "None",
        ),
        (
            "the settle time of holds",
            "[upstream]\nsettle-time = \"1s\"",
            |c| format!("{:?}", c.holds.settle_time),
            "1s",
        ),
        (
            "no logs",
            "[log]\nlevel = \"off\"\naccess = false",
            |c| format!("{:?} {}", c.log_level, c.server.access_log),
            "LevelFilter::OFF false",
        ),
        ("no presets", "[guard]\npresets = []", |c| c.rules.0.len().to_string(), "0"),
        (
            "the strict preset alone",
            "[guard]\npresets = [\"xapi-strict\"]",
            |c| c.rules.0.len().to_string(),
            "3",
        ),
        (
            "both presets",
            "[guard]\npresets = [\"xapi-strict\", \"xapi\"]",
            |c| c.rules.0.len().to_string(),
            "3",
        ),
        (
            "observe for all",
            "[guard]\nmode = \"observe\"",
            |c| format!("{:?}", rule(c, "state").mode),
            "Observe",
        ),
        (
            "a resource's own mode",
            "[guard]\nmode = \"observe\"\n[resource.state]\nmode = \"enforce\"",
            |c| format!("{:?} {:?}", rule(c, "state").mode, rule(c, "agent-profile").mode),
            "Enforce Observe",
        ),
        (
            "a preset's resource key by key",
            "[resource.state]\ndocument-max = \"1MiB\"\nread-back = \"never\"\netag-matching = \"strict\"",
            |c| {
                let rule = rule(c, "state");
                format!("{} {:?} {:?} {:?}", rule.document_max, rule.read_back, rule.matching, rule.etag)
            },
            "1048576 Never Strict Sha1",
        ),
        (
            "tags of what is said and not of how it is written",
            "[resource.state]\netag-of = \"canonical-json\"",
            |c| {
                let (state, profile) = (rule(c, "state"), rule(c, "agent-profile"));
                format!("{:?} {:?} {:?}", state.etag, state.etag_of, profile.etag_of)
            },
            "Sha1 CanonicalJson Contents",
        ),
        (
            "CORS as it came, but for one resource",
            "[guard]\ncors = \"relay\"\n[resource.state]\ncors = \"repair\"",
            |c| format!("{:?} {:?}", rule(c, "state").cors, rule(c, "agent-profile").cors),
            "Repair Relay",
        ),
        (
            "what a missing document looks like",
            "[resource.state]\nabsent = [404, 204, \"empty-200\", \"{}\"]",
            |c| format!("{:?}", rule(c, "state").absent),
            "Absent { statuses: [404, 204], empty: true, empty_object: true }",
        ),
        (
            "a scope written without the question mark",
            "[resource.state]\nscope = [\"activityId\", \"registration\"]",
            |c| format!("{:?}", rule(c, "state").naming.scope[1]),
            "Parameter { name: \"registration\", optional: true }",
        ),
        (
            "one's own rules come first and in order",
            "[resource.z]\npath = \"/z\"\nidentity = [\"path\"]\n[resource.a]\npath = \"/a\"\nidentity = [\"id\"]",
            |c| c.rules.0.iter().map(|rule| rule.name.to_string()).collect::<Vec<_>>().join(" "),
            "z a state agent-profile activity-profile",
        ),
        (
            "a status for each case",
            "[resource.state]\nunconditional.PATCH = { existing = 412, missing = \"forward\" }",
            |c| format!("{:?}", rule(c, "state").unconditional[&Method::PATCH]),
            "Unconditional { existing: Refuse(412), missing: Forward }",
        ),
    ];
    for (name, text, shown, expected) in rows {
        assert_eq!(shown(&good(text)), expected, "{name}");
    }
}

/// One row of `tests/refused.txt`: its name, the file's text, and its one problem as said there.
struct Refused<'a> {
    name: &'a str,
    text: String,
    under: &'a str,
    says: &'a str,
    help: &'a str,
}

impl<'a> Refused<'a> {
    fn parse(row: &'a str) -> Self {
        let (name, rest) = row.split_once('\n').expect("a name, then the text");
        let field = |key: &str| rest.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let text: Vec<&str> = rest.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        Self {
            name,
            text: text.join("\n"),
            under: field("under "),
            says: field("says  "),
            help: field("help  "),
        }
    }
}

#[test]
fn what_is_refused() {
    let rows: Vec<Refused<'_>> =
        include_str!("tests/refused.txt").trim_end().split("\n\n").map(Refused::parse).collect();
    assert!(rows.len() > 80);
    for row in rows {
        let problems = bad(&row.text);
        let [problem] = problems.as_slice() else { panic!("{}: one problem, not {problems:#?}", row.name) };
        let under = match &problem.place {
            Some(Place::File { source, span }) => &source.text[source.shown(span)],
            Some(Place::Flag(flag)) => flag,
            Some(Place::Variable(variable)) => &variable.name,
            None => "",
        };
        assert_eq!((problem.message.as_str(), under), (row.says, row.under), "{}", row.name);
        let help = problem.remedy.as_deref().unwrap_or_default();
        assert!(help.contains(row.help), "{}: {help}", row.name);
    }
}

#[test]
fn upstream_urls() {
    /// A URL, and host and port, or parts of the message and of the remedy.
    type Row = (&'static str, Result<&'static str, (&'static str, &'static str)>);
    let rows: &[Row] = &[
        ("http://127.0.0.1:8000", Ok("127.0.0.1:8000")),
        ("http://127.0.0.1:8000/", Ok("127.0.0.1:8000")),
        ("HTTP://lrs.example", Ok("lrs.example:80")),
        ("http://[::1]:81", Ok("[::1]:81")),
        ("http://my_lrs-1.internal:080", Ok("my_lrs-1.internal:80")),
        ("127.0.0.1:8000", Err(("scheme is missing", "write \"http://127.0.0.1:8000\""))),
        ("localhost", Err(("scheme is missing", "write \"http://localhost\""))),
        ("http:/localhost:1", Err(("scheme is missing", "write \"http://localhost:1\""))),
        ("", Err(("scheme is missing", "write \"http://127.0.0.1:8000\""))),
        ("unix:/run/lrs.sock", Ok("localhost")),
        ("unix:", Err(("a Unix socket without a path", "unix:/run/"))),
        ("https://lrs.example", Ok("lrs.example:443")),
        ("HTTPS://[::1]", Ok("[::1]:443")),
        ("https://-", Err(("no certificate can be for the host", "upstream.tls.server-name"))),
        ("https://lrs.example:8443/xapi", Err(("has a path", "write \"https://lrs.example:8443\""))),
        ("ftp://lrs.example", Err(("scheme that is not supported: `ftp`", "URL with http"))),
        ("http://", Err(("the host is missing", ""))),
        ("http://:80", Err(("the host is missing", ""))),
        ("http://host:", Err(("the port is not a number", ""))),
        ("http://host:0", Err(("the port is not a number", ""))),
        ("http://host:+80", Err(("the port is not a number", ""))),
        ("http://host:99999", Err(("the port is not a number", ""))),
        ("http://::1:8000", Err(("must stand in brackets", "http://[::1]:8000"))),
        ("http://[::1", Err(("bracket is not closed", ""))),
        ("http://[zz]:1", Err(("no IPv6 address in the brackets", ""))),
        ("http://[::1]80", Err(("the port is not a number", ""))),
        ("http://a b", Err(("a character that no host has", ""))),
        ("http://ä.example", Err(("ASCII", ""))),
        ("http://host/xapi", Err(("has a path, and paths go through unchanged", "write \"http://host:80\""))),
        ("http://host?a=b", Err(("has a query", "write \"http://host:80\""))),
        ("http://host/#a", Err(("has a path", ""))),
        ("http://user:secret@host", Err(("holds a user name", ""))),
    ];
    for (url, expected) in rows {
        let overrides = Overrides { upstream: Some((*url).to_owned()), ..Overrides::default() };
        let read = Config::read(None, &overrides);
        match (read, expected) {
            (Ok(config), Ok(authority)) => assert_eq!(config.upstream.authority, *authority, "{url}"),
            (Err(problems), Err((message, remedy))) => {
                let [problem] = problems.0.as_slice() else { panic!("{url}: {problems}") };
                assert!(problem.message.contains(message), "{url}: {problem:?}");
                assert!(
                    problem.remedy.as_deref().is_some_and(|given| given.contains(remedy)),
                    "{url}: {problem:?}"
                );
                assert!(!problems.to_string().contains("secret"), "{url}");
            }
            (read, _) => panic!("{url}: {read:?}"),
        }
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_defaults() {
    let file = "[upstream]\nurl = \"http://file:1\"\n[listen]\naddress = \"127.0.0.1:1\"\n[admin]\naddress = \"127.0.0.1:2\"\n\
        [resource.state]\nmode = \"enforce\"";
    let from_file = Config::read(Some(("f", file)), &Overrides::default()).expect("a configuration");
    assert_eq!(from_file.upstream.authority, "file:1");
    assert_eq!((from_file.server.address.to_string().as_str(), from_file.admin.port()), ("127.0.0.1:1", 2));
    let overrides = Overrides {
        upstream: Some("http://flag:3".to_owned()),
        listen: Some("127.0.0.1:4".to_owned()),
        admin: Some("127.0.0.1:5".to_owned()),
        observe: true,
        ..Overrides::default()
    };
    let from_flags = Config::read(Some(("f", file)), &overrides).expect("a configuration");
    assert_eq!(from_flags.upstream.authority, "flag:3");
    assert_eq!((from_flags.server.address.to_string().as_str(), from_flags.admin.port()), ("127.0.0.1:4", 5));
    assert!(from_flags.rules.0.iter().all(|rule| rule.mode == Mode::Observe));
}

#[test]
fn port_0_never_clashes() {
    let overrides = Overrides {
        listen: Some("127.0.0.1:0".to_owned()),
        admin: Some("127.0.0.1:0".to_owned()),
        ..with_url()
    };
    assert!(Config::read(None, &overrides).is_ok());
}

#[test]
fn only_running_needs_an_upstream() {
    let text = "[listen]\nconnections = 5";
    assert!(Config::check("f", text, &Environment::default()).is_ok());
    let problems = Config::read(Some(("f", text)), &Overrides::default()).expect_err("nobody named it");
    assert_eq!(problems.0.len(), 1);
    assert!(problems.to_string().contains("--upstream http://127.0.0.1:8000"), "{problems}");
    // It is one problem among the others, and none beside a file that could not be read.
    let problems = Config::read(Some(("f", "[listen]\nconnections = 0")), &Overrides::default());
    assert_eq!(problems.expect_err("two problems").0.len(), 2);
    let problems = Config::read(Some(("f", "[listen\n")), &Overrides::default()).expect_err("no TOML");
    assert!(!problems.to_string().contains("no upstream"), "{problems}");
}

#[test]
fn the_presets_say_what_the_standard_says() {
    let (forward, conflict) = (Unconditional::FORWARD, Unconditional::CONFLICT);
    let new_is_400 = Unconditional {
        existing: Treatment::Refuse(StatusCode::CONFLICT),
        missing: Treatment::Refuse(StatusCode::BAD_REQUEST),
    };
    let (xapi, strict) = (good(""), good("[guard]\npresets = [\"xapi-strict\"]"));
    for (resource, old, old_strict) in [
        ("state", forward, forward),
        ("agent-profile", conflict, new_is_400),
        ("activity-profile", conflict, new_is_400),
    ] {
        assert_eq!(gets(rule(&xapi, resource), Method::PUT, None), old, "{resource}");
        assert_eq!(gets(rule(&strict, resource), Method::PUT, None), old_strict, "{resource}, strict");
        for config in [&xapi, &strict] {
            assert_eq!(gets(rule(config, resource), Method::PUT, V2), conflict, "{resource} under 2.x");
            for method in [Method::POST, Method::DELETE] {
                assert_eq!(
                    gets(rule(config, resource), method.clone(), None),
                    forward,
                    "{method} {resource}"
                );
            }
        }
    }
    let naming = &rule(&xapi, "state").naming;
    let required = |name: &str| Part::Parameter { name: name.to_owned(), optional: false };
    assert_eq!(naming.scope, [required("activityId"), required("agent")]);
    assert_eq!(naming.identity.len(), 4);
    assert_eq!(
        (naming.agents.as_slice(), naming.collection.as_slice()),
        (&["agent".to_owned()][..], &[Method::DELETE][..])
    );
    assert_eq!(rule(&xapi, "agent-profile").naming.scope, rule(&xapi, "agent-profile").naming.identity);
}

#[test]
fn an_exception_of_a_preset_never_wins_over_a_line_of_the_user() {
    let (forward, conflict, require) =
        (Unconditional::FORWARD, Unconditional::CONFLICT, Unconditional::REQUIRE);
    let state = |text: &str| rule(&good(&format!("[resource.state]\n{text}")), "state").clone();

    let named = state("unconditional.PUT = \"forward\"");
    assert_eq!(gets(&named, Method::PUT, V2), forward, "the line names PUT");

    let other = state("unconditional.DELETE = \"require\"");
    assert_eq!(gets(&other, Method::PUT, V2), conflict, "the preset still stands for PUT");
    assert_eq!(gets(&other, Method::DELETE, V2), require);

    let design = state(
        "unconditional.PUT = \"conflict\"\n[[resource.state.when]]\n\
         header = { X-Experience-API-Version = \"1.0*\" }\nunconditional.PUT = \"forward\"",
    );
    assert_eq!(gets(&design, Method::PUT, V1), forward);
    assert_eq!(gets(&design, Method::PUT, V2), conflict, "by the line, not by the preset's exception");
    assert_eq!(design.when.len(), 1);

    let only_when =
        state("[[resource.state.when]]\nheader = { X-Tenant = \"a*\" }\nunconditional.PUT = \"require\"");
    assert_eq!(gets(&only_when, Method::PUT, TENANT), require);
    assert_eq!(gets(&only_when, Method::PUT, None), forward, "the preset's line stands");
    assert_eq!(only_when.when.len(), 1, "its exception for PUT is dropped");

    let for_post =
        state("[[resource.state.when]]\nheader = { X-Tenant = \"a*\" }\nunconditional.POST = \"require\"");
    assert_eq!(for_post.when.len(), 2, "exceptions for other methods stay, after the user's");
    assert_eq!(gets(&for_post, Method::POST, TENANT), require);
    assert_eq!(gets(&for_post, Method::PUT, V2), conflict);

    assert!(state("when = []").when.is_empty(), "an empty list drops them all");
}

#[test]
fn what_a_preset_says_is_blamed_on_what_the_user_says() {
    for (text, place) in [
        ("[resource.state]\nidentity = [\"activityId\", \"stateId\"]", "[\"activityId\", \"stateId\"]"),
        ("[resource.state]\nscope = [\"activityId\", \"stateId\"]", "\"stateId\""),
        ("[resource.state]\npath = \"/**/agents/profile\"", "\"/**/agents/profile\""),
        ("[resource.n]\npath = \"/**/agents/profile\"\nidentity = [\"id\"]", "\"/**/agents/profile\""),
        ("resource.n.mode = \"observe\"", "n"),
    ] {
        for problem in bad(text) {
            let Some(Place::File { source, span }) = &problem.place else { panic!("{problem:?}") };
            assert_eq!(
                (source.name.as_str(), &source.text[source.shown(span)]),
                ("f.toml", place),
                "{problem:?}"
            );
        }
    }
}

#[test]
fn every_problem_is_reported_at_once_and_in_order() {
    let text = "[log]\nlevel = 5\n[listen]\nadress = 1\nlinger = 3\n[guard]\npresets = [\"a\", \"b\"]\n[resource.n]\nscope = 1\n";
    let overrides = Overrides { listen: Some("nowhere".to_owned()), ..Overrides::default() };
    let problems = Config::read(Some(("f", text)), &overrides).expect_err("many problems");
    let messages: Vec<&str> = problems.0.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "no upstream is named",
            "it is no IP address with a port: `nowhere`",
            "`log.level` must be a string, and here it is a number",
            "unknown key `adress` in [listen]",
            "`listen.linger` is a number without a unit",
            "`guard.presets` cannot be `a`",
            "`guard.presets` cannot be `b`",
            "`resource.n.path` is missing",
            "`resource.n.identity` is missing",
            "`resource.n.scope` must be a list, and here it is a number",
        ]
    );
}

#[test]
fn a_problem_is_shown_with_its_line_a_caret_and_a_remedy() {
    let text = "# Mine.\n[upstream]\nurl = \"127.0.0.1:8000\"\n\n[listen]\nconections = 10\n";
    let overrides = Overrides { listen: Some("8080".to_owned()), ..Overrides::default() };
    let problems = Config::read(Some(("staleguard.toml", text)), &overrides).expect_err("three problems");
    let expected = r#"error: --listen: it is no IP address with a port: `8080`
help: write "127.0.0.1:8080"

error: `upstream.url` is no URL, since the scheme is missing: `127.0.0.1:8000`
 --> staleguard.toml:3:7
  |
3 | url = "127.0.0.1:8000"
  |       ^^^^^^^^^^^^^^^^
  |
  = help: write "http://127.0.0.1:8000"

error: unknown key `conections` in [listen]
 --> staleguard.toml:6:1
  |
6 | conections = 10
  | ^^^^^^^^^^
  |
  = help: did you mean `connections`? the keys of [listen] are: `address`, `connections`, `header-timeout`, `header-max`, `body-timeout`, `send-timeout`, `linger`, `detached-max`, `tunnel-idle-timeout`, `socket-mode`, `trusted-proxies`, `tls`
"#;
    assert_eq!(problems.to_string(), expected);
    assert!(problems.render(Colours::On).contains("\u{1b}["), "colours are there for those who ask");
}

#[test]
fn a_syntax_error_has_a_line_and_a_caret_too() {
    let problems = Config::check("f.toml", "[listen]\naddress = 127.0.0.1:8080\n", &Environment::default())
        .expect_err("no TOML");
    let shown = problems.to_string();
    assert!(
        shown.contains("error: this is not TOML: ") && shown.contains("2 | address = 127.0.0.1:8080"),
        "{shown}"
    );
}

#[test]
fn odd_texts_are_read() {
    for text in ["\u{feff}[listen]\r\nconnections = 5\r\n", "\r\n", "# only a comment", "listen = {}"] {
        assert!(Config::check("f", text, &Environment::default()).is_ok(), "{text:?}");
    }
    for text in
        ["\u{feff}[listen]\r\nconnections = 0\r\n", "\0", "[", "a.b.c = [[[{", "x = \"\u{1b}[31m\"", "\r"]
    {
        let shown = Config::check("f", text, &Environment::default()).expect_err("a problem").to_string();
        assert!(!shown.contains('\u{1b}'), "{text:?} {shown}");
    }
}

#[test]
fn tables_without_end_are_refused() {
    for text in ["a = ".to_owned() + &"[".repeat(50_000), "[".to_owned() + &"a.".repeat(50_000) + "a]"] {
        assert!(Config::check("f", &text, &Environment::default()).is_err());
    }
}

/// Texts that are nearly the default file: pieces are replaced, doubled or cut.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        ".",
        "\n",
        "#",
        "0",
        "-1",
        "1e9",
        "true",
        "\"\"",
        "ä",
        "99999999999999999999",
        "\u{0}",
        "[resource.x]\n",
        "[[resource.state.when]]\n",
        "\"10\"",
        "inf",
        "1979-05-27",
        "'''",
        "{ a = 1 }",
    ]);
    let edit = (any::<prop::sample::Index>(), 0usize..12, piece);
    prop::collection::vec(edit, 0..6).prop_map(|edits| {
        let mut text: Vec<char> = with_examples(DEFAULT).chars().collect();
        for (at, cut, piece) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

/// Reads and renders: neither may panic, and what is refused says something.
fn survives(text: &str) {
    let overrides = Overrides {
        upstream: Some(text.to_owned()),
        listen: Some(text.to_owned()),
        admin: Some(text.to_owned()),
        observe: false,
        environment: [text, "1", "[]"]
            .into_iter()
            .zip(["LISTEN__LINGER", "RESOURCE__N", "ÄÖ"])
            .map(|(value, key)| (format!("STALEGUARD__{key}").into(), value.into()))
            .collect(),
    };
    let refused = [
        Config::check(text, text, &Environment::default()).err(),
        Config::read(Some(("f", text)), &overrides).err(),
    ];
    for problems in refused.into_iter().flatten() {
        assert!(!problems.is_empty());
        let embedded = |problem: &Problem| problem.place.as_ref().is_some_and(Place::is_embedded);
        assert!(!problems.0.iter().any(embedded), "what the program says about itself is right");
        assert!(problems.render(Colours::Off).starts_with("error: "));
        problems.render(Colours::On);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text: String) {
        survives(&text);
    }

    #[test]
    fn any_text_of_tomls_characters_is_read_without_a_panic(
        text in "([a-z.]{1,3}|\\[{1,2}|\\]{1,2}|[=\\n\"'{},#-]|[0-9]{1,3}| |é|\t|\r\n|\u{1b})*"
    ) {
        survives(&text);
    }

    #[test]
    fn a_mutated_default_file_is_read_without_a_panic(text in mutated()) {
        survives(&text);
    }

    #[test]
    fn any_value_of_any_key_is_read_without_a_panic(
        line in prop::sample::select(DEFAULT.lines().filter(is_key).collect::<Vec<_>>()),
        value in prop::sample::select(vec![
            "1", "-9223372036854775808", "0.5", "nan", "\"\"", "\"x\"", "\"1e999KiB\"", "\"99999999999999years\"", "[]",
            "[[]]", "{}", "{ a = {} }", "true", "1979-05-27T07:32:00Z", "\"[::]:0\"", "\"http://[::]:0\"", "[\"\", 1, {}]",
        ]),
        section in prop::sample::select(vec!["listen", "upstream", "admin", "log", "guard", "resource.state", "resource.n"]),
    ) {
        let key = line.trim_start_matches('#').split(" = ").next().unwrap_or_default();
        survives(&format!("[{section}]\n{key} = {value}\n"));
    }
}
