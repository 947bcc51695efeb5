//! Bugs on purpose, one after the other: for each, the tests that everybody runs must fail. In an
//! ordinary build neither the bugs nor this module exist.

use std::panic::{catch_unwind, set_hook, take_hook};

use sparsely::planted::{BUGS, select};

use crate::{concurrency, corrupt, crash, differential, journeys, support::report::report};

/// What may notice, the cheap ones first.
const TESTS: &[(&str, fn())] = &[
    ("one_writer_at_a_time", journeys::one_writer_at_a_time),
    (
        "snapshots_stay_and_refresh_moves_on",
        journeys::snapshots_stay_and_refresh_moves_on,
    ),
    (
        "rollback_and_drop_forget_what_was_not_committed",
        journeys::rollback_and_drop_forget_what_was_not_committed,
    ),
    (
        "merging_changes_no_answer_and_reclaims_deletes",
        journeys::merging_changes_no_answer_and_reclaims_deletes,
    ),
    (
        "repair_keeps_what_is_whole_and_names_what_is_lost",
        journeys::repair_keeps_what_is_whole_and_names_what_is_lost,
    ),
    (
        "repair_goes_back_from_a_manifest_that_cannot_be_read",
        journeys::repair_goes_back_from_a_manifest_that_cannot_be_read,
    ),
    (
        "missing_and_truncated_files_are_never_no_hits",
        journeys::missing_and_truncated_files_are_never_no_hits,
    ),
    (
        "readers_see_whole_commits_while_a_writer_writes",
        concurrency::readers_see_whole_commits_while_a_writer_writes,
    ),
    (
        "a_file_of_another_index_is_refused",
        corrupt::a_file_of_another_index_is_refused,
    ),
    (
        "damage_in_large_files_is_never_answered_from",
        corrupt::damage_in_large_files_is_never_answered_from,
    ),
    (
        "an_index_equals_its_model",
        differential::an_index_equals_its_model,
    ),
    (
        "a_power_cut_leaves_one_of_two_commits",
        crash::a_power_cut_leaves_one_of_two_commits,
    ),
    (
        "any_operation_may_fail_in_any_way",
        crash::any_operation_may_fail_in_any_way,
    ),
    (
        "every_change_is_detected",
        corrupt::every_change_is_detected,
    ),
    (
        "a_power_cut_during_recovery_leaves_one_of_two_commits",
        crash::a_power_cut_during_recovery_leaves_one_of_two_commits,
    ),
];

#[test]
fn every_planted_bug_is_caught() {
    assert!(BUGS.len() >= 12);
    let hook = take_hook();
    // Panics are what is wanted here.
    set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let mut caught = Vec::new();
    for bug in BUGS {
        select(Some(bug));
        let found = TESTS.iter().find(|(_, test)| catch_unwind(test).is_err());
        match found {
            Some((test, _)) => caught.push((bug, test)),
            None => missed.push(bug),
        }
    }
    select(None);
    let well = TESTS.iter().find(|(_, test)| catch_unwind(test).is_err());
    set_hook(hook);
    for (bug, test) in &caught {
        println!("{bug}: caught by {test}");
    }
    report(&[
        ("planted", BUGS.len() as u64),
        ("planted_caught", caught.len() as u64),
    ]);
    assert!(
        well.is_none(),
        "without a bug, {:?} fails",
        well.map(|(name, _)| name)
    );
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}
