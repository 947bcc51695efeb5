//! Any bytes at all as an episode that waits in the experience memory's queue, as what a store keeps
//! in its index, and as trajectories in JSON.
#![no_main]

use std::sync::{Arc, LazyLock};

use sparsely::{
    Config, Import, Index, LexicalEncoder, Progress,
    memory::{ExperienceStore, Recall, Step, StoreConfig, Trajectory, read_json_lines},
    storage::{Memory, Storage},
};

static ENCODER: LazyLock<Arc<LexicalEncoder>> = LazyLock::new(|| Arc::new(LexicalEncoder::text()));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    match kind % 5 {
        0 => absorb(data),
        1 => {
            // The head right, as an attacker would have it.
            let length = (data.len() as u64).to_le_bytes();
            let sum = crc32fast::hash(data).to_le_bytes();
            absorb(&[&b"SPRLWAIT"[..], &sum, &length, data].concat());
        }
        2 => {
            if let Ok(trajectory) = Trajectory::from_json(data) {
                let again = Trajectory::from_json(trajectory.to_json().as_bytes());
                assert_eq!(again.expect("reads back"), trajectory);
            }
            for (_, trajectory) in read_json_lines(data) {
                let _ = trajectory;
            }
        }
        3 => _ = Step::from_json_array(data),
        _ => stored(data),
    }
});

/// A store one of whose documents, which the first byte chooses, holds other bytes.
fn stored(data: &[u8]) {
    static LINES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let lines = sparsely_fuzz::stored_episode();
        lines.lines().map(str::to_owned).collect()
    });
    let Some((&chosen, payload)) = data.split_first() else {
        return;
    };
    let holders: Vec<usize> = (0..LINES.len()).filter(|at| LINES[*at].contains("payload_hex")).collect();
    let chosen = holders[usize::from(chosen) % holders.len()];
    let mut changed: serde_json::Value = serde_json::from_str(&LINES[chosen]).expect("a line of an export");
    changed["payload_hex"] = payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    let mut lines = LINES.clone();
    lines[chosen] = changed.to_string();
    let lines = lines.join("\n");
    let memory = Memory::default();
    let import = Import::open("f", lines.as_bytes()).expect("an export");
    let index = Index::with_storage(Arc::new(memory.clone()), import.configure(Config::new())).expect("an index");
    let mut writer = index.writer().expect("the only writer");
    import.read_into(&mut writer, &mut Progress::none()).expect("lines of an export");
    writer.commit().expect("commits");
    drop(writer);
    let config = StoreConfig::new();
    let Ok(mut store) = ExperienceStore::with_storage(Arc::new(memory), ENCODER.clone(), config) else {
        return;
    };
    for id in store.ids().unwrap_or_default() {
        let _ = store.episode(&id);
        let _ = store.usage(&id);
        let _ = store.give_feedback(&[&id], &[&id]);
    }
    let _ = store.recall(&Recall::at_start("boil the lead"));
    let _ = store.stats();
    let _ = store.record(Trajectory::new("id", "boil the tin"));
}

fn absorb(bytes: &[u8]) {
    let memory = Memory::default();
    let open = || {
        ExperienceStore::with_storage(Arc::new(memory.clone()), ENCODER.clone(), StoreConfig::new())
    };
    let mut store = open().expect("a new store");
    let name = "waiting-0000000000000001-0000000000000002";
    let mut file = memory.create(name).expect("a file");
    file.write(bytes).expect("memory takes it");
    drop(file);
    let Ok(absorbed) = store.absorb() else {
        return;
    };
    if absorbed.unreadable.is_empty() {
        let store = open().expect("reopens");
        for id in store.ids().expect("ids") {
            assert!(store.episode(&id).expect("readable").is_some());
        }
        store.recall(&Recall::at_start("boil the lead")).expect("recall");
    }
}
