"""How well a linear classifier tells attributes from identity features: the area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from .. import tensorfile
from ..errors import DvaError

_KIND = "a linear attribute classifier"


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """One logit an attribute, linear in normalised identity features (Kim et al. 2023, Sec. 3.4).

    names: A CelebA attributes. weight [A,512], bias [A]; mean [512], std [512] of the features that it was trained on.
    """

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Identity features [N,512] -> [N,A]; above 0 means that the attribute is there."""
        return (features - self.mean) / self.std @ self.weight.T + self.bias

    def save(self, path: str | Path) -> None:
        """Writes one safetensors file, whole or not at all."""
        tensors = {name: getattr(self, name) for name in ("weight", "bias", "mean", "std")}
        tensorfile.write(path, _KIND, {"names": list(self.names)}, tensors)

    @classmethod
    def load(cls, path: str | Path) -> LinearClassifier:
        """Reads what `save` wrote; DvaError when the file is missing, damaged or something else."""
        fields, tensors = tensorfile.read(path, _KIND)
        try:
            return cls(tuple(fields["names"]), **tensors)
        except (KeyError, TypeError) as error:
            raise DvaError(f"{path} does not hold a whole linear classifier ({error}); make it again.") from error


def attribute_aucs(features: Tensor, labels: Tensor | np.ndarray, classifier: LinearClassifier) -> dict[str, float]:
    """The AUC of every attribute of the classifier, over features [N,512] and bool labels [N,A] (columns: its names).

    Attributes that all or none of the N have cannot be measured and are left out. DvaError when the counts do not fit.
    """
    labels = np.asarray(labels, dtype=bool)
    if labels.shape != (len(features), len(classifier.names)):
        raise DvaError(
            f"Labels {list(labels.shape)} do not fit {len(features)} features and {len(classifier.names)} attributes; "
            "give a row for each feature and a column for each attribute."
        )
    logits = classifier.logits(features.float()).double().numpy()
    columns = zip(classifier.names, logits.T, labels.T, strict=True)
    return {name: auc(scores, has) for name, scores, has in columns if has.any() and not has.all()}


def auc(scores: np.ndarray | Tensor, labels: np.ndarray | Tensor) -> float:
    """The chance that one who has it scores higher than one who lacks it; a tie counts half.

    scores [N], labels bool [N]. By ranks: the Mann-Whitney statistic over the number of pairs. NaN when all labels are
    alike.
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    have = int(labels.sum())
    pairs = have * (len(labels) - have)
    return float((rankdata(scores)[labels].sum() - have * (have + 1) / 2) / pairs) if pairs else float(torch.nan)
