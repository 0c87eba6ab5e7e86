"""The data sets by name."""

from ich_tf.data import Dataset
from ich_tf.data.ct_ich import CtIch
from ich_tf.data.rsna.dataset import Rsna
from ich_tf.synthetic.phantom import PhantomDataset

DATASETS = {
    "ct-ich": CtIch,
    "phantom": PhantomDataset,
    "rsna": Rsna,
}


def open_dataset(name: str, *args, **kwargs) -> Dataset:
    """Open a data set.

    Args:
        name: One of `DATASETS`.
        *args: Passed to the data set's class, e.g. its folder.
        **kwargs: Passed on likewise.

    Returns:
        The data set.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    if name not in DATASETS:
        raise ValueError(f"Unknown data set {name!r}. Known: {', '.join(DATASETS)}")
    return DATASETS[name](*args, **kwargs)
