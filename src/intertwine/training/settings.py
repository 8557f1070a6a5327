"""Settings of training that every system shares.

The string under each field is its help text, its line in the reference page and its description in the JSON
schema. This file imports neither torch nor Lightning, so that recipes can be read and checked at once.
"""

from dataclasses import dataclass
from typing import Literal

from intertwine.errors import check_fields

__all__ = ["TrainingSettings", "check_fields"]


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is optimised, for how long, and on what."""

    epochs: int = 100
    """Passes over the training data."""
    max_minutes: float | None = None
    """Wall-clock limit of the whole run, resumed parts included; training ends cleanly when it is reached."""
    batch_size: int = 32
    """Items per optimiser step, on each device."""
    validation_batch_size: int | None = None
    """Items per batch when validating and testing; as `batch_size` when empty."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """The optimiser; `adamw` decouples weight decay from the gradient."""
    amsgrad: bool = False
    """Use the AMSGrad variant, which keeps the largest second moment seen."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the optimiser's first and second moments."""
    learning_rate: float = 1e-3
    """Learning rate after warm-up and before annealing."""
    weight_decay: float = 0.0
    """L2 penalty (`adam`) or decoupled decay (`adamw`) on the parameters that the system decays."""
    warmup_epochs: float = 0.0
    """Epochs (fractions allowed) over which the learning rate rises linearly from `warmup_start`."""
    warmup_start: float = 0.0
    """Learning rate at the start of the warm-up, as a fraction of `learning_rate`."""
    schedule: Literal["constant", "plateau", "cosine", "linear", "time_cosine"] = "constant"
    """Annealing: by epoch, when validation stalls, or (`time_cosine`) over the time of `max_minutes`."""
    plateau_factor: float = 0.8
    """Factor on the learning rate each time validation stalls (`plateau`)."""
    plateau_patience: int = 50
    """Validations without improvement before the learning rate falls (`plateau`)."""
    final_learning_rate_fraction: float = 0.01
    """Learning rate at the end of annealing, as a fraction of `learning_rate`; the floor of `plateau`."""
    gradient_clip: float | None = None
    """Largest norm of the joint gradient."""
    ema: float | None = None
    """Decay of the exponential moving average of the weights, which then validates, tests and is saved."""
    precision: Literal["32", "64", "bf16-mixed"] = "32"
    """Floating point numbers of weights and data; `bf16-mixed` keeps float32 weights."""
    monitor: str = "validation_loss"
    """The logged value whose smallest value marks the best weights."""
    validate_every: int = 1
    """Epochs between validations."""
    patience: int | None = None
    """Stop after this many validations without improvement."""
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU when there is one."""
    devices: int = 1
    """Processes (one per device) on each node."""
    nodes: int = 1
    """Machines that train together."""
    threads: int | None = None
    """CPU threads of each process; torch's choice when empty."""
    data_workers: int = 0
    """Processes that prepare batches, for each training process."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            epochs=(self.epochs >= 1, "at least 1"),
            max_minutes=(self.max_minutes is None or self.max_minutes > 0, "more than 0, or empty"),
            batch_size=(self.batch_size >= 1, "at least 1"),
            validation_batch_size=(
                self.validation_batch_size is None or self.validation_batch_size >= 1,
                "at least 1, or empty",
            ),
            betas=(all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)"),
            learning_rate=(self.learning_rate > 0, "more than 0"),
            weight_decay=(self.weight_decay >= 0, "at least 0"),
            warmup_epochs=(self.warmup_epochs >= 0, "at least 0"),
            warmup_start=(0 <= self.warmup_start <= 1, "in [0, 1]"),
            schedule=(
                self.schedule != "time_cosine" or self.max_minutes is not None,
                "another schedule, or `max_minutes` set: time_cosine anneals over it",
            ),
            plateau_factor=(0 < self.plateau_factor < 1, "between 0 and 1"),
            plateau_patience=(self.plateau_patience >= 0, "at least 0"),
            final_learning_rate_fraction=(0 <= self.final_learning_rate_fraction <= 1, "in [0, 1]"),
            gradient_clip=(self.gradient_clip is None or self.gradient_clip > 0, "more than 0, or empty"),
            ema=(self.ema is None or 0 < self.ema < 1, "between 0 and 1, or empty"),
            validate_every=(self.validate_every >= 1, "at least 1"),
            patience=(self.patience is None or self.patience >= 1, "at least 1, or empty"),
            devices=(self.devices >= 1, "at least 1"),
            nodes=(self.nodes >= 1, "at least 1"),
            threads=(self.threads is None or self.threads >= 1, "at least 1, or empty"),
            data_workers=(self.data_workers >= 0, "at least 0"),
        )

    @property
    def evaluation_batch_size(self) -> int:
        """Items per batch when nothing is learnt: `validation_batch_size`, or `batch_size` where that is empty."""
        return self.batch_size if self.validation_batch_size is None else self.validation_batch_size
