"""What `dva` does with any command: reads it, runs it, and tells errors in a sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..errors import DvaError
from .bench import add_bench
from .convert import add_convert
from .edit import add_edit
from .measure import add_demo, add_eval, add_info
from .mix import add_mix
from .models import add_models
from .sweep import add_sweep
from .train import add_train

INTERRUPTED, WRONG_INPUT = 130, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 2 for input that the user can mend, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt as error:
        print(f"dva: interrupted. {error}" if str(error) else "dva: interrupted", file=sys.stderr)
        return INTERRUPTED
    except DvaError as error:
        print(f"dva: {error}", file=sys.stderr)
        return WRONG_INPUT
    except OSError as error:
        print(f"dva: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return WRONG_INPUT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dva", description="Edit who is seen in a face video and keep how they move (Kim et al., CVPR 2023)."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        add_edit, add_sweep, add_mix, add_demo, add_info, add_models, add_convert, add_eval, add_bench, add_train
    ):  # fmt: skip
        add(commands)
    return parser
