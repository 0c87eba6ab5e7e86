"""Data sets by name; nothing heavy is imported before one is opened."""

import importlib

DATASETS = {
    "ct-ich": "ich_tf.data.ct_ich:CtIch",
    "phantom": "ich_tf.synthetic.phantom:PhantomDataset",
    "rsna": "ich_tf.data.rsna.dataset:Rsna",
}


def open_dataset(name: str, *args, **kwargs):
    """Open a data set.

    Args:
        name: One of `DATASETS`.
        *args: Passed to the data set's class, e.g. its folder.
        **kwargs: Passed on likewise.

    Returns:
        An object with `case_ids()` and `load(case_id) -> Case`.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if name not in DATASETS:
        raise ValueError(f"Unknown data set {name!r}. Known: {', '.join(DATASETS)}")
    module, attribute = DATASETS[name].split(":")
    return getattr(importlib.import_module(module), attribute)(*args, **kwargs)
