"""What the report leaves open about its best network, answered on the phantom."""

import dataclasses

from ich_tf.experiments.rows import table2, table3

_BEST = next(row for row in table2.ROWS if row.id == table3.UNETPP)


def _with(id_: str, title: str, states: str, **arguments):
    return dataclasses.replace(
        _BEST,
        id=id_,
        title=f"{_BEST.title}, {title}",
        reported={},
        states=states,
        arguments={**_BEST.arguments, **arguments},
        # Only the study compares options.
        settings={"study": table2.STUDY},
    )


ROWS = (
    _with(
        "options/transposed",
        "transposed convolutions",
        "Nothing of how feature maps are enlarged; here by transposed convolutions.",
        upsampling="transpose",
    ),
    _with(
        "options/full-graph",
        "every node of UNet++",
        "Nothing of which published graph it uses; here every node of the paper's "
        "figure.",
        graph="paper",
    ),
)
