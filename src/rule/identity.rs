//! *Identify*: the document that a request names, and what is held for it.

use std::borrow::Cow;

use http::Method;
use http::request::Parts;
use smallvec::{SmallVec, smallvec};

use super::Rule;
use super::fold::folded;
use super::method_override;
use super::query::{Parameters, decoded_segment};
use crate::resource::{ResourceKey, Scope};
use crate::semantics::fields::XAPI_VERSION;
use crate::xapi::agent::{Agent, AgentProblem};

/// What names a document of a rule, and what of it makes the scope of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The parts that name a document, in their order.
    pub identity: Vec<Part>,
    /// The parts that make the scope, each one of `identity`.
    pub scope: Vec<Part>,
    /// Query parameters that hold an xAPI Agent as JSON: the agent's one identifier is what counts.
    pub agents: Vec<String>,
    /// Methods that may leave out the last part of `identity`: they then address the collection, which is all
    /// documents of the scope. (DELETE of xAPI State without stateId; Communication §2.3.)
    pub collection: Vec<Method>,
}

/// One part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The segments of the path that the pattern leaves open.
    Path,
    /// A query parameter.
    Parameter {
        /// Its name, exactly.
        name: String,
        /// Whether it may be absent, written `name?`.
        optional: bool,
    },
}

/// The document that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The document, exactly.
    pub key: ResourceKey,
    /// What is held for it.
    pub scope: Scope,
    /// True when it is the collection: all documents of the scope, which a GET shows as a list of ids.
    pub is_collection: bool,
    /// Whether the target's query holds nothing but what names the document. Anything else may ask for a part of it, or
    /// for another form of it.
    pub is_plain: bool,
}

/// Why a request names no document. The texts are for clients and never quote the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unidentified {
    /// Two servers could read it differently, so it is refused here with 400.
    Ambiguous(String),
    /// Something that names the document is absent or malformed; the upstream owes the client an answer.
    Unnamed(String),
}

/// Formats that frameworks accept behind a name in a path, as in `/notes/5.json`, and route to the same document.
const FORMATS: [&str; 8] = ["json", "xml", "html", "htm", "txt", "csv", "yaml", "yml"];

/// A part of a name that must be a UUID on xAPI's resources, where letter case does not count (RFC 9562 §4).
const REGISTRATION: &str = "registration";

/// What one part of a name says.
struct Named<'r> {
    part: &'r Part,
    /// What names the document, exactly; `None` is what the target left out.
    key: Texts<Option<Cow<'r, str>>>,
    /// The same, as the loosest server would compare it.
    scope: Texts<Cow<'r, str>>,
}

/// As many as an agent has; a parameter has one, and a path some.
type Texts<T> = SmallVec<[T; 3]>;

/// Names the document of a request to a guarded resource.
///
/// The target alone does: it is refused where two servers could read it differently.
pub fn identify(rule: &Rule, request: &Parts) -> Result<Identity, Unidentified> {
    let query = Parameters::read(request.uri.query().unwrap_or_default())?;
    query.refuse_aliases(known_parameters(&rule.naming))?;
    if let Some(text) = method_override::refusal(&request.headers, &query, rule.xapi) {
        return Err(Unidentified::Ambiguous(text.to_owned()));
    }
    if rule.xapi && request.headers.get_all(XAPI_VERSION).iter().count() > 1 {
        return Err(Unidentified::Ambiguous("X-Experience-API-Version is given more than once.".to_owned()));
    }
    let parts: SmallVec<[Named<'_>; 4]> = (rule.naming.identity.iter())
        .map(|part| match part {
            Part::Path => named_by_path(rule, part, request.uri.path()),
            Part::Parameter { name, optional } => match query.value(name) {
                Some(value) => named_by_value(rule, part, name, value),
                None if *optional || addresses_collection(rule, part, request) => Ok(Named::absent(part)),
                None => Err(Unidentified::Unnamed(format!("The query parameter \"{name}\" is missing."))),
            },
        })
        .collect::<Result<_, _>>()?;
    let is_collection = rule.naming.identity.last().is_some_and(|last| match last {
        Part::Parameter { name, optional: false } => query.value(name).is_none(),
        Part::Parameter { .. } | Part::Path => false,
    });
    let is_plain = query.names().all(|name| known_parameters(&rule.naming).any(|known| known == name));
    Ok(identity(rule, &parts, is_collection, is_plain))
}

/// A method override inside a body: some frameworks execute another method than the one of the request line.
///
/// The body is asked for only when it is a form or JSON.
pub fn overridden_in_body<B: AsRef<[u8]>>(request: &Parts, body: impl Fn() -> B) -> bool {
    method_override::is_in_body(&request.method, &request.headers, body)
}

fn identity(rule: &Rule, parts: &[Named<'_>], is_collection: bool, is_plain: bool) -> Identity {
    let key = parts.iter().flat_map(|named| named.key.iter().map(Option::as_deref));
    let in_scope = (rule.naming.scope.iter()).flat_map(|part| parts.iter().find(|named| named.part == part));
    let scope = in_scope.flat_map(|named| named.scope.iter().map(Cow::as_ref));
    let (key, scope) = (ResourceKey::new(&rule.name, key), Scope::new(&rule.name, scope));
    Identity { key, scope, is_collection, is_plain }
}

/// The query parameters that name something for a rule.
fn known_parameters(naming: &Naming) -> impl Iterator<Item = &str> {
    let of_identity = || {
        naming.identity.iter().filter_map(|part| match part {
            Part::Path => None,
            Part::Parameter { name, .. } => Some(name.as_str()),
        })
    };
    let agents = naming.agents.iter().map(String::as_str);
    of_identity().chain(agents.filter(move |agent| !of_identity().any(|name| name == *agent)))
}

/// Whether a request that leaves out this part means all documents of the scope.
fn addresses_collection(rule: &Rule, part: &Part, request: &Parts) -> bool {
    let is_last = rule.naming.identity.last() == Some(part);
    is_last && !rule.naming.scope.contains(part) && rule.naming.collection.contains(&request.method)
}

fn named_by_path<'r>(rule: &Rule, part: &'r Part, path: &'r str) -> Result<Named<'r>, Unidentified> {
    let segments = rule
        .pattern
        .captured(path)
        .ok_or_else(|| Unidentified::Unnamed("The path is not one of this resource.".to_owned()))?;
    let mut named = Named { part, key: Texts::new(), scope: Texts::new() };
    for segment in segments {
        let text = decoded_segment(segment)?;
        named.scope.push(folded_segment(&text).into());
        named.key.push(Some(text));
    }
    Ok(named)
}

fn named_by_value<'r>(
    rule: &Rule,
    part: &'r Part,
    name: &str,
    value: &'r str,
) -> Result<Named<'r>, Unidentified> {
    if rule.naming.agents.iter().any(|agent| agent == name) {
        let agent = Agent::parse(value).map_err(|problem| not_an_agent(name, value, problem))?;
        let key = agent.key().map(|text| Some(Cow::Owned(text.to_owned())));
        let scope = agent.scope().map(|text| Cow::Owned(folded(&text).into_owned()));
        return Ok(Named { part, key: key.into(), scope: scope.into() });
    }
    let mut exact = Cow::Borrowed(value);
    if rule.xapi && name == REGISTRATION {
        if !is_uuid(value) {
            return Err(Unidentified::Unnamed(format!("The query parameter \"{name}\" is not a UUID.")));
        }
        exact = value.to_ascii_lowercase().into();
    }
    if value.is_empty() && !may_be_empty(rule, part) {
        return Err(Unidentified::Unnamed(format!("The query parameter \"{name}\" is empty.")));
    }
    Ok(Named { part, key: smallvec![Some(exact)], scope: smallvec![folded(value)] })
}

/// Whether an empty value names something: what xAPI calls an id does (stateId, profileId; each the last part), and of
/// what may be absent an empty value says no more than its absence.
fn may_be_empty(rule: &Rule, part: &Part) -> bool {
    let is_optional = matches!(part, Part::Parameter { optional: true, .. });
    is_optional || (rule.xapi && rule.naming.identity.last() == Some(part))
}

fn not_an_agent(name: &str, value: &str, problem: AgentProblem) -> Unidentified {
    let text = format!("The query parameter \"{name}\" names no agent: it {problem}.");
    if problem.is_ambiguous() && !value.is_empty() {
        Unidentified::Ambiguous(text)
    } else {
        Unidentified::Unnamed(text)
    }
}

/// A decoded segment as the loosest server would compare it: without what stands behind `;`, `?`, `#` and NUL, and
/// without a format that frameworks route to the same document.
fn folded_segment(text: &str) -> String {
    let text = folded(text.split('\0').next().unwrap_or_default());
    let text = text.split([';', '?', '#']).next().unwrap_or_default().trim_end_matches([' ', '.']);
    match text.rsplit_once('.') {
        Some((name, format)) if !name.is_empty() && FORMATS.contains(&format) => name.to_owned(),
        _ => text.to_owned(),
    }
}

/// 8-4-4-4-12 hexadecimal digits (RFC 9562 §4).
fn is_uuid(text: &str) -> bool {
    let groups = || text.split('-');
    groups().map(str::len).eq([8, 4, 4, 4, 12])
        && groups().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl<'r> Named<'r> {
    fn absent(part: &'r Part) -> Self {
        // The scope of what is empty, since some servers take the one for the other.
        Self { part, key: smallvec![None], scope: smallvec![Cow::Borrowed("")] }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use http::{Request, Uri};
    use proptest::prelude::*;

    use super::super::pattern::Pattern;
    use super::*;
    use crate::fingerprint::{Algorithm, Subject};
    use crate::guard::policy::Mode;
    use crate::guard::settle::ReadBack;
    use crate::semantics::cors::Cors;
    use crate::semantics::preconditions::Matching;
    use crate::semantics::representation::Absent;

    const BOB: &str = r#"{"mbox":"mailto:bob@example.com"}"#;
    const EVE: &str = r#"{"mbox":"mailto:eve@example.com"}"#;
    const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn rule(name: &str, path: &str, identity: &[&str], scope: &[&str]) -> Rule {
        let part = |text: &&str| match *text {
            "path" => Part::Path,
            text => {
                Part::Parameter { name: text.trim_end_matches('?').to_owned(), optional: text.ends_with('?') }
            }
        };
        Rule {
            name: name.into(),
            source: "f.toml:1".into(),
            pattern: Pattern::parse(path).expect("a pattern"),
            naming: Naming {
                identity: identity.iter().map(part).collect(),
                scope: scope.iter().map(part).collect(),
                agents: vec!["agent".to_owned()],
                collection: vec![],
            },
            mode: Mode::Enforce,
            etag: Algorithm::Sha1,
            etag_of: Subject::Contents,
            matching: Matching::Lenient,
            read_back: ReadBack::Never,
            replay_window: Duration::ZERO,
            satisfies: false,
            cors: Cors::Repair,
            absent: Absent { statuses: vec![], empty: false, empty_object: false },
            document_max: 1,
            xapi: true,
            unconditional: HashMap::new(),
            when: vec![],
        }
    }

    fn state() -> Rule {
        let mut rule = rule(
            "state",
            "/**/activities/state",
            &["activityId", "agent", "registration?", "stateId"],
            &["activityId", "agent"],
        );
        rule.naming.collection.push(Method::DELETE);
        rule
    }

    fn agent_profile() -> Rule {
        rule("agent-profile", "/**/agents/profile", &["agent", "profileId"], &["agent", "profileId"])
    }

    fn note() -> Rule {
        Rule { xapi: false, ..rule("note", "/api/{user}/notes/{id}", &["path", "lang?"], &["path", "lang?"]) }
    }

    fn request(method: Method, target: &str) -> Parts {
        let target: Uri = target.parse().unwrap_or_else(|_| panic!("{target} is a target"));
        Request::builder().method(method).uri(target).body(()).expect("a request").into_parts().0
    }

    fn encoded(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    /// The identity of a PUT to State with these parameters, of which the values are written as they are.
    fn put(parameters: &[(&str, &str)]) -> Result<Identity, Unidentified> {
        let query: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        identify(&state(), &request(Method::PUT, &format!("/xapi/activities/state?{}", query.join("&"))))
    }

    fn named(activity: &str, agent: &str, registration: Option<&str>, state: &str) -> Identity {
        let mut parameters = vec![("activityId", activity), ("agent", agent), ("stateId", state)];
        parameters.extend(registration.map(|registration| ("registration", registration)));
        put(&parameters).unwrap_or_else(|problem| panic!("{problem:?}"))
    }

    fn assert_ambiguous(result: Result<Identity, Unidentified>, what: &str) {
        assert!(matches!(result, Err(Unidentified::Ambiguous(_))), "{what}: {result:?}");
    }

    fn assert_unnamed(result: Result<Identity, Unidentified>, what: &str) {
        assert!(matches!(result, Err(Unidentified::Unnamed(_))), "{what}: {result:?}");
    }

    #[test]
    fn only_what_names_the_document_counts() {
        let expected = named("http://a.example/1", BOB, None, "s");
        let agent = encoded(BOB);
        for target in [
            format!("/activities/state?activityId=http://a.example/1&agent={agent}&stateId=s"),
            format!(
                "/data/xAPI/activities/state?stateId=s&agent={agent}&activityId=http%3A%2F%2Fa.example%2F1"
            ),
            format!(
                "http://h.example/activities/state?activityId=http://a.example/1&agent={agent}&stateId=s"
            ),
            format!(
                "/activities/state?activityId=http://a.example/1&agent={agent}&stateId=%73&cachebuster=5"
            ),
        ] {
            for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
                let mut request = request(method, &target);
                request.headers.insert(XAPI_VERSION, "2.0.0".parse().expect("a value"));
                let identity = identify(&state(), &request).expect("named");
                assert_eq!(identity.is_plain, !target.contains("cachebuster"), "{target}");
                assert_eq!(Identity { is_plain: true, ..identity }, expected, "{target}");
            }
        }
    }

    #[test]
    fn different_documents_have_different_keys() {
        let identities = [
            named("http://a", BOB, None, "s"),
            named("http://A", BOB, None, "s"),
            named("http://a", EVE, None, "s"),
            named("http://a", BOB, Some(UUID), "s"),
            named("http://a", BOB, None, "S"),
            named("http://a", BOB, None, ""),
            named("http://a", r#"{"mbox_sha1sum":"7560680e2567e081782bce4a5651785d547ad789"}"#, None, "s"),
        ];
        for (place, one) in identities.iter().enumerate() {
            assert!(identities[place + 1..].iter().all(|other| one.key != other.key), "number {place}");
        }
        assert_eq!(
            named("http://a", BOB, Some(UUID), "s"),
            named("http://a", BOB, Some(&UUID.to_uppercase()), "s")
        );
    }

    #[test]
    fn the_scope_of_state_is_the_learner_and_the_activity() {
        let scope = named("http://a", BOB, None, "s").scope;
        for other in [
            named("http://a", BOB, None, "t"),
            named("http://a", BOB, Some(UUID), "s"),
            named(" HTTP://%41 ", BOB, None, "s"),
            named("http://a", r#"{"mbox_sha1sum":"7560680E2567E081782BCE4A5651785D547AD789"}"#, None, "s"),
        ] {
            assert_eq!(other.scope, scope);
        }
        for other in [named("http://b", BOB, None, "s"), named("http://a", EVE, None, "s")] {
            assert_ne!(other.scope, scope);
        }
    }

    #[test]
    fn accounts_and_openids_fold_in_the_scope_alone() {
        let account =
            |home: &str, name: &str| format!(r#"{{"account":{{"homePage":"{home}","name":"{name}"}}}}"#);
        let (one, other) = (
            named("a", &account("http://h", "bob"), None, "s"),
            named("a", &account("HTTP://h", "BOB"), None, "s"),
        );
        assert!(one.scope == other.scope && one.key != other.key);
        let shifted = named("a", &account("http://hb", "ob"), None, "s");
        assert!(one.scope != shifted.scope && one.key != shifted.key);
    }

    #[test]
    fn profiles_are_held_each_by_itself() {
        let profile = |id: &str| {
            let target = format!("/agents/profile?agent={}&profileId={id}", encoded(BOB));
            identify(&agent_profile(), &request(Method::PUT, &target)).expect("named")
        };
        assert_ne!(profile("a").scope, profile("b").scope);
        assert!(profile("a").scope == profile("A").scope && profile("a").key != profile("A").key);
    }

    #[test]
    fn a_delete_of_all_state_is_held_like_each_of_it() {
        let target = format!("/activities/state?activityId=a&agent={}", encoded(BOB));
        let all = identify(&state(), &request(Method::DELETE, &target)).expect("named");
        let one = named("a", BOB, None, "s");
        assert!(all.scope == one.scope && all.key != one.key);
        assert_ne!(all.key, named("a", BOB, None, "").key);
        for method in [Method::GET, Method::PUT, Method::POST] {
            assert_unnamed(identify(&state(), &request(method, &target)), "no stateId");
        }
        let target = format!("/agents/profile?agent={}", encoded(BOB));
        let mut rule = agent_profile();
        rule.naming.collection.push(Method::DELETE);
        assert_unnamed(identify(&rule, &request(Method::DELETE, &target)), "the scope would be narrower");
    }

    #[test]
    fn what_is_missing_or_malformed_names_nothing() {
        for parameters in [
            &[("agent", BOB), ("stateId", "s")][..],
            &[("activityId", "a"), ("stateId", "s")],
            &[("activityId", "a"), ("agent", BOB)],
            &[("activityId", ""), ("agent", BOB), ("stateId", "s")],
            &[("activityId", "a"), ("agent", ""), ("stateId", "s")],
            &[("activityId", "a"), ("agent", "{}"), ("stateId", "s")],
            &[("activityId", "a"), ("agent", "[]"), ("stateId", "s")],
            &[("activityId", "a"), ("agent", "{\"mbox\":5}"), ("stateId", "s")],
            &[("activityId", "a"), ("agent", BOB), ("registration", "1"), ("stateId", "s")],
            &[("activityId", "a"), ("agent", BOB), ("registration", ""), ("stateId", "s")],
        ] {
            assert_unnamed(put(parameters), &format!("{parameters:?}"));
        }
    }

    #[test]
    fn what_two_servers_could_read_differently_is_refused() {
        let plain = format!("activityId=a&agent={}&stateId=s", encoded(BOB));
        for more in [
            "&stateId=t",
            "&StateId=t",
            "&state%49d=t",
            "&stateId[]=t",
            "&registration[]=t",
            "&Registration=t",
            "&a;b",
            "&method=PUT",
            "&_Method=PUT",
            "&x=%",
            "&x=%ff",
            "&AGENT=x",
        ] {
            let target = format!("/activities/state?{plain}{more}");
            assert_ambiguous(identify(&state(), &request(Method::PUT, &target)), more);
        }
        for agent in [
            "bob",
            "NaN",
            r#"{"mbox":NaN}"#,
            r#"{"mbox":"mailto:\ud800"}"#,
            r#"{"mbox":"mailto:a@b","mbox":"mailto:c@d"}"#,
            r#"{"mbox":"mailto:a@b","openid":"http://c"}"#,
            &"[".repeat(5000),
        ] {
            assert_ambiguous(put(&[("activityId", "a"), ("agent", agent), ("stateId", "s")]), agent);
        }
    }

    #[test]
    fn fields_that_make_a_request_ambiguous() {
        let target = format!("/activities/state?activityId=a&agent={}&stateId=s", encoded(BOB));
        let mut overriding = request(Method::POST, &target);
        overriding.headers.insert("x-http-method-override", "PUT".parse().expect("a value"));
        assert_ambiguous(identify(&state(), &overriding), "a method override");
        let mut twice = request(Method::PUT, &target);
        twice.headers.append(XAPI_VERSION, "1.0.3".parse().expect("a value"));
        assert!(identify(&state(), &twice).is_ok());
        twice.headers.append(XAPI_VERSION, "2.0.0".parse().expect("a value"));
        assert_ambiguous(identify(&state(), &twice), "two versions");
    }

    #[test]
    fn texts_never_quote_the_request() {
        for (name, value) in [
            ("agent", "secret"),
            ("registration", "secret"),
            ("secret", "%00"),
            ("agent", "{\"secret\":1}"),
            ("stateId", "secret\0"),
            ("secret[]", "secret"),
            ("STATEID", "secret"),
        ] {
            let mut parameters =
                vec![("activityId", "secret"), ("agent", BOB), ("registration", UUID), ("stateId", "s")];
            parameters.retain(|(given, _)| *given != name);
            parameters.push((name, value));
            if let Err(Unidentified::Ambiguous(text) | Unidentified::Unnamed(text)) = put(&parameters) {
                assert!(!text.contains("secret") && text.ends_with('.'), "{text}");
            }
        }
    }

    #[test]
    fn a_path_names_its_documents() {
        let named = |target: &str| identify(&note(), &request(Method::PUT, target));
        let plain = named("/api/bob/notes/5").expect("named");
        for same in ["/api/bob/notes/5?x=1", "/api/%62ob/notes/5", "http://h/api/bob/notes/%35"] {
            let identity = named(same).expect("named");
            assert_eq!(identity.is_plain, !same.contains('?'), "{same}");
            assert_eq!(Identity { is_plain: true, ..identity }, plain, "{same}");
        }
        for alike in
            ["/api/Bob/notes/5", "/api/bob/notes/5;v=1", "/api/bob/notes/5.json", "/api/bob/notes/5?lang="]
        {
            let alike = named(alike).expect("named");
            assert!(alike.scope == plain.scope && alike.key != plain.key, "{alike:?}");
        }
        for other in
            ["/api/bob/notes/6", "/api/5/notes/bob", "/api/bob/notes/5.a", "/api/bob/notes/5?lang=en"]
        {
            assert_ne!(named(other).expect("named").scope, plain.scope, "{other}");
        }
        assert_ambiguous(named("/api/bob/notes/50%"), "a broken encoding");
        assert_ambiguous(named("/api/bob/notes/%ff"), "not UTF-8");
        assert_unnamed(named("/elsewhere"), "not selected");
        assert_ambiguous(named("/api/bob/notes/5?Lang=en"), "an alias");
    }

    #[test]
    fn an_empty_required_value_names_nothing_outside_of_xapi() {
        let rule = Rule { xapi: false, ..rule("doc", "/doc", &["id"], &["id"]) };
        assert_unnamed(identify(&rule, &request(Method::PUT, "/doc?id=")), "empty");
        assert!(identify(&rule, &request(Method::PUT, "/doc?id=1")).is_ok());
    }

    #[test]
    fn a_registration_is_a_uuid_only_in_xapi() {
        let rule = Rule { xapi: false, ..rule("seat", "/seat", &["registration"], &["registration"]) };
        let seat = |id: &str| identify(&rule, &request(Method::PUT, &format!("/seat?registration={id}")));
        assert_ne!(seat("A1").expect("named").key, seat("a1").expect("named").key);
    }

    #[test]
    fn uuids() {
        for (text, expected) in [
            (UUID, true),
            (&*UUID.to_uppercase(), true),
            ("", false),
            (&UUID.replace('-', ""), false),
            (&UUID.replace('f', "g"), false),
            (&format!("{{{UUID}}}"), false),
            (&format!("{UUID}-"), false),
        ] {
            assert_eq!(is_uuid(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn equal_keys_share_a_scope(
            one in ("[ab]{1,2}", "[ab]?", prop::bool::ANY, "[aA]?"),
            other in ("[ab]{1,2}", "[ab]?", prop::bool::ANY, "[aA]?"),
        ) {
            let read = |(activity, mailbox, registered, state): &(String, String, bool, String)| {
                let agent = format!(r#"{{"mbox":"mailto:{mailbox}"}}"#);
                named(activity, &agent, registered.then_some(UUID), state)
            };
            let (a, b) = (read(&one), read(&other));
            prop_assert_eq!(a.key == b.key, one == other);
            prop_assert!(a.key != b.key || a.scope == b.scope);
        }

        #[test]
        fn values_that_differ_in_case_space_or_encoding_share_a_scope(value in "[a-zé/:~]{1,8}", kind in 0..4) {
            let variant = match kind {
                0 => value.to_uppercase(),
                1 => format!("  {value}\t"),
                2 => encoded(&value),
                _ => encoded(&encoded(&value)).to_lowercase(),
            };
            prop_assert_eq!(named(&value, BOB, None, "s").scope, named(&variant, BOB, None, "s").scope);
        }

        #[test]
        fn any_target_is_identified_without_a_panic(query in "\\PC{0,60}", agent in "\\PC{0,20}") {
            let _ = put(&[("activityId", "a"), ("agent", &agent), ("stateId", &query)]);
            if let Ok(target) = format!("/api/{query}/notes/a?{query}").parse::<Uri>() {
                let _ = identify(&note(), &request(Method::PUT, &target.to_string()));
                let _ = identify(&state(), &request(Method::DELETE, &target.to_string()));
            }
        }
    }
}
