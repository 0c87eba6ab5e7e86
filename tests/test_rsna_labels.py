import numpy as np
import pytest

from ich_tf.data.rsna import labels as rsna_labels

HEADER = "ID,Label\n"
CLASSES = (
    "epidural",
    "intraparenchymal",
    "intraventricular",
    "subarachnoid",
    "subdural",
    "any",
)


def _rows(image, *positive):
    return [f"{image}_{name},{int(name in positive)}\n" for name in CLASSES]


def _read(folder, rows, header=HEADER, **options):
    path = folder / "labels.csv"
    path.write_bytes((header + "".join(rows)).encode())
    return rsna_labels.read(path, **options)


ROWS = [
    *_rows("ID_b", "subdural", "any"),
    *_rows("ID_a"),
    *_rows("ID_b", "subdural", "any"),
    *_rows("ID_c", "epidural", "any"),
]


@pytest.mark.parametrize("block_rows", [1, 4, 1000])
@pytest.mark.parametrize("order", ["as given", "shuffled"])
def test_one_row_for_each_image_and_repeated_rows_dropped(tmp_path, block_rows, order):
    rows = ROWS
    if order == "shuffled":
        rows = [ROWS[i] for i in np.random.default_rng(0).permutation(len(ROWS))]
    table = _read(tmp_path, rows, block_rows=block_rows)
    assert table.images.tolist() == [b"ID_a", b"ID_b", b"ID_c"]
    assert table.values.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 1],
    ]
    assert table.values.dtype == np.uint8
    assert table.repeated_rows == 6
    assert not np.any(list(table.faults().values()))


def test_rows_of_images(tmp_path):
    table = _read(tmp_path, ROWS)
    wanted = np.array([b"ID_c", b"ID_zz", b"ID_a", b"ID_"])
    assert table.rows_of(wanted).tolist() == [2, -1, 0, -1]


def test_marks_of_other_systems_are_read(tmp_path):
    rows = [row.replace("\n", "\r\n") for row in ROWS]
    table = _read(tmp_path, rows, "\ufeffID,Label\r\n")
    assert table.values.sum(axis=0).tolist() == [1, 0, 0, 0, 1, 2]


def test_empty_lines_are_passed_over(tmp_path):
    """As a spreadsheet, or Python on Windows, leaves them."""
    table = _read(tmp_path, ROWS)
    for rows in ([*ROWS, "\n", "\n"], [row.replace("\n", "\r\r\n") for row in ROWS]):
        again = _read(tmp_path, rows)
        assert again.images.tolist() == table.images.tolist()
        assert again.values.tolist() == table.values.tolist()


def test_contradicting_rows_are_an_error_that_names_file_and_id(tmp_path):
    rows = [*ROWS, "ID_a_subdural,1\n"]
    with pytest.raises(ValueError, match="labels.csv: ID_a_subdural is labelled both"):
        _read(tmp_path, rows)


@pytest.mark.parametrize(
    "row",
    [
        "ID_d_epidural,2\n",
        "ID_d_epidural,-1\n",
        "ID_d_epidural,\n",
        "ID_d_epidural\n",
        "ID_d_chronic,1\n",
        "epidural,1\n",
        "_epidural,1\n",
        f"{'x' * 100}_epidural,0\n",
    ],
)
def test_a_malformed_row_is_named(tmp_path, row):
    with pytest.raises(ValueError, match=r"labels.csv: line 8 is b'.*not <image>_"):
        _read(tmp_path, [*ROWS[:6], row, *ROWS[6:]])


def test_what_is_no_label_table_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="must begin with ID,Label, not 'a,b'"):
        _read(tmp_path, ROWS, "a,b\n")
    with pytest.raises(ValueError, match="has no rows"):
        _read(tmp_path, [])


def test_labels_that_cannot_be_used_are_named(tmp_path):
    rows = [
        *_rows("ID_a"),
        *_rows("ID_b")[:5],
        *_rows("ID_c", "subdural"),
        *_rows("ID_d", "any"),
    ]
    faults = _read(tmp_path, rows).faults()
    assert {reason: where.tolist() for reason, where in faults.items()} == {
        "not all six classes have a label": [False, True, False, False],
        "the label `any` contradicts the subtypes": [False, False, True, True],
    }
