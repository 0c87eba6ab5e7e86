"""What weights files hold, for comparisons."""

import h5py


def stored_weights(path):
    """Every array of a `.weights.h5` file by its name there."""
    by_name = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            by_name[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(keep)
    return by_name
