"""What the demo's nets promise about shapes, sizes, units and places; how well they see is up to training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from dva_core.encoders import (
    AttributeClassifierNet,
    FaceDetectorNet,
    IdentityNet,
    LandmarkNet,
    ParserNet,
    TwoPassDetector,
    build_encoder,
    landmark_codes,
)
from dva_core.encoders.landmarks import mean_position
from dva_core.errors import DvaError

BUDGETS = [(IdentityNet, 1.4e6), (LandmarkNet, 0.35e6), (ParserNet, 0.35e6), (FaceDetectorNet, 0.15e6)]


@pytest.fixture(params=[64, 96])
def crops(request) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 3, request.param, request.param) * 2 - 1


@pytest.mark.parametrize(("net", "most"), BUDGETS, ids=[net.__name__ for net, _ in BUDGETS])
def test_nets_are_small(net, most):
    assert sum(p.numel() for p in net().parameters()) <= most


def test_identity_features_have_length_one(crops):
    z_id = IdentityNet().eval()(crops)
    assert z_id.shape == (2, 512)
    torch.testing.assert_close(z_id.norm(dim=1), torch.ones(2))


def test_landmarks_are_fractions_of_the_crop_and_their_code_leaves_out_the_jaw(crops):
    net = LandmarkNet().eval()
    points, codes = net(crops), net.codes(crops)
    assert points.shape == (2, 68, 2) and points.min() >= 0 and points.max() <= 1
    assert codes.shape == (2, 102)
    torch.testing.assert_close(codes[:, :2], points[:, 17])
    torch.testing.assert_close(codes[:, -2:], points[:, 67])


def test_a_code_lists_x_before_y_point_by_point():
    points = torch.stack([torch.arange(68.0), -torch.arange(68.0)], dim=-1)[None]
    assert landmark_codes(points)[0, :4].tolist() == [17, -17, 18, -18]


def test_a_heat_map_is_read_at_the_centres_of_its_cells():
    assert mean_position(torch.tensor([0.0, 0.0, 1.0, 0.0])).item() == pytest.approx(2.5 / 4)
    assert mean_position(torch.tensor([0.0, 0.5, 0.5, 0.0])).item() == pytest.approx(2.0 / 4)


def test_the_parser_gives_19_logits_at_every_pixel(crops):
    assert ParserNet().eval()(crops).shape == (2, 19, *crops.shape[-2:])


def test_the_classifier_gives_a_logit_for_each_of_its_attributes(crops):
    assert AttributeClassifierNet(["Eyeglasses", "Bangs", "Young"]).eval()(crops).shape == (2, 3)


SMALL_NETS = [
    IdentityNet(24),
    LandmarkNet((16, 24)),
    ParserNet((16, 24)),
    FaceDetectorNet((16, 24)),
    AttributeClassifierNet(["Bald"], 24),
]


@pytest.mark.parametrize("net", SMALL_NETS, ids=lambda net: net.kind)
def test_a_net_is_rebuilt_from_its_config(net):
    rebuilt = build_encoder(net.config)
    rebuilt.load_state_dict(net.state_dict())
    assert type(rebuilt) is type(net) and rebuilt.config == net.config


def test_an_unknown_kind_is_refused_with_those_known():
    with pytest.raises(DvaError, match=r"'arcface'.*demo-resnet"):
        build_encoder({"kind": "arcface"})


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(DvaError, match="demo-resnet"):
        build_encoder({"kind": "demo-resnet", "depth": 50})


@pytest.mark.parametrize(("height", "width"), [(128, 128), (90, 160), (301, 47)])
def test_detection_accepts_frames_of_any_size(height, width):
    torch.manual_seed(0)
    detector = TwoPassDetector(FaceDetectorNet().eval(), LandmarkNet().eval())
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    found = detector.detect(frames)
    assert len(found) == 2
    for faces in found:
        assert faces.boxes.shape == (len(faces.scores), 4) and faces.landmarks.shape == (len(faces.scores), 68, 2)


class OneBox(nn.Module):
    """A detector that sees one face, at the same place of every frame."""

    def boxes(self, frames: Tensor) -> list[tuple[Tensor, Tensor]]:
        return [(torch.tensor([[60.0, 40.0, 100.0, 85.0]]), torch.ones(1)) for _ in frames]


class FixedPoints(nn.Module):
    """A landmark net that answers with the same slightly tilted face, and remembers the crop it was shown."""

    def __init__(self) -> None:
        super().__init__()
        face = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25
        for first, last, place in [(36, 42, (0.36, 0.46)), (42, 48, (0.64, 0.5)), (48, 55, (0.5, 0.75))]:
            face[first:last] = torch.tensor(place)
        self.points = nn.Parameter(face)

    def forward(self, crops: Tensor) -> Tensor:
        self.shown = crops
        return self.points.expand(len(crops), 68, 2)


@pytest.mark.parametrize("enlarged", [1, 4])
def test_landmarks_lie_in_the_frame_where_the_crop_showed_them(enlarged):
    """The frame's colours tell the position, so what the net saw at a point must name the place it is reported at."""
    side = 160 * enlarged
    ramp = (np.arange(side) * (255 / side)).astype(np.float32)
    frame = np.stack([np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side)), np.zeros((side, side))], axis=-1)
    net = FixedPoints()
    detector = OneBox()
    if enlarged > 1:
        detector.boxes = lambda frames: [(torch.tensor([[240.0, 160.0, 400.0, 340.0]]), torch.ones(1)) for _ in frames]
    (faces,) = TwoPassDetector(detector, net).detect(frame[None].round().astype(np.uint8))
    where = (net.points.detach() * 2 - 1)[None, None]
    colour = grid_sample(net.shown, where, padding_mode="border", align_corners=False)[0, :2, 0].T
    seen = ((colour + 1) * 127.5 * side / 255).numpy()
    assert np.abs(seen - faces.landmarks[0]).max() < 1.0 * enlarged
    np.testing.assert_allclose(faces.boxes[0, :2], faces.landmarks[0].min(axis=0))
