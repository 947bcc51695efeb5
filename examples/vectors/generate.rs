//! `vectors generate`.

use std::{ffi::OsString, path::Path};

use sparsely::{Result, interchange::write_csr};

use crate::{
    GenerateArguments, PresetName,
    generator::{Generator, Shape},
};

pub(crate) fn run(arguments: &GenerateArguments) -> Result<String> {
    let shape = match arguments.preset {
        PresetName::Splade => Shape::SPLADE,
        PresetName::Sae => Shape::SAE,
    };
    let generator = Generator::new(shape, arguments.seed);
    // Vectors are made again for each pass over them rather than held.
    let documents = (0..arguments.documents).map(|number| generator.document(number));
    write_csr(&arguments.out, shape.term_count, documents)?;
    if let Some(count) = arguments.queries {
        let queries = (0..count).map(|number| generator.query(number));
        write_csr(beside(&arguments.out), shape.term_count, queries)?;
    }
    let documents = arguments.documents;
    Ok(format!(
        "{documents} documents in {}",
        arguments.out.display()
    ))
}

fn beside(out: &Path) -> std::path::PathBuf {
    let mut name = out.file_stem().map_or(OsString::new(), OsString::from);
    name.push("-queries.csr");
    out.with_file_name(name)
}
