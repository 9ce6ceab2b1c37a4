"""`dva train demo-clip`: the CLIP that comes with the code, from nothing: rendered faces and what can be said of them.

The picture of a person stands beside pictures of the same person with one thing changed, and captions beside captions
with one thing changed. Changes of pictures are drawn to where the captions' changes point, which is what a text edit
compares (Kim et al. 2023, Sec. 3.3), and at noise levels like those that it meets.
"""

from __future__ import annotations

import json
import math
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .. import tensorfile
from ..encoders.clip import load_clip
from ..errors import Cancelled
from ..files import whole_or_nothing
from ..libraries import library
from ..progress import Progress, silent
from ..synthetic.captions import FACTS
from ..weights.demo_clip import CONFIG, KIND, WEIGHTS
from .clip_batches import agreement, draw_captions, draw_pictures, draw_text_pairs, wanted_cosines
from .clip_codes import Codes
from .clip_pictures import SiblingPlan, SiblingSet, render_sibling_set
from .clip_quality import measure_clip
from .clip_words import Words
from .fitting import Watch, tensorboard_log

LICENCE = "MIT"
PROVENANCE = "trained by `dva train demo-clip` on faces that dva_core.synthetic renders; no photographs were used"
ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 96,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 40, "heads": 4, "layers": 3},
}

_PURPOSE = "Training the demo's CLIP"


@dataclass(frozen=True)
class ClipTraining:
    """`groups` groups of siblings, `pairs` pairs of captions and `captions` more in each of `steps` steps.

    clean, most_noise, blended: see `draw_pictures`; the noise rises to its most over a share `noise_rises` of the
    steps. strange: the share of captions with a word that is not known. half: pictures go through the net in bfloat16
    where the processor can.

    What the losses count, against the agreement of changes (1): off_axis, that changes are square to captions about
    something else; fit, that captions fit the pictures that they are true of; code, that changes of both go where
    `Codes` says; fact, that a picture's features tell its facts.
    """

    steps: int = 800
    groups: int = 32
    pairs: int = 32
    captions: int = 16
    rate: float = 3e-3
    weight_decay: float = 0.02
    clean: float = 0.25
    most_noise: int = 700
    noise_rises: float = 0.4
    blended: float = 0.3
    strange: float = 0.1
    off_axis: float = 3.0
    fit: float = 0.3
    code: float = 1.0
    fact: float = 2.0
    half: bool = True
    checkpoint_seconds: float = 60.0
    seed: int = 0


@dataclass(frozen=True)
class ClipRecipe:
    """Who is learnt from, who is measured on, and how. All people come from the training range of seeds."""

    siblings: SiblingPlan = SiblingPlan()
    judged: SiblingPlan = SiblingPlan(people=400, first_person=95_000)
    training: ClipTraining = ClipTraining()
    architecture: dict[str, Any] = field(default_factory=lambda: ARCHITECTURE)


def train_demo_clip(
    folder: Path, config: Path = CONFIG, weights: Path = WEIGHTS, device: str = "cpu",
    recipe: ClipRecipe = ClipRecipe(), progress: Progress = silent,
) -> dict[str, Any]:  # fmt: skip
    """Renders, trains and measures in `folder`, going on where it was stopped, and writes the config and the weights.

    Returns what was measured on people that trained nothing; it also lies in the weights' header.
    """
    library("open_clip", _PURPOSE)
    siblings = render_sibling_set(recipe.siblings, folder / "siblings", progress=progress)
    judged = render_sibling_set(recipe.judged, folder / "judged", progress=progress)
    watch = Watch(progress, log=tensorboard_log(folder / "logs"))
    net, seconds = train_clip(siblings, recipe.architecture, recipe.training, folder, device, watch)
    with whole_or_nothing(config) as unfinished:
        unfinished.write_text(json.dumps(_config(recipe.architecture), indent=2) + "\n", encoding="utf-8")
    tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in _weights(net).items()}
    tensorfile.write(weights, KIND, {}, tensors)
    measured = measure_clip(load_clip(config, weights, device), judged)
    note = {
        "licence": LICENCE, "provenance": PROVENANCE, "recipe": asdict(recipe), "seconds": round(seconds),
        "machine": _machine(), "measured": measured,
    }  # fmt: skip
    tensorfile.write(weights, KIND, note, tensors)
    return measured


def train_clip(
    siblings: SiblingSet, architecture: dict[str, Any], training: ClipTraining, folder: Path, device: str = "cpu",
    watch: Watch = Watch(),
) -> tuple[nn.Module, float]:  # fmt: skip
    """Trains one of open_clip's models from the checkpoint in `folder`, or from nothing; returns it and the seconds.

    Every random number of step k comes from (seed, k), so that an interrupted run repeats nothing and skips nothing.
    Raises Cancelled, after a checkpoint, once `watch.cancelled()` is true.
    """
    open_clip = library("open_clip", _PURPOSE)
    torch.manual_seed(training.seed)
    learner = _Learner(open_clip.CLIP(**architecture), Codes(architecture["embed_dim"])).to(device)
    net = learner.net
    net.visual.to(memory_format=torch.channels_last)
    words = Words(open_clip, architecture, device)
    with torch.no_grad():
        net.token_embedding.weight.mul_(words.known[:, None])
    optimizer = torch.optim.AdamW(_groups(learner, training), lr=training.rate, betas=(0.9, 0.98))
    checkpoint = folder / "clip_training.safetensors"
    purpose = json.loads(json.dumps([asdict(training), architecture]))
    start, seconds = _load_checkpoint(checkpoint, purpose, learner, optimizer)
    learner.train()
    began = saved = time.monotonic()
    for step in range(start, training.steps):
        if watch.cancelled():
            _save_checkpoint(checkpoint, purpose, learner, optimizer, step, seconds + time.monotonic() - began)
            raise Cancelled("train demo CLIP")
        for group in optimizer.param_groups:
            group["lr"] = training.rate * _rate(step, training)
        losses = _losses(learner, siblings, words, training, step, device)
        optimizer.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        net.token_embedding.weight.grad.mul_(words.known[:, None])
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        watch.progress("train demo CLIP", step + 1, training.steps)
        if step % 20 == 0:
            for name, loss in losses.items():
                watch.log(f"clip/{name}", float(loss.detach()), step)
        if step + 1 == training.steps or time.monotonic() - saved > training.checkpoint_seconds:
            _save_checkpoint(checkpoint, purpose, learner, optimizer, step + 1, seconds + time.monotonic() - began)
            saved = time.monotonic()
    return net.eval(), seconds + time.monotonic() - began


class _Learner(nn.Module):
    """The CLIP, and what only its training needs: where the facts shall point, scales and biases of yes and no."""

    def __init__(self, net: nn.Module, codes: Codes) -> None:
        super().__init__()
        self.net, self.codes = net, codes
        self.fit_bias = nn.Parameter(torch.zeros(()))
        self.fact_scale = nn.Parameter(torch.full((), math.log(20.0)))
        self.fact_bias = nn.Parameter(torch.zeros(len(FACTS)))


def _losses(
    learner: _Learner, siblings: SiblingSet, words: Words, training: ClipTraining, step: int, device: str
) -> dict[str, Tensor]:
    net, codes = learner.net, learner.codes
    rng = np.random.default_rng([training.seed, step, 0])
    rows = np.sort(rng.choice(len(siblings.facts), min(training.groups, len(siblings.facts)), replace=False))
    pictures, facts, is_blended = draw_pictures(
        siblings, rows, training.clean, _most_noise(step, training), training.blended, [training.seed, step, 1]
    )
    pairs = draw_text_pairs(facts, training.pairs, words.templates, [training.seed, step, 2])
    more, more_claims = draw_captions(facts, training.captions, words.templates, [training.seed, step, 3])
    size = facts.shape[1]
    flat = rearrange(pictures, "b g c h w -> (b g) c h w").to(device, memory_format=torch.channels_last)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=training.half and _has_bfloat16()):
        seen = net.encode_image(flat)
    seen = F.normalize(seen.float(), dim=-1)
    tokens = words.numbers([*pairs.texts, *more], training.strange, rng)
    told = F.normalize(net.encode_text(tokens), dim=-1)

    grouped = rearrange(seen, "(b g) d -> b g d", g=size)
    change = rearrange(grouped[:, 1:] - grouped[:, :1], "b g d -> (b g) d")
    count = training.pairs
    asked = told[count : 2 * count] - told[:count]
    first = np.repeat(facts[:, :1], size - 1, axis=1).reshape(-1, facts.shape[-1])
    second = facts[:, 1:].reshape(first.shape)
    seen_change = np.where(first * second < 0, second, 0)
    told_change = np.sign(pairs.after.astype(int) - pairs.before)
    picture_code = 1 - (_unit(change) * codes.of_pictures(seen_change)).sum(-1).mean()
    text_code = 1 - (_unit(asked) * codes.of_texts(told_change)).sum(-1).mean()
    cosines = _unit(change) @ _unit(asked).T
    wanted = torch.from_numpy(wanted_cosines(first, second, pairs)).to(device)
    error = (cosines - wanted.nan_to_num()) ** 2
    likewise, unrelated = wanted.nan_to_num().abs() > 0, wanted == 0
    along = _mean_over(error, likewise)
    aside = _mean_over(error, unrelated)

    open_facts = facts.copy()
    halfway = is_blended[:, None, None] & (facts[:, :1] != facts)
    open_facts[halfway] = 0
    claims = np.concatenate([pairs.before, pairs.after, more_claims])
    known = torch.from_numpy(open_facts.reshape(-1, facts.shape[-1])).to(device)
    answers = F.softplus(-known * (learner.fact_scale.exp() * seen @ codes.facts.T + learner.fact_bias))
    facts_loss = _mean_over(answers, known != 0)
    truth = torch.from_numpy(agreement(open_facts.reshape(-1, facts.shape[-1]), claims)).to(device)
    logits = net.logit_scale.exp() * seen @ told.T + learner.fit_bias
    fits = 0.5 * (_mean_over(F.softplus(-logits), truth == 1) + _mean_over(F.softplus(logits), truth == 0))
    return {
        "along": along, "aside": training.off_axis * aside, "fit": training.fit * fits,
        "picture code": training.code * picture_code, "text code": training.code * text_code,
        "facts": training.fact * facts_loss,
    }  # fmt: skip


def _unit(changes: Tensor) -> Tensor:
    return F.normalize(changes, dim=-1, eps=1e-4)


def _has_bfloat16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    # Without hardware support, emulated bfloat16 is several times slower than float32.
    return torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported()


def _mean_over(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


def _rate(step: int, training: ClipTraining) -> float:
    """Share of the learning rate: a warm-up, then half a cosine down to nothing."""
    warm = min(100, training.steps // 10 + 1)
    done = (step - warm) / max(training.steps - warm, 1)
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + float(np.cos(np.pi * max(done, 0.0))))


def _most_noise(step: int, training: ClipTraining) -> int:
    """Noise comes in by and by: a net that has never seen a face clearly learns next to nothing from noisy ones."""
    return round(training.most_noise * min(1.0, step / max(training.noise_rises * training.steps, 1)))


def _groups(learner: nn.Module, training: ClipTraining) -> list[dict[str, Any]]:
    """Only matrices decay; words, places, norms and biases do not."""
    decays: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in learner.named_parameters():
        decays[parameter.ndim > 1 and "embedding" not in name].append(parameter)
    return [{"params": decays[flag], "weight_decay": training.weight_decay * flag} for flag in (True, False)]


def _config(architecture: dict[str, Any]) -> dict[str, Any]:
    """As open_clip's configs on Hugging Face; -1..1 is what the nets of this project take."""
    return {"model_cfg": architecture, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}


def _weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in net.state_dict().items() if name != "logit_scale"}


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, {platform.machine()}"


def _save_checkpoint(
    path: Path, purpose: list, learner: nn.Module, optimizer: torch.optim.Optimizer, step: int, seconds: float
) -> None:
    tensors = {f"net.{name}": tensor for name, tensor in learner.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    note = {"purpose": purpose, "step": step, "seconds": seconds}
    tensorfile.write(path, "a CLIP in training", note, tensors)


def _load_checkpoint(
    path: Path, purpose: list, learner: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """The steps done and the seconds that they took: none where there is no checkpoint, or one of another training."""
    if not path.exists():
        return 0, 0.0
    note, tensors = tensorfile.read(path, "a CLIP in training")
    if note["purpose"] != purpose:
        return 0, 0.0
    learner.load_state_dict({name[4:]: tensor for name, tensor in tensors.items() if name.startswith("net.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, part = name.split(".")
            state.setdefault(int(index), {})[part] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return note["step"], note["seconds"]
