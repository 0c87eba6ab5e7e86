"""GPU hours of `./run_all.sh paper`, estimated from counted operations.

Nothing is trained: a network's multiplications and additions are counted by
TensorFlow's profiler, a training step is taken as three forward passes, and a GPU as
sustaining a quarter of its peak. The numbers of steps follow from the published data
(`CT_ICH_STEPS`, `RSNA_SLICES`). Input, inference and storage are not in it.

    python benchmarks/gpu_hours.py            # prints the table
    python benchmarks/gpu_hours.py --write    # puts it into docs/real-data.md
"""

import argparse
import dataclasses
import pathlib

from ich_tf import files, models
from ich_tf.experiments import catalog
from ich_tf.experiments.settings import ClassifierSettings, VolumeSettings

PEAK_TFLOPS = {"T4": 65, "V100": 125, "A100": 312}
"""Matrix units in half precision, from the data sheets."""
SUSTAINED = 0.25
# Tables II and III: five folds of [2] and steps of 32 crops an epoch on ct-ich 1.3.1,
# 113 with the crops of its JPG code. 39 % of these hold blood: 44 steps with such crops
# alone. All 49 crops of the same slices are 385 steps. Table I: 21,000 scans of RSNA
# 2019 in training, of 34.7 slices on average.
CT_ICH_STEPS, FOLDS = {"hssayeni2020_jpg": 113, "lesion": 44, "all": 385}, 5
RSNA_SLICES = 727_000
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "real-data.md"
BEGIN, END = "<!-- gpu hours: begin -->", "<!-- gpu hours: end -->"


@dataclasses.dataclass(frozen=True)
class Cost:
    """Training of some rows.

    Attributes:
        title: Title of the rows.
        operations: In all, floating-point.
    """

    title: str
    operations: float

    def hours(self, gpu: str) -> float:
        """Expected hours on one such GPU."""
        return self.operations / (PEAK_TFLOPS[gpu] * 1e12 * SUSTAINED) / 3600


def forward_operations(model) -> float:
    """Floating-point operations of one example."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    shape = (1, *model.input_shape[1:])
    function = tf.function(lambda images: model(images, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    frozen = convert_to_constants.convert_variables_to_constants_v2(concrete)
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
        return profiler.profile(graph, options=options).total_float_ops


def _model(row, shape: tuple[int, ...]):
    """The network of a row with random weights, which cost the same."""
    arguments = {**row.arguments, "input_shape": shape}
    if arguments.get("init"):
        arguments["init"] = "random"
    return models.build(row.model, **arguments)


def costs() -> list[Cost]:
    """The trainings of the profile `paper`, without the sequence model."""
    totals: dict[str, float] = {}
    for table in ("table2", "table3", "volume3d", "table1", "audit"):
        for row in catalog.CATALOG.rows(table):
            settings = row.settings.get("paper")
            if settings is None or getattr(row, "trained_as", None):
                continue
            operations = _operations(row, settings)
            if operations:
                totals[row.id] = operations
    return [Cost(title, operations) for title, operations in totals.items()]


def _operations(row, settings) -> float:
    """Of training a row: three forward passes for each example."""
    if isinstance(settings, ClassifierSettings):
        if row.sequence:
            return 0.0
        forward = forward_operations(_model(row, (settings.size, settings.size, 3)))
        return 3 * forward * settings.slices.epochs * RSNA_SLICES
    if isinstance(settings, VolumeSettings):
        shape, steps = settings.patch, settings.steps_per_epoch
    else:
        # The 2-D row next to the 3-D rows states its own number of steps.
        steps = settings.steps_per_epoch or CT_ICH_STEPS[settings.crops]
        shape = (settings.tile,) * 2
    forward = forward_operations(_model(row, (*shape, row.channels)))
    return 3 * forward * settings.batch * steps * settings.epochs * FOLDS


def table(rows: list[Cost]) -> str:
    """The costs as Markdown."""
    header = " | ".join(f"{name}, hours" for name in PEAK_TFLOPS)
    lines = [
        f"| row | 10^15 operations | {header} |",
        "| --- |" + " ---: |" * (1 + len(PEAK_TFLOPS)),
    ]
    total = Cost("all rows", sum(row.operations for row in rows))
    for row in [*rows, total]:
        hours = " | ".join(f"{row.hours(gpu):.1f}" for gpu in PEAK_TFLOPS)
        lines.append(f"| {row.title} | {row.operations / 1e15:,.0f} | {hours} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table or put it into the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="change docs/real-data.md")
    text = table(costs())
    if not parser.parse_args().write:
        print(text)
        return
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    page = f"{before}{BEGIN}\n{text}\n{END}{after}"
    files.write_bytes(PAGE, page.encode())


if __name__ == "__main__":
    main()
