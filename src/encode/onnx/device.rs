//! Where a model runs.

use std::fmt;

use ort::ep::ExecutionProviderDispatch;

use crate::error::{Error, Result};

/// Where a model runs.
///
/// A device that was asked for and cannot be had is an error: never a silent run on the CPU. To
/// allow that, ask for [`Device::Auto`] and look at
/// [`OnnxEncoder::device`](super::OnnxEncoder::device) afterwards.
///
/// ```
/// use sparsely::encode::onnx::Device;
/// assert_eq!("cuda:1".parse::<Device>()?, Device::Cuda(1));
/// assert_eq!(Device::default().to_string(), "cpu");
/// assert!("gpu".parse::<Device>().is_err());
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The processor, the default.
    #[default]
    Cpu,
    /// The CUDA device of this number: feature `cuda`, and the GPU build of ONNX Runtime.
    Cuda(u16),
    /// TensorRT on the CUDA device of this number, what it cannot do on CUDA: feature `tensorrt`.
    TensorRt(u16),
    /// Apple's Core ML: feature `coreml`.
    CoreMl,
    /// DirectX 12 on Windows: feature `directml`.
    DirectMl(u16),
    /// The first of CUDA, Core ML and DirectML that this build has and that works, else the CPU.
    Auto,
}

impl Device {
    /// What to try, in order.
    pub(super) fn choices(self) -> Vec<Device> {
        match self {
            Device::Auto => {
                let mut choices = Vec::new();
                if cfg!(feature = "cuda") {
                    choices.push(Device::Cuda(0));
                }
                if cfg!(feature = "coreml") {
                    choices.push(Device::CoreMl);
                }
                if cfg!(feature = "directml") {
                    choices.push(Device::DirectMl(0));
                }
                choices.push(Device::Cpu);
                choices
            }
            device => vec![device],
        }
    }

    /// The providers to register, each an error when it cannot be.
    pub(super) fn providers(self) -> Result<Vec<ExecutionProviderDispatch>> {
        let strict = |provider: ExecutionProviderDispatch| provider.error_on_failure();
        match self {
            // The arena saves a third of the time, which goes into fresh pages otherwise; sessions have
            // it give memory back.
            Device::Cpu | Device::Auto => Ok(vec![strict(
                ort::ep::CPU::default().with_arena_allocator(true).build(),
            )]),
            #[cfg(feature = "cuda")]
            Device::Cuda(number) => Ok(vec![strict(
                ort::ep::CUDA::default()
                    .with_device_id(number.into())
                    .build(),
            )]),
            #[cfg(feature = "tensorrt")]
            Device::TensorRt(number) => Ok(vec![
                strict(
                    ort::ep::TensorRT::default()
                        .with_device_id(number.into())
                        .build(),
                ),
                strict(
                    ort::ep::CUDA::default()
                        .with_device_id(number.into())
                        .build(),
                ),
            ]),
            #[cfg(feature = "coreml")]
            Device::CoreMl => Ok(vec![strict(ort::ep::CoreML::default().build())]),
            #[cfg(feature = "directml")]
            Device::DirectMl(number) => Ok(vec![strict(
                ort::ep::DirectML::default()
                    .with_device_id(number.into())
                    .build(),
            )]),
            #[allow(
                unreachable_patterns,
                reason = "which devices are left depends on features"
            )]
            device => Err(Error::unsupported(
                format!("the device {device}"),
                format!(
                    "build with the feature `{}`, and use an ONNX Runtime that has it",
                    device.feature()
                ),
            )),
        }
    }

    fn feature(self) -> &'static str {
        match self {
            Device::Cpu | Device::Auto => "onnx",
            Device::Cuda(_) => "cuda",
            Device::TensorRt(_) => "tensorrt",
            Device::CoreMl => "coreml",
            Device::DirectMl(_) => "directml",
        }
    }

    /// Whether runs go to an accelerator, which wants larger batches and few shapes.
    pub(super) fn is_accelerator(self) -> bool {
        self != Device::Cpu
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
            Device::TensorRt(number) => write!(f, "tensorrt:{number}"),
            Device::CoreMl => f.write_str("coreml"),
            Device::DirectMl(number) => write!(f, "directml:{number}"),
            Device::Auto => f.write_str("auto"),
        }
    }
}

impl std::str::FromStr for Device {
    type Err = Error;

    /// Reads what `Display` writes; a missing number is 0.
    fn from_str(words: &str) -> Result<Device> {
        let refuse = || {
            Error::invalid(
                "device",
                "cpu, cuda[:N], tensorrt[:N], coreml, directml[:N] or auto",
                words,
            )
        };
        let (name, number) = words.split_once(':').unwrap_or((words, "0"));
        let number = number.parse::<u16>().map_err(|_| refuse())?;
        match name {
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(number)),
            "tensorrt" => Ok(Device::TensorRt(number)),
            "coreml" => Ok(Device::CoreMl),
            "directml" => Ok(Device::DirectMl(number)),
            "auto" => Ok(Device::Auto),
            _ => Err(refuse()),
        }
    }
}
