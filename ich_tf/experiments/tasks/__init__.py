"""The kinds of experiments, one class each."""

from ich_tf.experiments import spec
from ich_tf.experiments.task import Task


def of(row: spec.Row) -> Task:
    """The kind of experiment that a row is.

    Raises:
        LookupError: if the row's class has no kind.
    """
    # These modules import TensorFlow; tables are printed without it.
    from ich_tf.experiments.tasks.baseline import BaselineTask
    from ich_tf.experiments.tasks.classification import ClassificationTask
    from ich_tf.experiments.tasks.painted import PaintedTask
    from ich_tf.experiments.tasks.real_heads import RealHeadsTask
    from ich_tf.experiments.tasks.segmentation import SegmentationTask
    from ich_tf.experiments.tasks.volumes import VolumesTask

    kinds: dict[type, type[Task]] = {
        spec.Experiment: SegmentationTask,
        spec.VolumeExperiment: VolumesTask,
        spec.PaintedExperiment: PaintedTask,
        spec.RealHeadsExperiment: RealHeadsTask,
        spec.Baseline: BaselineTask,
        spec.Classifier: ClassificationTask,
    }
    for row_class in type(row).__mro__:
        if row_class in kinds:
            return kinds[row_class]()
    raise LookupError(f"{type(row).__name__} has no kind of experiment in `tasks.of`.")
