//! The panels that ask something.

use maud::{Markup, html};

use super::super::lookup::{Found, Seen};
use super::super::{Model, Remembered};
use super::panels::{columns, decision};
use super::{nothing, panel, scrolled};

/// Look up a document.
pub(super) fn lookup(model: &Model) -> Markup {
    let form = &model.sought;
    let hash = match &model.lookup {
        Some(Ok(found)) if !found.collection => found.document.to_string(),
        _ => String::new(),
    };
    let contents = html! {
        div.asks {
            form.line action="/" method="get" {
                label { "By hash " input name="document" value=(hash) placeholder="twelve digits" autocomplete="off" spellcheck="false" size="14"; }
                button type="submit" { "Look up" }
            }
            form.line #lookup-form action="/page/lookup" method="post" data-swap="lookup-answer" {
                label.grow { "By target " input name="target" value=(form.text("target")) placeholder="/xapi/activities/state?activityId=…" autocomplete="off" spellcheck="false"; }
                label { "or activityId " input name="activityId" value=(form.text("activityId")) autocomplete="off" size="10"; }
                label { "agent " input name="agent" value=(form.text("agent")) placeholder="mailto: or JSON" autocomplete="off" size="10"; }
                label { "id " input name="id" value=(form.text("id")) placeholder="stateId, profileId" autocomplete="off" size="10"; }
                label { "token " input type="password" name="token" autocomplete="off" size="8"; }
                button type="submit" { "Look up" }
            }
            div #lookup-answer aria-live="polite" {
                @match &model.lookup {
                    None => p.hint { "By target it needs the token of admin.token-file. The upstream is not asked." },
                    Some(Err(sentence)) => p.problem { (sentence) },
                    Some(Ok(found)) => (found_(found)),
                }
            }
        }
    };
    panel("lookup", "Look up a document", "/page/lookup.json", &html! {}, &contents)
}

fn found_(found: &Found) -> Markup {
    let what = if found.collection { "All documents of scope " } else { "Document " };
    html! {
        p { (what) strong { "#" (found.document.to_string()) } ": " (found.on_record) " writes on record. " (seen(found.seen.as_ref())) }
        @if let Some(remembered) = &found.remembered { p { (recalled(remembered)) } }
        (scrolled("Its last writes", &html! {
            table {
                (columns())
                tbody {
                    @for row in &found.writes { (decision(row)) }
                    @if found.writes.is_empty() { (nothing(7, "No write to it is on record.")) }
                }
            }
        }))
    }
}

fn seen(seen: Option<&Seen>) -> Markup {
    html! {
        @match seen {
            None => { "Its tag is not known: no write on record had to ask." }
            Some(Seen { tag, upstream, at, written_since }) => {
                @match tag {
                    None => { "At " (at) " there was none" }
                    Some(tag) => { "At " (at) " its tag was " code { (tag) } }
                }
                @if let Some(upstream) = upstream { ", the upstream's own " code { (upstream) } }
                @if *written_since { "; it may have been written since." } @else { "." }
            }
        }
    }
}

fn recalled(remembered: &Remembered) -> Markup {
    let Remembered { tag, upstream, seconds_ago } = remembered;
    html! {
        "Nobody else writes to the upstream (upstream.exclusive): whoever asked last was told " (seconds_ago) " s ago "
        @match tag {
            None => { "that there is none" }
            Some(tag) => { "that its tag is " code { (tag) } }
        }
        @if let Some(upstream) = upstream { ", the upstream's own " code { (upstream) } } "."
    }
}

/// Try a request.
pub(super) fn try_it(model: &Model) -> Markup {
    let typed = |name| model.tried.as_ref().map_or("", |(form, _)| form.text(name));
    let method = Some(typed("method")).filter(|method| !method.is_empty()).unwrap_or("PUT");
    let contents = html! {
        div.asks {
            form.line #try-form action="/page/try" method="post" data-swap="try-answer" {
                label { "Method " input name="method" value=(method) size="6" autocomplete="off" spellcheck="false"; }
                label.grow { "Target " input name="target" value=(typed("target")) placeholder="/xapi/activities/state?activityId=…" autocomplete="off" spellcheck="false" required; }
                label { "It holds " input name="current" value=(typed("current")) placeholder="tag or missing" size="12" autocomplete="off" spellcheck="false"; }
                label.grow { "Fields, one a line " textarea name="fields" rows="2" placeholder="If-Match: \"…\"" autocomplete="off" spellcheck="false" { (typed("fields")) } }
                button type="submit" { "Try" }
            }
            div #try-answer aria-live="polite" {
                @match &model.tried {
                    None => p.hint { "Nothing is sent: the rules say what would become of it, as staleguard explain does." },
                    Some((_, Ok(text))) => (scrolled("What would become of it", &html! { pre { (text) } })),
                    Some((_, Err(sentence))) => p.problem { (sentence) },
                }
            }
        }
    };
    panel("try", "Try a request", "/page/try.json", &html! {}, &contents)
}
