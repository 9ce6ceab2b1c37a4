"""The ways from a picture to its noise and back, by name, all called alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..errors import DvaError
from . import ddim, fixed_point, o_belm, residual
from .ddim import Hold, NoiseEstimator, OnStep
from .residual import Correct, in_full
from .schedule import spaced_timesteps


@dataclass(frozen=True)
class Solver:
    """A solver's price, in evaluations of the net for each frame, and what it keeps beside x_T.

    exact: the source comes back to rounding error. stored: the number of maps kept for a number of steps.
    """

    name: str
    exact: bool
    to_invert: Callable[[int], int]
    to_decode: Callable[[int], int]
    stored: Callable[[int], int]


SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("residual", True, lambda steps: steps + 1, lambda steps: steps, lambda steps: steps + 2),
        Solver("ddim", False, lambda steps: steps, lambda steps: steps, lambda steps: 0),
        Solver("o_belm", True, lambda steps: steps, lambda steps: steps - 1, lambda steps: 1),
        Solver(
            "fixed_point", False, lambda steps: fixed_point.ITERATIONS * steps, lambda steps: steps, lambda steps: 0
        ),
    )
}
DEFAULT_SOLVER, DEFAULT_STEPS = "residual", 10


def find_solver(name: str, steps: int) -> Solver:
    """The solver of that name; `DvaError` when there is none, or so many steps have no even spacing."""
    if name not in SOLVERS:
        raise DvaError(f"There is no solver '{name}'; choose among {', '.join(SOLVERS)}.")
    spaced_timesteps(steps)
    return SOLVERS[name]


def invert(
    eps: NoiseEstimator, x0: Tensor, solver: str = DEFAULT_SOLVER, steps: int = DEFAULT_STEPS,
    on_step: OnStep | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The noise map x_T of pictures x0, float32 [B,3,S,S] in -1..1, and the maps [B,n,3,S,S] that go with it.

    Raises DvaError for a solver that is not in `SOLVERS`, and a number of steps that has no even spacing.
    """
    find_solver(solver, steps)
    if solver == "residual":
        return residual.invert(eps, x0, steps, on_step)
    if solver == "o_belm":
        return o_belm.invert(eps, x0, steps, on_step)
    x_T = (ddim if solver == "ddim" else fixed_point).invert(eps, x0, steps, on_step=on_step)
    return x_T, x_T.new_empty(len(x_T), 0, *x_T.shape[1:])


def decode(
    eps: NoiseEstimator, x_T: Tensor, stored: Tensor, solver: str = DEFAULT_SOLVER, steps: int = DEFAULT_STEPS,
    on_step: OnStep | None = None, *, correct: Correct = in_full, hold: Hold | None = None,
) -> Tensor:  # fmt: skip
    """The pictures [B,3,S,S] in -1..1 of what `invert` gave with the same solver and steps, and another condition.

    `correct` is for `residual`, and `hold` for those that step as DDIM does. Raises DvaError as `invert` does, and when
    the stored maps are not this solver's.
    """
    expected = find_solver(solver, steps).stored(steps)
    if stored.shape[1] != expected:
        raise DvaError(
            f"The solver {solver} with {steps} steps goes on from {expected} stored maps, and there are "
            f"{stored.shape[1]}; decode with the solver and steps that inverted, or invert again."
        )
    if solver == "residual":
        return residual.decode(eps, x_T, stored, steps, on_step, correct)
    if solver == "o_belm":
        return o_belm.decode(eps, x_T, stored, steps, on_step)
    return ddim.decode(eps, x_T, steps, on_step=on_step, hold=hold)
