"""The hemorrhage classes, their order and their short forms.

Every array with an axis of six labels keeps the order of the RSNA 2019 challenge.
"""

SUBTYPES = (
    "epidural",
    "intraparenchymal",
    "intraventricular",
    "subarachnoid",
    "subdural",
)
ANY = "any"
CLASSES = (*SUBTYPES, ANY)
SHORT = {
    "epidural": "EDH",
    "intraparenchymal": "IPH",
    "intraventricular": "IVH",
    "subarachnoid": "SAH",
    "subdural": "SDH",
    "any": "any",
}


def index(name: str) -> int:
    """Position of a class in `CLASSES`, from its name or its short form.

    Args:
        name: "epidural", "EDH", "any", ...; case does not matter.

    Raises:
        ValueError: if the name is unknown; the message lists the known ones.
    """
    wanted = name.strip().lower()
    for position, known in enumerate(CLASSES):
        if wanted in (known, SHORT[known].lower()):
            return position
    known_names = ", ".join(f"{long} ({short})" for long, short in SHORT.items())
    raise ValueError(f"Unknown hemorrhage class {name!r}. Known: {known_names}.")
