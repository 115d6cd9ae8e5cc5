//! Weights from safetensors files, checked against the architecture before candle sees them: candle
//! panics on a missing tensor.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};

use crate::error::LocalError;
use crate::files::ModelFolder;
use crate::shape::LlamaShape;
use crate::spec::Dtype;

/// Every tensor of the shape, in the format asked for. `told` hears how many files are done.
///
/// One file is in memory beside the weights at a time.
pub(crate) fn from_folder(
    folder: &ModelFolder,
    shape: &LlamaShape,
    dtype: Dtype,
    told: &mut dyn FnMut(usize, usize),
) -> Result<HashMap<String, Tensor>, LocalError> {
    let mut wanted: BTreeMap<String, Vec<usize>> = shape.tensors().into_iter().collect();
    let mut weights = HashMap::with_capacity(wanted.len());
    let total = folder.shards.len();
    for (done, shard) in folder.shards.iter().enumerate() {
        let place = shard.display().to_string();
        let bytes = std::fs::read(shard).map_err(LocalError::read(shard))?;
        let tensors =
            candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|error| {
                LocalError::Weights { place: place.clone(), message: error.to_string() }
            })?;
        for (name, tensor) in tensors {
            // Files may hold more than the model needs: a copy of a tied embedding, rotary buffers.
            let Some(dims) = wanted.remove(&name) else { continue };
            if tensor.dims() != dims {
                let message = format!("`{name}` is {:?}, the config says {dims:?}", tensor.dims());
                return Err(LocalError::Weights { place, message });
            }
            let tensor = tensor
                .to_dtype(dtype.candle())
                .map_err(LocalError::candle("converting the weights"))?;
            weights.insert(name, tensor);
        }
        told(done + 1, total);
    }
    if let Some((name, _)) = wanted.first_key_value() {
        return Err(LocalError::Weights {
            place: folder.root.display().to_string(),
            message: format!("{} tensors are missing, among them `{name}`", wanted.len()),
        });
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    fn folder(
        change: impl FnOnce(&mut HashMap<String, Tensor>),
    ) -> Result<HashMap<String, Tensor>, LocalError> {
        let shape = LlamaShape::by_name("tiny-llama").unwrap();
        let mut weights = synthetic::weights(&shape, Dtype::F32, 0, &mut |_, _| {}).unwrap();
        change(&mut weights);
        let root = tempfile::tempdir().unwrap();
        let shards = vec![root.path().join("a.safetensors"), root.path().join("b.safetensors")];
        let (first, second): (HashMap<_, _>, HashMap<_, _>) =
            weights.into_iter().partition(|(name, _)| name.contains("layers"));
        candle_core::safetensors::save(&first, &shards[0]).unwrap();
        candle_core::safetensors::save(&second, &shards[1]).unwrap();
        let folder = ModelFolder { root: root.path().to_owned(), shards };
        from_folder(&folder, &shape, Dtype::F32, &mut |_, _| {})
    }

    #[test]
    fn shards_are_put_together_and_what_is_not_needed_is_left_out() {
        let extra = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        let weights = folder(|w| drop(w.insert("rotary.inv_freq".to_owned(), extra))).unwrap();
        assert_eq!(weights.len(), LlamaShape::by_name("tiny-llama").unwrap().tensors().len());
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let error = folder(|w| drop(w.remove("model.norm.weight"))).unwrap_err().to_string();
        assert!(error.contains("model.norm.weight"), "{error}");
    }

    #[test]
    fn a_tensor_of_other_dimensions_is_named() {
        let wrong = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
        let error = folder(|w| drop(w.insert("model.norm.weight".to_owned(), wrong)))
            .unwrap_err()
            .to_string();
        assert!(error.contains("model.norm.weight") && error.contains("[3]"), "{error}");
    }
}
