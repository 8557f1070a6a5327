"""Files of simulated particles in every format, for the tests of all that read them."""

import csv

import numpy as np


def write_published_files(folder, positions, velocities, charges, split="train"):
    """Write the four files of the published layout and return the one of positions."""
    suffix = f"{split}_charged{charges.shape[1]}_initvel1small.npy"
    np.save(folder / f"loc_{suffix}", positions.swapaxes(2, 3))
    np.save(folder / f"vel_{suffix}", velocities.swapaxes(2, 3))
    np.save(folder / f"charges_{suffix}", charges[:, :, None])
    np.save(folder / f"edges_{suffix}", charges[:, :, None] * charges[:, None])
    return folder / f"loc_{suffix}"


def write_table_file(path, positions, velocities, charges, frames=True):
    """Write a table with simulation numbers 10, 20, ... and particle numbers 1, 2, ..."""
    header = ["simulation", *(["frame"] if frames else []), "particle", "charge", "x", "y", "z", "vx", "vy", "vz"]
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for s, t, i in np.ndindex(positions.shape[:3]):
            numbers = [charges[s, i], *positions[s, t, i], *velocities[s, t, i]]
            writer.writerow([10 * (s + 1), *([t] if frames else []), i + 1, *map(float, numbers)])
    return path
