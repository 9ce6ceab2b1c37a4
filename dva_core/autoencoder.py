"""The model: frozen encoders that split identity from motion, and the noise estimator for all the rest.

Kim et al. 2023, Sec. 3.2 and Fig. 2: z_face = Linear(concat(z_id, z_lnd)) conditions eps_theta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from .editing.attributes import AttributeDirections
from .encoders import FaceDetector, TwoPassDetector, build_encoder
from .errors import DvaError
from .memory import sent
from .unet import UNet, UNetConfig
from .values import IDENTITY_FEATURES, LANDMARK_CODE, Identity, LandmarkCodes

# Parsing classes that are not the face: background, clothes, hat; for pasting also ears, neck and hair.
NOT_FACE = (0, 16, 18)
NOT_FACE_IN_VIDEO = (*NOT_FACE, 7, 8, 14, 17)

# What a layer writes at once on a CPU: more would not stay near the processor, nor be memory that is used again.
CPU_BYTES_AT_ONCE = 16 * 2**20


@dataclass(frozen=True)
class ModelConfig:
    """All that is needed to build the nets of a model; encoders by kind, as {"kind": ..., **settings}.

    A model without a detector of its own has None there.
    """

    name: str
    unet: UNetConfig
    identity: Mapping[str, Any]
    landmarks: Mapping[str, Any]
    parser: Mapping[str, Any]
    detector: Mapping[str, Any] | None

    @property
    def image_size(self) -> int:
        """Side of the crops in pixels."""
        return self.unet.image_size

    def to_json(self) -> dict[str, Any]:
        """The JSON-able form that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ModelConfig:
        """Builds the config of a bundle's header; DvaError when its words are not the ones known here."""
        try:
            config = cls(**{**fields, "unet": UNetConfig(**fields["unet"])})
        except (TypeError, KeyError, ArithmeticError) as error:
            raise DvaError(f"The model config does not fit this version of dva_core ({error}).") from error
        encoders = {"identity": config.identity, "landmarks": config.landmarks, "parser": config.parser}
        wrong = [name for name, value in encoders.items() if not isinstance(value, Mapping)]
        wrong += ["detector"] if not isinstance(config.detector, Mapping | None) else []
        wrong += ["name"] if not isinstance(config.name, str) else []
        if wrong:
            raise DvaError(f"The model config does not describe its {wrong[0]}; make the bundle again.")
        return config


class DiffusionVideoAutoencoder(nn.Module):
    """Encoders, linear head, noise estimator and attribute directions under one name.

    Results leave as float32 on the CPU, whatever device and precision the nets have.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(config.unet)
        self.head = nn.Linear(IDENTITY_FEATURES + LANDMARK_CODE, config.unet.cond_channels)
        self.identity = build_encoder(dict(config.identity))
        self.landmarks = build_encoder(dict(config.landmarks))
        self.parser = build_encoder(dict(config.parser))
        self.detector_net = build_encoder(dict(config.detector)) if config.detector else None
        self.attributes = AttributeDirections()

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    @property
    def detector(self) -> FaceDetector:
        """Finds faces and their 68 landmarks in whole frames; DvaError when the model has no detector of its own."""
        if self.detector_net is None:
            raise DvaError(
                f"The model {self.name} has no face detector of its own; give it one (in ComfyUI connect Load Face "
                "Detector, or landmarks or points; elsewhere `dva_core.load_detector`)."
            )
        return TwoPassDetector(self.detector_net, self.landmarks)

    def encode_identity(self, crops: Tensor, batch_size: int = 32) -> Identity:
        """Crops [T,3,S,S] in -1..1 -> who is in each, features [T,512] of length 1."""
        return Identity(self._in_batches(self.identity, crops, batch_size), self.name)

    def encode_landmarks(self, crops: Tensor, batch_size: int = 32) -> LandmarkCodes:
        """Crops [T,3,S,S] in -1..1 -> where eyes, brows, nose and mouth are in each, codes [T,102]."""
        return LandmarkCodes(self._in_batches(self.landmarks.codes, crops, batch_size), self.name)

    @torch.no_grad()
    def face_latent(self, identity: Identity, landmark_codes: LandmarkCodes) -> Tensor:
        """z_face [T,512] for T landmark codes and T identities, or one that all frames share.

        DvaError when the counts do not fit or another model made them.
        """
        for part in (identity, landmark_codes):
            if part.model != self.name:
                raise DvaError(
                    f"{type(part).__name__} was made by the model {part.model} and cannot be used with "
                    f"{self.name}; encode the clip again."
                )
        frames, people = len(landmark_codes.codes), len(identity.features)
        if people not in (1, frames):
            raise DvaError(f"{people} identities do not fit {frames} landmark codes; give one, or one for each frame.")
        features = torch.cat([identity.features.expand(frames, -1), landmark_codes.codes], dim=1)
        return self.head(sent(features, self.device)).cpu()

    def parse(self, crops: Tensor, batch_size: int = 32) -> Tensor:
        """Crops [T,3,S,S] in -1..1 -> which part of the face each pixel is, uint8 [T,S,S], CelebAMask-HQ's 19 ids."""

        def classes(batch: Tensor) -> Tensor:
            return self.parser(batch).argmax(dim=1)

        return self._in_batches(classes, crops, batch_size).to(torch.uint8)

    def face_mask(self, crops: Tensor, for_video: bool = False, batch_size: int = 32) -> Tensor:
        """Crops [T,3,S,S] in -1..1 -> float32 [T,1,S,S], 1 on the head, 0 on background, clothes and hat.

        `for_video` is the mask for pasting: ears, neck and hair are 0 too.
        """
        outside = torch.tensor(NOT_FACE_IN_VIDEO if for_video else NOT_FACE)
        inside = ~torch.isin(self.parse(crops, batch_size).long(), outside)
        return rearrange(inside, "t h w -> t 1 h w").float()

    def eps(self, z_face: Tensor, batch_size: int = 16) -> Callable[[Tensor, Tensor], Tensor]:
        """The noise estimator of these faces, for the solvers: (x [T,3,S,S], t int64 [T] or [1]) -> noise [T,3,S,S].

        z_face: [T,512], or [1,512] for a face that all frames share. t is [1] where all frames are at one step. The
        noise comes back as float32 on x's device.
        """
        faces = self.unet.modulations(sent(z_face, self.device))
        batch_size = frames_at_once(self.unet, batch_size)

        def estimate(x: Tensor, t: Tensor) -> Tensor:
            noise = torch.empty(x.shape, device=x.device)
            for start in range(0, len(x), batch_size):
                rows = slice(start, start + batch_size)
                at_t, of_faces = _rows(t, rows), [_rows(face, rows) for face in faces]
                noise[rows] = self.unet(sent(x[rows], self.device), sent(at_t, self.device), of_faces)
            return noise

        return estimate

    @torch.no_grad()
    def _in_batches(self, net: Callable[[Tensor], Tensor], crops: Tensor, batch_size: int) -> Tensor:
        return torch.cat([net(sent(batch, self.device)).float().cpu() for batch in crops.split(batch_size)])


def frames_at_once(unet: UNet, most: int) -> int:
    """How many frames go through the net together, at most `most`; a CPU is fastest with large ones one by one."""
    first = unet.input_blocks[0][0].weight
    if first.device.type != "cpu":
        return most
    widest = unet.config.model_channels * (unet.config.image_size // unet.config.unshuffle) ** 2
    return max(1, min(most, CPU_BYTES_AT_ONCE // (widest * first.dtype.itemsize)))


def _rows(tensor: Tensor, rows: slice) -> Tensor:
    """Some rows; or the one that all share."""
    return tensor if len(tensor) == 1 else tensor[rows]


def fold_input_scaling(head: nn.Linear, scale_id: float, mean_lnd: Tensor, std_lnd: Tensor) -> nn.Linear:
    """The linear head in its published form, for a head trained on scaled features.

    `head` reads concat(scale_id * z_id, (z_lnd - mean_lnd) / std_lnd), mean_lnd and std_lnd [102]; the result
    reads concat(z_id, z_lnd) and gives the same z_face.
    """
    weight, bias = head.weight.detach().double(), head.bias.detach().double()
    weight_id, weight_lnd = weight.split([IDENTITY_FEATURES, LANDMARK_CODE], dim=1)
    weight_lnd = weight_lnd / std_lnd.double()
    folded = nn.Linear(head.in_features, head.out_features, device=head.weight.device, dtype=head.weight.dtype)
    with torch.no_grad():
        folded.weight.copy_(torch.cat([weight_id * scale_id, weight_lnd], dim=1))
        folded.bias.copy_(bias - weight_lnd @ mean_lnd.double())
    return folded
