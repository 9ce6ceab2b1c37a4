"""Labelled pictures as CelebA-HQ comes: label files, folders, LMDBs, and what is wrong with them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dva_core.errors import Cancelled
from dva_core.training.celeba import PictureFolder, PictureLmdb, encode_pictures, present, read_labels

from .sentences import one_sentence
from .tiny_model import tiny_model


def label_file(folder: Path, text: str) -> Path:
    path = folder / "labels.txt"
    path.write_text(text)
    return path


def picture(number: int, side: int = 40) -> Image.Image:
    """Smooth, different for every number, and not its own mirror image."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(x * (2 + number) + phase) + np.cos(y * (1 + number % 3)) for phase in range(3)]
    return Image.fromarray((np.stack(waves, -1) * 60 + 128).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture
def faces(tmp_path) -> Path:
    """Three pictures: 0.png, 1.png, 2.png."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for number in range(3):
        picture(number).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "2\n5_o_Clock_Shadow Young \n000001.jpg -1  1\n000002.jpg  1 -1\n",
        "2\n5_o_Clock_Shadow Young\n000001.jpg  -1 1\n000002.jpg  1 0",
        "\ufeff 2 \r\n5_o_Clock_Shadow Young\r\n000001.jpg -1 1\r\n000002.jpg 1 -1\r\n\r\n",
    ],
)
def test_labels_are_read_in_the_layouts_of_both_releases(tmp_path, text):
    labels = read_labels(label_file(tmp_path, text))
    assert labels.names == ("5_o_Clock_Shadow", "Young")
    assert labels.pictures == ("000001.jpg", "000002.jpg")
    assert labels.labels.tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["line 1", "number of pictures"]),
        ("image_id,Young\n0.jpg,1\n", ["line 1", "number of pictures"]),
        ("0\nYoung\n", ["announces 0", "lists 0"]),
        ("3\nYoung\n0.jpg 1\n1.jpg 1\n", ["announces 3", "lists 2"]),
        ("1\nYoung\n0.jpg 1\n1.jpg 1\n", ["announces 1", "lists 2"]),
        ("1\nYoung Handsome\n0.jpg 1 1\n", ["line 2", "Handsome", "Eyeglasses"]),
        ("1\nYoung Young\n0.jpg 1 1\n", ["line 2", "once"]),
        ("1\n", ["line 2"]),
        ("2\nYoung Bald\n0.jpg 1 1\n1.jpg 1\n", ["line 4", "2 times", "'1.jpg 1'"]),
        ("2\nYoung\n0.jpg yes\n1.jpg 1\n", ["line 3", "'0.jpg yes'"]),
        ("2\nYoung\n0.jpg 1\n\n1.jpg 1\n", ["line 4"]),
        ("2\nYoung\n0.jpg 1\n0.jpg -1\n", ["0.jpg 2 times"]),
    ],
)
def test_a_wrong_label_file_is_told_with_its_line(tmp_path, text, words):
    with one_sentence("labels.txt", *words):
        read_labels(label_file(tmp_path, text))


def test_labels_that_are_missing_or_no_text_are_told(tmp_path, faces):
    with one_sentence("absent.txt", "cannot be read"):
        read_labels(tmp_path / "absent.txt")
    with one_sentence("0.png", "no text file"):
        read_labels(faces / "0.png")


def test_every_picture_is_encoded_with_its_mirror_image(tmp_path, faces):
    labels = read_labels(label_file(tmp_path, "3\nYoung\n0.jpg 1\n1.jpg -1\n2.jpg 1\n"))
    model, done = tiny_model(), []
    known = encode_pictures(
        model, labels, PictureFolder(faces), lambda stage, count, total: done.append((count, total))
    )
    assert done[-1] == (3, 3)
    assert known.labels.tolist() == [[True], [False], [True]]
    for number in range(3):
        resized = picture(number).resize((32, 32), Image.Resampling.BILINEAR)
        crop = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None] / 127.5 - 1
        expected = model.encode_identity(torch.cat([crop, crop.flip(-1)])).features
        torch.testing.assert_close(known.features[known.person == number], expected)
        torch.testing.assert_close(known.people[number], expected.mean(0))


def test_of_a_picture_that_is_not_square_the_middle_counts(tmp_path, faces):
    wide = Image.new("RGB", (80, 40), (255, 0, 0))
    wide.paste(picture(0), (20, 0))
    wide.save(faces / "1.png")
    labels = read_labels(label_file(tmp_path, "2\nYoung\n0.png 1\n1.png 1\n"))
    known = encode_pictures(tiny_model(), labels, PictureFolder(faces))
    torch.testing.assert_close(known.people[0], known.people[1], atol=2e-3, rtol=0)


def test_gray_pictures_and_other_sizes_are_taken_too(tmp_path, faces):
    picture(1, side=100).convert("L").save(faces / "1.png")
    labels = read_labels(label_file(tmp_path, "2\nYoung\n0 1\n1 1\n"))
    assert encode_pictures(tiny_model(), labels, PictureFolder(faces)).features.isfinite().all()


def test_encoding_can_be_stopped(tmp_path, faces):
    labels = read_labels(label_file(tmp_path, "1\nYoung\n0.jpg 1\n"))
    with pytest.raises(Cancelled):
        encode_pictures(tiny_model(), labels, PictureFolder(faces), cancelled=lambda: True)


def test_missing_pictures_are_told_and_skipped_only_when_asked(tmp_path, faces):
    labels = read_labels(label_file(tmp_path, "3\nYoung\n0.jpg 1\n7.jpg -1\n8.jpg 1\n"))
    with one_sentence("2 of the 3 pictures", "labels.txt", str(faces), "7.jpg", "--skip-missing"):
        present(labels, PictureFolder(faces), faces)
    there = present(labels, PictureFolder(faces), faces, skip_missing=True)
    assert there.pictures == ("0.jpg",) and there.labels.tolist() == [[True]]
    (tmp_path / "nothing").mkdir()
    with one_sentence("3 of the 3 pictures"):
        present(labels, PictureFolder(tmp_path / "nothing"), tmp_path / "nothing", skip_missing=True)


@pytest.mark.parametrize("damage", [b"", b"<html>not found</html>", None])
def test_a_picture_that_cannot_be_read_is_named(tmp_path, faces, damage):
    broken = faces / "1.png"
    broken.write_bytes(broken.read_bytes()[:-40] if damage is None else damage)
    labels = read_labels(label_file(tmp_path, "2\nYoung\n0.png 1\n1.png 1\n"))
    with one_sentence(str(broken), "cannot be read as a picture"):
        encode_pictures(tiny_model(), labels, PictureFolder(faces))


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with one_sentence(str(tmp_path / "absent"), "--images"):
        PictureFolder(tmp_path / "absent")


@pytest.mark.parametrize("as_folder", [True, False])
def test_an_lmdb_gives_the_same_features_as_a_folder(tmp_path, faces, as_folder):
    lmdb = pytest.importorskip("lmdb")
    path = tmp_path / "celebahq.lmdb"
    with lmdb.open(str(path), subdir=as_folder) as environment, environment.begin(write=True) as writing:
        writing.put(b"length", b"3")
        for number in range(3):
            writing.put(b"256-%05d" % number, encoded(picture(number)))
            writing.put(b"16-%05d" % number, encoded(picture(9)))
    labels = read_labels(label_file(tmp_path, "3\nYoung\n0.jpg 1\n1.jpg -1\n2.jpg 1\n"))
    pictures = PictureLmdb(path, side=32)
    assert present(labels, pictures, path) is labels
    expected = encode_pictures(tiny_model(), labels, PictureFolder(faces))
    assert torch.equal(encode_pictures(tiny_model(), labels, pictures).features, expected.features)


def test_what_is_wrong_with_an_lmdb_is_told(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    with one_sentence("absent.lmdb", "--lmdb"):
        PictureLmdb(tmp_path / "absent.lmdb", 32)
    (tmp_path / "text.lmdb").write_text("no database " * 1000)
    with one_sentence("text.lmdb", "cannot be read as an LMDB"):
        PictureLmdb(tmp_path / "text.lmdb", 32)
    path = tmp_path / "faces.lmdb"
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as writing:
        writing.put(b"length", b"0")
    with one_sentence("faces.lmdb", "256-00000"):
        PictureLmdb(path, 32)
    path = tmp_path / "damaged.lmdb"
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as writing:
        writing.put(b"256-00000", b"no picture")
    labels = read_labels(label_file(tmp_path, "2\nYoung\n0.jpg 1\n1.jpg -1\n"))
    pictures = PictureLmdb(path, 32)
    with one_sentence("1 of the 2 pictures", "1.jpg"):
        present(labels, pictures, path)
    with one_sentence("256-00000 in", "cannot be read as a picture"):
        encode_pictures(tiny_model(), present(labels, pictures, path, skip_missing=True), pictures)
