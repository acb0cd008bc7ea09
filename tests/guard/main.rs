//! The guard by its table: every row of `table.txt` is judged, and README's decision table is checked against it.

mod readme;
mod row;

use row::{Row, rows};

#[test]
fn every_row_of_the_table_gets_its_verdict() {
    let wrong: Vec<String> = rows()
        .iter()
        .filter(|row| row.judged() != row.verdict)
        .map(|row| format!("{}: expected {:?}, got {:?}", row.circumstance, row.verdict, row.judged()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_large_enough_and_names_each_case_once() {
    let rows = rows();
    assert!(rows.len() >= 60, "only {} rows", rows.len());
    let mut names: Vec<&str> = rows.iter().map(|row: &Row| row.circumstance.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows.len(), "a circumstance stands twice");
}

#[test]
fn who_is_decided_without_asking_is_decided_the_same_by_asking() {
    for row in rows() {
        if let Some(decided) = row.planned() {
            let evaluated = row.evaluated();
            // Without asking, the reason for a malformed field is known and the current tag is not.
            let same = decided == evaluated || decided == "412 malformed-precondition";
            assert!(same, "{}: {decided} by plan, {evaluated} by evaluate", row.circumstance);
        }
    }
}
