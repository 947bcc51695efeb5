//! Any bytes at all as an episode that waits in the experience memory's queue, and as trajectories
//! in JSON.
#![no_main]

use std::sync::{Arc, LazyLock};

use sparsely::{
    LexicalEncoder,
    memory::{ExperienceStore, Recall, Step, StoreConfig, Trajectory, read_json_lines},
    storage::{Memory, Storage},
};

static ENCODER: LazyLock<Arc<LexicalEncoder>> = LazyLock::new(|| Arc::new(LexicalEncoder::text()));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    match kind % 4 {
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
        _ => _ = Step::from_json_array(data),
    }
});

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
