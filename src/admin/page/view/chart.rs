//! Small charts, drawn by the server.

use maud::{Markup, html};

use super::super::minutes::Minute;

/// How high a chart is, in its own units; how wide a minute is.
const HEIGHT: u64 = 60;
const WIDTH: usize = 4;

/// The minutes as bars: all writes, and at their foot those that are refused.
pub(super) fn bars(minutes: &[Minute]) -> Markup {
    let most = minutes.iter().map(|minute| minute.writes).max().unwrap_or_default().max(1);
    // What there is can be seen, be it as little as one of a thousand.
    let height = |count: u64| if count == 0 { 0 } else { (count * HEIGHT / most).max(1) };
    let all: u64 = minutes.iter().map(|minute| minute.writes).sum();
    let refused: u64 = minutes.iter().map(|minute| minute.refused).sum();
    html! {
        svg.bars role="img" viewBox={ "0 0 " (minutes.len() * WIDTH) " " (HEIGHT) } preserveAspectRatio="none"
            aria-label={ "Writes in each of the last " (minutes.len()) " minutes: " (all) " in all, " (refused)
                " refused or to be refused, at most " (most) " in a minute" } {
            @for (place, minute) in minutes.iter().enumerate() {
                @if minute.writes > 0 {
                    rect.writes x=(place * WIDTH) y=(HEIGHT - height(minute.writes)) width=(WIDTH - 1)
                        height=(height(minute.writes)) {}
                }
                @if minute.refused > 0 {
                    rect.refused x=(place * WIDTH) y=(HEIGHT - height(minute.refused)) width=(WIDTH - 1)
                        height=(height(minute.refused)) {}
                }
            }
        }
    }
}

/// A share as a bar. The number stands beside it, so that nobody needs to see it.
pub(super) fn share(percent: Option<f64>) -> Markup {
    html! {
        svg.share aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none" {
            rect.writes x="0" y="0" width="100" height="10" {}
            @if let Some(percent) = percent.filter(|percent| *percent > 0.0) {
                rect.refused x="0" y="0" width=(format!("{:.1}", percent.max(1.0))) height="10" {}
            }
        }
    }
}
