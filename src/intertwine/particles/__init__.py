"""Charged particles: an exact simulator, readers of files, samples and batches."""

__all__: list[str] = []
