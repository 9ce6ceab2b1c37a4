"""The command `dva bench`: how fast this machine is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import DvaError
from ..progress import progress_bars
from .options import PRECISIONS, add_device, chosen_device, positive


def add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure how fast this machine is",
        description="Measure the noise estimator on this machine, against the same net in plain float32. With `edit`: "
        "a whole edit of 256-pixel faces against the published recipe, extrapolated from a few evaluations.",
    )
    bench.add_argument("subject", nargs="?", choices=("net", "edit"), default="net", help="default: net")
    which = bench.add_mutually_exclusive_group()
    which.add_argument("--model", default="demo", help="name or file of a model bundle (default: demo)")
    which.add_argument(
        "--full-size", action="store_true", help="the published size with random weights, which takes minutes on a CPU"
    )
    add_device(bench)
    bench.add_argument(
        "--precision", choices=PRECISIONS, action="append",
        help="of the net; may be given again for another (default: float32 and bfloat16)",
    )  # fmt: skip
    bench.add_argument("--compile", action="store_true", help="compile the net first, which takes minutes on a CPU")
    bench.add_argument("--repeats", metavar="N", type=positive, default=5, help="the median counts (default: 5)")
    bench.add_argument("--json", metavar="FILE", type=Path, help="write every number and how it was made")
    bench.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> None:
    from ..evaluation.edit_speed import demo_crops, edit_rows, measure_edit
    from ..evaluation.report import table, write_report
    from ..evaluation.speed import PRECISIONS as DTYPES
    from ..evaluation.speed import measure_speed, random_unet, speed_rows
    from ..unet import UNetConfig
    from ..weights.bundle import load_model

    if options.subject == "edit" and (options.full_size or options.compile or options.model != "demo"):
        raise DvaError("`dva bench edit` takes neither --model, --full-size nor --compile; leave them out, or edit.")
    device = chosen_device(options)
    precisions = list(dict.fromkeys(options.precision or ["bfloat16", "float32"]))
    with progress_bars() as bars:
        if options.subject == "edit":
            demo = {name: load_model("demo", device, DTYPES[name]) for name in {*precisions, "float32"}}
            crops = demo_crops(demo["float32"])
            report = measure_edit(demo, crops, precisions, device=device, repeats=options.repeats, progress=bars)
        else:

            def build(dtype: Any) -> Any:
                if options.full_size:
                    return random_unet(dtype, device, UNetConfig())
                return load_model(options.model, device, dtype).unet

            report = measure_speed(
                build, precisions, repeats=options.repeats, compiled=options.compile, progress=bars
            )
    if options.json:
        write_report(report, options.json)
    print(table(speed_rows(report) + (edit_rows(report) if options.subject == "edit" else [])))
