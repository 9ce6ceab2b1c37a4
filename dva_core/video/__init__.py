"""Video files and folders of pictures, read and written frame by frame."""

from .reading import VideoInfo, files_of, probe, read_frames
from .waveform import read_sound
from .writing import check_output, write_video

__all__ = ["VideoInfo", "check_output", "files_of", "probe", "read_frames", "read_sound", "write_video"]
