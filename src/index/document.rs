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
        described(encoder, Document::new(key, vector), text)
    }

    /// As [`Document::from_text`] of several texts, which are encoded together: models run them in
    /// batches. Memory grows with their number; 64 are enough.
    ///
    /// ```
    /// use sparsely::{Document, LexicalEncoder};
    /// let texts = [("a", "an apple".to_owned()), ("b", "a pear".to_owned())];
    /// let documents = Document::from_texts(&LexicalEncoder::text(), texts)?;
    /// assert_eq!(documents.len(), 2);
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Encoder::encode_documents`].
    pub fn from_texts<E: Encoder + ?Sized, K: Into<DocKey>>(
        encoder: &E,
        texts: impl IntoIterator<Item = (K, String)>,
    ) -> Result<Vec<Document>> {
        let (keys, texts): (Vec<K>, Vec<String>) = texts.into_iter().unzip();
        let slices: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = encoder.encode_documents(&slices)?;
        keys.into_iter()
            .zip(vectors)
            .zip(texts)
            .map(|((key, vector), text)| described(encoder, Document::new(key, vector), text))
            .collect()
    }
}

/// Adds the text and what the encoder has to say of it.
fn described<E: Encoder + ?Sized>(
    encoder: &E,
    mut document: Document,
    text: String,
) -> Result<Document> {
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
