//! What the environment gives: settings of its own, and parts of the file's strings.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn read_in(variables: &[(&str, &str)], text: &str) -> Result<Config, Problems> {
    let environment = environment(variables);
    Config::read(Some(("f.toml", text)), &Overrides { environment, ..with_url() })
}

fn good_in(variables: &[(&str, &str)], text: &str) -> Config {
    read_in(variables, text).unwrap_or_else(|problems| panic!("{variables:?}\n{text}\n{problems}"))
}

/// What is wrong, each problem as its place and its sentence, and its remedy.
fn bad_in(variables: &[(&str, &str)], text: &str) -> Vec<(String, String)> {
    let Err(problems) = read_in(variables, text) else { panic!("{variables:?}\n{text}") };
    let shown = |problem: &Problem| {
        let place = match &problem.place {
            Some(Place::Variable(source)) => source.name.clone(),
            Some(Place::File { source, span }) => source.text[source.shown(span)].to_owned(),
            place => format!("{place:?}"),
        };
        (format!("{place}: {}", problem.message), problem.remedy.clone().unwrap_or_default())
    };
    problems.0.iter().map(shown).collect()
}

#[test]
fn what_a_variable_gives_is_what_the_file_would_give() {
    let rows = [
        ("LISTEN__ADDRESS", "127.0.0.1:1", "listen.address = \"127.0.0.1:1\""),
        ("LISTEN__ADDRESS", "\"127.0.0.1:1\"", "listen.address = \"127.0.0.1:1\""),
        ("UPSTREAM__SETTLE_TIME", "31s", "upstream.settle-time = \"31s\""),
        ("UPSTREAM__CONNECTIONS", "12", "upstream.connections = 12"),
        ("UPSTREAM__EXCLUSIVE", "true", "upstream.exclusive = true"),
        ("UPSTREAM__UNKNOWN_OUTCOME", "[202, 504]", "upstream.unknown-outcome = [202, 504]"),
        ("ADMIN__HOSTS", "[\"a\", 'b']", "admin.hosts = [\"a\", \"b\"]"),
        ("GUARD__STATE_DIR", "/var/lib/x", "guard.state-dir = \"/var/lib/x\""),
        // A string where a string is wanted, whatever it looks like.
        ("GUARD__STATE_DIR", "17", "guard.state-dir = \"17\""),
        ("GUARD__STATE_DIR", "[]", "guard.state-dir = \"[]\""),
        ("GUARD__PRESETS", "[]", "guard.presets = []"),
        ("LOG__LEVEL", "off", "log.level = \"off\""),
        ("RESOURCE__STATE__MODE", "observe", "resource.state.mode = \"observe\""),
        (
            "RESOURCE__AGENT_PROFILE__ETAG_OF",
            "canonical-json",
            "resource.state = {}\nresource.agent-profile.etag-of = \"canonical-json\"",
        ),
        ("RESOURCE__STATE__ABSENT", "[204, \"{}\"]", "resource.state.absent = [204, \"{}\"]"),
        (
            "RESOURCE__STATE__UNCONDITIONAL",
            "{ PUT = \"conflict\" }",
            "resource.state.unconditional.PUT = \"conflict\"",
        ),
        ("LOG", "{ access = false }", "log.access = false"),
    ];
    let empty = shown(&good(""));
    for (key, value, line) in rows {
        let name = format!("STALEGUARD__{key}");
        let expected = shown(&good(line));
        assert_ne!(expected, empty, "{line} changes something");
        assert_eq!(shown(&good_in(&[(&name, value)], "")), expected, "{key}={value}");
    }
}

#[test]
fn a_resource_of_the_file_is_found_by_its_name() {
    let text = "[resource.My_notes]\npath = \"/notes/{id}\"\nidentity = [\"path\"]\nmode = \"enforce\"\n";
    let config = good_in(&[("STALEGUARD__RESOURCE__MY_NOTES__MODE", "observe")], text);
    assert_eq!(rule(&config, "My_notes").mode, Mode::Observe);
    let twin = format!("{text}[resource.my-notes]\npath = \"/others/{{id}}\"\nidentity = [\"path\"]\n");
    let problems = bad_in(&[("STALEGUARD__RESOURCE__MY_NOTES__MODE", "observe")], &twin);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].0, "STALEGUARD__RESOURCE__MY_NOTES__MODE: it may mean `My_notes` or `my-notes`");
    // Nobody is asked to tell apart what the environment says nothing of.
    good_in(&[("STALEGUARD__RESOURCE__STATE__MODE", "observe")], &twin);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "[upstream]\nurl = \"http://file:1\"\n[listen]\naddress = \"127.0.0.1:1\"\n[admin]\naddress = \"127.0.0.1:2\"";
    let environment = environment(&[
        ("STALEGUARD__UPSTREAM__URL", "http://variable:3"),
        ("STALEGUARD__LISTEN__ADDRESS", "127.0.0.1:3"),
    ]);
    let overrides = Overrides { upstream: Some(URL.to_owned()), environment, ..Overrides::default() };
    let config = Config::read(Some(("f", file)), &overrides).expect("a configuration");
    assert_eq!(config.upstream.authority, "127.0.0.1:8000");
    assert_eq!((config.server.address.to_string().as_str(), config.admin.port()), ("127.0.0.1:3", 2));
    let overrides = Overrides { upstream: None, ..overrides };
    let config = Config::read(Some(("f", file)), &overrides).expect("a configuration");
    assert_eq!(config.upstream.authority, "variable:3");
    let config = Config::read(None, &overrides).expect("no file is needed");
    assert_eq!(config.upstream.authority, "variable:3");
}

#[test]
fn where_the_admin_listener_is_may_stand_in_the_environment() {
    let environment = environment(&[("STALEGUARD__ADMIN__ADDRESS", "127.0.0.1:77"), ("STALEGUARD__X", "1")]);
    let overrides = Overrides { environment, ..Overrides::default() };
    assert_eq!(Config::admin(None, &overrides).expect("an address").address.port(), 77);
    let half = Config::admin(Some(("f", "admin.address = \"127.0.0.1:77${NONE}\"")), &Overrides::default());
    assert!(half.expect_err("half an address").to_string().contains("NONE is not set"));
}

#[test]
fn a_problem_names_its_variable() {
    let rows = [
        ("LISTEN__ADDRESS", "8080", "it is no IP address with a port: `8080`", "write \"127.0.0.1:8080\""),
        ("LISTEN__CONNECTIONS", "0", "it must be at least 1, and here it is 0", "between 1"),
        (
            "LISTEN__CONNECTIONS",
            "5s",
            "it must be a whole number between 1 and 10000000, and here it is a string",
            "",
        ),
        ("LISTEN__LINGER", "5", "it is a number without a unit", "\"5s\""),
        ("LOG__LEVEL", "true", "it cannot be `true`", "`off`"),
        (
            "UPSTREAM__UNKNOWN_OUTCOME",
            "[202, 7]",
            "it holds something that is not the status of an answer",
            "",
        ),
        ("UPSTREAM__UNKNOWN_OUTCOME", "202, 7", "it must be a list, and here it is a string", "[202,"),
        ("ADMIN__HOSTS", "a", "it must be a list, and here it is a string", "hosts = ["),
        ("LOG", "{ acess = true }", "unknown key `acess` in [log]", "`access`"),
        ("LOG", "true", "it must be a table, and here it is true or false", ""),
        (
            "LISTEN__ADRESS",
            "x",
            "there is no setting that it could give",
            "did you mean STALEGUARD__LISTEN__ADDRESS?",
        ),
        (
            "listen__address",
            "x",
            "there is no setting that it could give",
            "did you mean STALEGUARD__LISTEN__ADDRESS?",
        ),
        ("", "x", "there is no setting that it could give", "called like STALEGUARD__UPSTREAM__URL"),
        (
            "RESOURCE__LESSON_PLANS__MODE",
            "observe",
            "there is no setting that it could give",
            "must be in the file",
        ),
        (
            "RESOURCE__STATE__UNCONDITIONAL__PUT",
            "conflict",
            "there is no setting that it could give",
            "STALEGUARD__RESOURCE__STATE__UNCONDITIONAL gives all that stands there",
        ),
    ];
    for (key, value, says, help) in rows {
        let name = format!("STALEGUARD__{key}");
        let problems = bad_in(&[(&name, value)], "");
        let [(said, remedy)] = problems.as_slice() else { panic!("{name}={value}: {problems:?}") };
        assert_eq!(*said, format!("{name}: {says}"));
        assert!(remedy.contains(help), "{name}: {remedy}");
    }
}

#[test]
fn a_problem_of_a_variable_is_shown_as_a_sentence() {
    let environment = environment(&[("STALEGUARD__LISTEN__LINGER", "5")]);
    let problems = Config::check("f", "", &environment).expect_err("no unit");
    let expected =
        "error: STALEGUARD__LISTEN__LINGER: it is a number without a unit\nhelp: write linger = \"5s\"\n";
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn variables_with_one_underscore_are_none_of_ours() {
    let ours = good_in(
        &[("STALEGUARD_MUTANT", "x"), ("STALEGUARD_LISTEN__ADDRESS", "x"), ("XSTALEGUARD__A", "x")],
        "",
    );
    assert_eq!(shown(&ours), shown(&good("")));
}

#[test]
fn resources_of_a_file_that_is_no_toml_are_not_missed() {
    let problems =
        bad_in(&[("STALEGUARD__RESOURCE__NOTES__MODE", "observe"), ("STALEGUARD__A", "")], "[listen\n");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].0.starts_with("STALEGUARD__A: "), "{problems:?}");
}

#[test]
fn what_is_not_utf_8_is_refused_only_where_it_is_asked_for() {
    let odd = OsString::from_vec(vec![0xff]);
    let environment: Environment =
        [("STALEGUARD__LOG__LEVEL".into(), odd.clone()), ("ODD".into(), odd)].into_iter().collect();
    let problems =
        Config::check("f", "admin.hosts = [\"${ODD}\"]", &environment).expect_err("no text").to_string();
    assert!(problems.contains("STALEGUARD__LOG__LEVEL: it is not text in UTF-8"), "{problems}");
    assert!(problems.contains("the variable ODD is not text in UTF-8"), "{problems}");
    assert_eq!(problems.matches("error: ").count(), 2, "{problems}");
}

#[test]
fn the_environment_is_never_shown() {
    assert_eq!(format!("{:?}", environment(&[("A", "s3cret")])), "Environment(1 variables)");
}

#[test]
fn strings_of_the_file_are_filled_in() {
    let variables = [("HOST", "lrs"), ("EMPTY", ""), ("ODD", "$HOST ${HOST} $$ \" ] = #"), ("N", "5")];
    let rows = [
        ("${HOST}", "lrs"),
        ("a-${HOST}.${HOST}", "a-lrs.lrs"),
        ("${NONE:-b}", "b"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-b}", "b"),
        ("${HOST:-b}", "lrs"),
        ("${NONE:-a:-b}", "a:-b"),
        ("$${HOST}", "${HOST}"),
        ("$$", "$"),
        ("$$$${HOST}$$${HOST}", "$${HOST}$lrs"),
        ("$HOST $", "$HOST $"),
        ("ä$ä${N}ä", "ä$ä5ä"),
        // Nothing is filled in twice, and nothing that a variable says is TOML.
        ("${ODD}", "$HOST ${HOST} $$ \" ] = #"),
    ];
    for (written, expected) in rows {
        let config = good_in(&variables, &format!("[guard]\nstate-dir = '{written}'"));
        assert_eq!(config.state_dir.expect("a folder").to_str(), Some(expected), "{written}");
    }
    let config = good_in(&variables, "admin.hosts = [\"${HOST}\", \"\\u0024{HOST}\"]");
    assert_eq!(config.admin_hosts, ["lrs", "lrs"], "what counts is the string as it is read");
    let text = "[[resource.state.when]]\nheader = { X-Tenant = \"${HOST}\" }\nunconditional.PUT = \"${NONE:-require}\"";
    assert_eq!(
        rule(&good_in(&variables, text), "state").when[0].unconditional[&Method::PUT],
        Unconditional::REQUIRE
    );
}

#[test]
fn keys_are_not_filled_in() {
    let problems = bad_in(&[("KEY", "address")], "[listen]\n\"${KEY}\" = \"127.0.0.1:0\"\n");
    assert_eq!(problems[0].0, "\"${KEY}\": unknown key `${KEY}` in [listen]");
}

#[test]
fn flags_and_variables_are_not_filled_in() {
    let variables = [("HOST", "lrs"), ("STALEGUARD__GUARD__STATE_DIR", "/$$/${HOST}")];
    let config = good_in(&variables, "");
    assert_eq!(config.state_dir.expect("a folder").to_str(), Some("/$$/${HOST}"));
    let overrides = Overrides {
        upstream: Some("http://${HOST}".to_owned()),
        environment: environment(&variables),
        ..Overrides::default()
    };
    let problems = Config::read(None, &overrides).expect_err("no host").to_string();
    assert!(problems.contains("a character that no host has"), "{problems}");
}

#[test]
fn what_cannot_be_filled_in_is_refused_with_a_caret_under_it() {
    let rows = [
        ("a ${NONE} b", "${NONE}", "the variable NONE is not set", "${NONE:-default}"),
        ("${LINES}", "${LINES}", "the variable LINES holds a line break", "one line"),
        ("${CR}", "${CR}", "the variable CR holds a line break", "one line"),
        ("a${OPEN", "${OPEN", "`${OPEN` is not closed", "$$"),
        ("${}", "${}", "`${}` names no variable", "${NAME}"),
        ("${A-b}", "${A-b}", "`${A-b}` names no variable", "${NAME:-default}"),
        ("${1A}", "${1A}", "`${1A}` names no variable", ""),
        ("$$ ${NONE:-a}${A B}", "${A B}", "`${A B}` names no variable", ""),
    ];
    for (written, under, says, help) in rows {
        let variables = [("LINES", "a\nb"), ("CR", "a\r")];
        let problems = bad_in(&variables, &format!("[guard]\nstate-dir = \"{written}\""));
        let [(said, remedy)] = problems.as_slice() else { panic!("{written}: {problems:?}") };
        assert_eq!(*said, format!("{under}: {says}"));
        assert!(remedy.contains(help), "{written}: {remedy}");
    }
    let shown = read_in(&[], "[guard]\nstate-dir = \"${NONE} ${NONE}\"").expect_err("not set").to_string();
    assert!(shown.contains("f.toml:2:14") && shown.contains("f.toml:2:22"), "{shown}");
}
