//! `traceparent`: the trace that a request is a part of (W3C Trace Context, level 1).

use http::HeaderMap;
use http::header::HeaderValue;

use super::fields::TRACEPARENT;

/// Which trace a request is a part of, and which span of it sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace, for all who take part in it.
    pub trace_id: u128,
    /// The span that sent the request.
    pub parent_id: u64,
    /// Whether the sender may have recorded it.
    pub is_sampled: bool,
}

impl TraceParent {
    /// What a request says of itself, if it says it well (§3.2.2). What another version adds at the end is left alone.
    pub fn of(fields: &HeaderMap) -> Option<Self> {
        let mut values = fields.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let text = value.to_str().ok()?;
        let mut parts = text.splitn(5, '-');
        let mut part = |length| parts.next().filter(|part| is_hex(part, length));
        let (version, trace_id, parent_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let parent = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            parent_id: u64::from_str_radix(parent_id, 16).ok()?,
            is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (parent.trace_id != 0 && parent.parent_id != 0).then_some(parent)
    }

    /// The field that says so.
    pub fn to_field(self) -> HeaderValue {
        let Self { trace_id, parent_id, is_sampled } = self;
        let text = format!("00-{trace_id:032x}-{parent_id:016x}-{:02x}", u8::from(is_sampled));
        HeaderValue::from_str(&text).expect("hexadecimal digits and hyphens")
    }
}

fn is_hex(part: &str, length: usize) -> bool {
    part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<TraceParent> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(TRACEPARENT, value.parse().expect("a value"));
        }
        TraceParent::of(&fields)
    }

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn it_is_read_and_written() {
        let parent = of(&[GOOD]).expect("a parent");
        assert_eq!(parent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((parent.parent_id, parent.is_sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(parent.to_field(), GOOD);
        assert_eq!(of(&[&GOOD.replace("-01", "-00")]).map(|parent| parent.is_sampled), Some(false));
        assert!(of(&[&(GOOD.replace("00-4", "01-4") + "-more")]).is_some(), "of a later version");
    }

    #[test]
    fn what_is_not_well_said_is_not_said() {
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replace("00-4", "ff-4"),
            &(GOOD.to_owned() + "-more"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &GOOD.replace("00f067aa0ba902b7", "0000000000000000"),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace("-00f0", "-+0f0"),
        ] {
            assert_eq!(of(&[bad]), None, "{bad}");
        }
        assert_eq!(of(&[GOOD, GOOD]), None);
    }
}
