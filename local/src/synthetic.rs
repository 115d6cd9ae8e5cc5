//! Seeded random weights of a real architecture.
//!
//! They are drawn as the architecture initialises itself before training: normal with its
//! `initializer_range` for matrices, one for norms. The work per token is that of the real model; the
//! values are not, and the power of a matrix product depends on its values, so every description of
//! such a model says `synthetic`.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use crate::error::LocalError;
use crate::shape::LlamaShape;
use crate::spec::Dtype;

/// Values drawn from one generator; fixed, so that a seed means the same on any number of threads.
const CHUNK: usize = 1 << 16;

/// Every tensor of the shape. `told` hears how many are done.
pub(crate) fn weights(
    shape: &LlamaShape,
    dtype: Dtype,
    seed: u64,
    told: &mut dyn FnMut(usize, usize),
) -> Result<HashMap<String, Tensor>, LocalError> {
    let mut seeds = Xoshiro256PlusPlus::seed_from_u64(seed);
    let tensors = shape.tensors();
    let total = tensors.len();
    let mut weights = HashMap::with_capacity(total);
    for (done, (name, dims)) in tensors.into_iter().enumerate() {
        let count = dims.iter().product();
        let values = if dims.len() == 1 {
            vec![1.0; count]
        } else {
            normal(count, shape.initializer_range, &mut seeds)
        };
        let tensor = Tensor::from_vec(values, dims, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(dtype.candle()))
            .map_err(LocalError::candle("filling random weights"))?;
        weights.insert(name, tensor);
        told(done + 1, total);
    }
    Ok(weights)
}

fn normal(count: usize, deviation: f32, seeds: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let mut values = vec![0.0_f32; count];
    let seeds: Vec<u64> = (0..count.div_ceil(CHUNK)).map(|_| seeds.next_u64()).collect();
    values.par_chunks_mut(CHUNK).zip(seeds).for_each(|(chunk, seed)| {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        for value in chunk {
            let drawn: f32 = StandardNormal.sample(&mut random);
            *value = deviation * drawn;
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(seed: u64) -> Vec<f32> {
        let shape = LlamaShape::by_name("tiny-llama").unwrap();
        let weights = weights(&shape, Dtype::F32, seed, &mut |_, _| {}).unwrap();
        weights["model.embed_tokens.weight"].flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_seed_gives_the_same_weights_on_any_number_of_threads() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert!(one.install(|| matrix(7)) == matrix(7));
        assert!(matrix(7) != matrix(8));
    }

    #[test]
    fn matrices_are_normal_with_the_range_of_the_architecture() {
        let values: Vec<f64> = matrix(1).into_iter().map(f64::from).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        let kurtosis = values.iter().map(|v| ((v - mean) / deviation).powi(4)).sum::<f64>() / count;
        assert!(mean.abs() < 1e-4, "{mean}");
        assert!((deviation - 0.02).abs() < 1e-4, "{deviation}");
        assert!((kurtosis - 3.0).abs() < 0.02, "{kurtosis}");
    }

    #[test]
    fn norms_are_one_and_every_tensor_is_there() {
        let shape = LlamaShape::by_name("tiny-llama").unwrap();
        let mut last = (0, 0);
        let weights =
            weights(&shape, Dtype::Bf16, 0, &mut |done, total| last = (done, total)).unwrap();
        assert_eq!(weights.len(), shape.tensors().len());
        assert_eq!(last, (weights.len(), weights.len()));
        let norm = weights["model.norm.weight"].to_dtype(candle_core::DType::F32).unwrap();
        assert!(
            norm.to_vec1::<f32>().unwrap().iter().all(|&value| (value - 1.0).abs() < f32::EPSILON)
        );
    }
}
