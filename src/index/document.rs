//! From a text to a document, with everything that an encoder has to say of it.

use crate::{
    encode::Encoder,
    error::Result,
    segment::{DocKey, Document},
};

impl Document {
    /// Encodes `text` and stores it with its vector under `key`. Terms of the text itself are told
    /// from those of expansion where the encoder can; where its vocabulary is open, what the terms
    /// mean goes with the document.
    ///
    /// # Errors
    /// As [`Encoder::encode_documents`].
    pub fn from_text<E: Encoder + ?Sized>(
        encoder: &E,
        key: impl Into<DocKey>,
        text: impl Into<String>,
    ) -> Result<Document> {
        let text = text.into();
        let vector = encoder.encode_document(&text)?;
        let mut document = Document::new(key, vector);
        if encoder.uses_statistics()
            && let Some(own) = encoder.own_terms(&text)?
        {
            document = document.own_terms(own);
        }
        if encoder.has_open_vocabulary() {
            let terms = document.vector().terms().to_vec();
            let labels = terms
                .into_iter()
                .filter_map(|term| Some((term, encoder.term(term)?.into_owned())));
            document = document.labels(labels);
        }
        Ok(document.text(text))
    }
}
