//! `[observe]`: what observe mode costs and shows.

use toml::de::DeValue;

use super::problem::Problems;
use super::section::Section;
use super::shape::Shape;
use super::value::{Value, boolean};
use crate::exchange::observe::{Sample, Settings};

pub(super) fn observe(section: &mut Section<'_, '_>) -> Option<Settings> {
    let serialise = section.read("serialise", boolean);
    let sample = section.read("sample", sample);
    let etags = section.read("etags", boolean);
    Some(Settings { serialise: serialise?, sample: sample?, etags: etags? })
}

/// A share, as a fraction of one.
fn sample(value: &Value<'_>) -> Result<Sample, Problems> {
    const RANGE: &str = "a number between 0.0 and 1.0";
    let number: Option<f64> = match value.inner {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(_) => value.whole().and_then(|whole| i32::try_from(whole).ok()).map(f64::from),
        _ => {
            return Err(value
                .expected(RANGE)
                .help("write sample = 0.1 for a tenth")
                .expects(Shape::Share)
                .into());
        }
    };
    number.and_then(Sample::new).ok_or_else(|| {
        value.problem(format_args!("must be {RANGE}")).help("write sample = 0.1 for a tenth").into()
    })
}
