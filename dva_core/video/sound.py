"""The sound of one file carried into another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av

from .reading import existing, reading

# What mp4 may hold and common players play.
_COPIED = {"aac", "mp3", "ac3", "eac3", "alac"}
_AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
_AAC_LAYOUTS = {"mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"}
# Coders need what came shortly before the first sound that is heard.
_LEAD = Fraction(1, 10)


@contextmanager
def opened(path: str | Path | None) -> Iterator[av.container.InputContainer | None]:
    """The file, if it is one and has sound."""
    if path is None or existing(path).is_dir():
        yield None
        return
    with reading(Path(path)):
        container = av.open(str(path))
    with container:
        yield container if container.streams.audio else None


def origin(source: av.container.InputContainer) -> Fraction:
    """When the first frame is shown, in seconds."""
    video = source.streams.video
    return (video[0].start_time or 0) * video[0].time_base if video else Fraction(0)


class Track:
    """The first sound track of an open file, given out piece by piece for an mp4 that is being written."""

    def __init__(self, source: av.container.InputContainer, output: av.container.OutputContainer):
        stream = source.streams.audio[0]
        copied = stream.codec_context.name in _COPIED
        self._origin = origin(source)
        packets = _copied(source, stream, output) if copied else _encoded(source, stream, output)
        self._packets = _reading(Path(source.name), packets)
        self._next = next(self._packets, None)

    def until(self, end: Fraction) -> list[av.Packet]:
        """The packets, not given before, of the sound that begins before `end` seconds after the first frame."""
        packets = []
        while self._next is not None and self._time(self._next.pts) < end:
            packet = self._next
            if self._time(packet.pts + (packet.duration or 0)) > -_LEAD:
                shift = round(self._origin / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packets.append(packet)
            self._next = next(self._packets, None)
        return packets

    def _time(self, stamp: int) -> Fraction:
        return stamp * self._next.time_base - self._origin


def _reading(path: Path, packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
    with reading(path):
        yield from packets


def _copied(
    source: av.container.InputContainer, stream: av.AudioStream, output: av.container.OutputContainer
) -> Iterator[av.Packet]:
    target = output.add_stream_from_template(stream)

    def packets() -> Iterator[av.Packet]:
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                packet.stream = target
                yield packet

    return packets()


def _encoded(
    source: av.container.InputContainer, stream: av.AudioStream, output: av.container.OutputContainer
) -> Iterator[av.Packet]:
    context = stream.codec_context
    rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
    layout = context.layout.name if context.layout.name in _AAC_LAYOUTS else "stereo"
    target = output.add_stream("aac", rate=rate, layout=layout, bit_rate=96_000 * max(2, len(context.layout.channels)))

    def packets() -> Iterator[av.Packet]:
        for frame in source.decode(stream):
            yield from target.encode(frame)
        yield from target.encode(None)

    return packets()
