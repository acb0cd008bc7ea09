//! The page as HTML. Whatever is put into it is escaped by the library.

mod chart;
mod forms;
mod panels;

use maud::{DOCTYPE, Markup, html};

use super::Model;

/// The whole page.
pub(super) fn page(model: &Model) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Staleguard" }
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
            }
            body {
                a.skip href="#decisions" { "Skip to the decisions" }
                (panels::state(model))
                main {
                    (panels::hour(model))
                    (panels::forecast(model))
                    (panels::writers(model))
                    (panels::decisions(model))
                    (panels::hot(model))
                    (panels::rules(model))
                    (forms::lookup(model))
                    (forms::try_it(model))
                }
            }
        }
    }
}

/// A panel: its heading, its JSON twin, and what is in it. What is live is shown anew by the script.
fn panel(id: &str, title: &str, twin: &str, aside: &Markup, contents: &Markup) -> Markup {
    html! {
        section.panel id=(id) aria-labelledby={ (id) "-title" } {
            div.head {
                h2 id={ (id) "-title" } { (title) }
                (aside)
                a.twin href=(twin) aria-label={ (title) " as JSON" } { "JSON" }
            }
            (contents)
        }
    }
}

/// What can be scrolled, with the keyboard too.
fn scrolled(label: &str, contents: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="group" aria-label=(label) { (contents) } }
}

/// What a table says that has no rows.
fn nothing(columns: usize, sentence: &str) -> Markup {
    html! { tr { td.none colspan=(columns) { (sentence) } } }
}

/// What is not shown for want of room.
fn beyond(count: usize) -> Markup {
    html! { @if count > 0 { p.beyond { "and " (count) " more, in the JSON" } } }
}

/// A number of a hundred.
fn percent(percent: Option<f64>) -> String {
    percent.map_or_else(|| "–".to_owned(), |percent| format!("{percent:.1} %"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::form::Form;
    use super::super::sample::{Sample, decision, rules};
    use super::super::told::Filter;
    use super::super::{Heard, InUse, Overview};
    use super::*;
    use crate::memory::scopes::Usage;

    const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror='a'>&amp;";

    #[test]
    fn whatever_a_client_says_stays_text() {
        let mut one = decision(&Sample { found: Some(("\"a\"", None)), ..Sample::default() });
        one.client.agent = Some(HOSTILE.into());
        one.client.origin = Some(HOSTILE.into());
        one.resource = HOSTILE.into();
        one.method = HOSTILE.into();
        one.time = format!("2026-11-22T{HOSTILE}").into();
        one.stated.kind = HOSTILE.into();
        one.would_be.verdict = HOSTILE.into();
        one.repairs = vec![HOSTILE.into()];
        if let Some(found) = &mut one.found {
            (found.tag, found.upstream) = (Some(HOSTILE.into()), Some(HOSTILE.into()));
        }
        let sought = super::super::lookup::Sought::Document(one.document.expect("it has one"));
        let decisions = vec![Arc::new(one)];
        let typed = Form::read(
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(
                    ["target", "activityId", "agent", "id", "token", "method", "fields", "current", "form"]
                        .map(|name| (name, HOSTILE)),
                )
                .finish()
                .as_bytes(),
        );
        let filter = Filter { text: HOSTILE.to_lowercase(), ..Filter::default() };
        let model = Model {
            overview: Overview {
                rules: rules("").into(),
                upstream: HOSTILE.to_owned(),
                shows_tags: false,
                heard: Heard::default(),
                draining: false,
                config: InUse { last_error: Some(HOSTILE.to_owned()), ..InUse::default() },
                holds: Usage::default(),
                all_unsettled_seconds: None,
                unknown_outcomes: 0,
                foreign_writes: 0,
            },
            lookup: Some(Ok(sought.found(&decisions))),
            tried: Some((typed.clone(), Ok(HOSTILE.to_owned()))),
            sought: typed,
            decisions,
            filter,
        };
        let page = page(&model).into_string();
        assert!(page.contains("&lt;script&gt;alert(1)"), "it is there at all");
        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
        assert_eq!(page.matches("<script").count(), 1);
        let attempts = page.matches("alert(1)").count();
        assert_eq!(page.matches("&quot;&gt;&lt;script&gt;alert(1)").count(), attempts);
    }
}
