//! What every encoder around a runner offers.

/// Writes the methods that encoders share, and their `Encoder`, for a type with a field `runner`.
macro_rules! encoder_around_runner {
    ($encoder:ident) => {
        impl $encoder {
            /// What was done so far, over all threads.
            #[must_use]
            pub fn tally(&self) -> crate::encode::run::Tally {
                self.runner.tally()
            }

            /// How many terms have no token: the rows by which a model's matrix is padded to a round
            /// number. They never get a weight in a trained model.
            #[must_use]
            pub fn padding_terms(&self) -> u32 {
                self.runner.padding_terms()
            }

            /// Whether queries are encoded by a table of weights, without the transformer.
            #[must_use]
            pub fn has_query_table(&self) -> bool {
                self.runner.table.is_some()
            }

            /// Encodes a long document as passages, one vector each: windows of the document length that
            /// share `overlap` tokens. The ranges are bytes of `text`.
            ///
            /// # Errors
            /// As [`encode_documents`](crate::Encoder::encode_documents).
            pub fn encode_passages(
                &self,
                text: &str,
                overlap: usize,
            ) -> crate::Result<Vec<(std::ops::Range<usize>, crate::SparseVector)>> {
                self.runner.passages(text, overlap)
            }

            /// Encodes documents as they come and hands each vector to `sink` in order, with what came
            /// attached to its text. Memory does not grow with the number of documents. Besides the
            /// encoder's own threads, one more reads and tokenizes ahead.
            ///
            /// An error of `documents` or `sink`, or a break of `progress`, ends the work; what `sink` was
            /// given before stands. To go on later, leave out the documents it was given.
            ///
            /// # Errors
            /// As [`encode_documents`](crate::Encoder::encode_documents), and what `documents` and `sink` return.
            pub fn encode_stream<T: Send>(
                &self,
                documents: impl Iterator<Item = crate::Result<(T, String)>> + Send,
                progress: &mut crate::Progress<'_>,
                sink: impl FnMut(T, crate::SparseVector) -> crate::Result<()>,
            ) -> crate::Result<u64> {
                self.runner.stream(documents, progress, sink)
            }
        }

        impl crate::Encoder for $encoder {
            /// Covers the model's files, the tokenizer, pooling, and how documents are cut,
            /// prompted and pruned. How queries are treated and where the model runs are not part of it.
            fn fingerprint(&self) -> crate::Fingerprint {
                self.runner.fingerprint.clone()
            }

            fn term_count(&self) -> u32 {
                self.runner.term_count
            }

            fn encode_documents(&self, texts: &[&str]) -> crate::Result<Vec<crate::SparseVector>> {
                self.runner.documents(texts)
            }

            fn encode_queries(&self, texts: &[&str]) -> crate::Result<Vec<crate::SparseVector>> {
                self.runner.queries(texts)
            }

            fn term(&self, id: crate::TermId) -> Option<std::borrow::Cow<'_, str>> {
                self.runner.term(id)
            }

            fn own_terms(&self, text: &str) -> crate::Result<Option<Vec<crate::TermId>>> {
                self.runner.own_terms(text)
            }
        }
    };
}

pub(crate) use encoder_around_runner;
