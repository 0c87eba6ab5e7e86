import json
import shutil

import keras
import nibabel
import numpy as np
import pytest
import small_network
from PIL import Image

from ich_tf import cli, labels, models, owned_folder
from ich_tf.models import resnext, shipping, weights
from ich_tf.prediction import classify, explain, figures, inputs
from ich_tf.prediction.grad_cam import heatmap
from ich_tf.preprocessing.segmentation import slices
from ich_tf.synthetic import layouts, phantom
from ich_tf.volume import Case, Volume

SIZE = 128
BUILD = {
    "name": "resnext",
    "kwargs": {
        "cardinality": 2,
        "width": 2,
        "filters": 4,
        "input_shape": [64, 64, 3],
    },
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """One phantom head with Hounsfield units and one without."""
    folder = tmp_path_factory.mktemp("scans")
    for layout in ("ct-ich", "ct-ich-v1"):
        layouts.write_phantom(
            layout, folder / layout, cases=1, seed=3, slices=10, size=SIZE
        )
    return folder


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
    """A classifier that nobody trained; all its features speak for every class."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    kwargs = BUILD["kwargs"] | {"input_shape": (64, 64, 3)}
    entry = {
        "build": BUILD,
        "preprocessing": {"images": "windows", "size": 64},
        "trained_on": "nothing",
        "metric": "none",
    }
    model = models.build("resnext", **kwargs)
    kernel = model.get_layer("logits").kernel
    kernel.assign(0.1 * keras.ops.abs(kernel))
    shipping.ship(model, classify.SLICES, folder, entry)
    return folder


@pytest.fixture(scope="module")
def grad_cam(weights_dir):
    return explain.GradCam(classify.load(weights_dir=weights_dir))


def nifti_of(scans):
    return scans / "ct-ich" / "ct_scans" / "049.nii"


def test_explain_draws_the_most_probable_slices(scans, grad_cam, tmp_path):
    explanation = explain.explain(
        nifti_of(scans), tmp_path, "sdh", explainer=grad_cam, shown=2
    )
    assert json.loads((tmp_path / "explanation-SDH.json").read_text()) == explanation
    assert explanation["subtype"] == "subdural"
    # The name of an input is often a patient's.
    assert "049.nii" not in (tmp_path / "explanation-SDH.json").read_text()
    assert explanation["weights"]["trained_on"] == "nothing"
    assert explanation["network"] == "resnext-phantom"
    assert explanation["sees"] == "each slice on its own"
    probability = explanation["slice_probability"]
    assert len(probability) == explanation["slices"] == 10
    assert explanation["scan_probability"] == max(probability)
    two = sorted(np.argsort(probability)[-2:] + 1)
    assert explanation["pictures"] == [f"SDH-slice-{number:03d}.png" for number in two]
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == explanation["pictures"]
    with Image.open(tmp_path / pictures[0]) as picture:
        assert picture.size == (3 * 256, 256 + 2 * figures.TITLE)


def test_by_default_the_network_of_predict_shows_its_pixels(tmp_path):
    # Nine slices of brain; the middle one has a bright square.
    hu = np.full((9, 64, 64), -20.0, np.float32)
    hu[:, 8:56, 8:56] = 30
    hu[4, 24:40, 16:32] = 90
    case = Case("a", "a", Volume(hu, None, None, None))
    network = small_network.with_subtypes()
    explainer = explain.PixelProbabilities(network)
    answer, subdural = explainer.explain(
        case, [labels.index("any"), labels.index("SDH")]
    )
    segmentation = network.segment(case)
    probabilities = network.probabilities(segmentation)
    assert answer.slice_probability.argmax() in (3, 4, 5)  # It sees neighbours.
    np.testing.assert_array_equal(answer.slice_probability, probabilities.slices[:, -1])
    assert answer.scan_probability == pytest.approx(probabilities.scan[-1])
    (heat,) = answer.heatmaps(np.array([4]))
    np.testing.assert_array_equal(heat, segmentation.hemorrhage[4])
    np.testing.assert_array_equal(
        subdural.heatmaps(np.array([4]))[0], segmentation.subtypes[4, ..., 5]
    )
    one_class = small_network.with_subtypes("sigmoid", 1)
    with pytest.raises(ValueError, match="small.weights.h5"):
        explain.PixelProbabilities(one_class).explain(case, [0])


def test_the_verb_draws_and_says_which_network_answered(scans, tmp_path, capsys):
    weights_dir = small_network.ship_with_subtypes(tmp_path / "weights")
    tmp_path = tmp_path / "out"
    arguments = ["explain", str(nifti_of(scans)), "--out", str(tmp_path)]
    arguments += ["--weights-dir", str(weights_dir), "--slices", "1"]
    assert cli.main([*arguments, "--subtype", "subdural"]) == 0
    content = json.loads((tmp_path / "explanation-SDH.json").read_text())
    (picture,) = content["pictures"]
    assert (tmp_path / picture).is_file()
    shown = capsys.readouterr().out
    for said in (f"{content['scan_probability']:.2f}", picture, content["network"]):
        assert said in shown
    assert inputs.DISCLAIMER in shown
    assert cli.main([*arguments, "--subtype", "tumor"]) == 2
    assert "'tumor'" in capsys.readouterr().err


def test_heatmaps_show_the_windows_the_network_was_trained_on(
    scans, weights_dir, tmp_path
):
    """One of the brain window alone explains the JPG of that window."""
    folder = shutil.copytree(weights_dir, tmp_path / "weights")
    manifest = weights.read_manifest(folder)
    manifest[classify.SLICES]["preprocessing"]["images"] = "brain"
    (folder / weights.MANIFEST).write_text(json.dumps(manifest))
    network = classify.load(weights_dir=folder)
    gradients = explain.GradCam(network)
    jpg = scans / "ct-ich-v1" / "Patients_CT" / "049"
    explanation = explain.explain(jpg, tmp_path / "out", "EDH", explainer=gradients)
    assert len(explanation["slice_probability"]) == 10
    case, epidural, chosen = inputs.read(jpg), labels.index("EDH"), np.array([4, 5])
    images = network.to_images(case.volume)
    assert images.shape == (10, 64, 64, 3) and images[chosen].max() > 0.5
    np.testing.assert_array_equal(images, np.repeat(images[..., :1], 3, axis=-1))
    heat = gradients.explain(case, [epidural])[0].heatmaps(chosen)
    layer = resnext.feature_map(network.model)
    seen = heatmap(network.model, images[chosen], epidural, layer)
    np.testing.assert_allclose(heat, slices.resize(seen, *heat.shape[1:]), atol=1e-5)
    assert heat.any()


def test_foreign_pictures_are_never_removed(scans, grad_cam, tmp_path):
    foreign = tmp_path / "SDH-slice-099.png"
    foreign.write_text("theirs")
    with pytest.raises(owned_folder.ForeignFile):
        explain.explain(nifti_of(scans), tmp_path, "SDH", explainer=grad_cam)
    assert [path.name for path in tmp_path.iterdir()] == [foreign.name]
    explain.explain(nifti_of(scans), tmp_path, "EDH", explainer=grad_cam, shown=1)
    assert foreign.read_text() == "theirs"


def test_several_subtypes_share_a_folder(scans, grad_cam, tmp_path):
    for subtype in ("epidural", "any"):
        explain.explain(nifti_of(scans), tmp_path, subtype, explainer=grad_cam, shown=1)
    names = sorted(path.name.split("-slice")[0] for path in tmp_path.glob("[!.]*"))
    assert names == ["EDH", "any", "explanation-EDH.json", "explanation-any.json"]


def test_heatmaps_lie_on_the_scans_own_pixels(weights_dir):
    volume = phantom.generate(3, 0, slices=8, size=SIZE).case.volume
    network = classify.load(weights_dir=weights_dir)
    assert classify.slice_answers(network, volume)[1].shape == (8, 6)
    heat = explain.slice_heatmaps(network, volume, 4, np.array([2, 5]))
    assert heat.shape == (2, SIZE, SIZE)
    assert heat.dtype == np.float32
    assert heat.min() >= 0.0 and 0.9 < heat.max() <= 1.0


def test_what_cannot_be_explained_is_refused(scans, grad_cam, tmp_path):
    out = tmp_path / "out"
    water = tmp_path / "water.nii"
    image = nibabel.Nifti1Image(np.zeros((32, 32, 6), np.int16), np.diag([1, 1, 5, 1]))
    nibabel.save(image, water)
    jpg = scans / "ct-ich-v1" / "Patients_CT" / "049"
    for source, subtype, shown, reason in (
        (nifti_of(scans), "tumor", 1, "Unknown hemorrhage class 'tumor'"),
        (nifti_of(scans), "EDH", 0, "`shown` must be at least 1"),
        (jpg, "EDH", 1, "the volume was saturated"),
        (water, "EDH", 1, "water.nii is refused"),
    ):
        with pytest.raises(ValueError, match=reason):
            explain.explain(source, out, subtype, explainer=grad_cam, shown=shown)
    with pytest.raises(inputs.NotHeadCT):
        explain.explain(water, out, "EDH", explainer=grad_cam)
    with pytest.raises(ValueError, match="No shipped weights"):
        explain.explain(nifti_of(scans), out, "EDH", weights_dir=tmp_path)
    assert not out.exists()


def test_a_figure_shows_heatmap_overlay_and_slice(tmp_path):
    hu = np.full((256, 256), 40, np.float32)
    heatmap = np.zeros((256, 256), np.float32)
    heatmap[100:120, 100:120] = 1.0
    mask = np.zeros((256, 256), np.uint8)
    mask[50:60, 50:60] = 1
    path = tmp_path / "figure.png"
    figures.draw_explanation(path, hu, heatmap, "EDH", mask)
    with Image.open(path) as picture:
        drawn = np.asarray(picture)
    headings = drawn[figures.TITLE : 2 * figures.TITLE]
    assert all(part.any() for part in np.split(headings, 3, axis=1))
    heat, overlay, shown = np.split(drawn[2 * figures.TITLE :], 3, axis=1)
    assert heat[0, 0].max() < 10
    # The end of the colour map is a pale yellow: more red and green than blue.
    assert heat[110, 110].tolist() == [252, 255, 164]
    assert overlay[0, 0].tolist() == shown[0, 0].tolist() == [127, 127, 127]
    expected = (0.4 * 127 + 0.6 * heat[110, 110].astype(float)).astype(int)
    assert overlay[110, 110].tolist() == expected.tolist()
    assert shown[110, 110].tolist() == [127, 127, 127]
    for panel in (overlay, shown):
        assert panel[49, 55].tolist() == figures.COLOUR.tolist()
        assert panel[55, 55].tolist() == [127, 127, 127]
    assert heat[49, 55].max() < 10


def test_small_slices_are_enlarged_with_their_outline(tmp_path):
    mask = np.zeros((64, 100), bool)
    mask[10, 20] = True
    path = tmp_path / "figure.png"
    hu, heatmap = np.zeros((64, 100), np.float32), np.zeros((64, 100), np.float32)
    figures.draw_explanation(path, hu, heatmap, "small", mask)
    with Image.open(path) as picture:
        top = 2 * figures.TITLE
        assert picture.size == (1200, 256 + top)
        assert picture.getpixel((800 + 79, top + 41)) == (255, 64, 48)
        assert picture.getpixel((800 + 81, top + 41)) == (0, 0, 0)


def test_an_outline_has_no_stairs(tmp_path):
    """A diagonal edge, enlarged eight times, moves a pixel at a time."""
    mask = np.tri(32, dtype=bool)
    path = tmp_path / "figure.png"
    empty = np.zeros((32, 32), np.float32)
    figures.draw_explanation(path, empty, empty, "edge", mask)
    with Image.open(path) as picture:
        shown = np.asarray(picture)[-256:, 512:]
    red = np.all(shown == figures.COLOUR, axis=-1)
    last = np.array([np.flatnonzero(row).max() for row in red[32:224]])
    assert np.abs(np.diff(last)).max() <= 2
