"""The command `dva train attributes`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DvaError
from ..progress import Progress, progress_bars
from .options import add_model, loaded_model, natural, positive

if TYPE_CHECKING:
    from ..autoencoder import DiffusionVideoAutoencoder
    from ..training.attributes import TrainedAttributes
    from ..training.directions import LabelledFeatures

MEANS, CLASSIFIER = "means", "classifier"


def add_train_attributes(subjects: Any) -> None:
    attributes = subjects.add_parser(
        "attributes",
        help="find the attribute directions of a model from pictures with labels (seconds to minutes)",
        description="Train a linear classifier of CelebA's attributes on what a model's identity encoder says of "
        "pictures, and write the model with new directions for its edits. Prints for each attribute the AUC on people "
        "who were held out of the training: 1 is perfect, 0.5 is chance.",
        epilog="examples: dva train attributes --images celeba-hq/ --labels CelebAMask-HQ-attribute-anno.txt --model "
        "diffusion_video_autoencoder --out dva-mine.safetensors; dva train attributes --rendered 5000 --out "
        "demo-mine.safetensors",
    )
    data = attributes.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--images", metavar="FOLDER", type=Path, help="aligned faces, such as CelebA-HQ's, under the labels' file names"
    )
    data.add_argument(
        "--lmdb", metavar="PATH", type=Path, help="an LMDB of such pictures under keys such as 256-00000 for 0.jpg"
    )
    data.add_argument(
        "--rendered", metavar="N", type=positive,
        help="N people of this project's renderer, who need no labels; 400 will do to try, 5000 for a good classifier",
    )  # fmt: skip
    attributes.add_argument(
        "--labels", metavar="FILE", type=Path,
        help="CelebA's attribute text file: a count, a line of names, then a file name and 1 or -1s in each line",
    )  # fmt: skip
    attributes.add_argument(
        "--skip-missing", action="store_true", help="go on without pictures that the labels list and that are not there"
    )
    add_model(attributes)
    attributes.add_argument("--out", metavar="FILE", type=Path, required=True, help="the bundle to write")
    attributes.add_argument(
        "--overwrite", action="store_true", help="also where the model itself or a shipped one lies"
    )
    attributes.add_argument(
        "--directions", choices=(MEANS, CLASSIFIER),
        help="means: from the mean of those without an attribute to the mean of those with it; classifier: its "
        "weights, as published. Default: means for rendered faces, whose attributes are independent of each other, and "
        "where means point more the way that a person's features truly move (with 5400 people a cosine of 0.90, and "
        "0.69 for the weights); classifier for photographs, where beards and lipstick go with age and sex, which means "
        "would mix in. The report measures both",
    )  # fmt: skip
    attributes.add_argument("--steps", metavar="N", type=positive, default=9375, help="default: 9375, as published")
    attributes.add_argument("--seed", metavar="N", type=natural, default=0, help="another number holds others out")
    attributes.add_argument(
        "--least-auc", metavar="X", type=_fraction, default=0.6,
        help="attributes told worse than this are left out of the model, as their edits would be chance (default: 0.6)",
    )  # fmt: skip
    attributes.add_argument(
        "--report", metavar="FOLDER", type=Path,
        help="for auc.png, report.json and classifier.safetensors (default: the bundle's name and -report)",
    )  # fmt: skip
    attributes.set_defaults(run=_train_attributes)


def _train_attributes(options: argparse.Namespace) -> None:
    _check_data(options)
    from ..files import check_writable
    from ..training.attribute_bundle import check_target, keep_reach, put_attributes
    from ..training.attributes import AttributeTraining, ClassifierFitting, train_attributes

    check_target(options.model, options.out, options.overwrite)
    folder = options.report or options.out.with_name(f"{options.out.stem}-report")
    check_writable(folder / "report.json")
    directions = options.directions or (MEANS if options.rendered else CLASSIFIER)
    fitting = ClassifierFitting(steps=options.steps, seed=options.seed)
    config = AttributeTraining(directions, fitting, least_auc=options.least_auc)
    model = loaded_model(options)
    with progress_bars() as progress:
        known, shifts, source = _known(options, model, progress)
        trained = train_attributes(known, config, shifts, progress)
    kept = keep_reach(trained.table, model.attributes) if directions == MEANS else ()
    report = {"model": model.name, "data": source} | trained.report | {"reach_kept": list(kept)}
    put_attributes(options.model, trained.table, options.out, report, source)
    _write_report(trained, report, folder)
    _say(report)
    print(f"Look at {folder / 'auc.png'}; all numbers are in {folder / 'report.json'}.")
    print(f"{options.out} is written. Use it: dva edit IN OUT --model {options.out} --attribute NAME")


def _check_data(options: argparse.Namespace) -> None:
    if options.rendered and (options.labels or options.skip_missing):
        raise DvaError("Rendered faces need no labels; leave out --labels and --skip-missing, or give --images.")
    if not options.rendered and not options.labels:
        raise DvaError("Pictures need labels: give --labels the attribute text file that comes with them.")


def _known(
    options: argparse.Namespace, model: DiffusionVideoAutoencoder, progress: Progress
) -> tuple[LabelledFeatures, dict[str, Any], str]:
    """What the model sees of the people, the true shifts where they are known, and where the people come from."""
    from ..training import celeba, encoded

    if options.rendered:
        known = encoded.encode_rendered(model, options.rendered, progress)
        pairs = min(encoded.PAIRS, 1 + options.rendered // 4)
        return known, encoded.true_shifts(model, known.names, pairs, progress), f"{options.rendered} rendered people"
    labels = celeba.read_labels(options.labels)
    where = options.images or options.lmdb
    pictures = (
        celeba.PictureFolder(options.images)
        if options.images
        else celeba.PictureLmdb(options.lmdb, model.config.image_size)
    )
    listed = celeba.present(labels, pictures, where, options.skip_missing)
    if len(listed.pictures) < len(labels.pictures):
        print(f"{len(listed.pictures)} of the {len(labels.pictures)} pictures that {labels.path} lists are there.")
    known = celeba.encode_pictures(model, listed, pictures, progress)
    return known, {}, f"{len(listed.pictures)} pictures in {where}, labelled by {labels.path.name}"


def _write_report(trained: TrainedAttributes, report: dict[str, Any], folder: Path) -> None:
    from ..evaluation.auc_plot import auc_picture
    from ..evaluation.report import write_report
    from ..files import whole_or_nothing

    measured = report["attributes"]
    people = report["people"]["held_out"]
    picture = auc_picture(
        {name: found["auc"] for name, found in measured.items()},
        f"AUC of the linear classifier on {people} people held out; mean {report['mean_auc']:.3f}",
        marks={name: found["auc_of_class_means"] for name, found in measured.items()},
        marks_name="by the class means" + ("; gray: left out of the model" if report["untrained"] else ""),
        left_out=report["untrained"],
    )
    with whole_or_nothing(folder / "auc.png") as unfinished:
        picture.save(unfinished)
    write_report(report, folder / "report.json")
    trained.classifier.save(folder / "classifier.safetensors")


def _say(report: dict[str, Any]) -> None:
    from ..evaluation.report import table

    measured = report["attributes"]
    ranked = sorted((name for name, found in measured.items() if found["trained"]), key=lambda n: -measured[n]["auc"])
    print("AUC on people held out of the training:")
    print(table([*((name, measured[name]["auc"]) for name in ranked), ("mean", report["mean_auc"])]))
    for name, reason in report["untrained"].items():
        print(f"{name} is left out of the model: {reason}.")
    if guessed := [name for name in ranked if name not in report["reach_kept"]]:
        which = ", ".join(guessed) if report["reach_kept"] else "any of them"
        print(f"How far edits go is computed from the people and not tried out for {which}.")
    if report.get("mean_cosine_with_truth_of_means") is not None:
        print(
            "Cosine with the way that features truly move, mean over attributes: "
            f"{report['mean_cosine_with_truth_of_means']:.2f} for the class means, "
            f"{report['mean_cosine_with_truth_of_classifier']:.2f} for the classifier's weights."
        )


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value
