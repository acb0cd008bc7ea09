//! Figures as text: OpenMetrics 1.0.0, and the older text format of Prometheus (0.0.4), which `promtool` and `curl` read.

/// The name of a metric's family, what is said of it, and its samples.
#[derive(Debug, Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    unit: Option<&'a str>,
    samples: Vec<&'a str>,
}

/// OpenMetrics text with the samples of each family in the order of their labels, whatever order they were kept in.
pub(super) fn open_metrics(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for family in families(text) {
        let Family { name, help, kind, unit, samples } = &family;
        written.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        if let Some(unit) = unit {
            written.push_str(&format!("# UNIT {name} {unit}\n"));
        }
        samples.iter().for_each(|sample| written.extend([*sample, "\n"]));
    }
    written + "# EOF\n"
}

/// The same in the older format, in which a counter's family has the name of its samples, and nothing has a unit.
pub(super) fn prometheus(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for Family { name, help, kind, samples, .. } in families(text) {
        let suffix = if kind == "counter" { "_total" } else { "" };
        written.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        samples.iter().for_each(|sample| written.extend([*sample, "\n"]));
    }
    written
}

fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            let (name, help) = said.split_once(' ').unwrap_or((said, ""));
            families.push(Family { name, help, ..Family::default() });
            continue;
        }
        let Some(family) = families.last_mut() else { continue };
        let said = |what| line.strip_prefix(what).and_then(|said: &str| said.split_once(' '));
        if let Some((_, kind)) = said("# TYPE ") {
            family.kind = kind;
        } else if let Some((_, unit)) = said("# UNIT ") {
            family.unit = Some(unit);
        } else if !line.starts_with('#') {
            family.samples.push(line);
        }
    }
    for family in &mut families {
        // The sort is stable, so that the buckets of a histogram stay in their order.
        family.samples.sort_by_cached_key(|sample| labels(sample));
    }
    // One without samples says nothing.
    families.retain(|family| !family.samples.is_empty());
    families
}

/// The labels of a sample, but for the bound of a bucket, which comes first.
fn labels(sample: &str) -> String {
    let labels = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let labels = labels.map_or("", |(labels, _)| labels);
    match labels.strip_prefix("le=\"").and_then(|bound| bound.split_once('"')) {
        Some((_, rest)) => rest.trim_start_matches(',').to_owned(),
        None => labels.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_seconds How long.
# TYPE a_seconds histogram
# UNIT a_seconds seconds
a_seconds_sum{r=\"y\"} 1.0
a_seconds_bucket{le=\"10.0\",r=\"y\"} 1
a_seconds_bucket{le=\"+Inf\",r=\"y\"} 1
a_seconds_sum{r=\"x\"} 2.0
a_seconds_bucket{le=\"10.0\",r=\"x\"} 1
a_seconds_bucket{le=\"+Inf\",r=\"x\"} 1
# HELP b How often.
# TYPE b counter
b_total{k=\"}\"} 1
b_total{k=\"b\"} 2
# HELP c Nothing.
# TYPE c counter
# EOF
";

    #[test]
    fn samples_stand_in_the_order_of_their_labels() {
        let expected = "# HELP a_seconds How long.
# TYPE a_seconds histogram
# UNIT a_seconds seconds
a_seconds_sum{r=\"x\"} 2.0
a_seconds_bucket{le=\"10.0\",r=\"x\"} 1
a_seconds_bucket{le=\"+Inf\",r=\"x\"} 1
a_seconds_sum{r=\"y\"} 1.0
a_seconds_bucket{le=\"10.0\",r=\"y\"} 1
a_seconds_bucket{le=\"+Inf\",r=\"y\"} 1
# HELP b How often.
# TYPE b counter
b_total{k=\"b\"} 2
b_total{k=\"}\"} 1
# EOF
";
        assert_eq!(open_metrics(TEXT), expected);
    }

    #[test]
    fn the_older_format_names_counters_by_their_samples() {
        let text = prometheus(TEXT);
        assert!(
            text.contains("# HELP b_total How often.\n# TYPE b_total counter\nb_total{k=\"b\"} 2\n"),
            "{text}"
        );
        assert!(text.contains("# TYPE a_seconds histogram\na_seconds_sum{r=\"x\"} 2.0\n"), "{text}");
        assert!(!text.contains("EOF") && !text.contains("UNIT"), "{text}");
    }
}
