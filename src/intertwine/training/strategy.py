"""Data-parallel training with explicit averaging of gradients.

`torch.nn.parallel.DistributedDataParallel` hooks into backward, which goes wrong when ``forward`` itself
calls ``autograd.grad``, as force models do. Here the model is not wrapped: parameters are sent from process
0 at the start, and gradients are averaged over the processes after backward, before they are clipped.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from lightning import LightningModule
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

__all__ = ["ExplicitGradientStrategy", "average_gradients"]

_BUCKET_BYTES = 32 * 2**20


class ExplicitGradientStrategy(DDPStrategy):
    """One process per device; gradients are the mean over processes of the gradients of their batches.

    With equally large batches (`EpochSampler` gives them) that is the gradient of the joint batch for losses
    that are means over items. A loss that is a mean over atoms weighs each process's atoms by that process's
    own number.
    """

    def configure_ddp(self) -> None:
        """Send parameters and buffers of process 0 to all; the model stays as it is."""
        module = self.lightning_module
        if module is None:
            return
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor.data, src=0)

    def post_backward(self, closure_loss: Tensor) -> None:
        """Average the gradients over all processes."""
        module = self.lightning_module
        if isinstance(module, LightningModule):
            average_gradients(module.parameters())


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their means over all processes, in a few large messages.

    A parameter that a process did not use counts as zero there; one that no process used keeps no gradient,
    so that the optimiser leaves it alone, as it does in one process.
    """
    world = dist.get_world_size()
    for bucket in _buckets([p for p in parameters if p.requires_grad]):
        used = torch.tensor([p.grad is not None for p in bucket], device=bucket[0].device).to(bucket[0].dtype)
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        flat = torch.cat([used, *(part.reshape(-1) for part in parts)])
        dist.all_reduce(flat)
        counts, *means = flat.split([len(bucket), *(p.numel() for p in bucket)])
        for parameter, mean, count in zip(bucket, means, counts.tolist(), strict=True):
            if count > 0:
                mean = mean.div_(world).view_as(parameter)
                parameter.grad = mean.clone() if parameter.grad is None else parameter.grad.copy_(mean)


def _buckets(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Group parameters of one dtype and device into messages of at most 32 MiB (or one larger parameter)."""
    groups: dict[tuple[torch.dtype, torch.device], list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault((parameter.dtype, parameter.device), []).append(parameter)
    for group in groups.values():
        bucket: list[nn.Parameter] = []
        size = 0
        for parameter in group:
            if bucket and size + parameter.nbytes > _BUCKET_BYTES:
                yield bucket
                bucket, size = [], 0
            bucket.append(parameter)
            size += parameter.nbytes
        if bucket:
            yield bucket
