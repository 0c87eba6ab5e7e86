import pytest

from ich_tf import labels


def test_order_is_that_of_the_rsna_challenge():
    assert labels.CLASSES == (
        "epidural",
        "intraparenchymal",
        "intraventricular",
        "subarachnoid",
        "subdural",
        "any",
    )


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("epidural", 0),
        ("IPH", 1),
        ("ivh", 2),
        (" SAH ", 3),
        ("Subdural", 4),
        ("any", 5),
    ],
)
def test_index_takes_long_and_short_names(name, position):
    assert labels.index(name) == position


def test_an_unknown_class_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'tumour'.*epidural \(EDH\).*any \(any\)"):
        labels.index("tumour")
