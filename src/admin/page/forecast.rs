//! If enforced now: the share of writes that is refused, by resource and by client, and what that rests on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::told::{Fate, called};
use crate::decision::client::Client;
use crate::decision::record::Decision;
use crate::guard::policy::Mode;

/// What an enforcing proxy makes of the writes on record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Forecast {
    /// Of all writes.
    pub(super) all: Share,
    /// The most refused first.
    pub(super) by_resource: Vec<OfResource>,
    /// The most refused first.
    pub(super) by_client: Vec<OfClient>,
}

/// How many writes there are, and how many of them are refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Share {
    /// All of them.
    pub(super) writes: u64,
    /// Those that are refused, or are where enforced.
    pub(super) refused: u64,
    /// Those of them that were refused in truth.
    pub(super) refused_already: u64,
    /// Those of which nobody knows: not sampled, or their client left.
    pub(super) undecided: u64,
    /// Those that fail for no fault of their client, where enforced.
    pub(super) failed: u64,
    /// The refused ones by the status of the answer.
    pub(super) by_status: BTreeMap<u16, u64>,
    /// The refused ones of a hundred that are decided; nothing where none is.
    pub(super) percent: Option<f64>,
}

/// The writes to one resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OfResource {
    /// Its name.
    pub(super) resource: String,
    /// Whether it was enforced when the last of them came.
    pub(super) enforced: bool,
    /// By whose entity-tags its clients could be up to date.
    pub(super) rests_on: RestsOn,
    /// The figures.
    #[serde(flatten)]
    pub(super) share: Share,
}

/// The writes of one client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OfClient {
    /// What it is called.
    pub(super) client: String,
    /// The figures.
    #[serde(flatten)]
    pub(super) share: Share,
}

/// By whose entity-tags a client could say what it started from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RestsOn {
    /// It is enforced: clients are shown ours.
    Ours,
    /// It is observed, and the upstream shows its own.
    Upstreams,
    /// It is observed before an upstream that has none, and `observe.etags` shows ours.
    ObserveEtags,
    /// It is observed, and nobody shows any: no client can name one.
    Nothing,
    /// No document has been seen yet.
    Unknown,
}

impl RestsOn {
    /// The same for a person.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Ours => "our tags, as it is enforced",
            Self::Upstreams => "the upstream's own tags",
            Self::ObserveEtags => "our tags (observe.etags)",
            Self::Nothing => "no tags: nobody can state one, unless observe.etags is set",
            Self::Unknown => "not known yet: no document was seen",
        }
    }
}

/// Whose entity-tags were seen at a resource.
#[derive(Default)]
struct Seen {
    share: Share,
    enforced: bool,
    upstreams: bool,
    documents: bool,
}

impl Forecast {
    /// What is forecast from decisions, the newest first. `shows_tags`: whether `observe.etags` is set.
    pub(super) fn of(decisions: &[Arc<Decision>], shows_tags: bool) -> Self {
        let mut all = Share::default();
        let mut resources: HashMap<&str, Seen> = HashMap::new();
        let mut clients: HashMap<&Client, Share> = HashMap::new();
        for decision in decisions {
            let fate = Fate::of(decision);
            all.count(decision, fate);
            clients.entry(&decision.client).or_default().count(decision, fate);
            let enforced = decision.mode == Mode::Enforce;
            let seen =
                resources.entry(&decision.resource).or_insert_with(|| Seen { enforced, ..Seen::default() });
            seen.share.count(decision, fate);
            let found = decision.found.as_ref().filter(|found| found.tag.is_some());
            seen.documents |= found.is_some();
            seen.upstreams |= found.is_some_and(|found| found.upstream.is_some());
        }
        let mut by_resource: Vec<OfResource> = resources
            .into_iter()
            .map(|(resource, seen)| OfResource {
                resource: resource.to_owned(),
                enforced: seen.enforced,
                rests_on: seen.rests_on(shows_tags),
                share: seen.share.measured(),
            })
            .collect();
        by_resource.sort_by(|a, b| a.share.order(&b.share).then_with(|| a.resource.cmp(&b.resource)));
        let mut by_client: Vec<OfClient> = clients
            .into_iter()
            .map(|(client, share)| OfClient { client: called(client), share: share.measured() })
            .collect();
        by_client.sort_by(|a, b| a.share.order(&b.share).then_with(|| a.client.cmp(&b.client)));
        Self { all: all.measured(), by_resource, by_client }
    }
}

impl Seen {
    fn rests_on(&self, shows_tags: bool) -> RestsOn {
        match (self.enforced, self.documents, self.upstreams, shows_tags) {
            (true, ..) => RestsOn::Ours,
            (_, false, ..) => RestsOn::Unknown,
            (_, _, true, _) => RestsOn::Upstreams,
            (.., true) => RestsOn::ObserveEtags,
            (.., false) => RestsOn::Nothing,
        }
    }
}

impl Share {
    fn count(&mut self, decision: &Decision, fate: Fate) {
        self.writes += 1;
        self.undecided += u64::from(fate == Fate::Undecided);
        self.failed += u64::from(fate == Fate::Failed);
        if fate.is_refusal() {
            self.refused += 1;
            self.refused_already += u64::from(fate == Fate::Refused);
            *self.by_status.entry(decision.would_be.status.unwrap_or_default()).or_default() += 1;
        }
    }

    fn measured(self) -> Self {
        let percent = percent(self.refused, self.writes - self.undecided);
        Self { percent, ..self }
    }

    /// The most refused first, and of those the most writes.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        (other.refused, other.writes).cmp(&(self.refused, self.writes))
    }
}

/// So many of a hundred, to a tenth; nothing of nothing.
pub(super) fn percent(part: u64, of: u64) -> Option<f64> {
    let tenths = (part.saturating_mul(1000) + of / 2).checked_div(of)?;
    Some(f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, decision};
    use super::*;

    const REFUSED: Sample = Sample {
        verdict: "precondition-missing",
        would_be: Some(409),
        time: "",
        resource: "agent-profile",
        mode: Mode::Observe,
        method: "PUT",
        status: 204,
        agent: Some("Moodle"),
        from: 1,
        document: 1,
        stated: "none",
        found: None,
        suspicious: false,
    };

    fn forecast(samples: &[Sample], shows_tags: bool) -> Forecast {
        let decisions: Vec<_> = samples.iter().map(|sample| Arc::new(decision(sample))).collect();
        Forecast::of(&decisions, shows_tags)
    }

    #[test]
    fn the_share_is_told_by_resource_and_by_client() {
        let forward = Sample::default();
        let undecided = Sample { verdict: "not-sampled", ..forward };
        let forecast = forecast(&[REFUSED, forward, forward, undecided, REFUSED, forward], false);
        assert_eq!((forecast.all.writes, forecast.all.refused, forecast.all.undecided), (6, 2, 1));
        assert_eq!(forecast.all.percent, Some(40.0));
        assert_eq!(forecast.all.by_status, BTreeMap::from([(409, 2)]));
        let of: Vec<_> =
            forecast.by_resource.iter().map(|row| (row.resource.as_str(), row.share.percent)).collect();
        assert_eq!(of, [("agent-profile", Some(100.0)), ("state", Some(0.0))]);
        let of: Vec<_> =
            forecast.by_client.iter().map(|row| (row.client.as_str(), row.share.refused)).collect();
        assert_eq!(of, [("Moodle", 2), ("TinCanJS", 0)]);
    }

    #[test]
    fn what_nobody_knows_and_what_fails_is_not_refused() {
        let undecided = Sample { verdict: "not-sampled", ..Sample::default() };
        assert_eq!(forecast(&[undecided], false).all.percent, None);
        assert_eq!(forecast(&[], false).all.percent, None);
        let failed = Sample { verdict: "hold-wait", would_be: Some(503), ..Sample::default() };
        let all = forecast(&[failed, REFUSED], false).all;
        assert_eq!((all.refused, all.failed, all.percent), (1, 1, Some(50.0)));
    }

    #[test]
    fn a_forecast_says_whose_tags_it_rests_on() {
        let found = |upstream| Sample { found: Some(("\"a\"", upstream)), ..Sample::default() };
        let enforced = Sample { mode: Mode::Enforce, ..found(None) };
        for (sample, shows_tags, expected) in [
            (Sample::default(), true, RestsOn::Unknown),
            (found(Some("\"u\"")), false, RestsOn::Upstreams),
            (found(Some("\"u\"")), true, RestsOn::Upstreams),
            (found(None), true, RestsOn::ObserveEtags),
            (found(None), false, RestsOn::Nothing),
            (enforced, false, RestsOn::Ours),
        ] {
            let forecast = forecast(&[sample, Sample::default()], shows_tags);
            assert_eq!(forecast.by_resource[0].rests_on, expected);
        }
    }
}
