//! Experience memory for agents: whole episodes in, the most useful ones back, rendered for the
//! prompt.
//!
//! The retrieval of ExpRAG (arXiv 2603.18272) over this crate's indexes. The paper's retriever is
//! a dense embedding model; here it is whatever [`Encoder`](crate::Encoder) the store is opened
//! with, so the paper's scores do not carry over. `docs/memory.md` says what else differs and how
//! a store lies in an index.
//!
//! ```
//! use std::sync::Arc;
//! use sparsely::{LexicalEncoder, memory::*};
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path();
//! let encoder = Arc::new(LexicalEncoder::text());
//! let mut store = ExperienceStore::open_or_create(path, encoder, StoreConfig::new())?;
//!
//! // After an episode: one commit.
//! let episode = Trajectory::new("run-1", "Your task is to boil lead.")
//!     .with_step(Step::new("open the stove", "The stove is open."))
//!     .with_outcome(Outcome::Success);
//! store.record(episode)?;
//!
//! // Before the next one: a block for the prompt, of at most 2,000 tokens.
//! let memories = store.recall(&Recall::at_start("Your task is to boil tin.").top(4))?;
//! let block = Renderer::new(2_000).render(&memories);
//! assert!(block.text.contains("open the stove"));
//!
//! // During it: ask again with each step, and keep the prompt while the answer stays.
//! let mut session = Session::start(&store, Recall::at_start("Your task is to boil tin."))?;
//! let change = session.step(&store, Step::new("look around", "You see a stove."))?;
//! assert!(!change.has_changed);
//! # Ok::<(), sparsely::Error>(())
//! ```

mod chat;
mod config;
mod export;
mod find;
#[cfg(feature = "json")]
mod json;
mod keys;
mod layout;
mod queue;
mod recall;
mod record;
mod render;
mod select;
mod session;
mod store;
mod training;
mod trajectory;
mod wording;
mod write;

#[cfg(feature = "json")]
pub use self::json::read_json_lines;
pub use self::{
    chat::{Message, Role},
    config::{
        Absorbed, Conflict, Fate, Forget, NearDuplicate, RecordReport, Recorded, StoreConfig,
        StoreStats,
    },
    export::TrainingExport,
    keys::{KeyKind, KeyPlan},
    recall::{Filters, Moment, Ranking, Recall},
    render::{Memory, Rendered, RenderedItem, RenderedMessages, Renderer, approximate_tokens},
    select::Usage,
    session::{Change, Session},
    store::ExperienceStore,
    training::{LeaveOut, TrainingExample, TrainingMessage, TrainingReport},
    trajectory::{Outcome, Step, Trajectory},
};
