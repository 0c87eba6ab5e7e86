"""Networks that never saw a real mask: what synthetic hemorrhage is good for.

Not in the report. Hemorrhage is painted onto real heads that show none, mixed with
phantom heads; the rows leave out one ingredient each. Real heads with hemorrhage only
judge: how large is what a network finds in slices with and without.
"""

from ich_tf.experiments import spec

ARGUMENTS = {
    "filters": (8, 16, 32, 64, 128),
    "upsampling": "nearest",
    "batch_normalization": True,
}


def row(id: str, title: str, states: str = "", **what) -> spec.PaintedExperiment:
    """A plain UNet++ on whole slices, trained on what is named."""
    return spec.PaintedExperiment(
        id=id,
        title=title,
        model="unetplusplus",
        arguments=ARGUMENTS,
        loss="bce_jaccard",
        approach="approach1",
        channels=1,
        reported={},
        states=states or "Not in the report.",
        **what,
    )


ROWS = (
    row("painted/both", "painted slices and phantom heads"),
    row(
        "painted/painted-only",
        "painted slices alone",
        sources=("painted",),
    ),
    row(
        "painted/phantom-only",
        "phantom heads alone",
        sources=("phantom",),
    ),
    row(
        "painted/without-look-alikes",
        "both, nothing painted that only looks like blood",
        with_look_alikes=False,
    ),
    row(
        "painted/without-mass-effect",
        "both, blood that pushes nothing aside",
        mass_effect=False,
    ),
)
