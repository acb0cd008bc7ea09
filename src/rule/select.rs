//! *Select*: which rule stands for a request?

use std::sync::Arc;

use http::request::Parts;

use super::Rule;
use super::identity::Part;
use super::pattern::{Loose, Segments};
use super::reading::{TooMany, is_plain, readings};

/// The rules of a configuration. Of those that fit a path, the one that leaves the least open stands for it, and the
/// earlier one where two leave the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<Arc<Rule>>);

/// What a request's path selects.
#[derive(Debug)]
pub enum Selection<'a> {
    /// No rule: the request is relayed untouched.
    Relay,
    /// This rule.
    Guarded(&'a Arc<Rule>),
    /// A spelling that some server would fold into a guarded path, and another would not: refused with 400.
    Ambiguous(&'a Arc<Rule>, String),
}

impl Rules {
    /// Finds the rule for a request by its path.
    ///
    /// The path as it is written decides, unless some server could read it as another guarded path.
    pub fn select(&self, request: &Parts) -> Selection<'_> {
        let path = request.uri.path();
        let written = Segments::of(path.as_bytes());
        let fits = |rule: &Rule| written.as_ref().and_then(|path| rule.pattern.fits(path));
        let exact = self.least_open(|rule| fits(rule).is_some()).map(|rule| (rule, fits(rule)));
        let mistaken = if is_plain(path) {
            self.mistaken(exact, path.as_bytes())
        } else {
            match readings(path) {
                Ok(readings) => readings.iter().find_map(|reading| self.mistaken(exact, reading)),
                Err(TooMany) => exact.map(|(rule, _)| rule).or(self.0.first()),
            }
        };
        match (mistaken, exact) {
            (Some(rule), _) => Selection::Ambiguous(rule, ambiguous(rule)),
            (None, Some((rule, _))) => Selection::Guarded(rule),
            (None, None) => Selection::Relay,
        }
    }

    /// The rule for which some server would mistake the path in this reading, when it is not the one that fits exactly, of
    /// which it is known how many segments it leaves open.
    ///
    /// Where segments of the path name the document, a reading in which there are more of them or fewer, or none, is
    /// another document, so that even the exact rule can be mistaken.
    fn mistaken<'a>(
        &'a self,
        exact: Option<(&'a Arc<Rule>, Option<usize>)>,
        reading: &[u8],
    ) -> Option<&'a Arc<Rule>> {
        let loose = Loose::of(reading);
        let fits = |rule: &Rule| loose.as_ref().and_then(|reading| rule.pattern.fits_folded(reading));
        let read = self.least_open(|rule| fits(rule).is_some());
        let Some((exact, open_as_written)) = exact else { return read };
        let open = fits(exact);
        let is_closer =
            |read: &Arc<Rule>| open.is_none() || read.pattern.openness() < exact.pattern.openness();
        if let Some(closer) = read.filter(|read| is_closer(read)) {
            return Some(closer);
        }
        let path_names_the_document = exact.naming.identity.contains(&Part::Path);
        (path_names_the_document && open != open_as_written).then_some(exact)
    }

    fn least_open(&self, fits: impl Fn(&Rule) -> bool) -> Option<&Arc<Rule>> {
        self.0.iter().filter(|rule| fits(rule)).min_by_key(|rule| rule.pattern.openness())
    }
}

fn ambiguous(rule: &Rule) -> String {
    format!(
        "Some servers would read this path as one of the guarded resource \"{}\", and others would not. \
         Send it in its plain form: without encoded letters, slashes and dots, without //, /./, /../, \\ and ;, \
         without a slash or a format at its end, and in the letter case of the resource.",
        rule.name
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use http::{Request, Uri};
    use proptest::prelude::*;

    use super::super::identity::Naming;
    use super::super::pattern::Pattern;
    use super::*;
    use crate::fingerprint::{Algorithm, Subject};
    use crate::guard::policy::Mode;
    use crate::guard::settle::ReadBack;
    use crate::semantics::cors::Cors;
    use crate::semantics::preconditions::Matching;
    use crate::semantics::representation::Absent;

    fn rule(name: &str, path: &str, identity: Part) -> Arc<Rule> {
        Arc::new(Rule {
            name: name.into(),
            source: "f.toml:1".into(),
            pattern: Pattern::parse(path).expect("a pattern"),
            naming: Naming { identity: vec![identity], scope: vec![], agents: vec![], collection: vec![] },
            mode: Mode::Enforce,
            etag: Algorithm::Xxh3,
            etag_of: Subject::Contents,
            matching: Matching::Lenient,
            read_back: ReadBack::Never,
            replay_window: Duration::ZERO,
            satisfies: false,
            cors: Cors::Repair,
            absent: Absent { statuses: vec![], empty: false, empty_object: false },
            document_max: 1,
            xapi: false,
            unconditional: HashMap::new(),
            when: vec![],
        })
    }

    fn by_parameter() -> Part {
        Part::Parameter { name: "id".to_owned(), optional: false }
    }

    fn rules() -> Rules {
        Rules(vec![
            rule("state", "/**/activities/state", by_parameter()),
            rule("activity-profile", "/**/activities/profile", by_parameter()),
            rule("page", "/api/{kind}/{id}", Part::Path),
            rule("note", "/api/notes/{id}", Part::Path),
            rule("file", "/files/**", Part::Path),
        ])
    }

    fn request(target: &str) -> Parts {
        let target: Uri = target.parse().unwrap_or_else(|_| panic!("{target} is a target"));
        Request::get(target).body(()).expect("a request").into_parts().0
    }

    /// What a path selects: a rule's name, behind a question mark where it is ambiguous.
    fn selected(path: &str) -> String {
        match rules().select(&request(path)) {
            Selection::Relay => "relay".to_owned(),
            Selection::Guarded(rule) => rule.name.to_string(),
            Selection::Ambiguous(rule, text) => {
                assert!(text.contains(&*rule.name));
                format!("?{}", rule.name)
            }
        }
    }

    #[test]
    fn paths_and_what_they_select() {
        for (path, expected) in [
            ("/activities/state", "state"),
            ("/xapi/activities/state", "state"),
            ("/data/xAPI/activities/state?stateId=a", "state"),
            ("http://lrs.example/xapi/activities/state", "state"),
            ("/xapi/activities/profile", "activity-profile"),
            ("/xapi//activities/state", "state"),
            ("/x/%2e%2e/activities/state", "state"),
            ("/x;v=1/activities/state", "state"),
            ("/x/..;/activities/state", "state"),
            ("/a%20b/activities/state", "state"),
            ("/", "relay"),
            ("*", "relay"),
            ("/activities", "relay"),
            ("/xapi/activities?activityId=a", "relay"),
            ("/xapi/statements", "relay"),
            ("/xapi/activities/states", "relay"),
            ("/xapi/activities/state/5", "relay"),
            ("/xapi/activities/state/%35", "relay"),
            ("/xapi/activities/state/..;/x", "relay"),
            ("/xapi/my%20activities/state", "relay"),
            ("/a%20b//c;d/../e", "relay"),
            ("/api/notes/5", "note"),
            ("/api/notes/a%20b", "note"),
            ("/api/notes/a.b", "note"),
            ("/api/notes/a;v=1", "note"),
            ("/api/pages/5", "page"),
            ("/api/notes", "relay"),
            ("/files/a/b", "file"),
        ] {
            assert_eq!(selected(path), expected, "{path}");
        }
    }

    #[test]
    fn spellings_that_some_server_folds_are_refused() {
        for path in [
            "/activities%2Fstate",
            "/activities%2fstate",
            "/activities%252Fstate",
            "/activities%255Cstate",
            "/activities/%73tate",
            "/activities/%2573tate",
            "/activities/%u0073tate",
            "/%61ctivities/state",
            "/Activities/State",
            "/ACTIVITIES/STATE",
            "/activities//state",
            "/activities/./state",
            "/activities/x/../state",
            "/activities/x/%2e%2e/state",
            "/activities/x/..;a/state",
            "/activities/x%2F../state",
            "/activities/x%2Fy/../state",
            "/activities/x//../state",
            "/activities/profile/../state",
            "/activities/state/",
            "/activities/state//",
            "/activities/state/.",
            "/activities/state/x/..",
            "/activities/state;jsessionid=1",
            "/activities;a/state",
            "/activities/state%3Ba",
            "/activities/state%00",
            "/activities/state%00/x",
            "/activities/st%00ate",
            "/activities/state%20",
            "/activities/state/%20",
            "/activities/state+",
            "/activities/state%0A",
            "/activities/state%C2%A0",
            "/activities/state%3Fx",
            "/activities/state%23x",
            "/activities\\state",
            "/activities%5Cstate",
            "/activities%C0%AFstate",
            "/activities/%C1%B3tate",
            "/activities/st%FFate",
            "/activities/\u{17f}tate",
            "/activities/%EF%BD%93tate",
            "/activities/state.",
            "/activities/state.json",
            "/activities/state.json/",
            "/activities./state",
        ] {
            assert_eq!(selected(path), "?state", "{path}");
            assert_eq!(selected(&format!("/data/xAPI{path}")), "?state", "{path} below a base path");
        }
    }

    #[test]
    fn a_path_is_refused_that_a_server_may_take_for_another_document() {
        for (path, expected) in [
            ("/api/notes/a%2Fb", "?note"),
            ("/api/notes/a%252Fb", "?note"),
            ("/api/notes/a%5Cb", "?note"),
            ("/api/notes/..", "?note"),
            ("/api/notes/%2e%2e", "?note"),
            ("/api/notes/%2e", "?note"),
            ("/api/notes/;a", "?note"),
            ("/api/notes/5/../6", "?note"),
            ("/api/notes/5/", "?note"),
            ("/api/Notes/5", "?note"),
            ("/api/note%73/5", "?note"),
            ("/api/pages%2F5", "?page"),
            ("/files/a//b", "?file"),
            ("/files/a/", "?file"),
            ("/files/a/../b", "?file"),
            ("/activities/state%00/activities/profile", "?state"),
            ("/files/activities/State", "?state"),
        ] {
            assert_eq!(selected(path), expected, "{path}");
        }
    }

    #[test]
    fn rules_that_differ_in_letter_case_each_stand_for_their_path() {
        let rules =
            Rules(vec![rule("upper", "/Notes", by_parameter()), rule("lower", "/notes", by_parameter())]);
        for (path, name) in [("/Notes", "upper"), ("/notes", "lower")] {
            let request = request(path);
            let Selection::Guarded(rule) = rules.select(&request) else { panic!("{path} is guarded") };
            assert_eq!(&*rule.name, name);
        }
    }

    #[test]
    fn a_path_with_too_many_readings_is_refused() {
        assert_eq!(selected(&format!("/%{}41", "25".repeat(500))), "?state");
    }

    #[test]
    fn without_rules_everything_is_relayed() {
        for path in ["/a", "/%2e%2e;//"] {
            assert!(matches!(Rules::default().select(&request(path)), Selection::Relay));
        }
    }

    /// One thing that a client may do to a path, and that some server undoes.
    fn disguise(path: &str, (kind, place): (u8, usize)) -> String {
        let pick = |wanted: fn(char) -> bool| {
            let places: Vec<usize> =
                path.char_indices().filter(|(_, c)| wanted(*c)).map(|(at, _)| at).collect();
            path.split_at(places[place % places.len()])
        };
        let (before, after) = pick(|character| character == '/');
        let (head, tail) = pick(|character| character.is_ascii_alphanumeric());
        match kind {
            0 => format!("{before}/{after}"),
            1 => format!("{before}/.{after}"),
            2 => format!("{before}/x/..{after}"),
            3 if !before.is_empty() => format!("{before};a=b{after}"),
            4 if !before.is_empty() => format!("{before}%2f{}", &after[1..]),
            5 if !before.is_empty() => format!("{before}\\{}", &after[1..]),
            6 => format!("{head}%{:02X}{}", tail.as_bytes()[0], &tail[1..]),
            7 => path.replace('%', "%25"),
            8 if !path.contains('%') => format!("{head}{}{}", tail[..1].to_uppercase(), &tail[1..]),
            9 => format!("{path}/"),
            10 => format!("{path}%00"),
            11 => format!("{path};v=1"),
            12 => format!("{path}%20"),
            _ => path.to_owned(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn no_disguise_of_a_guarded_path_is_relayed(
            guarded in prop::sample::select(vec![
                "/activities/state", "/xapi/activities/profile", "/api/notes/abc", "/api/pages/7", "/files/a/b",
            ]),
            disguises in prop::collection::vec((0u8..13, 0usize..100), 0..5),
        ) {
            let path = disguises.into_iter().fold(guarded.to_owned(), |path, d| disguise(&path, d));
            prop_assert_ne!(selected(&path), "relay", "{}", path);
        }

        #[test]
        fn any_path_is_selected_without_a_panic(path in "/\\PC{0,40}") {
            if let Ok(target) = path.parse::<Uri>() {
                rules().select(&request(&target.to_string()));
            }
        }
    }
}
