"""The published encoders give the reference's numbers when all weights are filled by one formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dva_core.autoencoder import NOT_FACE, NOT_FACE_IN_VIDEO
from dva_core.encoders import build_encoder

from .formula_weights import fill, picture, uniform
from .golden import load_json

TOLERANCE = 1e-4  # of the standard deviation of the numbers compared
SIZE = 256


@pytest.fixture(scope="module")
def identity_net() -> nn.Module:
    return filled("arcface-ir-se50", "idnet_expected.json")


@pytest.fixture(scope="module")
def landmark_net() -> nn.Module:
    return filled("mobilenetv2-gdconv", "lndnet_expected.json")


@pytest.fixture(scope="module")
def parser() -> nn.Module:
    return filled("bisenet", "bgnet_expected.json")


def test_the_formula_is_the_reference_s():
    checks = load_json("fill_check.json")
    for call, expected in checks.items():
        if call.startswith("U("):
            k, salt = (int(part.split("=")[1]) for part in call[2 : call.index(")")].split(","))
            assert uniform(k, len(expected), salt).tolist() == pytest.approx(expected, abs=1e-12)
        else:
            assert picture(1, 256)[0, :, 5, 9].tolist() == pytest.approx(expected, abs=1e-6)


def test_identity_features(identity_net):
    expected = load_json("idnet_expected.json")
    features = identity_net(pictures(expected))
    close(features[0], expected["out_image0"])
    close(features[1, :16], expected["out_image1_first16"], scale=features[1].std())
    assert (features[0] @ features[1]).item() == pytest.approx(expected["cosine_0_1"], abs=1e-5)


def test_identity_features_of_smaller_crops(identity_net):
    expected = load_json("idnet_expected.json")
    small = torch.nn.functional.avg_pool2d(pictures(expected), 2)
    features = identity_net(small)[0]
    close(features[:16], expected["out_from_2x_avg_pooled_128px_input_image0_first16"], scale=features.std())


def test_every_layer_of_the_identity_net(identity_net):
    expected = load_json("idnet_expected.json")
    layers = layer_outputs(identity_net.backbone, lambda: identity_net(pictures(expected)), expected["layers"])
    assert layers.keys() == expected["layers"].keys() - {"output_layer_before_l2"}
    for name, output in layers.items():
        same_statistics(output, expected["layers"][name])


def test_landmark_codes(landmark_net):
    expected = load_json("lndnet_expected.json")
    codes = landmark_net.codes(pictures(expected))
    raw = torch.tensor(expected["raw136_image0"])
    close(codes[0], expected["out102_image0"], scale=raw.std())
    close(codes[1, :16], expected["out102_image1_first16"], scale=raw.std())


def test_landmarks_in_fractions_of_the_crop(landmark_net):
    """The net looks at the middle 224 of 256 pixels; what lies outside of them is not lost."""
    expected = load_json("lndnet_expected.json")
    raw = torch.tensor(expected["raw136_image0"])
    close(landmark_net(pictures(expected))[0].flatten(), (raw * 224 + 16) / 256, scale=raw.std())


def test_every_layer_of_the_landmark_net(landmark_net):
    expected = load_json("lndnet_expected.json")
    layers = layer_outputs(landmark_net.backbone, lambda: landmark_net(pictures(expected)), expected["layers"])
    assert layers.keys() == expected["layers"].keys()
    for name, output in layers.items():
        same_statistics(output, expected["layers"][name])


def test_every_layer_of_the_parser(parser):
    expected = load_json("bgnet_expected.json")
    layers = layer_outputs(parser.backbone, lambda: parser(pictures(expected)), expected["layers"])
    assert layers.keys() == expected["layers"].keys()
    for name, output in layers.items():
        same_statistics(output, expected["layers"][name])


def test_parser_logits(parser):
    """A crop of 512 pixels is looked at as it is; one of 256, enlarged by nearest neighbours, gives the same."""
    expected = load_json("bgnet_expected.json")
    large = torch.nn.functional.interpolate(pictures(expected)[:1], scale_factor=2, mode="nearest")
    logits = parser(large)[0]
    for place, numbers in expected["logits_image0_at_yx_512"].items():
        y, x = map(int, place.split(","))
        close(logits[:, y, x], numbers, scale=logits.std())
    histogram = torch.bincount(logits.argmax(0).flatten(), minlength=19)
    wanted = torch.tensor(expected["argmax_histogram_image0_512"])
    assert (histogram - wanted).abs().sum() <= 0.001 * wanted.sum()


@pytest.mark.parametrize(("mode", "outside"), [("train", NOT_FACE), ("video", NOT_FACE_IN_VIDEO)])
def test_masks(parser, mode, outside):
    expected = load_json("bgnet_expected.json")
    inside = ~torch.isin(parser(pictures(expected)).argmax(1), torch.tensor(outside))
    assert inside.float().mean((1, 2)).tolist() == pytest.approx(expected[f"mask_mean_{mode}"], abs=1e-3)
    row = [int(digit) for digit in expected[f"mask_{mode}_image0_row128"]]
    assert inside[0, 128].int().tolist() == row


@pytest.mark.parametrize("size", [64, 200, 512])
def test_other_sizes_of_crops_see_the_same_face(identity_net, landmark_net, parser, size):
    expected = load_json("idnet_expected.json")
    crops = pictures(expected)[:1]
    other = torch.nn.functional.interpolate(crops, size=(size, size), mode="bilinear", antialias=True)
    assert (identity_net(crops) * identity_net(other)).sum() > 0.99
    assert (landmark_net(crops) - landmark_net(other)).abs().max() < 0.03
    classes = parser(crops).argmax(1, keepdim=True).float()
    same = torch.nn.functional.interpolate(classes, size=(size, size)) == parser(other).argmax(1, keepdim=True)
    assert same.float().mean() > 0.9


def test_z_face_of_identity_and_landmarks(identity_net, landmark_net):
    expected = load_json("cond_expected.json")
    head = nn.Linear(614, 512).requires_grad_(False)
    fill(head, expected["salt"])
    crops = picture(2, SIZE, load_json("idnet_expected.json")["phase"])
    features, codes = identity_net(crops), landmark_net.codes(crops)

    def z_face(features: Tensor, codes: Tensor) -> Tensor:
        return head(torch.cat([features, codes]))

    close(z_face(features[0], codes[0])[: len(expected["cond_image0"])], expected["cond_image0"])
    close(z_face(features[1], codes[1])[: len(expected["cond_image1"])], expected["cond_image1"])
    mean = z_face(features.mean(0), codes[0])
    close(mean[:32], expected["cond_with_mean_id_image0_first32"])
    close(z_face(features[0], codes[1])[:32], expected["cond_id_from_0_landmarks_from_1_first32"])


def filled(kind: str, golden: str) -> nn.Module:
    expected = load_json(golden)
    net = build_encoder({"kind": kind}).eval().requires_grad_(False)
    names = sorted(n for n in net.backbone.state_dict() if not n.endswith("num_batches_tracked"))
    assert (len(names), names[:5]) == (expected["keys_filled"], expected["first_keys"])
    fill(net.backbone, expected["salt"])
    return net


def pictures(expected: dict) -> Tensor:
    return picture(2, SIZE, expected["phase"])


def layer_outputs(net: nn.Module, run, names) -> dict[str, Tensor]:
    outputs: dict[str, Tensor] = {}

    def keep(name):
        def hook(_module, _inputs, output):
            outputs[name] = output[0] if isinstance(output, tuple) else output

        return hook

    modules = dict(net.named_modules())
    handles = [modules[name].register_forward_hook(keep(name)) for name in names if name in modules]
    run()
    for handle in handles:
        handle.remove()
    return outputs


def same_statistics(output: Tensor, expected: dict) -> None:
    assert list(output.shape) == expected["shape"]
    allowed = TOLERANCE * expected["std"]
    assert output.mean().item() == pytest.approx(expected["mean"], abs=allowed)
    assert output.std().item() == pytest.approx(expected["std"], abs=allowed)
    assert output.abs().max().item() == pytest.approx(expected["abs_max"], abs=10 * allowed)
    assert output.flatten()[:4].tolist() == pytest.approx(expected["first4"], abs=allowed)


def close(found: Tensor, expected, scale: Tensor | None = None) -> None:
    expected = torch.as_tensor(expected)
    scale = found.std() if scale is None else scale
    assert (found - expected).abs().max() <= TOLERANCE * scale
