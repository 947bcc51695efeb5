//! Merges that run beside the writer: they change no answer, lose no delete, can be cancelled,
//! and hold the index's lock until they are over.

use std::{ops::ControlFlow, sync::mpsc, time::Duration};

use sparsely::{Config, ErrorKind, Index, Merging, Progress, Verify};

use crate::support::model::{Model, check_search, config, content, document, upsert};

fn by_caller() -> Config {
    config().merging(Merging::ByCaller)
}

/// An index in memory of so many commits of five documents, its writer and its model.
fn filled(commits: u32) -> (Index, sparsely::Writer, Model) {
    let index = Index::in_memory(by_caller()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    for commit in 0..commits {
        for at in 0..5 {
            let version = commit * 5 + at;
            upsert(&mut writer, &mut model, &format!("key {version}"), version);
        }
        writer.commit().unwrap();
    }
    (index, writer, model)
}

fn check(index: &Index, model: &Model) {
    let snapshot = index.snapshot().unwrap();
    assert_eq!(content(&snapshot), *model);
    check_search(&snapshot, model);
    assert!(index.verify(Verify::Full).unwrap().is_clean());
}

#[test]
fn a_writer_and_readers_go_on_while_a_merge_waits_in_the_middle() {
    let (index, mut writer, mut model) = filled(4);
    let job = writer.begin_merge().unwrap().unwrap();
    assert!(writer.begin_merge().unwrap().is_none(), "one at a time");
    let (reached, is_reached) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let merging = std::thread::spawn(move || {
        let mut steps = 0;
        let mut wait = |_| {
            steps += 1;
            if steps == 1 {
                reached.send(()).unwrap();
                may_go_on.recv().unwrap();
            }
            ControlFlow::Continue(())
        };
        job.run(&mut Progress::new(&mut wait))
    });
    is_reached.recv().unwrap();
    // The merge stands still; nobody else does.
    upsert(&mut writer, &mut model, "key 3", 100);
    upsert(&mut writer, &mut model, "new", 101);
    assert!(writer.delete("key 7").unwrap());
    model.remove("key 7");
    writer.commit().unwrap();
    check(&index, &model);
    assert!(writer.delete("key 11").unwrap());
    model.remove("key 11");
    go_on.send(()).unwrap();
    let merged = merging.join().unwrap().unwrap();
    assert!(writer.finish_merge(merged).unwrap());
    writer.commit().unwrap();
    check(&index, &model);
    let stats = index.stats().unwrap();
    assert_eq!(stats.segments.len(), 2, "{stats:?}");
    assert!(writer.begin_merge().unwrap().is_none(), "nothing is due");
}

#[test]
fn a_rollback_voids_a_merge_that_saw_what_was_rolled_back() {
    let (index, mut writer, model) = filled(4);
    writer.delete("key 1").unwrap();
    let job = writer.begin_merge().unwrap().unwrap();
    writer.rollback().unwrap();
    let merged = job.run(&mut Progress::none()).unwrap();
    assert!(!writer.finish_merge(merged).unwrap());
    writer.upsert(document("key 2", 2)).unwrap();
    writer.commit().unwrap();
    check(&index, &model);
}

#[test]
fn a_merge_of_what_was_merged_meanwhile_is_left_out() {
    let (index, mut writer, model) = filled(4);
    let job = writer.begin_merge().unwrap().unwrap();
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    let merged = job.run(&mut Progress::none()).unwrap();
    assert!(!writer.finish_merge(merged).unwrap());
    writer.commit().unwrap();
    check(&index, &model);
}

#[test]
fn a_merge_of_documents_that_are_all_deleted_meanwhile_leaves_none() {
    let (index, mut writer, mut model) = filled(4);
    let job = writer.begin_merge().unwrap().unwrap();
    for key in std::mem::take(&mut model).into_keys() {
        writer.delete(key.as_str()).unwrap();
    }
    let merged = job.run(&mut Progress::none()).unwrap();
    assert!(writer.finish_merge(merged).unwrap());
    writer.commit().unwrap();
    check(&index, &model);
    assert_eq!(index.stats().unwrap().segments.len(), 0);
}

#[test]
fn cancelling_leaves_everything_as_it_was() {
    let (index, mut writer, mut model) = filled(4);
    let job = writer.begin_merge().unwrap().unwrap();
    let mut stop = |_| ControlFlow::Break(());
    let error = job.run(&mut Progress::new(&mut stop)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    upsert(&mut writer, &mut model, "more", 7);
    writer.commit().unwrap();
    check(&index, &model);
    // And the merge is due again.
    assert!(writer.begin_merge().unwrap().is_some());
}

#[test]
fn the_index_is_locked_until_the_job_is_gone_too() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::create(dir.path(), by_caller()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = Model::new();
    for at in 0..4 {
        upsert(&mut writer, &mut model, &format!("k{at}"), at);
        writer.commit().unwrap();
    }
    let job = writer.begin_merge().unwrap().unwrap();
    drop(writer);
    assert_eq!(index.writer().unwrap_err().kind(), ErrorKind::Locked);
    let merged = job.run(&mut Progress::none()).unwrap();
    assert_eq!(index.writer().unwrap_err().kind(), ErrorKind::Locked);
    drop(merged);
    let config = by_caller().lock_wait(Duration::from_secs(1));
    let writer = Index::open_with(dir.path(), config).unwrap().writer();
    drop(writer.unwrap());
    check(&index, &model);
    // What the job wrote was removed.
    assert_eq!(index.stats().unwrap().segments.len(), 4);
    let names = std::fs::read_dir(dir.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("segment-")).count(), 4);
}
