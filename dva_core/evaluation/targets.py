"""What the demo model must show, and in words how each number is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOW = {
    "clips": "rendered clips of people from the held-out seeds; faces found, followed and cut by the model's detector",
    "reconstruction": "ddim: there and back with the clip's mean identity, no paste-back, no detail kept; SSIM,"
    " MS-SSIM, MSE and PSNR on 0..1, mean over every 8th frame, by steps; residual: MSE on 0..1 of the residual solver,"
    " decoded through the net in each precision, every 32nd frame, by steps",
    "ms_ssim": "valid windows; as many of the five standard scales as fit the crop (64 px: 3, 96 px: 4), their weights"
    " renormalised",
    "edits": "each clip's attribute is toggled with scale 1 or -1, with the report's solver and steps, the source's"
    " detail kept where the edit changes nothing, before paste-back; truth is the same clip rendered with the attribute"
    " toggled, cut along the same quads",
    "success": "a classifier trained on pictures and never used for editing flips its answer, the sign of its mean"
    " logit over the clip's frames; success_on puts the attribute on, success_off takes it off",
    "side_effects": "share of the classifier's other attributes (those equal in source and truth) whose answer changes;"
    " others_kept = 1 - side_effects; others_kept_by_truth is what the rendered truth itself reaches",
    "removal_error_ratio": "mean over clips of MSE(edited, truth) / mean of MSE(source, truth), inside the head (every"
    " parsing class but background and clothes, in source or truth)",
    "addition_iou": "pixels with mean |edited - source| > 0.1 of 0..1 against those with mean |truth - source| > 0.1:"
    " intersection over union over a clip, mean over clips",
    "temporal": "ratio of means of cosines, edited over source, by an identity net of another seed; mean over clips and"
    " edits",
    "motion": "landmarks 17..67 by the model's landmark net, mean distance over eye distance; mean over clips and"
    " edits; landmark_nme_of_truth is what the rendered truth itself reaches",
    "background": "PSNR outside the head, edited against source crops, before paste-back; mean over clips and edits",
}


@dataclass(frozen=True)
class Target:
    """A number in the report, by its path, and the range it must lie in."""

    path: str
    at_least: float | None = None
    at_most: float | None = None

    def check(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """The value found (None: not measured) and whether it lies in the range (None: cannot be said)."""
        value: Any = report
        for key in self.path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        met = None
        if value is not None:
            met = (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)
        return {"value": value, "at_least": self.at_least, "at_most": self.at_most, "met": met}


TARGETS = (
    Target("reconstruction.ddim.100.ssim", at_least=0.95),
    Target("reconstruction.ddim.20.ssim", at_least=0.80),
    *(
        Target(f"reconstruction.residual.{precision}.{steps}.mse", at_most=1e-9)
        for precision in ("float32", "bfloat16")
        for steps in (5, 10, 20, 50)
    ),
    *(
        target
        for edit in ("Eyeglasses", "beard")
        for target in (
            Target(f"edits.{edit}.success_on", at_least=0.95),
            Target(f"edits.{edit}.success_off", at_least=0.95),
            Target(f"edits.{edit}.others_kept", at_least=0.95),
            Target(f"edits.{edit}.removal_error_ratio", at_most=0.4),
            Target(f"edits.{edit}.addition_iou", at_least=0.5),
        )
    ),
    Target("temporal.tl_id", at_least=0.98, at_most=1.02),
    Target("temporal.tg_id", at_least=0.98, at_most=1.02),
    Target("motion.landmark_nme", at_most=0.03),
    Target("background.psnr", at_least=30.0),
)


def check_targets(report: Mapping[str, Any], targets: Sequence[Target] = TARGETS) -> dict[str, Any]:
    """{"targets": {path: value, range, met}, "met": whether every one is measured and met}."""
    checked = {target.path: target.check(report) for target in targets}
    return {"targets": checked, "met": all(entry["met"] is True for entry in checked.values())}
