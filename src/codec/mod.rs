//! Blocks of documents to bytes and back.

pub(crate) mod block;
