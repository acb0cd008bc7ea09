//! `staleguard what-if`: another configuration decides anew of what is on record.

use std::io::Write;

use crate::support::proxy::{Proxy, config_file, run};
use crate::support::store::{Store, Tags};
use crate::support::xapi::{JSON, V1, V2, agent_profile, state, state_of};

const STALE: (&str, &str) = ("If-Match", "\"0000000000000000000000000000000000000000\"");

/// The table that a configuration gives for these lines, each row's cells by their columns.
fn table(config: &str, lines: &str) -> (Vec<Vec<String>>, String) {
    let config = config_file(config);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(lines.as_bytes()).unwrap();
    let arguments = ["what-if", "--config", config.path().to_str().unwrap(), file.path().to_str().unwrap()];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (rows, rest) = text.split_once("\n\n").unwrap();
    let cells = |row: &str| {
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    (rows.lines().skip(1).map(cells).collect(), rest.to_owned())
}

/// A write: its method, its target and its fields.
type Sent<'a> = (&'a str, String, Vec<(&'a str, &'a str)>);

/// What an observing proxy writes down of these writes.
async fn recorded(store: &Store, writes: &[Sent<'_>]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.jsonl");
    let file = format!("log.decisions-file = {:?}", path.to_str().unwrap());
    let proxy = Proxy::configured(store, &format!("guard.mode = \"observe\"\n{file}"));
    for (method, target, fields) in writes {
        let body = if *method == "DELETE" { "" } else { "{}" };
        proxy.send(method, target, fields, body).await;
    }
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(0));
    std::fs::read_to_string(&path).unwrap()
}

#[tokio::test]
async fn a_changed_rule_decides_anew() {
    let store = Store::with(|knobs| knobs.tags = Tags::Weak);
    let (curl, player) = (("User-Agent", "curl/8"), ("User-Agent", "Storyline/360"));
    store.hold(&agent_profile("a"), "{}");
    let theirs = store.own_tag(&agent_profile("a")).unwrap();
    let writes = [
        // The first creates it, so that the second is over what is there, although nobody asked.
        ("PUT", state("a"), vec![V1, player]),
        ("PUT", state("a"), vec![V1, player]),
        ("PUT", state("a"), vec![V1, player]),
        ("DELETE", state("a"), vec![V1, player]),
        ("PUT", state("a"), vec![V1, player]),
        ("PUT", state_of("x", "a"), vec![V2, curl]),
        ("PUT", agent_profile("a"), vec![V1, JSON, curl]),
        ("PUT", agent_profile("a"), vec![V1, JSON, curl, STALE]),
        ("PUT", agent_profile("a"), vec![V1, JSON, curl, ("If-Match", &theirs)]),
    ];
    let lines = recorded(&store, &writes).await;
    assert_eq!(lines.lines().count(), 9, "{lines}");

    // The same configuration refuses what would have been refused.
    let (rows, rest) = table("", &lines);
    let row = |resource: &str, client: &str, cells: [&str; 5]| {
        let mut row = vec![resource.to_owned(), client.to_owned()];
        row.retain(|cell| !cell.is_empty());
        row.extend(cells.map(str::to_owned));
        row
    };
    assert_eq!(
        rows,
        [
            row("agent-profile", "curl", ["3", "2", "409: 1, 412: 1", "0", "0"]),
            row("state", "Storyline", ["5", "0", "0", "0", "0"]),
            row("state", "curl", ["1", "0", "0", "0", "0"]),
            row("all", "", ["9", "2", "409: 1, 412: 1", "0", "0"]),
        ]
    );
    assert_eq!(rest, "cannot be decided: 0\n");

    let other = "resource.state.unconditional.PUT = \"conflict\"\n\
                 resource.agent-profile.unconditional.PUT = \"forward\"\n";
    let (rows, rest) = table(other, &lines);
    assert_eq!(
        rows,
        [
            row("agent-profile", "curl", ["3", "2", "412: 1", "0", "1"]),
            row("state", "Storyline", ["4", "0", "409: 2", "2", "0"]),
            row("state", "curl", ["1", "0", "0", "0", "0"]),
            row("all", "", ["8", "2", "409: 2, 412: 1", "2", "1"]),
        ]
    );
    assert_eq!(rest, "cannot be decided: 1\n  1  nobody asked what the resource held\n");

    // Strict matching knows no weak tag, and a file without the preset relays.
    let (rows, _) = table("guard.etag-matching = \"strict\"", &lines);
    assert_eq!(rows[0], row("agent-profile", "curl", ["3", "2", "409: 1, 412: 1", "0", "0"]));
    let (rows, _) = table("guard.presets = []", &lines);
    assert_eq!(rows[0], row("agent-profile", "curl", ["3", "2", "0", "0", "2"]));
    let by_tenant =
        "[[resource.state.when]]\nheader = { X-Tenant = \"a\" }\nunconditional.PUT = \"require\"\n";
    let (_, rest) = table(by_tenant, &lines);
    assert!(rest.contains("5  the rule looks at a field that is not recorded"), "{rest}");
}

/// An observed client that was given what is no entity-tag states that; enforced it would have been given ours.
#[tokio::test]
async fn strict_matching_decides_anew_of_what_the_upstream_itself_sends() {
    let store = Store::with(|knobs| knobs.fields.push(("ETag", "t-1")));
    store.hold(&agent_profile("a"), "{}");
    let sent = |tag| ("PUT", agent_profile("a"), vec![V1, JSON, ("If-Match", tag)]);
    let lines = recorded(&store, &[sent("t-1"), sent("\"\"t-1\"\""), sent("t-2")]).await;
    let (rows, rest) = table("", &lines);
    assert_eq!(rows[0][1..], ["-", "3", "1", "412: 1", "0", "0"]);
    let (rows, _) = table("guard.etag-matching = \"strict\"", &lines);
    assert_eq!(
        (&rows[0][1..], rest.as_str()),
        (&["-", "3", "1", "412: 2", "1", "0"].map(str::to_owned)[..], "cannot be decided: 0\n")
    );
}

#[tokio::test]
async fn replays_and_aliases_stay_what_they_were() {
    let store = Store::with(|knobs| knobs.reserialises = true);
    store.hold(&state("a"), "[]");
    let tag = crate::support::sha1_tag("[]");
    let alias = crate::support::sha1_tag("{}");
    let stated = vec![V1, JSON, ("If-Match", tag.as_str())];
    let writes = [
        ("PUT", state("a"), stated.clone()),
        ("PUT", state("a"), stated),
        ("PUT", state("a"), vec![V1, JSON, ("If-Match", alias.as_str())]),
    ];
    let lines = recorded(&store, &writes).await;
    assert!(lines.contains("\"replay\""), "{lines}");
    let (rows, _) = table("", &lines);
    assert_eq!(rows[0][1..], ["-", "3", "0", "0", "0", "0"]);
    let (rows, _) = table("guard.replay-window = \"0s\"", &lines);
    assert_eq!(rows[0][1..], ["-", "3", "0", "412: 1", "1", "0"]);
}

#[tokio::test]
async fn broken_lines_are_counted_and_stop_nothing() {
    let store = Store::start();
    let good = recorded(&store, &[("PUT", state("a"), vec![V1])]).await;
    let long = "x".repeat(200_000);
    let many = format!("{long}\n\n{{\n{good}{{\"time\":1}}\nnull\n{good}{}", &good[..good.len() / 2]);
    let (rows, rest) = table("", &many);
    assert_eq!(rows.last().unwrap()[1], "2");
    assert_eq!(rest, "cannot be decided: 5\n  5  a line that is no record\n");
    let (rows, _) = table("", "");
    assert_eq!(rows.len(), 1);
}

/// An access log, or the page's answer as a whole, is not taken for decisions without writes.
#[test]
fn a_file_without_any_record_is_a_wrong_one() {
    let good = config_file("[listen]\n");
    for contents in
        ["{\"time\":\"x\",\"method\":\"PUT\",\"status\":204}\n", "{\"decisions\":[]}\n", "x\n\ny\n"]
    {
        let wrong = config_file(contents);
        let paths = [good.path(), wrong.path()].map(|path| path.to_str().unwrap());
        let output = run(&["what-if", "--config", paths[0], paths[1]]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(output.stdout.is_empty() && said.contains("log.decisions-file"), "{said}");
    }
}

#[test]
fn the_exit_code_says_what_was_wrong() {
    let bad = config_file("[listen]\nlinger = 5\n");
    let good = config_file("[listen]\n");
    let bad = run(&["what-if", "--config", bad.path().to_str().unwrap(), "/dev/null"]);
    assert_eq!(bad.status.code(), Some(78));
    let nothing = run(&["what-if", "--config", good.path().to_str().unwrap(), "/no/such/file"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert_eq!(run(&["what-if", "/dev/null"]).status.code(), Some(2));
}
