"""The commands that show what a model can do: `dva demo`, `dva eval`, `dva info`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..progress import progress_bars
from .measure_edits import add_eval_edits
from .options import add_model, add_solver, add_steps, at_least_two, loaded_model, natural, positive


def add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="edit the shipped clip and measure the result",
        description="Edit the shipped clip; write edited.mp4, comparison.mp4, sheet.png and report.json.",
    )
    demo.add_argument("--out", metavar="FOLDER", type=Path, default=Path("out/demo"), help="default: out/demo")
    add_model(demo)
    demo.set_defaults(run=_demo)


def add_eval(commands: Any) -> None:
    subjects = commands.add_parser("eval", help="measure a model").add_subparsers(required=True, metavar="SUBJECT")
    demo = subjects.add_parser(
        "demo",
        help="on rendered people that it has never seen",
        description="Measure a model on rendered people that it has never seen, against the renderer's own truth.",
    )
    demo.add_argument("--clips", metavar="N", type=positive, default=20, help="number of people (default: 20)")
    demo.add_argument("--frames", metavar="N", type=at_least_two, default=32, help="frames of each (default: 32)")
    demo.add_argument("--seed", metavar="N", type=natural, default=0, help="another number chooses other people")
    add_steps(demo)
    add_solver(demo)
    demo.add_argument("--json", metavar="FILE", type=Path, help="write every number and how it was made")
    demo.add_argument("--batch-size", metavar="N", type=positive, default=8, help="frames at once (default: 8)")
    add_model(demo)
    demo.set_defaults(run=_eval_demo)
    add_eval_edits(subjects)


def add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="say what a model is and what it can edit")
    add_model(info)
    info.set_defaults(run=_info)


def _demo(options: argparse.Namespace) -> None:
    from .. import showcase
    from ..evaluation.judges import load_judges
    from ..evaluation.report import table

    model = loaded_model(options)
    with progress_bars() as bars:
        report = showcase.run(model, load_judges(), options.out, progress=bars)
    print(table(showcase.table_rows(report)))
    print(f"Look at {options.out / 'sheet.png'} and play {options.out / 'comparison.mp4'}.")


def _eval_demo(options: argparse.Namespace) -> None:
    from ..evaluation.demo import evaluate
    from ..evaluation.judges import load_judges
    from ..evaluation.report import target_table, write_report

    model = loaded_model(options)
    with progress_bars() as bars:
        report = evaluate(
            model, load_judges(), options.clips, options.frames, options.seed,
            steps=options.steps, solver=options.solver, batch_size=options.batch_size, progress=bars,
        )  # fmt: skip
    if options.json:
        write_report(report, options.json)
    print(target_table(report))


def _info(options: argparse.Namespace) -> None:
    from ..evaluation.report import table
    from ..weights.bundle import about_model

    model, about = loaded_model(options), about_model(options.model)
    size = model.config.image_size
    print(
        table(
            [
                ("model", model.name),
                ("device", str(model.device)),
                ("face crops", f"{size} x {size} px"),
                ("parameters", f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million"),
            ]
        )
    )
    print(f"Licence: {about['licence']}; {about['provenance']}.")
    print("It can edit: " + ", ".join(model.attributes.names))
