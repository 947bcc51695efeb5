//! Writing safetensors: tensors one after the other, never a copy of all.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use serde_json::{Map, json};

use crate::error::{Error, Result};

/// A tensor to be written, in 32-bit floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) name: &'a str,
    pub(crate) shape: &'a [usize],
    pub(crate) values: &'a [f32],
}

/// Writes `tensors` to a new file at `path`, or over the one that is there, so that a failure
/// leaves the old one.
///
/// # Errors
/// When a shape does not fit its numbers, or the device fails.
pub(crate) fn write_safetensors(path: &Path, tensors: &[Content<'_>]) -> Result<()> {
    let mut header = Map::new();
    let mut end = 0_usize;
    for tensor in tensors {
        let count = tensor.shape.iter().product::<usize>();
        if count != tensor.values.len() {
            return Err(Error::invalid(
                format!("values of the tensor {}", tensor.name),
                format!("{count}, as its shape says"),
                tensor.values.len().to_string(),
            ));
        }
        let start = end;
        end += 4 * count;
        header.insert(
            tensor.name.to_owned(),
            json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]}),
        );
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // Numbers begin at a multiple of 8, so that they can be read in place.
    header.resize(header.len().next_multiple_of(8), b' ');
    let partial = path.with_extension("safetensors.partial");
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 18, File::create(&partial)?);
        out.write_all(&u64::try_from(header.len()).unwrap_or(0).to_le_bytes())?;
        out.write_all(&header)?;
        let mut block = Vec::with_capacity(1 << 16);
        for tensor in tensors {
            for values in tensor.values.chunks(1 << 14) {
                block.clear();
                block.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                out.write_all(&block)?;
            }
        }
        out.into_inner()?.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|source| {
        let _ = std::fs::remove_file(&partial);
        Error::io("write", path, source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::tensors::Tensors;

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let values: Vec<f32> = (0_u16..20_000).map(f32::from).collect();
        let content = |shape| Content {
            name: "W",
            shape,
            values: &values,
        };
        write_safetensors(
            &path,
            &[
                content(&[100, 200]),
                Content {
                    name: "b",
                    ..content(&[20_000])
                },
            ],
        )
        .unwrap();
        let tensors = Tensors::open(&path).unwrap();
        let tensor = tensors.get("W").unwrap();
        assert_eq!(
            (tensor.shape(), tensor.values()),
            (&[100, 200][..], values.clone())
        );
        assert_eq!(tensor.in_place(), Some(&values[..]));
        assert!(write_safetensors(&path, &[content(&[3])]).is_err());
        assert!(Tensors::open(&path).is_ok(), "the old file stands");
    }
}
