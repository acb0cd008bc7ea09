//! The panels that show something.

use maud::{Markup, html};

use super::super::forecast::{Forecast, Share};
use super::super::told::{Fate, Row, resources};
use super::super::{InUse, Model, ROWS, clients, hot, minutes, rules};
use super::chart::{bars, share};
use super::{beyond, nothing, panel, percent, scrolled};

/// The head of the page: the state of the proxy and of the upstream.
pub(super) fn state(model: &Model) -> Markup {
    let overview = &model.overview;
    let state = model.state();
    let count = |mode: &str| state["rules"][mode].as_u64().unwrap_or_default();
    let heard = overview.heard;
    html! {
        header #state data-live="" {
            h1 { "Staleguard " span.version { (env!("CARGO_PKG_VERSION")) } }
            p { @if overview.draining { strong.bad { "draining" } } @else { strong.good { "serving" } } }
            p { span.name { "rules " } strong { (count("enforce")) } " enforced, " strong { (count("observe")) } " observed" }
            p {
                span.name { "upstream " } (overview.upstream) " "
                strong class=(if heard.state() == "failing" { "bad" } else { "good" }) { (heard.state()) }
                @if let Some(ago) = heard.answered { ", last answer " (ago) " s ago" }
                @if let Some((ago, why)) = heard.failed { ", last failure " (ago) " s ago (" (why) ")" }
            }
            (config(&overview.config))
            p title="Scopes in which somebody has the sole right to write, and writes that wait for it" {
                span.name { "holds " } strong { (overview.holds.held) } " held, " strong { (overview.holds.waiting) } " waiting"
            }
            p title="Scopes in which a write may still be applied whose outcome is not known" {
                span.name { "unsettled scopes " } (alarming(overview.holds.unsettled as u64))
                @if let Some(left) = overview.all_unsettled_seconds {
                    ", " strong.bad { "and all others for " (left) " s more" } " (a write from before the start may still be applied)"
                }
            }
            p title="Documents that have changed without a write through here" {
                span.name { "foreign writes " } (alarming(overview.foreign_writes))
            }
            p { span.name { "on record " } strong { (model.decisions.len()) } " decisions" }
            p.twins {
                a.twin href="/page/state.json" aria-label="State as JSON" { "JSON" } " "
                a href="/status.json" { "status" } " " a href="/metrics" { "metrics" } " "
                a href="/readyz?verbose" { "readiness" }
            }
        }
    }
}

/// Which configuration that is.
fn config(config: &InUse) -> Markup {
    let file = config.file.as_deref().unwrap_or("none, or flags alone");
    html! {
        p title=(file) {
            span.name { "configuration " }
            @if let Some(hash) = &config.hash { code { (hash.get(..8).unwrap_or(hash)) } " " }
            "loaded " (config.loaded)
            @if let Some(error) = &config.last_error { strong.bad title=(error) { ", the last one cannot be used" } }
        }
    }
}

/// A number that should be zero.
fn alarming(count: u64) -> Markup {
    html! { strong.bad[count > 0] { (count) } }
}

/// The last hour.
pub(super) fn hour(model: &Model) -> Markup {
    let minutes = minutes::minutes(&model.decisions, minutes::now());
    let sum = |of: fn(&minutes::Minute) -> u64| minutes.iter().map(of).sum::<u64>();
    let (writes, refused) = (sum(|minute| minute.writes), sum(|minute| minute.refused));
    let most = minutes.iter().map(|minute| minute.writes).max().unwrap_or_default();
    let contents = html! {
        div.chart data-live="" id="hour-chart" {
            (bars(&minutes))
            p.legend {
                span.key.writes {} " writes " strong { (writes) } " "
                span.key.refused {} " refused or to be " strong { (refused) } " · at most " (most) " a minute"
            }
        }
    };
    panel("hour", "Last 60 minutes", "/page/minutes.json", &html! {}, &contents)
}

/// If enforced now.
pub(super) fn forecast(model: &Model) -> Markup {
    let forecast = Forecast::of(&model.decisions, model.overview.shows_tags);
    let Forecast { all, by_resource, by_client } = &forecast;
    let figures = |share: &Share| {
        html! {
            td.number { (share.writes) } td.number { (share.refused) }
            td.share { (chart_cell(share)) }
            td { (statuses(share)) }
        }
    };
    let contents = html! {
        div data-live="" id="forecast-figures" {
            p.lead {
                strong.figure { (percent(all.percent)) } " of the writes on record are refused if all is enforced: "
                (all.refused) " of " (all.writes) (also(all))
            }
            div.columns {
                (scrolled("Forecast by resource", &html! {
                    table {
                        thead { tr { th scope="col" { "Resource" } th scope="col" { "Writes" } th scope="col" { "Refused" }
                            th scope="col" { "Share" } th scope="col" { "Status" } th scope="col" { "Rests on" } } }
                        tbody {
                            @for row in by_resource.iter().take(ROWS) {
                                tr { th scope="row" { (row.resource) } (figures(&row.share)) td.wide { (row.rests_on.sentence()) } }
                            }
                            @if by_resource.is_empty() { (nothing(6, "No guarded write has come yet.")) }
                        }
                    }
                }))
                (scrolled("Forecast by client", &html! {
                    table {
                        thead { tr { th scope="col" { "Client" } th scope="col" { "Writes" } th scope="col" { "Refused" }
                            th scope="col" { "Share" } th scope="col" { "Status" } } }
                        tbody {
                            @for row in by_client.iter().take(ROWS) {
                                tr { th.client scope="row" { (row.client) } (figures(&row.share)) }
                            }
                            @if by_client.is_empty() { (nothing(5, "No guarded write has come yet.")) }
                        }
                    }
                    (beyond(by_client.len().saturating_sub(ROWS)))
                }))
            }
        }
    };
    panel("forecast", "If enforced now", "/page/forecast.json", &html! {}, &contents)
}

fn chart_cell(share_: &Share) -> Markup {
    html! { (share(share_.percent)) span { (percent(share_.percent)) } }
}

fn also(all: &Share) -> String {
    let mut text = String::new();
    if all.refused_already > 0 {
        text.push_str(&format!("; {} of them already", all.refused_already));
    }
    if all.undecided > 0 {
        text.push_str(&format!("; {} undecided", all.undecided));
    }
    if all.failed > 0 {
        text.push_str(&format!("; {} fail for other reasons", all.failed));
    }
    text
}

fn statuses(share: &Share) -> String {
    let statuses: Vec<String> =
        share.by_status.iter().map(|(status, count)| format!("{status}: {count}")).collect();
    statuses.join(", ")
}

/// Who writes without preconditions.
pub(super) fn writers(model: &Model) -> Markup {
    let writers = clients::writers(&model.decisions);
    let contents = scrolled(
        "Writers",
        &html! {
            table data-live="" id="writers-table" {
                thead { tr { th scope="col" { "Client" } th scope="col" { "Resource" } th scope="col" { "Writes" }
                    th scope="col" { "State nothing" } th scope="col" { "Stale" } th scope="col" { "Suspicious" }
                    th scope="col" { "Last (UTC)" } th scope="col" { "Suggestion" } } }
                tbody {
                    @for writer in writers.iter().take(ROWS) {
                        tr {
                            th.client scope="row" { (writer.client) } td { (writer.resource) }
                            td.number { (writer.writes) }
                            td.number { (writer.without) " (" (percent(writer.without_percent)) ")" }
                            td.number { (writer.stale) } td.number { (writer.suspicious) } td { (writer.last) }
                            td.wide { (writer.suggestion.sentence()) }
                        }
                    }
                    @if writers.is_empty() { (nothing(8, "No guarded write has come yet.")) }
                }
            }
            (beyond(writers.len().saturating_sub(ROWS)))
        },
    );
    panel("writers", "Who writes without preconditions", "/page/clients.json", &html! {}, &contents)
}

/// Decisions as they happen.
pub(super) fn decisions(model: &Model) -> Markup {
    let (rows, beyond_) = model.rows();
    let filter = &model.filter;
    let rules = model.overview.rules.0.iter().map(|rule| rule.name.to_string());
    let mut names: Vec<String> =
        resources(model.decisions.iter().map(AsRef::as_ref)).into_iter().chain(rules).collect();
    names.sort_unstable();
    names.dedup();
    let aside = html! {
        form.filter action="/" method="get" id="filter" {
            select name="resource" aria-label="Resource" {
                option value="" { "all resources" }
                @for name in &names { option value=(name) selected[*name == filter.resource] { (name) } }
            }
            select name="outcome" aria-label="Outcome" {
                option value="" { "all outcomes" }
                @for fate in Fate::ALL {
                    option value=(fate.as_str()) selected[fate.as_str() == filter.fate] { (fate.as_str()) }
                }
            }
            input type="search" name="text" aria-label="Text in the row" placeholder="client or hash" value=(filter.text) autocomplete="off";
            button type="submit" { "Filter" }
            button #pause type="button" aria-pressed="false" hidden { "Pause" }
        }
        span.status #stream role="status" { noscript { "reload to see what is new" } }
    };
    let contents = html! {
        (scrolled("Decisions", &html! {
            table {
                (columns())
                tbody #rows {
                    @for row in &rows { (decision(row)) }
                    @if rows.is_empty() { (nothing(7, "No decision fits, or none has been made yet.")) }
                }
            }
            (beyond(beyond_))
        }))
    };
    panel("decisions", "Decisions", "/decisions.json", &aside, &contents)
}

/// The head of a table of decisions.
pub(super) fn columns() -> Markup {
    let columns = ["Time (UTC)", "Outcome", "Stated: verdict", "Resource", "Method", "Document", "Client"];
    html! { thead { tr { @for column in columns { th scope="col" { (column) } } } } }
}

/// A decision as a row; the script makes the same of what it is sent.
pub(super) fn decision(row: &Row) -> Markup {
    html! {
        tr class=(row.fate.as_str()) {
            td { (row.time) } td.outcome { (row.outcome) } td { (row.why) } td { (row.resource) }
            td { (row.method) }
            td { @if let Some(document) = &row.document {
                a href={ "/?document=" (document) "#lookup" } { "#" (document) }
            } }
            td.client { (row.client) }
        }
    }
}

/// Conflicts and hot resources.
pub(super) fn hot(model: &Model) -> Markup {
    let documents = hot::documents(&model.decisions);
    let contents = scrolled(
        "Conflicts and hot documents",
        &html! {
            table data-live="" id="hot-table" {
                thead { tr { th scope="col" { "Document" } th scope="col" { "Resource" } th scope="col" { "Writes" }
                    th scope="col" { "Clients" } th scope="col" { "Conflicts" }
                    th scope="col" title="They stated nothing and went over what another client had written" { "Blind" }
                    th scope="col" { "Max wait" } th scope="col" { "Last (UTC)" } } }
                tbody {
                    @for hot in documents.iter().take(ROWS) {
                        tr {
                            th scope="row" { a href={ "/?document=" (hot.document.to_string()) "#lookup" } { "#" (hot.document.to_string()) } }
                            td { (hot.resource) } td.number { (hot.writes) } td.number { (hot.writers) }
                            td.number { (hot.conflicts) } td.number { (hot.blind) }
                            td.number { (format!("{:.0} ms", hot.longest_wait_ms)) } td { (hot.last) }
                        }
                    }
                    @if documents.is_empty() { (nothing(8, "No guarded write has come yet.")) }
                }
            }
            (beyond(documents.len().saturating_sub(ROWS)))
        },
    );
    panel("hot", "Conflicts and hot documents", "/page/hot.json", &html! {}, &contents)
}

/// The rules.
pub(super) fn rules(model: &Model) -> Markup {
    let rules = rules::told(&model.overview.rules, &model.decisions);
    let contents = scrolled(
        "Rules",
        &html! {
            table data-live="" id="rules-table" {
                thead { tr { th scope="col" { "Rule" } th scope="col" { "Mode" } th scope="col" { "Writes" }
                    th scope="col" { "Refused" } th scope="col" { "Would be" } th scope="col" { "Place" }
                    th scope="col" { "Writes that state nothing" } th scope="col" { "Path" } } }
                tbody {
                    @for rule in rules.iter().take(ROWS) {
                        tr {
                            th scope="row" { (rule.name) } td { (rule.mode) } td.number { (rule.writes) }
                            td.number { (rule.refused) } td.number { (rule.would_refuse) } td { (rule.source) }
                            td { (rule.unconditional.join("; ")) } td { code { (rule.path) } }
                        }
                    }
                    @if rules.is_empty() { (nothing(8, "There is no rule: everything is relayed.")) }
                }
            }
            (beyond(rules.len().saturating_sub(ROWS)))
        },
    );
    panel("rules", "Rules", "/rules.json", &html! {}, &contents)
}
