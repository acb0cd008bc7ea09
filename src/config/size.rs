//! Sizes with a unit, as in `"10MiB"`.

use std::ops::RangeInclusive;

use bytesize::ByteSize;

use super::problem::{Problems, quoted};
use super::shape::Shape;
use super::value::{Value, text};

/// What sizes look like, for whoever cannot read them: a number with a unit.
const FORM: &str = "^[0-9]+([.][0-9]+)? *([KkMmGg][Ii]?[Bb]?|[Bb])$";

/// A size in bytes within bounds.
pub(super) fn size(value: &Value<'_>, bounds: RangeInclusive<ByteSize>) -> Result<u64, Problems> {
    let size = parse(value)?;
    let (least, most) = (bounds.start(), bounds.end());
    let problem = if size < *least {
        value.problem(format_args!("must be at least {}, and here it is {}", shown(*least), shown(size)))
    } else if size > *most {
        value.problem(format_args!("must be at most {}, and here it is {}", shown(*most), shown(size)))
    } else {
        return Ok(size.as_u64());
    };
    Err(problem.help(format!("write a size between \"{}\" and \"{}\"", shown(*least), shown(*most))).into())
}

/// The size as it is written, without a fraction where it has none.
fn shown(size: ByteSize) -> String {
    let units = [(bytesize::GIB, "GiB"), (bytesize::MIB, "MiB"), (bytesize::KIB, "KiB")];
    let exact = units.iter().find(|(unit, _)| size.as_u64() > 0 && size.as_u64().is_multiple_of(*unit));
    exact.map_or_else(
        || format!("{}B", size.as_u64()),
        |(unit, name)| format!("{}{name}", size.as_u64() / unit),
    )
}

fn parse(value: &Value<'_>) -> Result<ByteSize, Problems> {
    let without_unit = |number: u64| {
        let size = shown(ByteSize(number));
        value.problem("is a number without a unit").help(format!("write {} = \"{size}\"", value.name()))
    };
    if let Some(number) = value.whole() {
        return Err(without_unit(u64::try_from(number).unwrap_or(u64::MAX)).into());
    }
    let text = text(value).map_err(|_| {
        let problem = value.expected("a size").help("write it like \"64KiB\" or \"10MiB\"");
        problem.expects(Shape::Form(FORM))
    })?;
    if let Ok(number) = text.parse() {
        return Err(without_unit(number).into());
    }
    text.parse().map_err(|_| {
        value
            .problem(format_args!("is no size: {}", quoted(text)))
            .help("write a number and a unit, as in \"64KiB\" or \"10MiB\"")
            .into()
    })
}
