//! Agents: an agent is its one identifier, whatever else its JSON says (xAPI Data §2.4.2).

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::fingerprint::{Algorithm, Fingerprint};
use crate::json::members::repeats_a_member;
use crate::semantics::hex::hex;

/// The inverse functional identifier of an Agent, or of a Group that has one (xAPI Data §2.4.2.3).
///
/// Two agents are equal when their identifiers are: name, objectType, members, the order of keys, white space and
/// escapes do not count. It names a person, so it has no `Display` and its `Debug` tells nothing of them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Agent {
    /// `mbox`: a mailto IRI.
    Mbox(String),
    /// `mbox_sha1sum`: the SHA-1 of such an IRI, in hexadecimal digits.
    MboxSha1Sum(String),
    /// `openid`: a URI.
    OpenId(String),
    /// `account`: a name within another system.
    Account {
        /// The system, by its home page.
        home_page: String,
        /// The name in that system.
        name: String,
    },
}

/// Why a text names no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentProblem {
    /// It is not JSON (RFC 8259), or nested so deeply that parsers differ about it.
    NotJson,
    /// An object names a member twice: parsers differ about which one counts (RFC 8259 §4).
    RepeatedMember,
    /// A member differs from an identifier only in case: some deserializers take it for the identifier.
    MisspeltIdentifier,
    /// There is more than one identifier (xAPI Data §2.4.2.1 allows one).
    SeveralIdentifiers,
    /// It is JSON, but no object.
    NotAnObject,
    /// There is no identifier, as in an anonymous Group.
    NoIdentifier,
    /// The identifier is not of the form that xAPI Data §2.4.2.3 gives it.
    MalformedIdentifier,
}

const MBOX: &str = "mbox";
const MBOX_SHA1SUM: &str = "mbox_sha1sum";
const OPENID: &str = "openid";
const ACCOUNT: &str = "account";
const IDENTIFIERS: [&str; 4] = [MBOX, MBOX_SHA1SUM, OPENID, ACCOUNT];

const HOME_PAGE: &str = "homePage";
const NAME: &str = "name";

impl Agent {
    /// Reads the JSON of an Agent or of a Group that has an identifier.
    pub fn parse(json: &str) -> Result<Self, AgentProblem> {
        let value: Value = serde_json::from_str(json).map_err(|_| AgentProblem::NotJson)?;
        if repeats_a_member(json.as_bytes(), &value) {
            return Err(AgentProblem::RepeatedMember);
        }
        let agent = value.as_object().ok_or(AgentProblem::NotAnObject)?;
        spelt_exactly(agent, &IDENTIFIERS)?;
        let mut identifiers =
            IDENTIFIERS.into_iter().filter_map(|name| agent.get(name).map(|value| (name, value)));
        match (identifiers.next(), identifiers.next()) {
            (None, _) => Err(AgentProblem::NoIdentifier),
            (Some((name, value)), None) => Self::of_identifier(name, value),
            (Some(_), Some(_)) => Err(AgentProblem::SeveralIdentifiers),
        }
    }

    /// What names this agent exactly: always three texts, the first of them the kind of the identifier.
    pub fn key(&self) -> [&str; 3] {
        match self {
            Self::Mbox(iri) => [MBOX, iri, ""],
            Self::MboxSha1Sum(digest) => [MBOX_SHA1SUM, digest, ""],
            Self::OpenId(uri) => [OPENID, uri, ""],
            Self::Account { home_page, name } => [ACCOUNT, home_page, name],
        }
    }

    /// What a hold for this agent is named by, before letter case is folded.
    ///
    /// "An LRS MAY include Agents with a matching hash" (xAPI Data §2.4.2.3), so that an mbox and its mbox_sha1sum
    /// have to wait for each other. The digest is of the mbox as it is written, but for a space, which no mbox has: it
    /// was a `+` that a server may have left as it is.
    pub fn scope(&self) -> [Cow<'_, str>; 3] {
        match self {
            Self::Mbox(iri) => [MBOX_SHA1SUM.into(), sha1_hex(&iri.replace(' ', "+")).into(), "".into()],
            Self::MboxSha1Sum(digest) => [MBOX_SHA1SUM.into(), digest.to_ascii_lowercase().into(), "".into()],
            Self::OpenId(_) | Self::Account { .. } => self.key().map(Cow::Borrowed),
        }
    }

    fn of_identifier(name: &str, value: &Value) -> Result<Self, AgentProblem> {
        if name == ACCOUNT {
            return Self::of_account(value.as_object().ok_or(AgentProblem::MalformedIdentifier)?);
        }
        let text = value.as_str().ok_or(AgentProblem::MalformedIdentifier)?;
        match name {
            MBOX if text.starts_with("mailto:") => Ok(Self::Mbox(text.to_owned())),
            MBOX_SHA1SUM if is_sha1_hex(text) => Ok(Self::MboxSha1Sum(text.to_owned())),
            OPENID if !text.is_empty() => Ok(Self::OpenId(text.to_owned())),
            _ => Err(AgentProblem::MalformedIdentifier),
        }
    }

    fn of_account(account: &Map<String, Value>) -> Result<Self, AgentProblem> {
        spelt_exactly(account, &[HOME_PAGE, NAME])?;
        let text = |name| account.get(name).and_then(Value::as_str).map(str::to_owned);
        match (text(HOME_PAGE), text(NAME)) {
            (Some(home_page), Some(name)) => Ok(Self::Account { home_page, name }),
            _ => Err(AgentProblem::MalformedIdentifier),
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, ..] = self.key();
        write!(f, "Agent({kind}: ..)")
    }
}

impl AgentProblem {
    /// True when two servers could take it for two different agents; otherwise every server owes a refusal.
    pub fn is_ambiguous(self) -> bool {
        match self {
            Self::NotJson | Self::RepeatedMember | Self::MisspeltIdentifier | Self::SeveralIdentifiers => {
                true
            }
            Self::NotAnObject | Self::NoIdentifier | Self::MalformedIdentifier => false,
        }
    }
}

/// What is wrong, as the end of a sentence that begins with "it"; it never quotes the text.
impl fmt::Display for AgentProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJson => "is not JSON",
            Self::RepeatedMember => "names a member of an object twice",
            Self::MisspeltIdentifier => "has a member that differs from an identifier only in letter case",
            Self::SeveralIdentifiers => {
                "has more than one identifier, where xAPI allows one of mbox, mbox_sha1sum, openid and account"
            }
            Self::NotAnObject => "is not a JSON object",
            Self::NoIdentifier => "has no identifier: one of mbox, mbox_sha1sum, openid and account",
            Self::MalformedIdentifier => "has a malformed identifier",
        })
    }
}

/// Refuses names that differ from one of these only in case.
fn spelt_exactly(object: &Map<String, Value>, names: &[&str]) -> Result<(), AgentProblem> {
    let is_misspelt = |member: &String| {
        names.iter().any(|name| member.as_str() != *name && member.eq_ignore_ascii_case(name))
    };
    if object.keys().any(is_misspelt) { Err(AgentProblem::MisspeltIdentifier) } else { Ok(()) }
}

fn sha1_hex(text: &str) -> String {
    hex(&Fingerprint::of(Algorithm::Sha1, text.as_bytes()))
}

fn is_sha1_hex(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::spelling::spell;

    const BOB: &str = r#"{"mbox":"mailto:bob@example.com"}"#;
    const BOB_SHA1SUM: &str = r#"{"mbox_sha1sum":"7560680e2567e081782bce4a5651785d547ad789"}"#;

    fn agent(json: &str) -> Agent {
        Agent::parse(json).unwrap_or_else(|problem| panic!("{json} {problem}"))
    }

    #[test]
    fn one_agent_in_many_spellings() {
        for spelling in [
            r#"{"objectType":"Agent","mbox":"mailto:bob@example.com"}"#,
            r#" { "mbox" : "mailto:bob@example.com" , "name" : "Bob" } "#,
            r#"{"name":"Robert","mbox":"mailto:bob@example.com"}"#,
            r#"{"mbox":"mailto:bob\u0040example.com"}"#,
            r#"{"\u006dbox":"mailto:bob@example.com"}"#,
            r#"{"objectType":"Group","mbox":"mailto:bob@example.com","member":[{"mbox":"mailto:eve@example.com"}]}"#,
            r#"{"mbox":"mailto:bob@example.com","name":"a \"quoted: name\" \\"}"#,
        ] {
            assert_eq!(agent(spelling), agent(BOB), "{spelling}");
        }
    }

    #[test]
    fn every_kind_of_identifier() {
        let account = r#"{"account":{"homePage":"http://example.com","name":"bob"}}"#;
        assert_eq!(agent(BOB).key(), ["mbox", "mailto:bob@example.com", ""]);
        assert_eq!(agent(r#"{"openid":"http://bob.example"}"#).key(), ["openid", "http://bob.example", ""]);
        assert_eq!(agent(account).key(), ["account", "http://example.com", "bob"]);
        assert_eq!(agent(account).scope(), ["account", "http://example.com", "bob"]);
    }

    #[test]
    fn an_mbox_and_its_digest_are_two_agents_that_share_a_scope() {
        assert_ne!(agent(BOB), agent(BOB_SHA1SUM));
        assert_eq!(agent(BOB).scope(), agent(BOB_SHA1SUM).scope());
        let with_plus =
            |plus| agent(&BOB.replace("bob", &format!("bob{plus}x"))).scope().map(Cow::into_owned);
        assert_eq!(with_plus("+"), with_plus(" "));
        assert_ne!(with_plus("+"), with_plus(""));
        let upper = BOB_SHA1SUM.replace("7560680e2567e081782bce4a5651785d547ad789", &"AB".repeat(20));
        assert_eq!(agent(&upper).scope(), agent(&upper.replace("AB", "ab")).scope());
    }

    #[test]
    fn texts_that_name_no_agent() {
        use AgentProblem::*;
        let deep = format!(r#"{{"mbox":"mailto:a@b","x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
        for (json, problem) in [
            ("", NotJson),
            ("bob", NotJson),
            ("{\"mbox\":NaN}", NotJson),
            ("\u{feff}{\"mbox\":\"mailto:a@b\"}", NotJson),
            (r#"{"mbox":"mailto:a@b"} {}"#, NotJson),
            (r#"{"mbox":"mailto:a@b",}"#, NotJson),
            (r#"{'mbox':'mailto:a@b'}"#, NotJson),
            (r#"{"mbox":"mailto:\ud800"}"#, NotJson),
            (r#"{"name":"\udc00","mbox":"mailto:a@b"}"#, NotJson),
            (&deep, NotJson),
            (r#"{"mbox":"mailto:a@b","mbox":"mailto:c@d"}"#, RepeatedMember),
            (r#"{"mbox":"mailto:a@b","mbo\u0078":"mailto:a@b"}"#, RepeatedMember),
            (r#"{"account":{"name":"a","name":"b","homePage":"h"}}"#, RepeatedMember),
            (r#"{"mbox":"mailto:a@b","x":[{"y":{"z":1,"z":2}}]}"#, RepeatedMember),
            // The parser keeps a number in an object of this name, so that the tree loses the member.
            (r#"{"mbox":"mailto:a@b","x":{"$serde_json::private::Number":"1"}}"#, RepeatedMember),
            (r#"{"mbox":"mailto:a@b","MBOX":"mailto:c@d"}"#, MisspeltIdentifier),
            (r#"{"openID":"http://a"}"#, MisspeltIdentifier),
            (r#"{"account":{"homePage":"h","name":"a","Name":"b"}}"#, MisspeltIdentifier),
            (r#"{"mbox":"mailto:a@b","openid":"http://a"}"#, SeveralIdentifiers),
            (r#"{"mbox":"mailto:a@b","account":null}"#, SeveralIdentifiers),
            ("[]", NotAnObject),
            ("null", NotAnObject),
            ("\"mailto:a@b\"", NotAnObject),
            ("{}", NoIdentifier),
            (r#"{"objectType":"Group","member":[{"mbox":"mailto:a@b"}]}"#, NoIdentifier),
            (r#"{"mbox":5}"#, MalformedIdentifier),
            (r#"{"mbox":null}"#, MalformedIdentifier),
            (r#"{"mbox":["mailto:a@b"]}"#, MalformedIdentifier),
            (r#"{"mbox":"a@b"}"#, MalformedIdentifier),
            (r#"{"mbox_sha1sum":"abc"}"#, MalformedIdentifier),
            (r#"{"openid":""}"#, MalformedIdentifier),
            (r#"{"account":"bob"}"#, MalformedIdentifier),
            (r#"{"account":{"name":"bob"}}"#, MalformedIdentifier),
            (r#"{"account":{"homePage":1,"name":"bob"}}"#, MalformedIdentifier),
        ] {
            assert_eq!(Agent::parse(json).map(|agent| agent.key().concat()), Err(problem), "{json}");
        }
    }

    #[test]
    fn learners_do_not_reach_the_logs() {
        assert_eq!(format!("{:?}", agent(BOB)), "Agent(mbox: ..)");
    }

    /// The members of an agent's JSON that are its identifier.
    fn identifier() -> impl Strategy<Value = Value> {
        let text = || "[a-cA-C/:@é😀\"\\\\{} ]{0,6}";
        prop_oneof![
            text().prop_map(|text| serde_json::json!({ "mbox": format!("mailto:{text}") })),
            "[0-9a-fA-F]{40}".prop_map(|digest| serde_json::json!({ "mbox_sha1sum": digest })),
            text().prop_map(|text| serde_json::json!({ "openid": format!("http:{text}") })),
            (text(), text()).prop_map(
                |(home, name)| serde_json::json!({ "account": { "homePage": home, "name": name } })
            ),
        ]
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(json in "\\PC*") {
            let _ = Agent::parse(&json);
        }

        #[test]
        fn the_spelling_does_not_count(
            identifier in identifier(),
            name in prop::option::of("[a-z:\"\\\\]{0,5}"),
            choices: Vec<u8>,
        ) {
            let mut spelt = identifier.clone();
            if let Some(name) = name {
                spelt["name"] = name.into();
                spelt["objectType"] = "Agent".into();
            }
            let spelling = spell(&spelt, &mut choices.into_iter().cycle().take(10_000));
            let (one, other) = (agent(&spelling), agent(&identifier.to_string()));
            prop_assert_eq!(one.key(), other.key(), "{}", spelling);
            prop_assert_eq!(one.scope(), other.scope());
        }

        #[test]
        fn different_identifiers_never_share_a_key(one in identifier(), other in identifier()) {
            let same_key = agent(&one.to_string()).key() == agent(&other.to_string()).key();
            prop_assert_eq!(same_key, one == other);
        }

        #[test]
        fn a_repeated_member_is_always_found(identifier in identifier(), name in "[a-z\"\\\\:]{0,4}") {
            let repeated = serde_json::to_string(&name).expect("a string");
            let json = identifier.to_string();
            let json = format!("{},{repeated}:1,{repeated}:2}}", &json[..json.len() - 1]);
            prop_assert_eq!(Agent::parse(&json), Err(AgentProblem::RepeatedMember));
        }
    }
}
