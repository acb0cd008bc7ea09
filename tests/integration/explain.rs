//! `staleguard explain`: what would become of a request, in words.

use crate::support::proxy::{config_file, run};
use crate::support::xapi::{agent_profile, state, state_ids};

const CONFIG: &str = "[resource.state]\nunconditional.PUT = \"conflict\"\n[resource.notes]\npath = \"/n/{id}\"\n\
                      identity = [\"path\"]\nmode = \"observe\"\nunconditional.PUT = \"require\"\n";

/// What is said of a request; it must end well.
fn explained(arguments: &[&str]) -> String {
    let file = config_file(CONFIG);
    let path = file.path().to_str().unwrap();
    let output = run(&[&["explain", "--config", path], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn says(arguments: &[&str], words: &[&str]) {
    let text = explained(arguments);
    for word in words {
        assert!(text.contains(word), "{word:?} is not in\n{text}");
    }
}

#[test]
fn a_write_is_explained_from_its_rule_to_its_verdict() {
    let text = explained(&["PUT", &state("a")]);
    assert!(text.contains("state (") && text.contains(".toml:1)"), "{text}");
    for words in [
        "activityId (scope): http://example.com/course",
        "agent (scope): mbox mailto:learner@example.com",
        "registration: -",
        "stateId: a",
        "no precondition",
        "over a document: 409; where there is none: forward",
        "if missing",
        "409, precondition-missing",
        "set the \"If-Match\" header",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
    says(&["PUT", &agent_profile("a")], &["preset xapi", "409, precondition-missing"]);
    says(&["DELETE", &state_ids()], &["all documents of the scope", "asks          nobody"]);
    says(&["POST", &state("a")], &["verdict       forward"]);
}

#[test]
fn preconditions_are_explained_as_they_were_understood() {
    let hex = "aa".repeat(20);
    let stated = format!("If-Match: W/{hex}-gzip");
    let text = explained(&["PUT", &state("a"), "-H", &stated, "--current", &hex]);
    assert!(text.contains("forward (repaired: unquoted, weak, coding-suffix)"), "{text}");
    assert!(!text.contains("if missing"), "{text}");
    says(&["PUT", &state("a"), "-H", &stated, "--current", "missing"], &["412, if-match-failed"]);
    let every_case = ["if missing", "as stated", "if any other entity-tag"];
    says(&["PUT", &state("a"), "-H", "If-Match: \"x\""], &every_case);
    // The texts stand in one column, behind the longest name.
    let text = explained(&["PUT", &state("a"), "-H", "If-Match: \"x\""]);
    let column = text.lines().find_map(|line| line.find("refused: 412")).expect("a verdict");
    assert!(text.lines().all(|line| line.as_bytes()[column - 1] == b' '), "{text}");
    says(&["PUT", &state("a"), "-H", "If-None-Match: *", "--current", "x"], &["412, if-none-match-failed"]);
    says(
        &["PUT", &state("a"), "-H", "If-Match: \"open"],
        &["cannot be understood", "412, malformed-precondition"],
    );
    says(&["GET", &state("a"), "-H", "If-None-Match: \"x\"", "--current", "x"], &["304"]);
}

#[test]
fn what_is_not_judged_is_explained_too() {
    says(&["PUT", "/xapi/statements"], &["no rule: relayed untouched"]);
    says(&["PUT", "/xapi//activities//state"], &["refused: 400", "plain form"]);
    says(&["put", &state("a")], &["refused: 400", "send PUT"]);
    says(&["PUT", &format!("{}&stateId=b", state("a"))], &["refused: 400"]);
    says(&["PUT", &state("a"), "-H", "X-HTTP-Method-Override: GET"], &["refused: 400"]);
    says(&["PUT", &state_ids()], &["not named", "stateId", "never forwarded"]);
    says(&["PUT", "/n/5"], &["notes (", "observe", "would be refused: 428", "path (scope): 5"]);
    says(&["OPTIONS", "/n/5"], &["relayed"]);
    let (path, query) =
        state("a").split_once('?').map(|(path, query)| (path.to_owned(), query.to_owned())).unwrap();
    let wrapped = format!("{path}?method=PUT");
    says(&["POST", &wrapped], &["alternate syntax", "--form"]);
    let form = ["POST", &wrapped, "--form", &query];
    says(&form, &["plain", "stateId: a", "409, precondition-missing"]);
    says(&["POST", &wrapped, "--form", "a=%"], &["refused: 400"]);
}

#[test]
fn the_exit_code_says_what_was_wrong() {
    let good = config_file(CONFIG);
    let bad = config_file("[listen]\nlinger = 5\n");
    let (good, bad) = (good.path().to_str().unwrap(), bad.path().to_str().unwrap());
    for (config, arguments, code, words) in [
        (bad, &["PUT", "/"][..], 78, "listen.linger"),
        (good, &["PUT", "not a target"], 2, "is no target"),
        (good, &["P T", "/"], 2, "is no method"),
        (good, &["PUT", "/", "-H", "nothing"], 2, "is no field"),
        (good, &["PUT", "/", "--current", "W/\"a\""], 2, "is no strong entity-tag"),
        (good, &["PUT"], 2, "TARGET"),
    ] {
        let output = run(&[&["explain", "--config", config], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {said}");
        assert!(said.contains(words), "{said}");
    }
}
