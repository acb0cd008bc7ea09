//! README's decision table says what the data file says.

use crate::row::{Row, rows};

/// A row of README's table: what was stated, and what it gets where there is no representation, and over one.
struct Line {
    stated: String,
    missing: String,
    current: String,
}

fn decision_table() -> Vec<Line> {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## What a write gets").expect("README has the decision table");
    section
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [stated, missing, current] = cells[..] else { panic!("three cells: {line}") };
            Line { stated: stated.into(), missing: missing.into(), current: current.into() }
        })
        .collect()
}

impl Line {
    /// Whether a case of the data file belongs to this line.
    ///
    /// A stated condition fails when it is answered with 412, and holds when it is not: README's two lines say that
    /// nothing else ever comes of one.
    fn covers(&self, row: &Row) -> bool {
        match self.stated.as_str() {
            "stated condition fails" => row.is_stated() && row.verdict.starts_with("412"),
            "stated condition holds" => row.is_stated() && !row.verdict.starts_with("412"),
            unstated => {
                let word = unstated.strip_prefix("nothing stated, `").and_then(|rest| rest.strip_suffix('`'));
                !row.is_stated() && row.unconditional == word.expect("a word of the configuration")
            }
        }
    }

    fn says(&self, row: &Row) -> &str {
        if row.is_current() { &self.current } else { &self.missing }
    }
}

#[test]
fn readme_says_what_the_data_file_says() {
    let rows = rows();
    let table = decision_table();
    assert_eq!(table.len(), 5, "README's table has a line for each case");
    for line in &table {
        let covered: Vec<&Row> = rows.iter().filter(|row| line.covers(row)).collect();
        for is_current in [false, true] {
            let has_case = covered.iter().any(|row| row.is_current() == is_current);
            assert!(has_case, "no case for {:?}, current: {is_current}", line.stated);
        }
        for row in covered {
            assert_eq!(
                row.verdict.split(' ').next(),
                Some(line.says(row)),
                "{:?}: {}",
                line.stated,
                row.circumstance
            );
        }
    }
    for word in ["forward", "conflict", "require"] {
        assert!(
            table.iter().any(|line| line.stated.contains(&format!("`{word}`"))),
            "README says nothing of {word}"
        );
    }
}

/// Whoever reads no further than a screen must know of it.
#[test]
fn the_first_screen_says_that_two_replicas_do_not_share_holds() {
    let screen: Vec<&str> = include_str!("../../README.md").lines().take(24).collect();
    assert!(screen.join(" ").contains("two replicas do not yet share their holds"), "{screen:#?}");
}
