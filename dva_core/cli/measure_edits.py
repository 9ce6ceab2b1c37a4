"""The command `dva eval edits`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..progress import progress_bars
from .options import add_model, loaded_model, natural, positive


def add_eval_edits(subjects: Any) -> None:
    edits = subjects.add_parser(
        "edits",
        help="every kind of edit, on rendered people that it has never seen",
        description="Measure every kind of edit on rendered people that the model has never seen: attributes in both "
        "directions, texts, identities and motions switched, and strength 0.",
    )
    edits.add_argument(
        "--clips", metavar="N", type=positive, default=5,
        help="clips for each attribute and direction; pairs to switch are twice as many (default: 5)",
    )  # fmt: skip
    edits.add_argument("--frames", metavar="N", type=positive, default=4, help="frames of each clip (default: 4)")
    edits.add_argument(
        "--text-clips", metavar="N", type=natural, default=2,
        help="clips for each text; 0 leaves text edits out (default: 2)",
    )  # fmt: skip
    edits.add_argument("--seed", metavar="N", type=natural, default=0, help="another number chooses other people")
    edits.add_argument("--json", metavar="FILE", type=Path, help="write every number and how it was made")
    edits.add_argument(
        "--sheets", metavar="FOLDER", type=Path,
        help="draw a picture for each kind of edit instead of measuring, on the shipped clips",
    )  # fmt: skip
    edits.add_argument("--batch-size", metavar="N", type=positive, default=16, help="frames at once (default: 16)")
    add_model(edits)
    edits.set_defaults(run=_eval_edits)


def _eval_edits(options: argparse.Namespace) -> None:
    from ..evaluation.judges import load_judges
    from ..evaluation.report import target_table, write_report

    model = loaded_model(options)
    if options.sheets:
        from ..evaluation.sheets import draw_sheets

        with progress_bars() as bars:
            drawn = draw_sheets(model, options.sheets, batch_size=options.batch_size, progress=bars)
        print(f"Look at {', '.join(map(str, drawn))}.")
        return
    from ..evaluation.edits import Effort, evaluate_edits

    effort = Effort(options.clips, options.frames, options.text_clips, pairs=max(2, 2 * options.clips))
    with progress_bars() as bars:
        report = evaluate_edits(
            model, load_judges(), effort, options.seed, batch_size=options.batch_size, progress=bars
        )
    if options.json:
        write_report(report, options.json)
    print(attribute_table(report["attributes"]["each"]))
    print(target_table(report))


def attribute_table(each: dict[str, dict[str, Any]]) -> str:
    """A line for each attribute: success on and off, side effects plain and preserved, the AUC."""
    columns = {
        "on": "success_on", "off": "success_off", "others": "side_effects", "preserved": "side_effects_preserved",
        "AUC": "auc",
    }  # fmt: skip
    lines = [f"  {'attribute':<18}" + "".join(f"{name:>11}" for name in columns)]
    for name, numbers in each.items():
        shown = (numbers[key] for key in columns.values())
        lines.append(f"  {name:<18}" + "".join(f"{'-' if one is None else format(one, '.3f'):>11}" for one in shown))
    return "\n".join(lines)
